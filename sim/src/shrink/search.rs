//! The order of the steps, and when a step is kept.

use std::{collections::BTreeSet, path::Path};

use super::{
    chance::with_other_seeds,
    relations,
    steps::{self, Step},
};
use crate::{
    explore::Signature,
    plan::Plan,
    scenario::{API_VERSION, Expect, Metadata, Outcome, Scenario, check_spec},
    text::Source,
};

/// Up to this many faults are few enough to be written one by one.
const FEW: usize = 5;

/// Why the search ends before it has tried everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The budget of runs is used up.
    Budget,
    /// A signal asks for the end.
    Interrupted,
}

/// Decides whether a scenario, with the first of its seeds, still shows the failure.
pub trait Judge {
    /// The index of the first candidate that shows the failure.
    ///
    /// # Errors
    /// If the search must end.
    fn first(&mut self, candidates: &[Scenario]) -> Result<Option<usize>, Stop>;
}

/// The scenario that a search begins with: a plan with its faults written out. It yields the same plan.
///
/// A small run makes few operations. So the scenario demands none, except where the failure is that a run made too
/// few: otherwise the result would also be vacuous, and would stay so after the defect is mended.
pub fn start(plan: &Plan, signature: &Signature) -> Scenario {
    let mut spec = plan.spec.clone();
    spec.seeds = vec![plan.seed];
    spec.faults = plan.faults.iter().map(|fault| fault.to_fault().into()).collect();
    for workload in &mut spec.workloads {
        if workload.mix.as_ref() == Some(&workload.kind.default_mix()) {
            workload.mix = None;
        }
    }
    // Bounds that a run must keep may be what it broke. Demands on all runs of a scenario together do not apply to one run.
    // Neither does the expectation of a planted bug.
    let keeps_minimums = signature.checker == "vacuous";
    let minimum = |stated: u64| if keeps_minimums { stated } else { 0 };
    spec.expect = Expect {
        outcome: Outcome::Valid,
        min_operations_before: minimum(spec.expect.min_operations_before),
        min_operations_after: minimum(spec.expect.min_operations_after),
        min_writes_during_outage: minimum(spec.expect.min_writes_during_outage),
        ready_within: spec.expect.ready_within,
        recovered_within: spec.expect.recovered_within,
        max_leader_changes: spec.expect.max_leader_changes,
        ..Expect::default()
    };
    Scenario {
        api_version: API_VERSION.to_owned(),
        kind: "Scenario".to_owned(),
        metadata: Metadata {
            name: plan.scenario.clone(),
            description: String::new(),
            references: Vec::new(),
        },
        spec,
    }
}

/// The scenarios that a search kept, each made from the one before it by one step. All of them show the failure.
#[derive(Debug)]
pub struct Chain {
    links: Vec<Scenario>,
}

impl Chain {
    /// A chain that begins with a scenario that shows the failure.
    pub fn from(scenario: Scenario) -> Chain {
        Chain { links: vec![scenario] }
    }

    /// The smallest scenario.
    pub fn last(&self) -> &Scenario {
        self.links.last().expect("a chain has a first link")
    }

    /// All of them.
    pub fn links(&self) -> &[Scenario] {
        &self.links
    }

    fn keep(&mut self, scenario: Scenario) {
        self.links.push(scenario);
    }
}

/// Shrinks the last scenario of a chain as far as it goes. After every kept step the chain's last scenario is a valid
/// result.
///
/// # Errors
/// Why the search stopped early.
pub fn shrink(chain: &mut Chain, judge: &mut dyn Judge) -> Result<(), Stop> {
    loop {
        let before = chain.last().clone();
        // First the steps that make every later run cheaper.
        sweep(chain, judge, steps::time)?;
        sweep(chain, judge, steps::without_strikes)?;
        drop_faults(chain, judge)?;
        if chain.last().spec.faults.len() > FEW {
            sweep(chain, judge, steps::rhythms)?;
        }
        sweep(chain, judge, steps::workloads)?;
        sweep(chain, judge, steps::time)?;
        drop_with_other_seeds(chain, judge)?;
        sweep(chain, judge, steps::settings)?;
        sweep(chain, judge, steps::faults)?;
        sweep(chain, judge, steps::names)?;
        if *chain.last() == before {
            return Ok(());
        }
    }
}

