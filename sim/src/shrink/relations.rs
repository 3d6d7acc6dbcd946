//! Dropping faults that others wait for.
//!
//! A plan may say that a fault begins when another is over ([`After`]). If that other fault is dropped, the waiting
//! fault takes its place. It waits for what the dropped fault waited for, and in addition for as long as the dropped
//! fault would have lasted. So every other fault stays as it was, and no fault waits for a missing one. A relation
//! that cannot be expressed so (a state after another state) is left as it is. Validation then refuses the scenario,
//! and the step is not tried.

use std::time::Duration;

use super::steps::faults_mut;
use crate::{
    faults::{After, Fault, nodes},
    scenario::Scenario,
    text::Window,
};

/// Keeps the faults whose numbers satisfy `keep`.
pub(super) fn keep_faults(scenario: &mut Scenario, keep: impl Fn(usize) -> bool) {
    let names: Vec<String> = nodes(&scenario.spec.faults).into_iter().map(|node| node.name).collect();
    let dropped: Vec<(String, Fault)> = scenario
        .spec
        .each_fault()
        .zip(&names)
        .enumerate()
        .filter(|(index, _)| !keep(*index))
        .map(|(_, (fault, name))| (name.clone(), fault.clone()))
        .collect();
    for fault in faults_mut(scenario) {
        // A dropped fault may have waited for another dropped one.
        for _ in 0..dropped.len() {
            let Some(after) = &fault.after else { break };
            let waits_for_it = |(name, _): &&(String, Fault)| after.names().any(|other| other == name);
            let Some((name, gone)) = dropped.iter().find(waits_for_it) else { break };
            take_place_of(fault, name, gone);
        }
    }
    let mut index = 0;
    scenario.spec.faults.retain(|_| {
        index += 1;
        keep(index - 1)
    });
    // A fault without a name in the file is named after its place. Its name must not change.
    let kept: Vec<&String> =
        names.iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, name)| name).collect();
    let now: Vec<String> = nodes(&scenario.spec.faults).into_iter().map(|node| node.name).collect();
    if kept.iter().zip(&now).any(|(kept, now)| *kept != now) {
        for (fault, name) in faults_mut(scenario).zip(kept) {
            fault.name = Some(name.clone());
        }
    }
}

/// Makes a fault that waits for `gone` wait for what `gone` waited for.
fn take_place_of(fault: &mut Fault, name: &str, gone: &Fault) {
    let Some(after) = &mut fault.after else { return };
    let mut others: Vec<String> = after.names().filter(|other| *other != name).cloned().collect();
    if !others.is_empty() {
        // It still waits for the others, and for what the dropped one waited for.
        let before = gone.after.iter().filter(|before| before.over && after.over);
        let more: Vec<&String> =
            before.flat_map(After::names).filter(|more| !others.contains(more)).collect();
        others.extend(more.into_iter().cloned());
        (after.fault, after.faults) = match others.len() {
            1 => (others.pop(), Vec::new()),
            _ => (None, others),
        };
        return;
    }
    let lasted = if after.ended || after.over { gone.duration } else { None };
    let moment = gone.at.from + lasted.map_or(Duration::ZERO, |window| window.from);
    match (&gone.after, after.event) {
        // It waits for a state from that instant on.
        (None, Some(_)) => {
            let since = moment.max(after.since);
            *after =
                After { fault: None, faults: Vec::new(), ended: false, over: false, since, ..after.clone() };
        }
        (None, None) => {
            let moment = moment.max(after.since);
            fault.after = None;
            later(fault, moment);
        }
        (Some(before), None) => {
            fault.after = Some(before.clone());
            later(fault, moment);
        }
        (Some(before), Some(event)) if before.event.is_none() => {
            fault.after = Some(After { event: Some(event), count: after.count, ..before.clone() });
        }
        // A state after a state: a scenario cannot express it.
        (Some(_), Some(_)) => {}
    }
}

fn later(fault: &mut Fault, by: Duration) {
    fault.at = Window { from: fault.at.from + by, to: fault.at.to + by };
}
