//! Tests that the drawing is a pure function, passes validation, survives its file form, and reaches every choice.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value;

use super::*;
use crate::{
    faults::{Action, Drawing, nodes},
    plan::Plan,
    report::{Build, Failure, Verdict},
    scenario::{CheckerName, parse},
    schema::{FileKind, schema},
    world::Chance,
};

#[test]
fn drawn_scenarios_pass_validation_and_survive_their_files() {
    for seed in 0..150 {
        let file = file_of(draw_scenario(seed));
        let read = parse(Path::new("explored.yaml"), &file.text);
        let read = read.unwrap_or_else(|refusal| panic!("seed {seed}: {refusal}\n{}", file.text));
        assert_eq!(read, file.scenario, "seed {seed}");
        assert_eq!(draw_scenario(seed), file.scenario, "seed {seed}");
        assert_eq!(Plan::draw(&read, seed), Plan::draw(&file.scenario, seed));
    }
}

/// A new kind of fault takes part automatically. A kind that cannot be drawn is named here.
#[test]
fn every_kind_of_fault_is_drawn() {
    let mut kinds: BTreeMap<&str, u32> = Action::ALL.iter().map(|action| (action.name(), 0)).collect();
    for seed in 0..600 {
        let scenario = draw_scenario(seed);
        let of_run: BTreeSet<&str> = scenario.spec.each_fault().map(|fault| fault.action.name()).collect();
        of_run.into_iter().for_each(|name| *kinds.get_mut(name).expect("it is a kind") += 1);
    }
    let rare: Vec<_> = kinds.iter().filter(|(_, runs)| **runs < 12).collect();
    assert!(rare.is_empty(), "of 600 drawn scenarios too few have {rare:?}");
}

/// Groups of both kinds, nested, repeated, with a deadline and after a state: each in some runs. Most runs have none.
#[test]
fn groups_are_drawn_now_and_then() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut relations = 0;
    for seed in 0..600 {
        let scenario = draw_scenario(seed);
        let nodes = nodes(&scenario.spec.faults);
        for group in nodes.iter().filter_map(|node| node.item.group()) {
            let has = [
                (if group.is_serial() { "serial" } else { "parallel" }, true),
                ("nested", group.members().iter().any(|member| member.group().is_some())),
                ("repeated", group.repeat.is_some()),
                ("deadline", group.deadline.is_some()),
                ("after", group.after.is_some()),
            ];
            has.iter().filter(|(_, has)| *has).for_each(|(what, _)| *seen.entry(what).or_default() += 1);
        }
        let plan = Plan::draw(&scenario, seed);
        relations += plan.faults.iter().filter(|fault| fault.after.as_ref().is_some_and(|a| a.over)).count();
    }
    assert!(seen.len() == 6 && seen.values().all(|times| (8..250).contains(times)), "{seen:?}");
    assert!(relations > 20, "{relations} faults begin when another is over");
}

/// Companions of an operator's work and failures in the midst of a member's own work, each shape in some runs.
#[test]
fn pairs_are_drawn_now_and_then() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..600 {
        let scenario = draw_scenario(seed);
        let names: Vec<&String> =
            scenario.spec.each_fault().filter_map(|fault| fault.name.as_ref()).collect();
        for shape in ["amid-own-work-", "amid-", "beside-", "change", "disaster", "survivor", "away"] {
            let has = names.iter().any(|name| match shape {
                "amid-" => name.starts_with(shape) && !name.starts_with("amid-own-work-"),
                _ => name.starts_with(shape),
            });
            *seen.entry(shape).or_default() += u32::from(has);
        }
    }
    assert!(seen.values().all(|runs| (3..200).contains(runs)), "{seen:?}");
}

#[test]
fn every_kind_has_settings_to_draw() {
    let members: Vec<String> = ["m1", "m2", "m3"].map(String::from).to_vec();
    let saves = ["save".to_owned()];
    for action in Action::ALL {
        let mut drawing = Drawing::new(Chance::root(1).stream(), &members, &saves);
        assert!(
            action.draw(&mut drawing).is_some(),
            "`{}` has no settings that a file need not write, and its room has no `draw`",
            action.name()
        );
    }
}

