//! `manifest.json`: which campaign a folder holds. Two folders can be merged if their manifests are of one campaign.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::iteration::CampaignSeed;
use crate::report::{Build, digest};

/// The version of `manifest.json` and of `results.jsonl`.
pub const FORMAT: u32 = 1;

/// A campaign's folder, or several that were merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format: 1.
    pub format: u32,
    /// Whether `squall merge` wrote it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merged: bool,
    /// The campaigns, by [`Campaign::id`]: one, unless different ones were merged on demand.
    pub campaigns: BTreeMap<String, Campaign>,
}

/// One campaign, and its progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// The seed from which every iteration's seed is derived.
    pub seed: CampaignSeed,
    /// The version of squall.
    pub version: String,
    /// The build of the binary.
    pub build: Build,
    /// The scenarios that it explores, with digests of their texts. Empty if it draws them.
    pub scenarios: Vec<Named>,
    /// The canaries that must be found.
    pub canaries: Vec<Named>,
    /// The error that is planted in the store in every run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted_bug: Option<String>,
    /// The share of the iterations that run twice.
    pub check_determinism: f64,
    /// Its shards, by `i/n`.
    pub shards: BTreeMap<String, Shard>,
}

/// A scenario in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// A digest of its text.
    pub digest: String,
}

/// The progress of a shard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// The number of iterations of the whole campaign, if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// Whether it is done: its iterations ran or its time was over, and its findings were shrunk.
    pub complete: bool,
    /// Why it ended before all its iterations ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Manifest {
    /// The shard, if the folder has the results of one shard alone, as `squall fuzz --shard` writes it.
    pub fn lone_shard(&self) -> Option<ShardNumber> {
        let mut shards = self.campaigns.values().flat_map(|campaign| campaign.shards.keys());
        let (Some(name), None, false) = (shards.next(), shards.next(), self.merged) else { return None };
        ShardNumber::parse(name).filter(|shard| *shard != ShardNumber::WHOLE)
    }
}

impl Campaign {
    /// Its identity, from everything that determines an iteration. A commit that changed no source does not change it.
    pub fn id(&self) -> String {
        let Build { toolchain, lock, sources, .. } = &self.build;
        let known = (&self.scenarios, &self.canaries, &self.planted_bug, self.check_determinism);
        let parts = serde_json::to_string(&(self.seed, toolchain, lock, sources, known));
        digest(&parts.expect("strings and numbers"))[..12].to_owned()
    }

    /// Describes how it differs from another campaign. `None` if it does not.
    pub fn difference(&self, other: &Campaign) -> Option<String> {
        if !self.build.same_as(&other.build) {
            return Some(format!("two builds made them ({}, and {})", self.build, other.build));
        }
        if self.seed != other.seed {
            return Some(format!("their campaign seeds are {} and {}", self.seed, other.seed));
        }
        let texts = |campaign: &Campaign| (campaign.scenarios.clone(), campaign.canaries.clone());
        if texts(self) != texts(other) {
            return Some("they explore different scenarios, or different versions of them".to_owned());
        }
        if self.planted_bug != other.planted_bug {
            return Some("different errors are planted in their stores".to_owned());
        }
        (self.id() != other.id()).then(|| "they run different shares of their seeds twice".to_owned())
    }
}

/// The shard `i` of `n` of a campaign: the iterations `index` with `index % n == i - 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardNumber {
    /// The shard's number, from 1 to `of`.
    pub number: u64,
    /// The number of shards.
    pub of: u64,
}

impl ShardNumber {
    /// The only shard of a campaign.
    pub const WHOLE: ShardNumber = ShardNumber { number: 1, of: 1 };

    /// Whether an iteration belongs to this shard.
    pub fn has(self, index: u64) -> bool {
        index % self.of == self.number - 1
    }

    /// Its name in manifests.
    pub fn name(self) -> String {
        format!("{}/{}", self.number, self.of)
    }

    /// Reads `i/n`.
    pub fn parse(text: &str) -> Option<ShardNumber> {
        let (number, of) = text.split_once('/')?;
        let shard = ShardNumber { number: number.parse().ok()?, of: of.parse().ok()? };
        (shard.number >= 1 && shard.number <= shard.of && shard.of <= 100_000).then_some(shard)
    }
}
