//! Attacks on the harness itself: no run of a sound store may be called Invalid or stay undecided, whatever is thrown at it.
//!
//! - Scenarios drawn at random: all actions, all cluster sizes, extreme settings, procedures on top of one another.
//! - The product of the operator's procedures: every pair, undisturbed, with crashes at every step, and with cuts.
//!
//! A run of a test takes a few of each. For a campaign, `SQUALL_HOSTILE=300 SQUALL_HOSTILE_DIR=/tmp/hostile cargo test
//! -p squall --test hostile write` writes so many scenario files instead; `squall run /tmp/hostile --seeds 1..3` runs them.
#![cfg(madsim)]

use std::{fmt::Write as _, fs, path::Path};

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use squall::{
    report::{RunOptions, Verdict},
    run::run,
    scenario::{Scenario, parse},
};

/// Draws scenarios.
struct Drawer {
    chance: ChaCha8Rng,
}

impl Drawer {
    fn new(seed: u64) -> Self {
        Self { chance: ChaCha8Rng::seed_from_u64(seed) }
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.chance).expect("there is something to pick from")
    }

    fn one_in(&mut self, of: u32) -> bool {
        self.chance.gen_range(0..of) == 0
    }

    /// A scenario's text. Not every one passes validation.
    fn scenario(&mut self, name: &str) -> String {
        let members: u32 = *[1, 2, 3, 3, 3, 4, 5, 5, 7].choose(&mut self.chance).expect("not empty");
        let latency = self.pick(&["0s", "500us", "1ms", "10ms", "40ms"]);
        // As etcd's guide has it: a heartbeat is no shorter than a round trip, an election takes ten of them.
        let far = latency == "40ms";
        let heartbeat = if far { "200ms" } else { self.pick(&["50ms", "100ms", "100ms", "200ms"]) };
        let election = if far { "2s" } else { self.pick(&["1s", "1s", "2s"]) };
        let (count, catchup) =
            (self.pick(&["5", "50", "200", "10000"]), self.pick(&["0", "2", "100", "5000"]));
        let segment = self.pick(&["4096", "65536", "64000000"]);
        let commit = self.pick(&["5ms", "20ms", "100ms", "1s"]);
        let batches = self.pick(&["1", "10", "10000"]);
        let (limit, sleep) = (self.pick(&["1", "10", "1000"]), self.pick(&["1ms", "10ms", "100ms"]));
        let jitter = self.pick(&["0s", "500us", "20ms"]);
        let (fsync, fsync_jitter) =
            (self.pick(&["0s", "1ms", "5ms", "20ms"]), self.pick(&["0s", "1ms", "30ms"]));
        let mut text = format!(
            "apiVersion: squall/v1\nkind: Scenario\nmetadata: {{name: {name}, description: drawn at random}}\nspec:\n  \
             seeds: [1]\n  cluster: {{members: {members}, snapshotCount: {count}, snapshotCatchupEntries: {catchup}, \
             walSegmentBytes: {segment}, heartbeatInterval: {heartbeat}, electionTimeout: {election}, \
             engineCommitInterval: {commit}, engineCommitBatches: {batches}, compactionBatchLimit: {limit}, \
             compactionSleep: {sleep}}}\n  network: {{latency: {latency}, jitter: {jitter}}}\n  \
             disk: {{fsyncLatency: {fsync}, fsyncJitter: {fsync_jitter}}}\n  workloads:\n"
        );
        for number in 0..self.chance.gen_range(1..=3) {
            let kind = self.pick(&["kv", "register"]);
            let clients = self.pick(&["1", "2", "4", "8"]);
            let rate = self.pick(&["20", "80", "200", "400"]);
            let keys = self.pick(&["1", "3", "8", "50"]);
            let bytes = self.pick(&["0", "0", "600", "3000"]);
            let timeout = self.pick(&["100ms", "300ms", "1s", "2s"]);
            let _ = writeln!(
                text,
                "    - {{name: w{number}, type: {kind}, clients: {clients}, rate: {rate}, keys: {keys}, \
                 valueBytes: {bytes}, requestTimeout: {timeout}}}"
            );
        }
        text.push_str("  timeLimit: 15s\n  faults:\n");
        let faults = self.chance.gen_range(2..=9);
        let mut saved = false;
        for number in 0..faults {
            let line = self.fault(number, &mut saved);
            text.push_str(&line);
        }
        text.push_str(
            "  final: {settle: 15s}\n  expect: {outcome: valid, minOperationsBefore: 0, minOperationsAfter: 0}\n",
        );
        text
    }

    fn target(&mut self) -> String {
        let role = self.pick(&["leader", "follower", "running"]);
        let mode =
            self.pick(&["one", "all", "minority", "majority", "fixed, value: 2", "fixed-percent, value: 50"]);
        let name = self.pick(&["m1", "m2", "m3"]);
        match self.chance.gen_range(0..5) {
            0 => String::new(),
            1 => format!("selector: {{role: {role}}}, "),
            2 => format!("selector: {{names: [{name}]}}, "),
            3 => format!("mode: {mode}, "),
            _ => format!("selector: {{role: {role}}}, mode: {mode}, "),
        }
    }

    fn fault(&mut self, number: usize, saved: &mut bool) -> String {
        let kinds = [
            "crash",
            "crash",
            "crash",
            "partition",
            "partition",
            "pause",
            "latency",
            "diskStall",
            "slowFsync",
            "restart",
            "compact",
            "compact",
            "replaceMember",
            "replaceMember",
            "forceNewCluster",
            "snapshotSave",
            "restoreSnapshot",
            "wipeDisk",
        ];
        let action = self.pick(&kinds);
        let at = self.pick(&["500ms", "1s..3s", "2s..6s", "4s..8s", "6s..12s"]);
        let every = if self.one_in(2) {
            format!("every: {}, ", self.pick(&["100ms..400ms", "300ms..1s", "500ms..3s", "2s..5s"]))
        } else {
            String::new()
        };
        let rarely = if self.one_in(3) { "every: 2s..5s, ".to_owned() } else { String::new() };
        let duration = if self.one_in(5) {
            String::new()
        } else {
            format!("duration: {}, ", self.pick(&["20ms..100ms", "50ms..500ms", "300ms..3s", "1s..5s"]))
        };
        let target = self.target();
        let peers = self.pick(&["members", "clients", "all"]);
        let direction = self.pick(&["both", "to", "from"]);
        let unsynced = self.pick(&["any", "any", "keep", "drop"]);
        let during_work = if self.one_in(3) { ", duringWork: true" } else { "" };
        let pause = self.pick(&["0s", "200ms", "1s"]);
        let one = match self.chance.gen_range(0..3) {
            0 => "selector: {role: leader}, ",
            1 => "selector: {role: running}, ",
            _ => "",
        };
        let head = format!("    - {{name: f{number}, at: {at}, ");
        match action {
            "crash" => format!(
                "{head}{every}{duration}{target}action: crash, crash: {{unsynced: {unsynced}{during_work}}}}}\n"
            ),
            "partition" => format!(
                "{head}{every}{duration}{target}action: partition, partition: {{peers: {peers}, direction: {direction}}}}}\n"
            ),
            "pause" => format!("{head}{every}{duration}{target}action: pause}}\n"),
            "latency" => format!(
                "{head}{every}{duration}{target}action: latency, latency: {{delay: 50ms, jitter: 100ms, peers: {peers}}}}}\n"
            ),
            "diskStall" => format!("{head}{every}{duration}{target}action: diskStall}}\n"),
            "slowFsync" => format!(
                "{head}{every}{duration}{target}action: slowFsync, slowFsync: {{delay: 100ms, jitter: 200ms}}}}\n"
            ),
            "restart" => format!("{head}{rarely}{target}action: restart}}\n"),
            "compact" => {
                let keep = self.pick(&["0", "10", "100"]);
                format!("{head}{every}action: compact, compact: {{keep: {keep}}}}}\n")
            }
            "replaceMember" => {
                format!("{head}{rarely}{one}action: replaceMember, replaceMember: {{pause: {pause}}}}}\n")
            }
            "forceNewCluster" => {
                let rejoin = self.pick(&["true", "true", "false"]);
                format!(
                    "{head}{rarely}selector: {{role: running}}, action: forceNewCluster, \
                     forceNewCluster: {{rejoin: {rejoin}, pause: {pause}}}}}\n"
                )
            }
            "wipeDisk" => format!("{head}{one}action: wipeDisk}}\n"),
            "restoreSnapshot" if *saved => {
                format!(
                    "{head}action: restoreSnapshot, restoreSnapshot: {{snapshot: backup, pause: {pause}}}}}\n"
                )
            }
            _ if !*saved => {
                *saved = true;
                "    - {name: backup, at: 300ms..450ms, action: snapshotSave}\n".to_owned()
            }
            _ => format!("{head}{one}action: snapshotSave}}\n"),
        }
    }

    /// A scenario that passes validation.
    fn good(&mut self, name: &str) -> (String, Scenario) {
        loop {
            let text = self.scenario(name);
            if let Ok(scenario) = parse(Path::new("drawn.yaml"), &text) {
                return (text, scenario);
            }
        }
    }
}