/// What is not drawn, and why.
const NEVER_DRAWN: [(&str, &str); 8] = [
    ("Cluster.plantedBug", "the store is explored as it is; `--planted-bug` plants an error"),
    ("Workload.blindRetries", "a client's error: every run would be invalid"),
    ("Workload.staleReads", "a client's error: every run would be invalid"),
    ("Workload.leaseTtlSecs", "leases as long as an election, which end within a run"),
    ("Workload.recording", "the operations of a recording are given"),
    ("Final.heal", "without it no progress can be demanded"),
    ("Spec.alerts", "they judge rules of alerting, not the store"),
    ("Spec.expect", "the store is sound: valid, without minimums"),
];

/// A setting that always has one value is not explored. So a new setting must be drawn, or be named in [`NEVER_DRAWN`].
/// The settings come from the schema, because a file does not write a setting that has its default.
#[test]
fn every_setting_is_drawn() {
    let schema = schema(FileKind::Scenario);
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for seed in 0..800 {
        let spec = serde_json::to_value(draw_scenario(seed).spec).expect("it has a JSON form");
        let blocks = [("Spec", &spec), ("Cluster", &spec["cluster"]), ("Network", &spec["network"])];
        let more = [("Disk", &spec["disk"]), ("Final", &spec["final"])];
        let workloads = spec["workloads"].as_array().expect("a list").iter();
        let bursts = workloads.clone().map(|workload| ("Burst", &workload["burst"]));
        let bursts = bursts.filter(|(_, burst)| burst.is_object());
        let all = blocks.into_iter().chain(more);
        for (block, value) in all.chain(workloads.clone().map(|one| ("Workload", one))).chain(bursts) {
            let keys = schema["definitions"][block]["properties"].as_object();
            for key in keys.unwrap_or_else(|| panic!("the schema has `{block}`")).keys() {
                let value = value.get(key).map_or("left out".to_owned(), Value::to_string);
                seen.entry(format!("{block}.{key}")).or_default().insert(value);
            }
        }
    }
    assert!(seen.len() > 50, "{} settings", seen.len());
    let named: BTreeSet<&str> = NEVER_DRAWN.iter().map(|(key, _)| *key).collect();
    let stuck = seen.iter().filter(|(_, values)| values.len() < 2).map(|(key, _)| key.as_str());
    let stuck: BTreeSet<&str> = stuck.collect();
    let forgotten: Vec<&&str> = stuck.difference(&named).collect();
    assert!(forgotten.is_empty(), "these settings have one value in 800 drawn scenarios: {forgotten:?}");
    let drawn: Vec<&&str> = named.difference(&stuck).collect();
    assert!(drawn.is_empty(), "these settings are drawn, but named as never drawn: {drawn:?}");
}

#[test]
fn an_iteration_depends_on_the_campaign_and_its_index_only() {
    let campaign = CampaignSeed(7);
    let seeds: Vec<u64> =
        (0..500).map(|index| Source::Everything.iteration(campaign, index, None).seed).collect();
    assert_eq!(seeds.iter().collect::<BTreeSet<_>>().len(), seeds.len(), "no seed comes twice");
    assert!(seeds.iter().all(|seed| *seed > 0 && *seed < 1 << 53));
    assert_ne!(seeds[0], Source::Everything.iteration(CampaignSeed(8), 0, None).seed);
    let twice = (0..2_000).filter(|index| is_checked_twice(campaign, *index, 0.05)).count();
    assert!((60..140).contains(&twice), "{twice} of 2000");
    assert!((0..50).all(|index| is_checked_twice(campaign, index, 1.0)));
    assert!(!(0..50).any(|index| is_checked_twice(campaign, index, 0.0)));
}

#[test]
fn a_campaign_seed_is_a_number_or_a_commit() {
    let short: CampaignSeed = "6e23d88".parse().unwrap();
    assert_eq!(short, CampaignSeed(0x6e2_3d88));
    assert_eq!(Ok(short), "6E23D88ae0f6e1b2c3d4e5f60718293a4b5c6d7e".parse());
    assert_eq!(Ok(CampaignSeed(1_234_567)), "1234567".parse());
    for bad in ["", "6e23d8", "HEAD", "-1", "1.5", "0x6e23d88", "zzzzzzz"] {
        assert!(bad.parse::<CampaignSeed>().is_err(), "{bad}");
    }
}

