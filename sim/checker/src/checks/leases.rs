//! Leases: none ends early, none lives on for ever, and none is renewed that has ended.
//!
//! The store makes promises to clients. A grant or a keep-alive that was answered with a time to live says that the lease will
//! exist for that time. The time counts from the *call*: that much was promised, whatever the clocks between. A member's clock may
//! run fast, so the promise is shortened by the drift that the run allows.
//!
//! The members report when a lease ended: a [`Hint`](crate::history::Hint) says at which entry a lease ended by itself.
//! This checker believes those lines, as the raft checker believes raft's. The check by revisions, which trusts nothing, judges
//! what clients read of the keys. A revocation that a client asked for may end a lease at any time from its call on.
//!
//! *Never early*: a lease does not end by itself before the last promise that had been made by then. *Not much too late*:
//! in quiet times a lease ends soon ([`SLACK`]) after its last possible renewal and its time to live. A new leader counts the time
//! to live from its start, so this limit counts from the last disturbance. *No renewal of the dead*: a keep-alive that was called
//! after the lease had ended, by itself or by an acknowledged revocation, is answered with no time to live.
//!
//! *Found*: a keep-alive finds the lease if it was answered before the last promise was over and before any client asked
//! for the lease's end.
//!
//! A lease is not judged if it was granted twice. It is not judged either if it appears in two eras, because a break may bring it
//! back.

use std::collections::{BTreeMap, BTreeSet};

use super::alarms::is_ever_corrupt;
use super::era::Eras;
use super::{Failure, seconds};
use crate::history::{Event, LeaseId, Op, OpId, OpResult, Operation, Outcome, RaftLine, RunHistory};

const EARLY: &str = "lease: none ends before the time that was promised";
const LATE: &str = "lease: none lives much longer than its time";
const RENEWED: &str = "lease: none that has ended is renewed";
const FOUND: &str = "lease: one that is there is found";
const SHORT: &str = "lease: none is granted less than was asked for, or less than an election needs";

pub(super) const GUARANTEES: [&str; 5] = [EARLY, LATE, RENEWED, FOUND, SHORT];

/// How much longer than its time a lease may live in quiet times, in nanoseconds, beside the election time-out that a
/// promotion adds and the time for [`ENDS_PER_SECOND`]: the leader looks once in each heartbeat, and the revocation takes its
/// way through the log.
const SLACK: u64 = 4_000_000_000;

/// How many messages and writes a revocation may wait for, where they are slow: those before it in the log have theirs.
const STEPS: u64 = 16;

/// How many leases a leader ends a second at least. etcd's lessor revokes 1,000 a second, and a promotion spreads the
/// leases that end together to 750 a second (`lease/lessor.go`: `leaseRevokeRate`). The two may add up.
const ENDS_PER_SECOND: u64 = 400;

/// What is known of a lease.
#[derive(Default)]
pub(super) struct Lease {
    granted: Option<(OpId, u64)>,
    grants: usize,
    /// What was promised: by which operation, from its call, until when at least; and when the answer came.
    promises: Vec<(OpId, u64)>,
    /// The last instant at which it may have been renewed or granted.
    last_renewal: u64,
    ttl: i64,
    /// When it ended by itself, as the first member reported.
    expired: Option<u64>,
    /// The first call of a revocation, and the return of an acknowledged one.
    revoke_called: Option<u64>,
    revoked: Option<u64>,
    /// The eras in which it was granted, renewed, revoked or ended; none for an operation that was open at a break.
    eras: BTreeSet<Option<usize>>,
}

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let leases = collect(history, &eras);
    let mut failures = Vec::new();
    failures.extend(leases.iter().find_map(early));
    failures.extend(late(history, &leases, eras.last()));
    failures.extend(renewed(history, &leases));
    failures.extend(not_found(history, &leases));
    let least = least_ttl(history);
    failures.extend(history.operations.iter().find_map(|operation| short(operation, least)));
    failures
}

fn least_ttl(history: &RunHistory) -> i64 {
    history.meta().map_or(0, |meta| i64::try_from(meta.least_ttl_secs).unwrap_or(i64::MAX))
}

