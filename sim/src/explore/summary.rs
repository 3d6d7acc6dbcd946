//! The summary of a set of lines: findings by signature, coverage, canaries, and what is missing.
//!
//! It is a pure function of the manifest, the lines and the shrunk findings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use squall_store::seam::Point;

use super::{
    folder::Results,
    line::{Line, POINT},
    manifest::{Campaign, ShardNumber},
    signature::Signature,
};
use crate::{
    faults::Action,
    report::{Build, Verdict},
    scenario::COUNTERS,
    text::counted,
};

/// The least number of runs from which a campaign must have seen everything.
pub const COVERAGE_FROM: u64 = 1_000;

/// How many seeds of a finding are listed.
const SEEDS: usize = 8;

/// The summary of a campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The campaigns' seeds and builds.
    pub campaigns: Vec<Origin>,
    /// A digest over scenario, seed, verdict and hash of every run: equal for campaigns with equal runs.
    pub digest: String,
    /// Figures.
    pub figures: Figures,
    /// The findings, the most frequent first.
    pub findings: Vec<Finding>,
    /// The canaries.
    pub canaries: Vec<Canary>,
    /// In how many runs each thing that a campaign must see was seen.
    pub seen: BTreeMap<String, u64>,
    /// The things that a campaign must see and that were never seen.
    pub never_seen: Vec<String>,
    /// Runs of one build, scenario and seed with different results.
    pub contradictions: Vec<String>,
    /// Missing shards and iterations.
    pub missing: Vec<String>,
    /// The shard, if these are the results of one shard alone, such as `2/3`. Then the others are not missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

/// A campaign that the summary covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Its seed.
    pub seed: u64,
    /// Its build.
    pub build: Build,
    /// The planted error, if there is one.
    pub planted_bug: Option<String>,
    /// The scenarios that it explores; empty if it draws them.
    pub scenarios: Vec<String>,
}

/// A campaign's figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How many iterations ran.
    pub iterations: u64,
    /// How many were valid: all guarantees held.
    pub valid: u64,
    /// How many were invalid: a guarantee was broken.
    pub invalid: u64,
    /// How many were not decided.
    pub unknown: u64,
    /// How many iterations ran twice.
    pub twice: u64,
    /// Simulated time of the iterations, first runs only.
    pub simulated_seconds: f64,
    /// Processor time of iterations and canaries.
    pub cpu_seconds: f64,
    /// Real time of the single runs, added up.
    pub wall_seconds: f64,
    /// Operations that succeeded.
    pub operations: u64,
    /// How many faults hit a member or the cluster.
    pub faults: u64,
}

/// Failures of one signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name: the folder below `findings`.
    pub id: String,
    /// The signature of its failures.
    pub signature: Signature,
    /// How many runs showed it.
    pub runs: u64,
    /// The first seeds.
    pub seeds: Vec<u64>,
    /// The processor time of all iterations up to its first run.
    pub cpu_seconds_to_find: f64,
    /// The first run's scenario.
    pub scenario: String,
    /// The first run's iteration.
    pub index: u64,
    /// What the first run's checker said.
    pub message: String,
    /// The first run's folder, below the campaign's.
    pub run_dir: String,
    /// The command that makes the first run again.
    pub reproduce: String,
    /// Its shrunk scenario, if there is one.
    pub shrunk: Option<Shrunk>,
    /// Whether the baseline has it too.
    pub known: bool,
}

/// The smallest scenario that was found to show a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shrunk {
    /// Its file, in the finding's folder.
    pub file: String,
    /// How many faults it has.
    pub faults: u64,
    /// How many faults the failing run had.
    pub faults_before: u64,
    /// How many runs the shrinking took.
    pub runs: u64,
    /// The processor time that it took.
    pub cpu_seconds: f64,
    /// Whether no step could make it smaller. Otherwise the budget was used up.
    pub finished: bool,
}

/// A canary of the campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// The scenario's name.
    pub name: String,
    /// The seed that found its bug.
    pub found_by: Option<u64>,
    /// How many seeds were tried.
    pub runs: u64,
    /// The processor time of these runs.
    pub cpu_seconds: f64,
}