#[test]
fn signatures_fold_what_is_one() {
    let failure = |checker: &str, guarantee: &str, message: &str| Failure {
        checker: checker.into(),
        guarantee: guarantee.into(),
        message: message.into(),
    };
    let stale =
        failure("linearizability", "strict serializability of all keys: no stale read", "get k1 at 17");
    let other =
        failure("linearizability", "strict serializability of all keys: no stale read", "get k9 at 99");
    let panic = failure("panic", "no member panics", "m2 panicked: index 17 < 3.5\nmore");
    assert_eq!(Signature::of(&stale), Signature::of(&other));
    assert_eq!(Signature::of(&panic).shape, "m# panicked: index # < #");
    let row = failure(
        "panic",
        "no member panics",
        r#"m2: corrupt row "k\x00\"\x0e_\x00": it doesn't fit; 5" disks"#,
    );
    assert_eq!(Signature::of(&row).shape, "m#: corrupt row \"…\": it doesn't fit; #\" disks");
    let run = [stale.clone(), panic.clone()];
    assert_eq!(Signature::of_run(&run), Some(Signature::of(&panic)), "the panic is nearer to the cause");
    assert_eq!(Signature::of(&other).find(&run), Some(&stale));
    assert_eq!(Signature::of_run(&[]), None);
}

#[test]
fn names_are_short_and_end_with_a_whole_thought() {
    for (checker, rule, name) in [
        (
            "linearizability",
            "strict serializability of all keys: no stale read",
            "linearizability-stale-read",
        ),
        ("durability", "an acknowledged write is never lost", "durability-acknowledged-write-is-never-lost"),
        (
            "watch",
            "a watch delivers every event in the order of revisions",
            "watch-delivers-every-event-in-order",
        ),
        ("watch", "watch: ordered: revisions never go back", "watch-revisions-never-go-back"),
        ("raft", "election safety: at most one leader a term", "raft-election-safety"),
        (
            "convergence",
            "convergence: members agree on who the members are",
            "convergence-members-agree-on-who-members",
        ),
        (
            "monotonic-reads",
            "monotonic reads: within one life a member's answers never go backwards",
            "monotonic-reads-within-one-life-members-answers",
        ),
        ("panic", "no member's task panics", "panic-members-task-panics"),
        ("harness", "x", "harness-x"),
    ] {
        let signature = Signature { checker: checker.into(), rule: rule.into(), shape: String::new() };
        assert_eq!(signature.words(), name, "{rule}");
    }
}

#[test]
fn a_finding_comes_before_its_consequences() {
    let failure =
        |checker: &str| Failure { checker: checker.into(), guarantee: "g".into(), message: "m".into() };
    let names = CheckerName::ALL.iter().map(|(name, _)| name.name());
    let causes = names.filter(|name| !matches!(*name, "liveness" | "vacuous"));
    for cause in causes.chain(["harness", "determinism", "one-of-tomorrow"]) {
        for consequence in ["liveness", "vacuous"] {
            let signature = Signature::of_run(&[failure(consequence), failure(cause)]);
            assert_eq!(signature.expect("two failures").checker, cause, "beside {consequence}");
        }
    }
}

fn line(campaign: &str, index: u64, verdict: Verdict, hash: &str) -> Line {
    let failures = if verdict == Verdict::Invalid {
        vec![Failure {
            checker: "raft".into(),
            guarantee: format!("election safety {}", index % 2),
            message: format!("term {index}"),
        }]
    } else {
        Vec::new()
    };
    Line {
        campaign: campaign.into(),
        index,
        canary: false,
        scenario: EXPLORED.into(),
        scenario_digest: format!("{index:016x}"),
        seed: 1_000 + index,
        verdict,
        expected: verdict == Verdict::Valid,
        run_dir: if failures.is_empty() { String::new() } else { format!("runs/explored/{index}") },
        failures,
        audit_hash: hash.into(),
        twice: false,
        simulated_seconds: 20.0,
        wall_seconds: 1.0,
        cpu_seconds: 0.25,
        operations: Default::default(),
        faults_injected: BTreeMap::new(),
        faults_bit: BTreeMap::from([("crash".to_owned(), index % 3)]),
        counters: BTreeMap::new(),
        reproduce: String::new(),
    }
}

