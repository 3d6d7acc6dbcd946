//! The seam to a run: samples in, alerts out.

use crate::{
    labels::Labels,
    rules::{AlertState, Groups, Horizons, RuleFailure, RuleFile, Surroundings},
    scrape::Scraper,
    store::{AppendError, Store},
};

/// A Prometheus in virtual time: its series, its rules and the state of its alerts.
#[derive(Clone, Debug)]
pub struct Evaluator {
    store: Store,
    scraper: Scraper,
    groups: Groups,
}

impl Evaluator {
    /// With the rules of these files, no series and no alert.
    pub fn new(files: &[RuleFile], surroundings: Surroundings) -> Self {
        Self {
            store: Store::default(),
            scraper: Scraper::default(),
            groups: Groups::new(files, surroundings),
        }
    }

    /// The same, which forgets the samples that no rule looks back at any more.
    pub fn forgetting(files: &[RuleFile], surroundings: Surroundings) -> Self {
        Self { store: Store::forgetting(Horizons::of(files)), ..Self::new(files, surroundings) }
    }

    /// Takes in samples that are complete as they are, with the labels of their target.
    pub fn observe(&mut self, at_ms: i64, samples: &[(Labels, f64)]) -> Result<(), AppendError> {
        samples.iter().try_for_each(|(labels, value)| self.store.append(labels, at_ms, *value))
    }

    /// Takes in what a target showed when it was scraped, or that it did not answer: `up` and the ends of series come
    /// with it.
    pub fn scrape(
        &mut self,
        at_ms: i64,
        target: &Labels,
        shown: Option<&[(Labels, f64)]>,
    ) -> Result<(), AppendError> {
        self.scraper.take(&mut self.store, at_ms, target, shown)
    }

    /// Evaluates the groups that are due; returns all alerts that are pending or fire, and the rules that failed.
    pub fn evaluate(&mut self, at_ms: i64) -> (Vec<AlertState>, Vec<RuleFailure>) {
        let failures = self.groups.evaluate_due(&mut self.store, at_ms);
        (self.groups.alerts(), failures)
    }

    /// The series.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The series, handed over.
    pub fn into_store(self) -> Store {
        self.store
    }

    /// The rules.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }
}
