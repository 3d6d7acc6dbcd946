//! The union of results. It is associative, commutative and idempotent, so shards can be merged in any order,
//! repeatedly, all at once or step by step.
//!
//! Each part of a result is a set, or a choice by a fixed order of preference, so its union has the three properties.
//! The test `merge_is_a_union` checks them.

use std::collections::BTreeMap;

use super::{
    folder::Results,
    line::{Key, Line},
    manifest::{Campaign, Shard},
    signature::Signature,
};

/// How many runs of a finding keep their folders.
const FOLDERS: usize = 4;

impl Results {
    /// Adds all results of `other`. Shrunk scenarios are merged elsewhere, because that needs the files' content.
    pub fn merge(&mut self, other: Results) {
        for (id, campaign) in other.manifest.campaigns {
            match self.manifest.campaigns.get_mut(&id) {
                None => {
                    self.manifest.campaigns.insert(id, campaign);
                }
                Some(own) => merge_campaigns(own, campaign),
            }
        }
        self.contradictions.extend(other.contradictions);
        for line in other.lines.into_values() {
            self.add(line);
        }
    }

    /// Notes contradictions between campaigns: runs of one build, scenario and seed with different results.
    pub fn compare_campaigns(&mut self) {
        let mut first: BTreeMap<(&str, &str, &str, &str, u64), &Line> = BTreeMap::new();
        let mut found = Vec::new();
        for line in self.lines.values() {
            let build = &self.manifest.campaigns[&line.campaign].build;
            let run = (
                build.sources.as_str(),
                build.lock.as_str(),
                build.toolchain.as_str(),
                line.scenario_digest.as_str(),
                line.seed,
            );
            let other = *first.entry(run).or_insert(line);
            if line.contradicts(other) {
                found.push(super::folder::contradiction(other, line));
            }
        }
        self.contradictions.extend(found);
    }

    /// Keeps the folders of the first few runs of each finding. The lines of its other runs then name no folder.
    pub fn keep_few_folders(&mut self, is_there: impl Fn(&Line) -> bool) {
        let mut kept: BTreeMap<Signature, usize> = BTreeMap::new();
        for line in self.lines.values_mut() {
            if line.run_dir.is_empty() {
                continue;
            }
            let Some(signature) = line.signature() else { continue };
            let count = kept.entry(signature).or_default();
            if *count < FOLDERS && is_there(line) {
                *count += 1;
            } else {
                line.run_dir.clear();
            }
        }
    }

    /// The lines in order, as text of a file.
    pub fn to_lines(&self) -> String {
        self.lines.values().map(Line::to_json).collect()
    }

    /// The line of a run.
    pub fn line(&self, key: &Key) -> Option<&Line> {
        self.lines.get(key)
    }
}

/// Two states of one campaign: everything that either has.
fn merge_campaigns(own: &mut Campaign, other: Campaign) {
    // The builds differ only in the commit and the state of the tree.
    let text = |campaign: &Campaign| (campaign.build.commit.clone(), campaign.build.tree.clone());
    if text(&other) < text(own) {
        own.build = other.build;
    }
    for (name, shard) in other.shards {
        match own.shards.get_mut(&name) {
            None => {
                own.shards.insert(name, shard);
            }
            Some(state) => *state = further(state, &shard),
        }
    }
}

/// Merges two states of a shard: each part is taken from the state that is further.
fn further(one: &Shard, other: &Shard) -> Shard {
    let stopped = match (&one.stopped, &other.stopped) {
        // A state that is complete and was not stopped is from after the stop.
        (None, _) if one.complete => None,
        (_, None) if other.complete => None,
        (one, other) => one.clone().max(other.clone()),
    };
    Shard {
        iterations: one.iterations.max(other.iterations),
        complete: one.complete || other.complete,
        stopped,
    }
}
