//! Liveness, panics, and runs that show nothing.

use super::Failure;
use crate::history::{Event, Op, RunHistory};

/// What was still stuck after the last heal, as the run noted it.
pub(super) fn liveness(history: &RunHistory) -> Vec<Failure> {
    let stuck = history.events.iter().filter_map(|event| match event {
        Event::Liveness(line) => Some(line),
        _ => None,
    });
    let failure = |message: String| {
        Failure::new("liveness", "liveness: the cluster recovers once the faults are over", message)
    };
    stuck.map(|line| failure(line.stuck.clone())).collect()
}

/// Members whose tasks panicked.
pub(super) fn panics(history: &RunHistory) -> Vec<Failure> {
    let panics = history.events.iter().filter_map(|event| match event {
        Event::Panic(line) => Some(line),
        _ => None,
    });
    let failure = |message: String| Failure::new("panic", "no member's task panics", message);
    panics.map(|line| failure(format!("{} panicked: {}", line.member, line.message))).collect()
}

/// A run in which too little happened proves nothing, and is a failure.
pub(super) fn vacuous(history: &RunHistory) -> Vec<Failure> {
    let Some(meta) = history.meta() else { return Vec::new() };
    let expect = &meta.expect;
    let mut failures = Vec::new();
    let mut demand = |what: &str, wanted: u64, count: usize| {
        if (count as u64) < wanted {
            let message = format!("{count} {what}, and at least {wanted} were wanted");
            failures.push(Failure::new("vacuous", "a run shows something", message));
        }
    };
    let first_fault = history.events.iter().filter_map(|event| match event {
        Event::Fault(fault) => Some(fault.at),
        _ => None,
    });
    let first_fault = first_fault.min().unwrap_or(u64::MAX);
    let last_heal = history.events.iter().filter_map(|event| match event {
        Event::Heal(heal) => Some(heal.at),
        _ => None,
    });
    let last_heal = last_heal.max();
    let ok = || history.operations.iter().filter(|operation| operation.is_ok());
    let before = ok().filter(|operation| operation.ret.is_some_and(|ret| ret <= first_fault)).count();
    demand("operations were ok before the first fault", expect.min_operations_before_faults, before);
    if let Some(healed) = last_heal {
        let after = ok().filter(|operation| !operation.is_final && operation.call >= healed).count();
        demand("operations were ok after the last heal", expect.min_operations_after_heal, after);
    }
    // Gathered once: the events are many, and would be gone through for every write.
    let outages: Vec<_> = history
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Outage(outage) => Some(outage.from..outage.to),
            _ => None,
        })
        .collect();
    let in_outage = |at: u64| outages.iter().any(|outage| outage.contains(&at));
    let writes = history.operations.iter().filter(|operation| {
        let writes = match &operation.op {
            Op::Put(_) | Op::DeleteRange(_) => true,
            Op::Txn(txn) => txn.may_change(),
            _ => false,
        };
        writes && in_outage(operation.call)
    });
    demand("writes were attempted while no majority was up", expect.min_writes_during_outage, writes.count());
    failures
}
