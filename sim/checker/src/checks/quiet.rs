//! The times at which nothing breaks, for checkers that demand something of such times alone.

use crate::history::{Event, RaftLine, RunHistory};

/// How long after a disturbance a time is quiet again, in nanoseconds. After a long disturbance it takes twice as long as the
/// disturbance lasted, since the pause between two tries of a connection doubles.
const QUIET_AFTER: u64 = 2_000_000_000;
/// Actions that break nothing.
const HARMLESS: [&str; 2] = ["compact", "snapshotSave"];

/// The times at which something broke or changed.
pub(super) struct Unquiet(Vec<(u64, u64)>);

impl Unquiet {
    pub(super) fn of(history: &RunHistory) -> Self {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        // Faults in force, and since when. A fault's end does not say which strike it belongs to: the count suffices.
        let (mut in_force, mut since) = (0_u64, 0);
        let mut events: Vec<&Event> = history.events.iter().collect();
        events.sort_by_key(|event| event.at());
        for event in events {
            let at = event.at();
            match event {
                Event::Fault(fault) if HARMLESS.contains(&fault.action.as_str()) => {}
                Event::Heal(heal) if HARMLESS.contains(&heal.action.as_str()) => {}
                Event::Fault(fault) if !fault.target.is_empty() => {
                    if in_force == 0 {
                        since = at;
                    }
                    in_force += 1;
                }
                Event::Heal(heal) => {
                    let alone = in_force == 0;
                    spans.push((if alone { at } else { since }, at));
                    in_force = if heal.action.is_empty() { 0 } else { in_force.saturating_sub(1) };
                }
                Event::Life(_) | Event::Break(_) | Event::Panic(_) | Event::Failed(_) => spans.push((at, at)),
                Event::Outage(outage) => spans.push((outage.from, outage.to)),
                Event::Raft(RaftLine::Role(_)) => spans.push((at, at)),
                _ => {}
            }
        }
        if in_force > 0 {
            spans.push((since, u64::MAX));
        }
        Unquiet(spans)
    }

    /// Since when it has been quiet at an instant; none where it is not.
    pub(super) fn since(&self, instant: u64) -> Option<u64> {
        let before = self.0.iter().filter(|(begin, _)| *begin <= instant);
        let over = before.map(|(begin, end)| over(*begin, *end)).max().unwrap_or(0);
        (over < instant).then_some(over)
    }

    /// Whether one of them, or the time that it takes to get over it, lies in this span.
    pub(super) fn touch(&self, from: u64, to: u64) -> bool {
        self.0.iter().any(|(begin, end)| *begin <= to && over(*begin, *end) >= from)
    }
}

/// When it is quiet again after a disturbance.
fn over(begin: u64, end: u64) -> u64 {
    end.saturating_add(QUIET_AFTER.max(2 * (end - begin).min(u64::MAX / 4)))
}