/// A lease that is shorter than an election could end while no member can renew it.
fn short(operation: &Operation, least: i64) -> Option<Failure> {
    let (Op::LeaseGrant(asked), Some(OpResult::LeaseGrant(granted))) = (&operation.op, &operation.result)
    else {
        return None;
    };
    let due = asked.ttl.max(least);
    (granted.ttl < due).then(|| {
        let message = format!(
            "client {}'s grant (operation {}) was answered with {} s, where {} s were asked for and {least} s are the least",
            operation.client, operation.id, granted.ttl, asked.ttl
        );
        Failure::new("lease", SHORT, message).blaming([operation.id])
    })
}

impl Lease {
    /// Whether it was granted, renewed and ended in this era, and in no other.
    pub(super) fn is_of(&self, era: usize) -> bool {
        self.eras.contains(&Some(era))
    }

    /// Until when it was promised to be there.
    pub(super) fn promised_until(&self) -> Option<u64> {
        self.promised_by(|_| true)
    }

    /// Until when it was promised to exist, by those operations that `by` accepts.
    pub(super) fn promised_by(&self, by: impl Fn(OpId) -> bool) -> Option<u64> {
        self.promises.iter().filter(|(id, _)| by(*id)).map(|(_, until)| *until).max()
    }

    /// The operation that was answered with its grant, and when.
    pub(super) fn granted(&self) -> Option<(OpId, u64)> {
        self.granted
    }

    /// The seconds that it was granted.
    pub(super) fn ttl(&self) -> i64 {
        self.ttl
    }

    /// When a client first asked for its end.
    pub(super) fn revoke_called(&self) -> Option<u64> {
        self.revoke_called
    }

    /// When it had ended, by itself or by an acknowledged revocation.
    pub(super) fn ended(&self) -> Option<u64> {
        self.expired.into_iter().chain(self.revoked).min()
    }
}

/// The leases that can be judged.
pub(super) fn collect(history: &RunHistory, eras: &Eras<'_>) -> BTreeMap<LeaseId, Lease> {
    let era_of = |operation: &Operation| match eras.last() {
        0 => Some(0),
        _ => eras.of_operation(operation),
    };
    let drift_ppm = history.drift_ppm();
    let mut leases: BTreeMap<LeaseId, Lease> = BTreeMap::new();
    for operation in &history.operations {
        let ret = operation.ret.unwrap_or(u64::MAX);
        match (&operation.op, &operation.result) {
            (Op::LeaseGrant(grant), result) => {
                let (id, ttl) = match result {
                    Some(OpResult::LeaseGrant(granted)) => (granted.id, granted.ttl),
                    _ => (grant.id, grant.ttl),
                };
                if id.is_none() || operation.outcome == Outcome::Fail {
                    continue;
                }
                let lease = leases.entry(id).or_default();
                lease.eras.insert(era_of(operation));
                lease.grants += 1;
                lease.ttl = lease.ttl.max(ttl);
                lease.last_renewal = lease.last_renewal.max(ret);
                if operation.outcome == Outcome::Ok {
                    lease.granted = Some((operation.id, ret));
                    lease.promises.push((operation.id, promised(operation, ttl, drift_ppm)));
                }
            }
            (Op::LeaseKeepAlive(renewal), result) => {
                let lease = leases.entry(renewal.id).or_default();
                lease.eras.insert(era_of(operation));
                match result {
                    Some(OpResult::LeaseKeepAlive(kept)) if kept.ttl > 0 => {
                        lease.promises.push((operation.id, promised(operation, kept.ttl, drift_ppm)));
                        lease.last_renewal = lease.last_renewal.max(ret);
                    }
                    // There was no such lease: nothing was renewed.
                    Some(_) => {}
                    // It may have been renewed.
                    None => lease.last_renewal = lease.last_renewal.max(ret),
                }
            }
            (Op::LeaseRevoke(revoke), _) if operation.outcome != Outcome::Fail => {
                let lease = leases.entry(revoke.id).or_default();
                lease.eras.insert(era_of(operation));
                let called = lease.revoke_called.get_or_insert(operation.call);
                *called = (*called).min(operation.call);
                if operation.outcome == Outcome::Ok {
                    lease.revoked = Some(lease.revoked.map_or(ret, |before| before.min(ret)));
                }
            }
            _ => {}
        }
    }
    for hint in history.hints().filter(|hint| !hint.expired.is_none()) {
        let lease = leases.entry(hint.expired).or_default();
        lease.eras.insert(Some(eras.at(hint.at)));
        let expired = lease.expired.get_or_insert(hint.at);
        *expired = (*expired).min(hint.at);
    }
    leases.retain(|_, lease| lease.grants == 1 && lease.eras.len() == 1 && !lease.eras.contains(&None));
    leases
}

