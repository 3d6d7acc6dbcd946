//! Makes `docs/planning.md` and its drawings from runs of `scenarios/planning`. The committed page must equal the page
//! of these runs: `UPDATE_GOLDENFILES=1 cargo test -p squall --test planning` writes it. In virtual time a latency is
//! the same number on every machine, so the page can be compared letter by letter.
//!
//! `claims` checks that the numbers support the page's text: a minority may be lost and no more, hasty time-outs cost
//! leaders, a slow disk shows in every write.
#![cfg(madsim)]
#![allow(clippy::disallowed_methods, reason = "a test outside any simulation: it reads and writes files")]

mod claims;
mod measure;
mod page;
mod plot;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use squall::{
    pool::{cores, in_order},
    report::{RunOptions, Verdict},
    run::run,
    scenario::{ScenarioFile, load},
};

use measure::Measured;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sim lies in the workspace").to_owned()
}

/// Every drill of the folder, by name, run once and measured.
fn measured() -> BTreeMap<String, Measured> {
    let files = load(&[root().join("scenarios/planning")]).unwrap_or_else(|refusal| panic!("{refusal}"));
    let one = |file: &ScenarioFile| {
        let seed = *file.scenario.spec.seeds.first().expect("a drill has seeds");
        let result = run(&file.scenario, seed, &RunOptions { judge: false, ..RunOptions::default() });
        assert_ne!(result.verdict, Verdict::Invalid, "{}", file.scenario.metadata.name);
        Some((file.scenario.metadata.name.clone(), Measured::of(&result)))
    };
    let mut found = BTreeMap::new();
    in_order(
        &files,
        cores(),
        || (),
        |(), file| one(file),
        |_, (name, measured)| drop(found.insert(name, measured)),
    );
    found
}

#[test]
fn the_page_is_what_the_runs_come_to() {
    let runs = measured();
    claims::check(&runs);
    let docs = root().join("docs");
    let mut made = page::drawings(&runs);
    made.insert("planning.md".to_owned(), page::text(&runs));
    let writes = std::env::var_os("UPDATE_GOLDENFILES").is_some();
    let mut old = Vec::new();
    for (name, text) in &made {
        let path = docs.join(name);
        if writes {
            fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
            fs::write(&path, text).expect("the page is written");
        }
        if fs::read_to_string(&path).unwrap_or_default() != *text {
            old.push(name);
        }
    }
    assert!(old.is_empty(), "{old:?} are old: UPDATE_GOLDENFILES=1 cargo test -p squall --test planning");
    let kept = fs::read_dir(docs.join("planning")).expect("the drawings").count();
    assert_eq!(kept + 1, made.len(), "a drawing that nothing makes");
}