/// Tries steps one after the other and keeps those that the judge accepts. After a kept step, neither its group nor
/// the groups before it are tried again.
fn sweep(chain: &mut Chain, judge: &mut dyn Judge, steps: fn(&Scenario) -> Vec<Step>) -> Result<(), Stop> {
    let mut tried: BTreeSet<String> = BTreeSet::new();
    loop {
        let scenario = chain.last();
        let left = steps(scenario).into_iter().filter(|step| {
            !tried.contains(&step.group) && step.scenario != *scenario && is_good(&step.scenario)
        });
        let (groups, mut candidates): (Vec<String>, Vec<Scenario>) =
            left.map(|step| (step.group, step.scenario)).unzip();
        let Some(kept) = judge.first(&candidates)? else { return Ok(()) };
        tried.extend(groups.into_iter().take(kept + 1));
        chain.keep(candidates.swap_remove(kept));
    }
}

/// Delta debugging over the faults (Zeller and Hildebrandt 2002): first no faults, then all except ever smaller parts.
fn drop_faults(chain: &mut Chain, judge: &mut dyn Judge) -> Result<(), Stop> {
    let all = chain.last().spec.faults.len();
    if all == 0 {
        return Ok(());
    }
    let none = without(chain.last(), 0, all);
    if is_good(&none) && judge.first(std::slice::from_ref(&none))?.is_some() {
        chain.keep(none);
        return Ok(());
    }
    let mut parts = 2;
    while chain.last().spec.faults.len() > 1 {
        let scenario = chain.last();
        let count = scenario.spec.faults.len();
        parts = parts.min(count);
        let bounds = (0..parts).map(|part| (count * part / parts, count * (part + 1) / parts));
        let mut fewer: Vec<Scenario> =
            bounds.map(|(from, to)| without(scenario, from, to)).filter(is_good).collect();
        match judge.first(&fewer)? {
            Some(kept) => {
                chain.keep(fewer.swap_remove(kept));
                parts = (parts - 1).max(2);
            }
            None if parts == count => return Ok(()),
            None => parts *= 2,
        }
    }
    Ok(())
}

/// Drops faults that only shift the instants at which other things happen: without them the failure may need another
/// seed. Each try takes several runs, so few faults are left as they are.
fn drop_with_other_seeds(chain: &mut Chain, judge: &mut dyn Judge) -> Result<(), Stop> {
    while chain.last().spec.faults.len() > FEW {
        let count = chain.last().spec.faults.len();
        let mut fewer: Vec<Scenario> = [2, 4, count]
            .into_iter()
            .flat_map(|parts| (0..parts).map(move |part| (count * part / parts, count * (part + 1) / parts)))
            .map(|(from, to)| without(chain.last(), from, to))
            .filter(is_good)
            .flat_map(|scenario| with_other_seeds(&scenario))
            .collect();
        let Some(kept) = judge.first(&fewer)? else { return Ok(()) };
        chain.keep(fewer.swap_remove(kept));
    }
    Ok(())
}

/// The scenario without some of its faults.
fn without(scenario: &Scenario, from: usize, to: usize) -> Scenario {
    let mut fewer = scenario.clone();
    relations::keep_faults(&mut fewer, |index| !(from..to).contains(&index));
    fewer
}

/// Whether a scenario passes validation: a step may have dropped a fault that another one refers to.
fn is_good(scenario: &Scenario) -> bool {
    check_spec(&Source { path: Path::new(""), text: "" }, &scenario.spec, false).is_ok()
}
