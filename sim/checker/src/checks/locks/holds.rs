//! The answers that said that a client holds a lock, or leads, and for how long that is certain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::evidence::Sighting;
use crate::checks::{durability::covers, era::Eras, leases::Lease};
use crate::history::{
    Bytes, LeaseId, Lock, Op, OpId, OpResult, Operation, Outcome, RequestOp, RunHistory, Txn,
};

/// One hold: an answer to a call for a lock or a campaign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold<'a> {
    pub(super) era: usize,
    pub(super) name: &'a Bytes,
    pub(super) key: &'a Bytes,
    pub(super) lease: LeaseId,
    /// The revision in the answer's header. A lock is held at this revision; a campaign's place exists at it.
    pub(super) header: i64,
    /// Whether it is a lock.
    pub(super) is_lock: bool,
    /// The key's create revision, if it is known.
    pub(super) create: Option<i64>,
    pub(super) call: u64,
    pub(super) ret: u64,
    pub(super) by: OpId,
}

/// All holds, in the order in which their answers came.
pub(super) fn all<'a>(history: &'a RunHistory, eras: &Eras<'_>, sightings: &[Sighting<'_>]) -> Vec<Hold<'a>> {
    let of = |operation: &'a Operation| {
        let Op::Lock(lock) = &operation.op else { return None };
        let (era, ret) = (eras.of_operation(operation)?, operation.ret?);
        let header = operation.revision()?.0;
        let (claim, key, is_lock, create) = match (lock, operation.result.as_ref()?) {
            (Lock::Lock(claim), OpResult::Locked(locked)) => {
                // A life that began by then, and is seen from then on, is the one that the answer is about.
                let is_it = |seen: &&Sighting<'_>| {
                    seen.era == era && seen.key == &locked.key && seen.create <= header && seen.at >= header
                };
                let create = sightings.iter().find(is_it).map(|seen| seen.create);
                (claim, &locked.key, true, create)
            }
            (Lock::Campaign(claim), OpResult::Elected(leader)) => {
                (claim, &leader.key, false, Some(leader.rev.0))
            }
            _ => return None,
        };
        let (name, lease, call, by) = (&claim.name, claim.lease, operation.call, operation.id);
        Some(Hold { era, name, key, lease, header, is_lock, create, call, ret, by })
    };
    let mut holds: Vec<Hold<'_>> =
        history.operations.iter().filter(|operation| operation.is_ok()).filter_map(of).collect();
    holds.sort_by_key(|hold| (hold.ret, hold.by));
    holds
}

/// Until when holds certainly last.
pub(super) struct Ends<'a> {
    leases: &'a BTreeMap<LeaseId, Lease>,
    /// The queue and the lease of each call for a place that was not answered with one.
    given_up: BTreeSet<(&'a Bytes, LeaseId)>,
    removals: Vec<Removal<'a>>,
}

/// What may remove keys of a queue.
struct Removal<'a> {
    from: &'a Bytes,
    range_end: &'a Bytes,
    call: u64,
    /// When it had certainly happened; never if that is not known.
    done: u64,
}

/// The end of an interval that is one key.
static ONE_KEY: LazyLock<Bytes> = LazyLock::new(Bytes::default);

impl<'a> Ends<'a> {
    pub(super) fn of(history: &'a RunHistory, leases: &'a BTreeMap<LeaseId, Lease>) -> Self {
        // The unlock itself stands for what the service does for it.
        let unlocks: BTreeSet<(&Bytes, u64)> = history
            .operations
            .iter()
            .filter_map(|operation| match &operation.op {
                Op::Lock(Lock::Unlock(key)) => Some((key, operation.call)),
                _ => None,
            })
            .collect();
        let (mut given_up, mut removals) = (BTreeSet::new(), Vec::new());
        for operation in &history.operations {
            let done = operation.ret.filter(|_| operation.is_ok()).unwrap_or(u64::MAX);
            let mut remove = |from: &'a Bytes, range_end: &'a Bytes| {
                removals.push(Removal { from, range_end, call: operation.call, done });
            };
            match &operation.op {
                _ if operation.outcome == Outcome::Fail => {}
                Op::Lock(Lock::Unlock(key)) => remove(key, &ONE_KEY),
                Op::Lock(Lock::Resign(leader)) => remove(&leader.key, &ONE_KEY),
                Op::DeleteRange(delete) if !unlocks.contains(&(&delete.key, operation.call)) => {
                    remove(&delete.key, &delete.range_end);
                }
                Op::Txn(txn) => of_txn(txn, &mut remove),
                _ => {}
            }
            if let Op::Lock(Lock::Lock(claim) | Lock::Campaign(claim)) = &operation.op
                && !operation.is_ok()
            {
                given_up.insert((&claim.name, claim.lease));
            }
        }
        Ends { leases, given_up, removals }
    }

    /// Until when the hold certainly lasts; none if nothing is certain.
    pub(super) fn of_hold(&self, hold: &Hold<'_>) -> Option<u64> {
        let lease = self.leases.get(&hold.lease)?;
        if !lease.is_of(hold.era) || self.given_up.contains(&(hold.name, hold.lease)) {
            return None;
        }
        let may_remove = |removal: &&Removal<'_>| {
            removal.done >= hold.call && covers(removal.from, removal.range_end, hold.key)
        };
        let removed = self.removals.iter().filter(may_remove).map(|removal| removal.call).min();
        let until = lease.promised_until()?;
        Some([removed, lease.revoke_called()].into_iter().flatten().fold(until, u64::min))
    }
}

fn of_txn<'a>(txn: &'a Txn, remove: &mut impl FnMut(&'a Bytes, &'a Bytes)) {
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            RequestOp::DeleteRange(delete) => remove(&delete.key, &delete.range_end),
            RequestOp::Txn(txn) => of_txn(txn, remove),
            RequestOp::Range(_) | RequestOp::Put(_) => {}
        }
    }
}
