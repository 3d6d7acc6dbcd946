//! The order of the steps, and when a step is kept.

use std::{collections::BTreeSet, path::Path};

use super::{
    relations,
    steps::{self, Step},
};
use crate::{
    plan::Plan,
    scenario::{API_VERSION, Expect, Metadata, Outcome, Scenario, check_spec},
    text::Source,
};

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
pub fn start(plan: &Plan) -> Scenario {
    let mut spec = plan.spec.clone();
    spec.seeds = vec![plan.seed];
    spec.faults = plan.faults.iter().map(|fault| fault.to_fault().into()).collect();
    for workload in &mut spec.workloads {
        if workload.mix.as_ref() == Some(&workload.kind.default_mix()) {
            workload.mix = None;
        }
    }
    // Demands on all runs of a scenario together do not apply to one run. The minimums that make one run vacuous do.
    let Expect { min_operations_before, min_operations_after, min_writes_during_outage, .. } = spec.expect;
    spec.expect = Expect {
        outcome: Outcome::Valid,
        min_operations_before,
        min_operations_after,
        min_writes_during_outage,
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

/// Shrinks a scenario that shows a failure. After every kept step `scenario` is smaller or the same, so it is a valid
/// result even if the search stops early. In that case answers the reason.
pub fn shrink(scenario: &mut Scenario, judge: &mut dyn Judge) -> Option<Stop> {
    search(scenario, judge).err()
}

fn search(scenario: &mut Scenario, judge: &mut dyn Judge) -> Result<(), Stop> {
    loop {
        let before = scenario.clone();
        // First the steps that make every later run cheaper.
        sweep(scenario, judge, steps::time)?;
        drop_faults(scenario, judge)?;
        sweep(scenario, judge, steps::workloads)?;
        sweep(scenario, judge, steps::time)?;
        sweep(scenario, judge, steps::settings)?;
        sweep(scenario, judge, steps::faults)?;
        sweep(scenario, judge, steps::names)?;
        if *scenario == before {
            return Ok(());
        }
    }
}

/// Tries steps one after the other and keeps those that the judge accepts. After a kept step, neither its group nor
/// the groups before it are tried again.
fn sweep(
    scenario: &mut Scenario,
    judge: &mut dyn Judge,
    steps: fn(&Scenario) -> Vec<Step>,
) -> Result<(), Stop> {
    let mut tried: BTreeSet<String> = BTreeSet::new();
    loop {
        let left = steps(scenario).into_iter().filter(|step| {
            !tried.contains(&step.group) && step.scenario != *scenario && is_good(&step.scenario)
        });
        let (groups, mut candidates): (Vec<String>, Vec<Scenario>) =
            left.map(|step| (step.group, step.scenario)).unzip();
        let Some(kept) = judge.first(&candidates)? else { return Ok(()) };
        tried.extend(groups.into_iter().take(kept + 1));
        *scenario = candidates.swap_remove(kept);
    }
}

/// Delta debugging over the faults (Zeller and Hildebrandt 2002): first no faults, then all except ever smaller parts.
fn drop_faults(scenario: &mut Scenario, judge: &mut dyn Judge) -> Result<(), Stop> {
    let without = |scenario: &Scenario, from: usize, to: usize| {
        let mut fewer = scenario.clone();
        relations::keep_faults(&mut fewer, |index| !(from..to).contains(&index));
        fewer
    };
    let all = scenario.spec.faults.len();
    if all == 0 {
        return Ok(());
    }
    let none = without(scenario, 0, all);
    if is_good(&none) && judge.first(std::slice::from_ref(&none))?.is_some() {
        *scenario = none;
        return Ok(());
    }
    let mut parts = 2;
    while scenario.spec.faults.len() > 1 {
        let count = scenario.spec.faults.len();
        parts = parts.min(count);
        let bounds = (0..parts).map(|part| (count * part / parts, count * (part + 1) / parts));
        let mut fewer: Vec<Scenario> =
            bounds.map(|(from, to)| without(scenario, from, to)).filter(is_good).collect();
        match judge.first(&fewer)? {
            Some(kept) => {
                *scenario = fewer.swap_remove(kept);
                parts = (parts - 1).max(2);
            }
            None if parts == count => return Ok(()),
            None => parts *= 2,
        }
    }
    Ok(())
}

/// Whether a scenario passes validation: a step may have dropped a fault that another one refers to.
fn is_good(scenario: &Scenario) -> bool {
    check_spec(&Source { path: Path::new(""), text: "" }, &scenario.spec, false).is_ok()
}
