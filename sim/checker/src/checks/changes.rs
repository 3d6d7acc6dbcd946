//! Which changes each revision made, in each era: the history that watches are judged against.
//!
//! The check by revisions has found an order of the operations that explains every answer, and has verified it. Here the
//! plain model acts in that order once more, and this module notes how each revision changed which keys.

use std::collections::BTreeMap;

use crate::history::{Bytes, KeyValue, Outcome, RunHistory};
use crate::model::etcd::Etcd;
use crate::revision::{Dialect, Start, Step, Witness};

/// What one revision made of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The key.
    pub key: Bytes,
    /// The key as it became, step by step; none if it was deleted. Mostly it is one step.
    pub steps: Vec<Option<KeyValue>>,
    /// The key as the revision before showed it.
    pub before: Option<KeyValue>,
}

impl Change {
    /// What a revision made, in the order of its keys.
    pub(super) fn made_by(model: &Etcd, revision: i64) -> Vec<Change> {
        let made = model.touched(revision).into_iter().map(|key| Change {
            steps: model.made(&key, revision).map(|made| made.cloned()).collect(),
            before: model.live(&key, revision - 1).cloned(),
            key,
        });
        made.collect()
    }

    /// What the revision left of the key.
    pub(super) fn now(&self) -> Option<&KeyValue> {
        self.steps.last()?.as_ref()
    }
}

/// The changes of every era, by revision; those of a revision in the order of their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    eras: Vec<BTreeMap<i64, Vec<Change>>>,
}

impl Changes {
    /// Replays the order that explains the history.
    pub(super) fn of(history: &RunHistory, witness: &Witness) -> Changes {
        let mut model = Etcd::start(Dialect::Etcd, &Start::default());
        let kept: Vec<usize> = witness
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Break { kept } => Some(*kept),
                _ => None,
            })
            .collect();
        let mut saved: BTreeMap<usize, (Etcd, BTreeMap<i64, Vec<Change>>)> = BTreeMap::new();
        let mut era: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
        let mut eras = Vec::new();
        for (place, step) in witness.steps.iter().enumerate() {
            if kept.contains(&place) {
                saved.insert(place, (model.clone(), era.clone()));
            }
            let before = model.revision();
            match step {
                Step::Break { kept } => {
                    let (state, changes) =
                        saved.get(kept).cloned().unwrap_or_else(|| (model.clone(), era.clone()));
                    eras.push(std::mem::replace(&mut era, changes));
                    model = state;
                    continue;
                }
                Step::Elsewhere => model.skip_revision(),
                Step::Expired { lease, .. } => _ = model.expire(*lease),
                Step::Operation(index) => {
                    let operation = &history.operations[*index as usize];
                    if operation.outcome != Outcome::Fail {
                        // The order was verified: nothing in it is refused.
                        let _answer = model.apply(&operation.op, operation.result.as_ref());
                    }
                }
            }
            let revision = model.revision();
            if revision > before {
                era.insert(revision, Change::made_by(&model, revision));
            }
        }
        eras.push(era);
        Changes { eras }
    }

    /// The changes of an era from one revision to another, both included.
    pub(super) fn within(&self, era: usize, from: i64, to: i64) -> impl Iterator<Item = (i64, &Change)> {
        let era = self.eras.get(era).filter(|_| from <= to);
        era.into_iter()
            .flat_map(move |era| era.range(from..=to))
            .flat_map(|(revision, changes)| changes.iter().map(move |change| (*revision, change)))
    }

    /// What an era's revision made of a key.
    pub(super) fn one(&self, era: usize, revision: i64, key: &Bytes) -> Option<&Change> {
        self.eras.get(era)?.get(&revision)?.iter().find(|change| change.key == *key)
    }
}