/// Until when the lease is there, as this answer says.
fn promised(operation: &Operation, ttl: i64, drift_ppm: u64) -> u64 {
    let whole = ttl.max(0) as u128 * 1_000_000_000;
    let drifted = whole - whole * u128::from(drift_ppm.min(999_999)) / 1_000_000;
    operation.call.saturating_add(u64::try_from(drifted).unwrap_or(u64::MAX))
}

fn early((id, lease): (&LeaseId, &Lease)) -> Option<Failure> {
    let ended = lease.expired?;
    let (operation, until) = lease.promises.iter().copied().find(|(_, until)| *until > ended)?;
    let message = format!(
        "lease {id} ended by itself at {:.3}s, and operation {operation} had promised that it is there until {:.3}s",
        seconds(ended),
        seconds(until)
    );
    Some(Failure::new("lease", EARLY, message).blaming([operation]))
}

/// The first lease of the last era that lives on, or ended by itself too late. What an earlier era granted, a break may have
/// taken back.
fn late(history: &RunHistory, leases: &BTreeMap<LeaseId, Lease>, last: usize) -> Option<Failure> {
    // Without the members' reports, a lease that ended looks like one that lives.
    if history.members_are_silent() {
        return None;
    }
    let end = history.events.iter().find_map(|event| match event {
        Event::End(end) => Some(end.at),
        _ => None,
    })?;
    // Where nothing was healed, or the cluster did not come to rest, nothing can be demanded.
    let healed = |event: &Event| matches!(event, Event::Heal(heal) if heal.action.is_empty());
    let stuck = |event: &Event| matches!(event, Event::Liveness(_));
    if !history.events.iter().any(healed) || history.events.iter().any(stuck) {
        return None;
    }
    // The cluster refuses to revoke a lease while CORRUPT is active, also one whose time is over.
    if is_ever_corrupt(history) {
        return None;
    }
    // Nothing ends where nobody leads: a cluster that has lost its data need not recover.
    if !has_a_leader_at_the_end(history) {
        return None;
    }
    // After this nothing breaks any more, and no other member begins to lead.
    let quiet = history
        .events
        .iter()
        .filter(|event| {
            matches!(
                event,
                Event::Fault(_)
                    | Event::Heal(_)
                    | Event::Outage(_)
                    | Event::Life(_)
                    | Event::Failed(_)
                    | Event::Panic(_)
                    | Event::Raft(RaftLine::Role(_))
            )
        })
        .map(Event::at)
        .max()
        .unwrap_or(0);
    let drift_ppm = history.drift_ppm();
    let election = history.meta().map_or(0, |meta| meta.election_timeout_ns);
    let many = (leases.len() as u64).saturating_mul(1_000_000_000 / ENDS_PER_SECOND);
    let slow = history.longest_delay_ns().saturating_mul(STEPS);
    let slack = SLACK.saturating_add(election).saturating_add(many).saturating_add(slow);
    leases.iter().find_map(|(id, lease)| {
        let (operation, _) = lease.granted?;
        if lease.revoke_called.is_some() || !lease.eras.contains(&Some(last)) {
            return None;
        }
        let until = lease.expired.unwrap_or(end);
        let whole = lease.ttl.max(0) as u128 * 1_000_000_000;
        let whole = u64::try_from(whole + whole * u128::from(drift_ppm) / 500_000).unwrap_or(u64::MAX);
        let from = lease.last_renewal.max(quiet);
        let due = from.saturating_add(whole).saturating_add(slack);
        (due < until).then(|| {
            let message = format!(
                "lease {id} of {} s may have been renewed last, or nothing was quiet, until {:.3}s; at {:.3}s it was still there",
                lease.ttl,
                seconds(from),
                seconds(until)
            );
            Failure::new("lease", LATE, message).blaming([operation])
        })
    })
}

