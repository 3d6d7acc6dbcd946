//! From a campaign's seed and an index to a scenario and a seed: the pure function that every shard shares.

use std::{fmt, path::PathBuf, str::FromStr};

use squall_core::planted::Bug;

use super::draw::{EXPLORED, draw_scenario};
use crate::{
    scenario::{PlantedBug, Scenario, ScenarioFile},
    world::Chance,
};

/// The seed of all of a campaign's random choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct CampaignSeed(pub u64);

/// How many hex digits of a commit's name are used, so that its short and its long form give the same seed.
const COMMIT_DIGITS: usize = 7;

/// Seeds stay below 2^53, so that they survive every reader of JSON.
const SEED_BITS: u32 = 53;

impl FromStr for CampaignSeed {
    type Err = String;

    /// A decimal number, or a commit: at least seven hex digits, of which the first seven count. Digits alone are a
    /// number, unless they are more than a number can hold.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(CampaignSeed(number));
        }
        let hex = text.len() >= COMMIT_DIGITS
            && text.len() <= 64
            && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !hex {
            return Err(
                "expected a number, or a commit of at least seven hex digits, such as 1a2b3c4".to_owned()
            );
        }
        u64::from_str_radix(&text[..COMMIT_DIGITS], 16).map(CampaignSeed).map_err(|error| error.to_string())
    }
}

impl fmt::Display for CampaignSeed {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// What a campaign explores.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// All kinds of scenario: each iteration draws a new one.
    Everything,
    /// These scenarios in turn, each over many seeds.
    Files(Vec<ScenarioFile>),
}

/// One run of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Iteration {
    /// The run's scenario.
    pub file: ScenarioFile,
    /// The run's seed.
    pub seed: u64,
}

impl Source {
    /// Iteration `index` of a campaign. `planted` is an error that is switched on in the store.
    pub fn iteration(&self, campaign: CampaignSeed, index: u64, planted: Option<Bug>) -> Iteration {
        let seed = seed_of(campaign, index);
        let mut file = match self {
            // Workers identify a scenario by its path.
            Source::Everything => {
                let path = PathBuf::from(format!("{EXPLORED}-{seed}.yaml"));
                ScenarioFile { path, ..file_of(draw_scenario(seed)) }
            }
            Source::Files(files) => files[(index % files.len() as u64) as usize].clone(),
        };
        if let Some(bug) = planted {
            file.scenario.spec.cluster.planted_bug = Some(PlantedBug(bug));
            let path = std::mem::take(&mut file.path);
            file = ScenarioFile { path, ..file_of(file.scenario) };
        }
        Iteration { file, seed }
    }
}

/// Whether an iteration runs twice. `share` (0 to 1) of all iterations do.
pub fn is_checked_twice(campaign: CampaignSeed, index: u64, share: f64) -> bool {
    let chance = child(campaign, "twice", index);
    share > 0.0 && (share >= 1.0 || chance.stream().happens(share))
}

fn seed_of(campaign: CampaignSeed, index: u64) -> u64 {
    // 0 looks like "no seed".
    (child(campaign, "iteration", index).seed() >> (64 - SEED_BITS)).max(1)
}

fn child(campaign: CampaignSeed, what: &str, index: u64) -> Chance {
    Chance::root(campaign.0).child("campaign").child(what).child(&index.to_string())
}

/// A scenario as if read from a file. The path is only a name: there is no such file.
pub fn file_of(scenario: Scenario) -> ScenarioFile {
    let text = serde_yaml::to_string(&scenario).expect("a scenario is made of strings and numbers");
    let path = PathBuf::from(format!("{}.yaml", scenario.metadata.name));
    ScenarioFile { path, text, scenario }
}