/// What is wrong with a run of a sound store, if anything.
fn complaint(text: &str, scenario: &Scenario, seed: u64) -> Option<String> {
    let result = run(scenario, seed, &RunOptions::default());
    let sound = result.verdict == Verdict::Valid && result.harness_error.is_none();
    (!sound).then(|| {
        format!(
            "seed {seed}: {:?}\n{:#?}\n{:?}\n{text}",
            result.verdict, result.failures, result.harness_error
        )
    })
}

fn demand_none(complaints: Vec<String>) {
    assert!(
        complaints.is_empty(),
        "{} runs of a sound store:\n{}",
        complaints.len(),
        complaints.join("\n---\n")
    );
}

#[test]
fn drawn_at_random() {
    let complaints = (0..12).filter_map(|number| {
        let (text, scenario) = Drawer::new(number).good(&format!("hostile-{number}"));
        complaint(&text, &scenario, number + 1)
    });
    demand_none(complaints.collect());
}

#[test]
fn write() {
    let (Ok(count), Ok(folder)) = (std::env::var("SQUALL_HOSTILE"), std::env::var("SQUALL_HOSTILE_DIR"))
    else {
        return;
    };
    let count: u64 = count.parse().expect("SQUALL_HOSTILE is a number of scenarios");
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).expect("the folder can be made");
    for number in 0..count {
        let name = format!("hostile-{number}");
        let (text, _) = Drawer::new(1_000 + number).good(&name);
        fs::write(folder.join(format!("{name}.yaml")), text).expect("the folder can be written");
    }
    // The product, as files too.
    for (name, text) in product() {
        fs::write(folder.join(format!("{name}.yaml")), text).expect("the folder can be written");
    }
}

