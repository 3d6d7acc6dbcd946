//! Draws the faults of a plan from a scenario's.

use std::{collections::BTreeMap, time::Duration};

use super::drawn::DrawnFault;
use crate::{
    faults::{Item, Values, nodes, place},
    text::Window,
    world::{Chance, Stream},
};

/// The strikes of faults and groups that have passed validation, ordered by instant, then by id.
///
/// What repeats without a count does so as long as its strikes, with their durations, end within the time limit, at most
/// 1,000 times.
///
/// # Panics
/// Where the items contradict each other: the validation refuses that.
pub(super) fn draw_faults(items: &[Item], time_limit: Duration, seed: u64) -> Vec<DrawnFault> {
    let mut values = Drawn { chance: Chance::root(seed).child("plan"), streams: BTreeMap::new() };
    let placed = place(&nodes(items), time_limit, &mut values);
    let placed = placed.unwrap_or_else(|misfit| panic!("it has passed validation, but {misfit:?}"));
    let mut drawn: Vec<DrawnFault> = placed
        .into_iter()
        .map(|strike| {
            let draw = strike.fault.draw.unwrap_or(strike.draw);
            DrawnFault::new(&strike.fault, strike.id, strike.at, strike.duration, draw)
        })
        .collect();
    drawn.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    drawn
}

/// Values that chance draws. Each item has a stream of its own, named after it, and each strike takes the same number of
/// draws, whatever the windows' widths.
struct Drawn {
    chance: Chance,
    streams: BTreeMap<String, Stream>,
}

impl Drawn {
    fn stream(&mut self, of: &str) -> &mut Stream {
        self.streams.entry(of.to_owned()).or_insert_with(|| self.chance.child(of).stream())
    }
}

impl Values for Drawn {
    /// A value of the window, whole nanoseconds, both ends possible.
    fn time(&mut self, of: &str, window: Window) -> Duration {
        window.from + self.stream(of).up_to(window.to - window.from)
    }

    fn draw(&mut self, of: &str) -> u64 {
        self.stream(of).within(0..u64::MAX)
    }
}