/// A shard of a campaign of 30 iterations, every seventh of which fails.
pub(super) fn shard(number: u64, of: u64) -> Results {
    let shard = ShardNumber { number, of };
    let campaign = Campaign {
        seed: CampaignSeed(1),
        version: "0".into(),
        build: Build::this(),
        scenarios: Vec::new(),
        canaries: Vec::new(),
        planted_bug: None,
        check_determinism: 0.0,
        shards: [(shard.name(), Shard { iterations: Some(30), complete: true, stopped: None })].into(),
    };
    let id = campaign.id();
    let manifest = Manifest { format: FORMAT, merged: false, campaigns: [(id.clone(), campaign)].into() };
    let mut results = Results::none(manifest);
    for index in (0..30).filter(|index| shard.has(*index)) {
        let verdict = if index % 7 == 3 { Verdict::Invalid } else { Verdict::Valid };
        results.add(line(&id, index, verdict, &format!("hash-{index}")));
    }
    results
}

pub(super) fn union(parts: &[Results]) -> Results {
    let mut all = parts[0].clone();
    parts[1..].iter().for_each(|part| all.merge(part.clone()));
    all.keep_few_folders(|_| true);
    all
}

#[test]
fn merge_is_a_union() {
    let [one, two, three] = [1, 2, 3].map(|number| shard(number, 3));
    let all = union(&[one.clone(), two.clone(), three.clone()]);
    // The union is commutative, associative and idempotent.
    assert_eq!(all, union(&[three.clone(), one.clone(), two.clone()]));
    assert_eq!(all, union(&[union(&[two.clone(), three.clone()]), one.clone()]));
    assert_eq!(all, union(&[all.clone(), two.clone(), all.clone()]));
    assert_eq!(all, union(std::slice::from_ref(&all)));
    // The shards' runs are the same as those of one process.
    let whole = shard(1, 1);
    let nothing_known = BTreeSet::new();
    let (summary, alone) = (Summary::of(&all, &nothing_known), Summary::of(&whole, &nothing_known));
    assert_eq!(summary.digest, alone.digest);
    assert_eq!((&summary.figures, &summary.findings), (&alone.figures, &alone.findings));
    assert!(summary.missing.is_empty(), "{:?}", summary.missing);
    assert_eq!(summary.findings.len(), 2, "{:?}", summary.findings);
    assert_eq!(summary.findings.iter().map(|finding| finding.runs).sum::<u64>(), 4);
}

#[test]
fn what_is_missing_is_named() {
    let [mut one, three] = [1, 3].map(|number| shard(number, 3));
    let nothing_known = BTreeSet::new();
    let two_of_three = union(&[one.clone(), three.clone()]);
    assert_eq!(Summary::of(&two_of_three, &nothing_known).missing, ["shard 2/3 is not there"]);
    // One shard alone is no campaign that lacks the others.
    let mut alone = Summary::of(&one, &nothing_known);
    assert_eq!((alone.missing.as_slice(), alone.shard.as_deref()), ([].as_slice(), Some("1/3")));
    assert!(summary_text(&alone).contains("one shard of 3, the shard 1"), "{}", summary_text(&alone));
    assert!(summary_text(&alone).contains("200 seconds simulated in"), "{}", summary_text(&alone));
    alone = Summary::of(&shard(1, 1), &nothing_known);
    assert_eq!(alone.shard, None);
    let last = one.lines.keys().next_back().expect("it has lines").clone();
    one.lines.remove(&last);
    let missing = Summary::of(&union(&[one, shard(2, 3), three]), &nothing_known).missing;
    assert_eq!(missing, ["shard 1/3 lacks 1 iteration: continue it with `--resume`"]);
}

#[test]
fn one_seed_with_two_outcomes_is_a_contradiction_whichever_comes_first() {
    let (one, mut two) = (shard(1, 3), shard(1, 3));
    let id = one.manifest.campaigns.keys().next().expect("one").clone();
    two.lines.clear();
    two.add(line(&id, 6, Verdict::Valid, "another hash"));
    let (ahead, behind) = (union(&[one.clone(), two.clone()]), union(&[two, one]));
    assert_eq!(ahead, behind);
    let summary = Summary::of(&ahead, &BTreeSet::new());
    assert_eq!(summary.contradictions.len(), 1);
    assert!(summary.contradictions[0].contains("another hash"), "{:?}", summary.contradictions);
}

#[test]
fn a_baseline_makes_findings_known() {
    let results = shard(1, 1);
    let known = BTreeSet::from([Summary::of(&results, &BTreeSet::new()).findings[0].signature.clone()]);
    let summary = Summary::of(&results, &known);
    assert_eq!(summary.findings.iter().filter(|finding| finding.known).count(), 1);
}