/// The operator's procedures, as faults without their instants.
const PROCEDURES: [(&str, &str); 6] = [
    ("replace", "action: replaceMember, replaceMember: {pause: 200ms}"),
    ("force", "selector: {role: running}, action: forceNewCluster, forceNewCluster: {pause: 200ms}"),
    ("force-alone", "selector: {role: running}, action: forceNewCluster, forceNewCluster: {rejoin: false}"),
    ("restore", "action: restoreSnapshot, restoreSnapshot: {snapshot: backup, pause: 200ms}"),
    ("restart", "mode: all, action: restart"),
    ("save", "action: snapshotSave"),
];

/// What disturbs them.
const DISTURBANCES: [(&str, &str); 3] = [
    ("calm", ""),
    (
        "crashes",
        "    - {at: 4s, every: 60ms..160ms, duration: 20ms..80ms, action: crash, crash: {duringWork: true}}\n",
    ),
    (
        "cuts",
        "    - {at: 4s, every: 150ms..400ms, duration: 50ms..600ms, action: partition, partition: {peers: all}}\n",
    ),
];

/// Every pair of procedures, the second while the first is under way, with each disturbance.
fn product() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (first, one) in PROCEDURES {
        for (second, other) in PROCEDURES {
            for (disturbance, faults) in DISTURBANCES {
                let name = format!("{first}-then-{second}-with-{disturbance}");
                let text = format!(
                    "apiVersion: squall/v1\nkind: Scenario\nmetadata: {{name: {name}, description: a pair of procedures}}\nspec:\n  \
                     seeds: [1]\n  cluster: {{members: 3, snapshotCount: 30, snapshotCatchupEntries: 5}}\n  workloads:\n    \
                     - {{type: kv, clients: 3, rate: 90, keys: 4, requestTimeout: 300ms}}\n  timeLimit: 9s\n  faults:\n    \
                     - {{name: backup, at: 2s, action: snapshotSave}}\n    - {{name: one, at: 4s, {one}}}\n    \
                     - {{name: two, at: 4s..6s, {other}}}\n{faults}  final: {{settle: 5s}}\n  \
                     expect: {{outcome: valid, minOperationsBefore: 0, minOperationsAfter: 0}}\n"
                );
                all.push((name, text));
            }
        }
    }
    all
}

#[test]
fn every_pair_of_procedures() {
    let complaints = product().into_iter().enumerate().filter_map(|(number, (name, text))| {
        let scenario = parse(Path::new(&name), &text).unwrap_or_else(|refusal| panic!("{refusal}\n{text}"));
        complaint(&text, &scenario, number as u64)
    });
    demand_none(complaints.collect());
}
