//! Draws the faults of a plan from a scenario's.

use std::time::Duration;

use super::drawn::DrawnFault;
use crate::{
    faults::{Fault, fault_names},
    text::Window,
    world::{Chance, Stream},
};

/// No scenario of 30 seconds needs more strikes of one fault; `every: 1ms` must not eat the memory.
const MAX_STRIKES: usize = 1_000;

/// The strikes of faults that have passed validation, ordered by instant, then by id.
///
/// A repeated fault strikes as long as its strike, with its duration, ends within the time limit, at most 1,000 times.
pub(super) fn draw_faults(faults: &[Fault], time_limit: Duration, seed: u64) -> Vec<DrawnFault> {
    let chance = Chance::root(seed).child("plan");
    let mut drawn = Vec::new();
    for (fault, name) in faults.iter().zip(fault_names(faults)) {
        // Each strike takes the same number of draws, whatever the windows' widths.
        let mut chance = chance.child(&name).stream();
        let mut at = draw_within(&mut chance, fault.at);
        for strike in 1..=MAX_STRIKES {
            let duration = fault.duration.map(|window| draw_within(&mut chance, window));
            let draw = chance.within(0..u64::MAX);
            if at + duration.unwrap_or_default() > time_limit {
                break;
            }
            let id = if strike == 1 { name.clone() } else { format!("{name}.{strike}") };
            drawn.push(DrawnFault::new(fault, id, at, duration, fault.draw.unwrap_or(draw)));
            match fault.every {
                Some(every) => at += draw_within(&mut chance, every),
                None => break,
            }
        }
    }
    drawn.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    drawn
}

/// A value of the window, whole nanoseconds, both ends possible.
fn draw_within(chance: &mut Stream, window: Window) -> Duration {
    window.from + chance.up_to(window.to - window.from)
}
