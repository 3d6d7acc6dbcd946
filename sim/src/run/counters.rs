//! A run's counters: which paths of the store were used, and how many faults there were. A drill demands some of them
//! above zero over its seeds, so that a path that is no longer used is noticed.

use std::collections::{BTreeMap, BTreeSet};

use squall_checker::history as h;
use squall_store::seam::{ProbeEvent, Role};

use super::Observed;
use crate::arena::NodeId;
use crate::faults::Action;
use crate::world::Counters;

/// The counters that a scenario may demand ([`crate::scenario::COUNTERS`]), and the world's own figures.
pub(super) fn count(observed: &Observed, world: &Counters, expected_losses: u64) -> BTreeMap<String, u64> {
    let mut counters = world.clone();
    let figure = |name: &str| world.get(name).copied().unwrap_or(0);
    let mut set = |name: &str, value: u64| counters.insert(name.to_owned(), value);
    let crashes = observed.history.events.iter().filter_map(|event| match event {
        h::Event::Fault(fault) if fault.action == Action::Crash.name() && !fault.target.is_empty() => {
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
    set("refusedToStart", probes(|event| matches!(event, ProbeEvent::Failed { lost_data: true, .. })));
    set("compactions", probes(|event| matches!(event, ProbeEvent::CompactionFinished { .. })));
    let outages = observed.history.events.iter().filter(|event| matches!(event, h::Event::Outage(_)));
    set("outages", outages.count() as u64);
    set("snapshotsInstalledUnderLoad", installs_under_load(observed));
    set("readsAcrossLeaderChanges", reads_across_leader_changes(observed));
    set("compactionsWithLaggards", compactions_with_laggards(observed));
    set("proposalsLost", proposals_lost(observed));
    let events = &observed.history.events;
    let expired = observed.history.hints().filter(|hint| !hint.expired.is_none()).count();
    set("leasesExpired", expired as u64);
    let kept = observed.history.operations.iter().filter(
        |operation| matches!(&operation.result, Some(h::OpResult::LeaseKeepAlive(kept)) if kept.ttl > 0),
    );
    set("keepAlives", kept.count() as u64);
    let operations = &observed.history.operations;
    let auth = |operation: &&h::Operation, wanted: fn(&h::Auth) -> bool| {
        operation.is_ok() && matches!(&operation.op, h::Op::Auth(auth) if wanted(auth))
    };
    let gave_token = |auth: &h::Auth| matches!(auth, h::Auth::Authenticate(_));
    set("tokensGiven", operations.iter().filter(|operation| auth(operation, gave_token)).count() as u64);
    set(
        "authChanges",
        operations.iter().filter(|operation| auth(operation, h::Auth::changes)).count() as u64,
    );
    let denied = |operation: &&h::Operation| {
        operation.error.as_ref().is_some_and(|error| error.message == "etcdserver: permission denied")
    };
    set("permissionsDenied", operations.iter().filter(denied).count() as u64);
    let locks = |wanted: fn(&h::Operation) -> bool| {
        operations.iter().filter(|operation| operation.is_ok() && wanted(operation)).count() as u64
    };
    set("locksTaken", locks(|operation| matches!(operation.result, Some(h::OpResult::Locked(_)))));
    set("electionsWon", locks(|operation| matches!(operation.result, Some(h::OpResult::Elected(_)))));
    set("writesFenced", locks(|operation| fenced(operation) == Some(true)));
    set("writesFencedOff", locks(|operation| fenced(operation) == Some(false)));
    set("watchesMade", events.iter().filter(|event| matches!(event, h::Event::WatchStart(_))).count() as u64);
    set("watchEvents", observed.history.watches().map(|line| line.events.len() as u64).sum());
    counters
}

/// For a lock holder's write behind its fence: whether it took effect. `None` for other operations.
fn fenced(operation: &h::Operation) -> Option<bool> {
    let (h::Op::Txn(txn), Some(h::OpResult::Txn(result))) = (&operation.op, &operation.result) else {
        return None;
    };
    let put = txn.success.first().is_some_and(
        |op| matches!(op, h::RequestOp::Put(put) if put.key.as_slice().starts_with(b"guarded-")),
    );
    put.then_some(result.succeeded)
}

/// The instants, in nanoseconds, of the probes that `wanted` takes.
fn instants(observed: &Observed, wanted: impl Fn(&ProbeEvent) -> bool) -> Vec<u64> {
    observed.probes.iter().filter(|probed| wanted(&probed.event)).map(|probed| probed.at.0).collect()
}

fn open_at(operation: &h::Operation, at: u64) -> bool {
    operation.call < at && operation.ret.is_none_or(|ret| ret > at)
}

fn installs_under_load(observed: &Observed) -> u64 {
    let installs = instants(observed, |event| matches!(event, ProbeEvent::SnapshotInstalled { .. }));
    let writes = || observed.history.operations.iter().filter(|operation| operation.op.may_change());
    installs.iter().filter(|at| writes().any(|write| open_at(write, **at))).count() as u64
}

fn reads_across_leader_changes(observed: &Observed) -> u64 {
    let changes = instants(observed, |event| matches!(event, ProbeEvent::Role { role: Role::Leader, .. }));
    let read = |operation: &&h::Operation| {
        operation.outcome == h::Outcome::Ok
            && !operation.op.may_change()
            && changes.iter().any(|at| open_at(operation, *at))
    };
    // The first leader is no change.
    if changes.len() < 2 { 0 } else { observed.history.operations.iter().filter(read).count() as u64 }
}

/// How far behind a member must be to be called a laggard, in entries.
const LAGGARD_ENTRIES: u64 = 10;

fn compactions_with_laggards(observed: &Observed) -> u64 {
    let mut applied = BTreeMap::new();
    let mut found = 0;
    for probed in &observed.probes {
        match probed.event {
            ProbeEvent::Applied { index, .. } => {
                applied.insert(probed.node, index.0);
            }
            ProbeEvent::CompactionFinished { .. } => {
                let most = applied.values().max().copied().unwrap_or(0);
                let least = applied.values().min().copied().unwrap_or(0);
                found += u64::from(most - least >= LAGGARD_ENTRIES);
            }
            _ => {}
        }
    }
    found
}

/// Clients' proposals that were lost or overwritten: no member applied them, but a later one of the same member was
/// applied.
fn proposals_lost(observed: &Observed) -> u64 {
    let applied: BTreeSet<u64> = observed
        .probes
        .iter()
        .filter_map(|probed| match probed.event {
            ProbeEvent::Applied { proposal, .. } => Some(proposal),
            _ => None,
        })
        .collect();
    let mut waiting: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut lost = 0;
    for probed in &observed.probes {
        if let ProbeEvent::Proposed { proposal, .. } = probed.event {
            let waits = waiting.entry(probed.node).or_default();
            if applied.contains(&proposal) {
                lost += std::mem::take(waits);
            } else {
                *waits += 1;
            }
        }
    }
    lost
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
