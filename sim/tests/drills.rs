//! The drills as a set: their index is current, and they notice planted errors of every part of the store.
#![cfg(madsim)]
#![allow(clippy::disallowed_methods, reason = "a test outside any simulation: it reads files")]

use std::path::{Path, PathBuf};

use squall::{
    pool::{cores, in_order},
    report::{RunOptions, Verdict},
    run::run,
    scenario::{PlantedBug, Scenario, index, load},
};
use squall_core::planted::Bug;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sim lies in the workspace").join("scenarios")
}

#[test]
fn the_index_of_the_scenarios_is_current() {
    let top = folder();
    let files = load(std::slice::from_ref(&top)).unwrap_or_else(|refusal| panic!("{refusal}"));
    let (path, made) = (top.join("README.md"), index(&files, &top));
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::write(&path, &made).expect("the index is written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        kept, made,
        "scenarios/README.md is old: UPDATE_GOLDENFILES=1 cargo test -p squall --test drills index"
    );
    for file in &files {
        let name = &file.scenario.metadata.name;
        assert!(
            made.contains(&format!("| [{name}](")),
            "{name} lies in a folder that the index does not know"
        );
        assert!(!file.scenario.metadata.description.is_empty(), "{name} has no description");
    }
}

/// For each part of the store: an error, the drill that notices it, within which seeds, and the checker that finds
/// it. `squall mutants` tries them all (docs/track-record.md).
const CHOSEN: [(&str, &str, &[u64], &str); 15] = [
    ("compareVersionOfDeleted", "all-members-restart", &[1], "linearizability"),
    ("revisionLostAtRestart", "compact-an-empty-store", &[1], "linearizability"),
    ("voteBeforeSync", "votes-on-slow-disks", &[1, 2, 3], "raft"),
    ("hardStateNotSynced", "votes-on-slow-disks", &[1], "raft"),
    ("answerLost", "nothing-breaks", &[1], "liveness"),
    ("installOnlyInMemory", "away-longer-than-the-log", &[1], "raft"),
    ("segmentReleasedEarly", "many-crash-within-one-fsync", &[1, 2, 3, 4], "panic"),
    ("appliedIndexApart", "compact-to-the-head", &[1], "raft"),
    // An answer that is wrong on one member alone, and a row that no client reads.
    ("replyDiffersAfterRestart", "one-follower-down", &[1], "raft"),
    ("hiddenRowDiffers", "away-while-others-move", &[1], "raft"),
    ("forceCutsAtCommit", "force-after-power-cut", &[3], "linearizability"),
    ("leaseTimeHalved", "leases-across-leader-loss", &[1], "lease"),
    ("watchFiltersSwapped", "watch-across-snapshot-install", &[1], "watch"),
    ("authReadUnchecked", "users-and-roles-change-under-faults", &[1], "auth"),
    ("lockTurnNotRechecked", "locks-across-leader-loss", &[1], "lock"),
];

#[test]
fn the_drills_notice_planted_errors_of_every_kind() {
    let files = load(&[folder()]).unwrap_or_else(|refusal| panic!("{refusal}"));
    let try_one = |(name, drill, seeds, checker): &(&str, &str, &[u64], &str)| {
        let file = files.iter().find(|file| file.scenario.metadata.name == *drill);
        let mut scenario: Scenario = file.unwrap_or_else(|| panic!("no drill {drill}")).scenario.clone();
        let bug = Bug::named(name).unwrap_or_else(|| panic!("no planted error {name}"));
        scenario.spec.cluster.planted_bug = Some(PlantedBug(bug));
        let mut said = Vec::new();
        for seed in *seeds {
            let result = run(&scenario, *seed, &RunOptions::default());
            if result.verdict == Verdict::Invalid
                && result.failures.iter().any(|failure| failure.checker == *checker)
            {
                return None;
            }
            said.extend(result.failures.into_iter().map(|failure| failure.message));
        }
        Some(format!("{name} is not found by {checker} in {drill}, seeds {seeds:?}; found: {said:?}"))
    };
    let mut missed = Vec::new();
    in_order(&CHOSEN, cores(), || (), |(), one| Some(try_one(one)), |_, found| missed.extend(found));
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
