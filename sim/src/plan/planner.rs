//! Draws a schedule from a scenario's faults.

use super::schedule::{Schedule, ScheduledFault, nanos};
use crate::scenario::{Fault, Scenario, Window};
use crate::world::{Chance, Stream};
use std::time::Duration;

/// No scenario of 30 seconds needs more strikes of one fault; `every: 1ns` must not eat the memory.
pub(crate) const MAX_STRIKES: usize = 1_000;

/// The schedule of a scenario that has passed validation, and a seed. Pure.
///
/// A repeated fault strikes as long as its strike, with its duration, ends within the time limit, at most 1,000 times.
pub fn plan(scenario: &Scenario, seed: u64) -> Schedule {
    let limit = scenario.spec.time_limit;
    let chance = Chance::root(seed).child("plan");
    let mut faults = Vec::new();
    for (fault, name) in scenario.spec.faults.iter().zip(fault_names(&scenario.spec.faults)) {
        // Each fault has a stream of its own, so that one more or one less leaves the others as they were; and each
        // strike takes the same number of draws, whatever the windows' widths.
        let mut chance = chance.child(&name).stream();
        let mut at = draw_within(&mut chance, fault.at);
        for strike in 1..=MAX_STRIKES {
            let duration = fault.duration.map(|window| draw_within(&mut chance, window));
            let draw = chance.within(0..u64::MAX);
            if at + duration.unwrap_or_default() > limit {
                break;
            }
            let id = if strike == 1 { name.clone() } else { format!("{name}.{strike}") };
            faults.push(ScheduledFault::draw(fault, id, nanos(at), duration, fault.draw.unwrap_or(draw)));
            match fault.every {
                Some(every) => at += draw_within(&mut chance, every),
                None => break,
            }
        }
    }
    Schedule::new(faults)
}

/// The name of each fault: the one given, or its action, numbered where that is taken: `crash`, `crash-2`.
pub(crate) fn fault_names(faults: &[Fault]) -> Vec<String> {
    let mut taken: std::collections::BTreeSet<String> =
        faults.iter().filter_map(|f| f.name.clone()).collect();
    let mut names = Vec::with_capacity(faults.len());
    for fault in faults {
        let name = fault.name.clone().unwrap_or_else(|| {
            let action = fault.action.name();
            let mut name = action.to_string();
            let mut number = 2;
            while taken.contains(&name) {
                name = format!("{action}-{number}");
                number += 1;
            }
            name
        });
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

/// A value of the window, whole nanoseconds, both ends possible.
fn draw_within(chance: &mut Stream, window: Window) -> Duration {
    window.from + chance.up_to(window.to - window.from)
}