impl Summary {
    /// Summarises results. `known` are the signatures of a baseline.
    pub fn of(results: &Results, known: &BTreeSet<Signature>) -> Summary {
        let lines = || results.lines.values();
        let iterations = || lines().filter(|line| !line.canary);
        let seen = seen(results, iterations());
        let explores = results.manifest.campaigns.values().any(|campaign| campaign.scenarios.is_empty());
        let never_seen = seen.iter().filter(|(_, runs)| explores && **runs == 0);
        Summary {
            campaigns: results.manifest.campaigns.values().map(origin).collect(),
            digest: digest(lines()),
            figures: figures(results),
            findings: findings(results, known),
            canaries: canaries(results),
            never_seen: never_seen.map(|(name, _)| name.clone()).collect(),
            seen,
            contradictions: results.contradictions.iter().cloned().collect(),
            missing: missing(results),
            shard: results.manifest.lone_shard().map(ShardNumber::name),
        }
    }

    /// Whether enough was run to demand that everything was seen.
    pub fn demands_coverage(&self) -> bool {
        self.figures.iterations >= COVERAGE_FROM && self.campaigns.iter().all(|one| one.planted_bug.is_none())
    }

    /// The canaries that were not found.
    pub fn canaries_missed(&self) -> impl Iterator<Item = &Canary> {
        self.canaries.iter().filter(|canary| canary.found_by.is_none())
    }
}

fn origin(campaign: &Campaign) -> Origin {
    Origin {
        seed: campaign.seed.0,
        build: campaign.build.clone(),
        planted_bug: campaign.planted_bug.clone(),
        scenarios: campaign.scenarios.iter().map(|named| named.name.clone()).collect(),
    }
}

