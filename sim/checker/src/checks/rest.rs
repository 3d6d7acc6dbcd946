//! Liveness, panics, and runs that show nothing.

use super::Failure;
use super::conformance;
use super::era::Eras;
use super::promises::DiskHarm;
use crate::history::{Event, Op, RaftLine, RunHistory};

pub(super) const RECOVERS: &str = "liveness: the cluster recovers once the faults are over";
pub(super) const NO_PANIC: &str = "no member's task panics";
pub(super) const NO_FAILURE: &str = "no member fails whose disk was not harmed";
pub(super) const LEADS: &str = "a leader stays as long as nothing takes it down";
pub(super) const SHOWS: &str = "a run shows something";
pub(super) const BITES: &str = "a fault does something";

/// What was still stuck after the last heal, as the run noted it.
pub(super) fn liveness(history: &RunHistory) -> Vec<Failure> {
    let stuck = history.events.iter().filter_map(|event| match event {
        Event::Liveness(line) => Some(line),
        _ => None,
    });
    let failure = |message: String| Failure::new("liveness", RECOVERS, message);
    stuck.map(|line| failure(line.stuck.clone())).collect()
}

/// Members whose tasks panicked.
pub(super) fn panics(history: &RunHistory) -> Vec<Failure> {
    let panics = history.events.iter().filter_map(|event| match event {
        Event::Panic(line) => Some(line),
        _ => None,
    });
    let failure = |message: String| Failure::new("panic", NO_PANIC, message);
    panics.map(|line| failure(format!("{} panicked: {}", line.member, line.message))).collect()
}

/// Leaders that fell although the drill breaks nothing that a leader needs.
pub(super) fn leader_changes(history: &RunHistory) -> Vec<Failure> {
    let Some(most) = history.meta().and_then(|meta| meta.expect.max_leader_changes) else {
        return Vec::new();
    };
    let mut won: Vec<(u64, &str)> = history
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Raft(RaftLine::Role(role)) if role.role == "leader" => {
                Some((role.at, role.member.as_str()))
            }
            _ => None,
        })
        .collect();
    won.sort_unstable();
    let changes = won.windows(2).filter(|pair| pair[0].1 != pair[1].1).count() as u64;
    let message =
        format!("the leadership went to another member {changes} times, and at most {most} were expected");
    if changes > most { vec![Failure::new("liveness", LEADS, message)] } else { Vec::new() }
}

/// Members that did not start or go on although no fault harmed their disks: a sound store can always live with what a
/// crash leaves. One that refuses its data folder without cause is as bad as one that panics.
pub(super) fn failed(history: &RunHistory) -> Vec<Failure> {
    let (eras, harm) = (Eras::of(history), DiskHarm::of(history));
    let failed = history.events.iter().filter_map(|event| match event {
        Event::Failed(line) => Some(line),
        _ => None,
    });
    let unexcused = failed
        .filter(|line| !eras.is_outdated(&line.member, line.at) && !harm.between(&line.member, 0, line.at));
    // A member that fails once often fails again at each start.
    let first = unexcused.min_by_key(|line| line.at);
    let failure = |message: String| Failure::new("panic", NO_FAILURE, message);
    first
        .map(|line| failure(format!("{} does not go on: {}", line.member, line.reason)))
        .into_iter()
        .collect()
}

/// A run in which too little happened proves nothing, and is a failure.
pub(super) fn vacuous(history: &RunHistory) -> Vec<Failure> {
    let Some(meta) = history.meta() else { return Vec::new() };
    let expect = &meta.expect;
    let mut failures = Vec::new();
    let mut demand = |what: &str, wanted: u64, count: usize| {
        if (count as u64) < wanted {
            let message = format!("{count} {what}, and at least {wanted} were wanted");
            failures.push(Failure::new("vacuous", SHOWS, message));
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
    let all_agree = conformance::compared(history).all(|line| line.agrees());
    if all_agree {
        let compared = conformance::compared(history).count();
        demand("answers were compared with etcd's", expect.min_answers_compared, compared);
    }
    failures.extend(expect.must_bite.iter().filter_map(|action| without_effect(history, action)));
    failures
}

/// A fault that must have done something and did not, all faults of its action together.
fn without_effect(history: &RunHistory, action: &str) -> Option<Failure> {
    let struck = |event: &&Event| matches!(event, Event::Fault(fault) if fault.action == action);
    let bites = history.events.iter().map(|event| match event {
        Event::Heal(heal) if heal.action == action => heal.bit.unwrap_or(0),
        _ => 0,
    });
    if bites.sum::<u64>() > 0 {
        return None;
    }
    let message = match history.events.iter().filter(struck).count() {
        0 => format!("there was no {action}, and the run was to show what it does"),
        1 => format!("the one {action} did not bite: it lost, delayed or changed nothing, and was to do so"),
        n => format!(
            "{action} was done {n} times and did not bite: it lost, delayed or changed nothing, and was to do so"
        ),
    };
    Some(Failure::new("vacuous", BITES, message))
}