/// Whether a member led when the history ended. What ends a member's process ends its leadership. Where no role is known, one
/// may have led.
fn has_a_leader_at_the_end(history: &RunHistory) -> bool {
    if !history.events.iter().any(|event| matches!(event, Event::Raft(RaftLine::Role(_)))) {
        return true;
    }
    let mut leads: BTreeMap<&str, bool> = BTreeMap::new();
    for event in &history.events {
        match event {
            Event::Raft(RaftLine::Role(change)) => leads.insert(&change.member, change.role == "leader"),
            Event::Life(life) => leads.insert(&life.member, false),
            Event::Failed(failed) => leads.insert(&failed.member, false),
            Event::Panic(panic) => leads.insert(&panic.member, false),
            _ => None,
        };
    }
    leads.into_values().any(|leads| leads)
}

fn renewed(history: &RunHistory, leases: &BTreeMap<LeaseId, Lease>) -> Option<Failure> {
    history.operations.iter().find_map(|operation| {
        let Op::LeaseKeepAlive(renewal) = &operation.op else { return None };
        let Some(OpResult::LeaseKeepAlive(kept)) = &operation.result else { return None };
        let lease = leases.get(&renewal.id)?;
        let ended = lease.ended()?;
        (kept.ttl > 0 && operation.call > ended).then(|| {
            let message = format!(
                "client {}'s keep-alive of lease {} (operation {}), called at {:.3}s, was answered with {} s, and the lease \
                 had ended at {:.3}s",
                operation.client,
                renewal.id,
                operation.id,
                seconds(operation.call),
                kept.ttl,
                seconds(ended)
            );
            Failure::new("lease", RENEWED, message).blaming([operation.id])
        })
    })
}

fn not_found(history: &RunHistory, leases: &BTreeMap<LeaseId, Lease>) -> Option<Failure> {
    history.operations.iter().find_map(|operation| {
        let Op::LeaseKeepAlive(renewal) = &operation.op else { return None };
        let Some(OpResult::LeaseKeepAlive(kept)) = &operation.result else { return None };
        let (lease, ret) = (leases.get(&renewal.id)?, operation.ret?);
        let (granted, granted_at) = lease.granted?;
        // A promise that was made by then, not one that was made later.
        let until = lease.promised_by(|id| id < operation.id)?;
        // At one instant either may have come first.
        let may_be_gone = lease.revoke_called.is_some_and(|called| called <= ret);
        (kept.ttl <= 0 && granted_at < operation.call && ret < until && !may_be_gone).then(|| {
            let message = format!(
                "client {}'s keep-alive of lease {} (operation {}) found none by {:.3}s, and it was promised to be there until \
                 {:.3}s",
                operation.client,
                renewal.id,
                operation.id,
                seconds(ret),
                seconds(until)
            );
            Failure::new("lease", FOUND, message).blaming([granted, operation.id])
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::history::{ReadLimits, jsonl};

    #[test]
    fn what_is_revoked_at_the_instant_of_an_answer_may_be_gone() {
        let found = |revoked_at: u64| {
            let header = r#""header":{"cluster_id":1,"member_id":1,"revision":1,"raft_term":1}"#;
            let line = |id: u64, call: u64, op: &str, result: &str| {
                let ret = call + 10;
                format!(
                    r#"{{"id":{id},"client":{id},"call":{call},"return":{ret},"op":{op},"outcome":"ok",{header},"result":{result}}}"#
                ) + "\n"
            };
            let text =
                line(1, 1, r#"{"lease_grant":{"id":7,"ttl":9}}"#, r#"{"lease_grant":{"id":7,"ttl":9}}"#)
                    + &line(2, 20, r#"{"lease_keep_alive":{"id":7}}"#, r#"{"lease_keep_alive":{"ttl":0}}"#)
                    + &line(3, revoked_at, r#"{"lease_revoke":{"id":7}}"#, r#"{"lease_revoke":{}}"#);
            super::check(&jsonl::read(text.as_bytes(), "h", &ReadLimits::default()).expect("it can be read"))
                .len()
        };
        assert_eq!((found(30), found(31)), (0, 1));
    }
}