fn digest<'a>(lines: impl Iterator<Item = &'a Line>) -> String {
    let mut hasher = blake3::Hasher::new();
    for line in lines {
        let Line { scenario, scenario_digest, seed, verdict, audit_hash, .. } = line;
        let text = format!("{scenario} {scenario_digest} {seed} {} {audit_hash}\n", verdict.name());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn figures(results: &Results) -> Figures {
    let mut figures = Figures::default();
    for line in results.lines.values() {
        figures.cpu_seconds += line.cpu_seconds;
        figures.wall_seconds += line.wall_seconds;
        if line.canary {
            continue;
        }
        figures.iterations += 1;
        match line.verdict {
            Verdict::Valid => figures.valid += 1,
            Verdict::Invalid => figures.invalid += 1,
            Verdict::Unknown => figures.unknown += 1,
        }
        figures.twice += u64::from(line.twice);
        figures.simulated_seconds += line.simulated_seconds;
        figures.operations += line.operations.ok;
        figures.faults += line.faults_injected.values().sum::<u64>();
    }
    figures
}

fn findings(results: &Results, known: &BTreeSet<Signature>) -> Vec<Finding> {
    let mut findings: BTreeMap<Signature, Finding> = BTreeMap::new();
    let mut cpu = 0.0;
    for line in results.lines.values() {
        if !line.canary {
            cpu += line.cpu_seconds;
        }
        let Some(signature) = line.signature() else { continue };
        let told = line.failures.iter().find(|failure| Signature::of(failure) == signature);
        let id = signature.id();
        let finding = findings.entry(signature.clone()).or_insert_with(|| Finding {
            shrunk: results.shrunk.get(&id).cloned(),
            id,
            known: known.contains(&signature),
            signature,
            runs: 0,
            seeds: Vec::new(),
            cpu_seconds_to_find: cpu,
            scenario: line.scenario.clone(),
            index: line.index,
            message: told.map(|failure| failure.message.clone()).unwrap_or_default(),
            run_dir: line.run_dir.clone(),
            reproduce: line.reproduce.clone(),
        });
        finding.runs += 1;
        if finding.seeds.len() < SEEDS {
            finding.seeds.push(line.seed);
        }
    }
    let mut findings: Vec<Finding> = findings.into_values().collect();
    findings.sort_by(|a, b| b.runs.cmp(&a.runs).then_with(|| a.signature.cmp(&b.signature)));
    findings
}

/// In how many runs each kind of fault took effect, and each counter was above zero.
fn seen<'a>(results: &Results, lines: impl Iterator<Item = &'a Line>) -> BTreeMap<String, u64> {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    if results.manifest.campaigns.values().any(|campaign| campaign.scenarios.is_empty()) {
        seen.extend(Action::ALL.iter().map(|action| (format!("bites.{}", action.name()), 0)));
        seen.extend(Point::ALL.iter().map(|point| (format!("{POINT}{}", point.name()), 0)));
        seen.extend(COUNTERS.iter().map(|(name, _)| ((*name).to_owned(), 0)));
    }
    for line in lines {
        for name in line.faults_bit.iter().filter(|(_, count)| **count > 0).map(|(name, _)| name) {
            *seen.entry(format!("bites.{name}")).or_default() += 1;
        }
        for name in line.counters.keys() {
            *seen.entry(name.clone()).or_default() += 1;
        }
    }
    seen
}

fn canaries(results: &Results) -> Vec<Canary> {
    // A shard looks for its own part of the canaries.
    let lone = results.manifest.lone_shard();
    let campaigns = results.manifest.campaigns.values();
    let canaries = campaigns.flat_map(|campaign| (0..).zip(&campaign.canaries));
    let names: BTreeSet<&str> = canaries
        .filter(|(number, _)| lone.is_none_or(|shard| shard.has(*number)))
        .map(|(_, named)| named.name.as_str())
        .collect();
    names
        .into_iter()
        .map(|name| {
            let runs = || results.lines.values().filter(|line| line.canary && line.scenario == name);
            Canary {
                name: name.to_owned(),
                found_by: runs().find(|line| line.expected).map(|line| line.seed),
                runs: runs().count() as u64,
                cpu_seconds: runs().map(|line| line.cpu_seconds).sum(),
            }
        })
        .collect()
}

/// The missing shards, and the iterations that shards lack.
fn missing(results: &Results) -> Vec<String> {
    let mut missing = Vec::new();
    for (id, campaign) in &results.manifest.campaigns {
        let done: BTreeSet<u64> = results
            .lines
            .values()
            .filter(|line| !line.canary && line.campaign == *id)
            .map(|line| line.index)
            .collect();
        let wanted = campaign.shards.values().filter_map(|shard| shard.iterations).max();
        let complete = wanted.is_some_and(|count| (0..count).all(|index| done.contains(&index)));
        let numbers: BTreeMap<u64, BTreeSet<u64>> = campaign
            .shards
            .keys()
            .filter_map(|name| ShardNumber::parse(name))
            .fold(BTreeMap::new(), |mut numbers, shard| {
                numbers.entry(shard.of).or_default().insert(shard.number);
                numbers
            });
        for (of, there) in &numbers {
            for number in 1..=*of {
                let shard = ShardNumber { number, of: *of };
                let state = campaign.shards.get(&shard.name());
                let lacks = wanted.map_or(0, |count| {
                    (0..count).filter(|index| shard.has(*index) && !done.contains(index)).count() as u64
                });
                let name = shard.name();
                if !there.contains(&number) {
                    if !complete && results.manifest.lone_shard().is_none() {
                        missing.push(format!("shard {name} is not there"));
                    }
                } else if let Some(stopped) = state.and_then(|state| state.stopped.as_ref())
                    && lacks > 0
                {
                    missing.push(format!(
                        "shard {name} stopped early, {stopped}: it lacks {}",
                        counted(lacks, "iteration")
                    ));
                } else if lacks > 0 {
                    missing.push(format!(
                        "shard {name} lacks {}: continue it with `--resume`",
                        counted(lacks, "iteration")
                    ));
                } else if state.is_some_and(|state| !state.complete) && !complete {
                    missing.push(format!("shard {name} did not reach its end: continue it with `--resume`"));
                }
            }
        }
    }
    missing
}
