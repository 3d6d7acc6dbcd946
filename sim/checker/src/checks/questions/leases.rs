//! How much is left of a lease, which keys are attached to it, and which leases there are.
//!
//! The leader says how much is left of a lease, after it has proved that it leads. So the answer is true at an instant between
//! call and return.
//! - *Found*: a lease that was promised to exist is found, and one that has ended is not.
//! - *Left*: no less is left than was promised. If no member began to lead since the last renewal that was answered, no more
//!   is left than that renewal gave, plus what a new leader adds ([`extension`]). If the leader has changed since, no more is
//!   left than the one before had noted in the log, plus the same ([`Known::noted`]; etcd #9888).
//! - *Granted*: the granted time is the one that the answer to the grant said.
//! - *Keys*: if the last write of a key was certainly a put with the lease, the key is attached to it. A key is not attached if no
//!   client put it there, or if its last write was certainly another.
//!
//! The list of leases comes from the asked member's own state, which may be old. The members' hints say which entry granted a
//! lease, and which ended it. The member also says which entries it had applied.
//! - *Listed*: the list has each lease that the member had granted and not ended, and none that it had ended.

use std::collections::BTreeMap;

use super::{MemberReports, Question};
use crate::checks::durability::covers;
use crate::checks::era::{Eras, Scope};
use crate::checks::leases::{Lease, collect};
use crate::checks::quiet::Disturbances;
use crate::checks::{Failure, add, seconds};
use crate::history::{
    Ask, Asked, Bytes, LeaseId, Op, OpId, OpResult, Operation, Outcome, RequestOp, RoleChange, RunHistory,
    TimeLeft,
};

pub(super) const FOUND: &str = "lease: one that is there is found, and one that has ended is not";
pub(super) const LEAST: &str = "lease: no less is left of it than was promised";
pub(super) const MOST: &str = "lease: no more is left of it than it was given";
pub(super) const GRANTED: &str = "lease: it was granted what its grant was answered with";
pub(super) const KEYS: &str = "lease: the keys hang on it that were put there, and no others";
pub(super) const LISTED: &str = "lease: a member lists those that it has granted and not ended";

pub(super) const GUARANTEES: [&str; 6] = [FOUND, LEAST, MOST, GRANTED, KEYS, LISTED];

const SECOND: u64 = 1_000_000_000;
/// If nothing breaks, a leader has given all leases their time this long after it began to lead, in nanoseconds: by then
/// it has applied its first entry.
const SETTLED: u64 = 3 * SECOND;
/// A new leader with more leases than this spreads their ends over time. Then there is no upper limit of what is left.
const MANY: usize = 500;

