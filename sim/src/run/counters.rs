//! What a run went through, as figures: which paths of the store were alive, and how hard the world was on it. A drill
//! demands some of them above zero over its seeds, so that a path that has died is noticed.

use std::collections::BTreeMap;

use squall_checker::history as h;
use squall_store::seam::{ProbeEvent, Role};

use super::Observed;
use crate::faults::Action;
use crate::world::Counters;

/// The counters that a scenario may demand ([`crate::scenario::COUNTERS`]), and the world's own figures.
pub(super) fn count(observed: &Observed, world: &Counters, expected_losses: u64) -> BTreeMap<String, u64> {
    let mut counters = world.clone();
    let figure = |name: &str| world.get(name).copied().unwrap_or(0);
    let mut set = |name: &str, value: u64| counters.insert(name.to_owned(), value);
    let crashes = observed.history.events.iter().filter_map(|event| match event {
        h::Event::Fault(fault) if fault.action == "crash" && !fault.target.is_empty() => {
            Some(fault.target.split(',').count() as u64)
        }
        _ => None,
    });
    set("crashes", crashes.sum());
    set("writesDropped", figure("disk.dropped_sectors") + figure("engine.dropped_batches"));
    set("writesTorn", figure("disk.torn_writes"));
    let ambiguous = observed.history.operations.iter().filter(|op| op.outcome == h::Outcome::Info).count();
    set("operationsAmbiguous", ambiguous as u64);
    set("expectedLosses", expected_losses);
    for action in Action::NAMES {
        let bit = observed.nemesis.bit.get(*action).copied().unwrap_or(0);
        set(&format!("bites.{action}"), bit);
    }
    set("leaderChanges", leader_changes(observed));
    let probes = |wanted: fn(&ProbeEvent) -> bool| {
        observed.probes.iter().filter(|probed| wanted(&probed.event)).count() as u64
    };
    set("tornTailsRepaired", probes(|event| matches!(event, ProbeEvent::TornTailRepaired { .. })));
    set("walSegmentsCut", probes(|event| matches!(event, ProbeEvent::SegmentCut)));
    set("snapshotsSaved", probes(|event| matches!(event, ProbeEvent::SnapshotSaved { .. })));
    set("snapshotsSent", probes(|event| matches!(event, ProbeEvent::SnapshotSent { .. })));
    set("snapshotsInstalled", probes(|event| matches!(event, ProbeEvent::SnapshotInstalled { .. })));
    set("compactions", probes(|event| matches!(event, ProbeEvent::CompactionFinished)));
    counters
}

/// Terms won by another member than the term won before.
fn leader_changes(observed: &Observed) -> u64 {
    let mut leader = None;
    let mut changes = 0;
    for probed in &observed.probes {
        if let ProbeEvent::Role { role: Role::Leader, .. } = probed.event {
            if leader.is_some_and(|before| before != probed.node) {
                changes += 1;
            }
            leader = Some(probed.node);
        }
    }
    changes
}