pub(super) fn check(
    history: &RunHistory,
    eras: &Eras<'_>,
    reports: &MemberReports<'_>,
    questions: &[Question<'_>],
) -> Vec<Failure> {
    let known = Known::of(history, eras, reports);
    let mut failures: Vec<Failure> = Vec::new();
    for question in questions {
        let failure = match (question.ask, question.answer) {
            (Ask::TimeToLive(asked), Asked::TimeToLive(left)) => known.wrong_time(question, asked.id, left),
            (Ask::Leases, Asked::Leases(listed)) => known.wrong_list(question, listed),
            _ => None,
        };
        if let Some(failure) = failure {
            add(&mut failures, failure);
        }
    }
    failures
}

/// A grant or a renewal that may have been done.
struct Renewal {
    call: u64,
    /// `u64::MAX` if it may be done at any time.
    ret: u64,
    id: OpId,
    grants: bool,
}

/// Something that was done to a key, or may have been.
struct Write<'a> {
    call: u64,
    ret: u64,
    sure: bool,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    /// A put with this lease, or with none.
    Put(&'a Bytes, LeaseId),
    /// A put that keeps the key's lease.
    Keep(&'a Bytes),
    Delete(&'a Bytes, &'a Bytes),
    /// A transaction may do this or that.
    Txn(&'a Operation),
}

struct Known<'a> {
    eras: &'a Eras<'a>,
    reports: &'a MemberReports<'a>,
    leases: BTreeMap<LeaseId, Lease>,
    renewals: BTreeMap<LeaseId, Vec<Renewal>>,
    writes: Vec<Write<'a>>,
    /// By lease: the entry that granted it; and those that may have ended it, each with when the first member applied it.
    granted_at: BTreeMap<LeaseId, (Scope, u64)>,
    ended_at: BTreeMap<LeaseId, Vec<(Scope, u64, u64)>>,
    /// Revocations without a member's report of their entry.
    unreported_revokes: BTreeMap<LeaseId, u64>,
    extension: u64,
    /// How often a leader notes what is left of leases; 0 if that is not known.
    checkpoint: u64,
    disturbances: Disturbances,
    drift_ppm: u64,
    members_are_silent: bool,
}

impl<'a> Known<'a> {
    fn of(history: &'a RunHistory, eras: &'a Eras<'a>, reports: &'a MemberReports<'a>) -> Known<'a> {
        let mut known = Known {
            eras,
            reports,
            leases: collect(history, eras),
            renewals: BTreeMap::new(),
            writes: Vec::new(),
            granted_at: BTreeMap::new(),
            ended_at: BTreeMap::new(),
            unreported_revokes: BTreeMap::new(),
            extension: extension(history),
            checkpoint: history.meta().map_or(0, |meta| meta.lease_checkpoint_ns),
            disturbances: Disturbances::of(history),
            drift_ppm: history.drift_ppm(),
            members_are_silent: history.members_are_silent(),
        };
        let mut entries: BTreeMap<OpId, (Scope, u64, u64)> = BTreeMap::new();
        for hint in history.hints() {
            let entry = (eras.scope(&hint.member, hint.at), hint.index, hint.at);
            if hint.expired.is_none() {
                entries.entry(hint.op).or_insert(entry);
            } else {
                known.ended_at.entry(hint.expired).or_default().push(entry);
            }
        }
        for operation in history.operations.iter().filter(|operation| !is_nothing(operation)) {
            known.learn(operation, entries.get(&operation.id).copied());
        }
        known
    }

    fn learn(&mut self, operation: &'a Operation, entry: Option<(Scope, u64, u64)>) {
        let id = operation.id;
        let sure = operation.outcome == Outcome::Ok;
        let ret = operation.ret.filter(|_| sure).unwrap_or(u64::MAX);
        let call = operation.call;
        let what = match (&operation.op, &operation.result) {
            (Op::LeaseGrant(grant), result) => {
                let lease = match result {
                    Some(OpResult::LeaseGrant(granted)) => granted.id,
                    _ => grant.id,
                };
                self.renewals.entry(lease).or_default().push(Renewal { call, ret, id, grants: true });
                if let Some((scope, index, _)) = entry {
                    self.granted_at.insert(lease, (scope, index));
                }
                return;
            }
            (Op::LeaseKeepAlive(lease), result) => {
                let (may_renew, ret) = match result {
                    Some(OpResult::LeaseKeepAlive(kept)) => (kept.ttl > 0, ret),
                    _ => (true, u64::MAX),
                };
                if may_renew {
                    self.renewals.entry(lease.id).or_default().push(Renewal { call, ret, id, grants: false });
                }
                return;
            }
            (Op::LeaseRevoke(lease), _) => {
                match entry {
                    Some(entry) => self.ended_at.entry(lease.id).or_default().push(entry),
                    None => {
                        let first = self.unreported_revokes.entry(lease.id).or_insert(call);
                        *first = (*first).min(call);
                    }
                }
                return;
            }
            (Op::Put(put), _) if put.ignore_lease => What::Keep(&put.key),
            (Op::Put(put), _) => What::Put(&put.key, put.lease),
            (Op::DeleteRange(delete), _) => What::Delete(&delete.key, &delete.range_end),
            (Op::Txn(txn), _) if txn.may_change() => What::Txn(operation),
            _ => return,
        };
        self.writes.push(Write { call, ret, sure, what });
    }

    fn wrong_time(&self, question: &Question<'_>, id: LeaseId, left: &TimeLeft) -> Option<Failure> {
        let lease = self.leases.get(&id).filter(|lease| lease.is_of(question.scope.0))?;
        let (grant, granted_at) = lease.granted()?;
        if granted_at > question.call {
            return None;
        }
        let renewals = self.renewals.get(&id).map_or(&[][..], Vec::as_slice);
        let answered: Vec<&Renewal> = renewals.iter().filter(|one| one.ret < question.call).collect();
        let promised = lease.promised_by(|promise| answered.iter().any(|one| one.id == promise));
        if left.ttl < 0 {
            let until = promised.filter(|until| *until > question.ret)?;
            let may_be_gone = lease.revoke_called().is_some_and(|called| called < question.ret);
            let what = format!(
                "there is no lease {id}, which was promised to be there until {:.3}s",
                seconds(until)
            );
            return (!may_be_gone)
                .then(|| question.fails("lease", FOUND, &what).blaming([grant, question.operation.id]));
        }
        if let Some(ended) = lease.ended().filter(|ended| ended + super::NEAR < question.call) {
            let what =
                format!("{} s are left of lease {id}, which had ended at {:.3}s", left.ttl, seconds(ended));
            return Some(question.fails("lease", FOUND, &what));
        }
        if left.granted != lease.ttl() {
            let what =
                format!("lease {id} was granted {} s, and it was granted {}", left.granted, lease.ttl());
            return Some(question.fails("lease", GRANTED, &what).blaming([grant, question.operation.id]));
        }
        let next_second = (left.ttl.unsigned_abs() + 1) * SECOND;
        if let Some(until) = promised.filter(|until| *until >= question.ret.saturating_add(next_second)) {
            let what = format!(
                "{} s are left of lease {id} at {:.3}s, and it was promised to be there until {:.3}s",
                left.ttl,
                seconds(question.ret),
                seconds(until)
            );
            return Some(question.fails("lease", LEAST, &what));
        }
        if let Some(most) =
            self.most(question, id, lease.ttl()).filter(|most| left.ttl.unsigned_abs() > *most)
        {
            let what = format!(
                "{} s are left of lease {id}, which was renewed last so long ago that {most} s are left at most",
                left.ttl
            );
            return Some(question.fails("lease", MOST, &what));
        }
        self.wrong_keys(question, id, left)
    }

    /// How many seconds can be left at most. The leader gave the lease its time when it applied the grant at the latest, or
    /// when it answered a renewal that was called after it had begun to lead.
    fn most(&self, question: &Question<'_>, id: LeaseId, ttl: i64) -> Option<u64> {
        if self.members_are_silent || self.leases.len() > MANY {
            return None;
        }
        let renewals = self.renewals.get(&id).map_or(&[][..], Vec::as_slice);
        let leader = self.reports.last_leader(question.ret)?;
        let possible = || renewals.iter().filter(|one| one.call <= question.ret);
        let answered = possible().map(|one| one.ret).max()?;
        let renewed = possible().any(|one| !one.grants && one.call > leader.at + super::NEAR);
        let applied = self.applied_grant(leader, id, question.scope);
        let last = answered.max(applied.unwrap_or(0));
        if last >= question.call {
            return None;
        }
        if !(renewed || applied.is_some()) {
            return self.noted(leader, answered, ttl);
        }
        let whole = ttl.unsigned_abs() * SECOND;
        let passed = question.call - last;
        let drift = (whole + passed) / 1_000_000 * self.drift_ppm;
        Some((whole + self.extension + drift).saturating_sub(passed) / SECOND)
    }

    /// How many seconds at most a new leader can have given to a lease that was last renewed by `renewed`. The leader before it
    /// noted from time to time what was left. It certainly did so if nothing broke in its time: then it began to lead before
    /// `from`, and made its last note between `noted` and `to`.
    fn noted(&self, leader: &RoleChange, renewed: u64, ttl: i64) -> Option<u64> {
        let whole = ttl.unsigned_abs() * SECOND;
        if self.checkpoint == 0 || whole <= self.checkpoint {
            return None;
        }
        let begins = self.reports.leader_before(leader)?;
        let ends = self.reports.next_role(begins).map_or(leader.at, |next| next.at.min(leader.at));
        let (from, to) = (begins.at + SETTLED, ends.saturating_sub(SECOND));
        let noted = to.saturating_sub(self.checkpoint + SECOND / 2);
        if noted <= from || renewed > noted || self.disturbances.touch(from, to) {
            return None;
        }
        let until = (renewed + whole).max(from + whole + self.extension);
        // Whole seconds are noted, rounded up.
        let left = (until.saturating_sub(noted) + SECOND).min(whole);
        let drift = 2 * whole / 1_000_000 * self.drift_ppm;
        Some((left + self.extension + drift) / SECOND)
    }

    /// When the leader applied the grant, if it led then.
    fn applied_grant(&self, leader: &RoleChange, id: LeaseId, scope: Scope) -> Option<u64> {
        let (_, index) = self.granted_at.get(&id).filter(|(granted, _)| *granted == scope)?;
        let lines = self.reports.applied_by(&leader.member);
        lines.iter().find(|line| line.index == *index && line.at > leader.at).map(|line| line.at)
    }

    fn wrong_keys(&self, question: &Question<'_>, id: LeaseId, left: &TimeLeft) -> Option<Failure> {
        let in_era = |write: &&Write<'_>| {
            write.sure && write.ret < question.call && self.eras.at(write.call) == question.scope.0
        };
        let done = || self.writes.iter().filter(in_era);
        for put in done() {
            let What::Put(key, lease) = put.what else { continue };
            let overwritten = |other: &Write<'_>| {
                !std::ptr::eq(other, put)
                    && other.call <= question.ret
                    && other.ret >= put.call
                    && other.touches(key)
            };
            if lease == id && !left.keys.contains(key) && !self.writes.iter().any(overwritten) {
                let what = format!("{key} is not attached to lease {id}, and its last write put it there");
                return Some(question.fails("lease", KEYS, &what));
            }
        }
        left.keys.iter().find_map(|key| {
            let attaching: Vec<&Write<'_>> = self
                .writes
                .iter()
                .filter(|write| write.call <= question.ret && write.may_attach(key, id))
                .collect();
            let is_off = |write: &Write<'_>| match write.what {
                What::Put(put, lease) => put == key && lease != id,
                What::Delete(from, end) => covers(from, end, key),
                What::Keep(_) | What::Txn(_) => false,
            };
            let taken_off =
                done().any(|write| is_off(write) && attaching.iter().all(|earlier| earlier.ret < write.call));
            (attaching.is_empty() || taken_off).then(|| {
                let what =
                    format!("{key} is attached to lease {id}, and its last write did not put it there");
                question.fails("lease", KEYS, &what)
            })
        })
    }

    fn wrong_list(&self, question: &Question<'_>, listed: &[LeaseId]) -> Option<Failure> {
        let member = &*question.operation.endpoint;
        if !self.eras.in_one_life(member, question.call, question.ret) {
            return None;
        }
        let least = self.reports.applied_at_least(self.eras, member, question.call)?;
        let most = self.reports.applied_at_most(self.eras, member, question.call, question.ret);
        self.leases.iter().find_map(|(id, lease)| {
            let (_, granted_at) = lease.granted()?;
            let (scope, granted) = self.granted_at.get(id)?;
            if *scope != question.scope || granted_at > question.call {
                return None;
            }
            let ends = self.ended_at.get(id).map_or(&[][..], Vec::as_slice);
            if ends.iter().any(|(scope, ..)| *scope != question.scope) {
                return None;
            }
            let is_listed = listed.contains(id);
            if let Some((_, index, _)) = ends.iter().find(|(_, index, _)| *index <= least).filter(|_| is_listed) {
                let what =
                    format!("lease {id} is there, and the member had applied entry {index}, which ended it");
                return Some(question.fails("lease", LISTED, &what));
            }
            let may_have_ended = |(_, index, at): &(Scope, u64, u64)| {
                *at <= question.ret + super::NEAR && most.is_none_or(|most| *index <= most)
            };
            let untold = self.unreported_revokes.get(id).is_some_and(|called| *called <= question.ret);
            let is_there = *granted <= least && !untold && !ends.iter().any(may_have_ended);
            (is_there && !is_listed).then(|| {
                let what = format!(
                    "lease {id} is not listed, and the member had applied entry {granted}, which granted it, and none that ended it"
                );
                question.fails("lease", LISTED, &what)
            })
        })
    }
}

impl Write<'_> {
    fn touches(&self, key: &Bytes) -> bool {
        match self.what {
            What::Put(put, _) | What::Keep(put) => put == key,
            What::Delete(from, end) => covers(from, end, key),
            What::Txn(operation) => in_txn(operation, |op| match op {
                RequestOp::Put(put) => put.key == *key,
                RequestOp::DeleteRange(delete) => covers(&delete.key, &delete.range_end, key),
                RequestOp::Range(_) | RequestOp::Txn(_) => false,
            }),
        }
    }

    /// Whether it may have attached the key to the lease.
    fn may_attach(&self, key: &Bytes, id: LeaseId) -> bool {
        match self.what {
            What::Put(put, lease) => put == key && lease == id,
            What::Keep(put) => put == key,
            What::Delete(..) => false,
            What::Txn(operation) => in_txn(operation, |op| match op {
                RequestOp::Put(put) => put.key == *key && (put.lease == id || put.ignore_lease),
                _ => false,
            }),
        }
    }
}

/// Whether a transaction has such a step, in whichever branch.
fn in_txn(operation: &Operation, is_such: impl Fn(&RequestOp) -> bool) -> bool {
    matches!(&operation.op, Op::Txn(txn) if txn.has_step(&is_such))
}

/// A renewal that failed may have been done nevertheless; nothing else that failed was.
fn is_nothing(operation: &Operation) -> bool {
    operation.outcome == Outcome::Fail && !matches!(operation.op, Op::LeaseKeepAlive(_))
}

/// What a new leader adds to each lease: an election time-out, which is less than the shortest lease.
fn extension(history: &RunHistory) -> u64 {
    history.meta().map_or(1, |meta| meta.least_ttl_secs.max(1)) * SECOND
}
