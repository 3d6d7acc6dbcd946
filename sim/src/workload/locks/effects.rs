//! Records the effects of the Lock and the Election service on the store, as operations of the history.
//!
//! A call for a place creates a key, may update it, and may remove it again if the caller goes away or the call fails.
//! These effects have no answers of their own. So each is recorded as ambiguous, unless the service's answer decides
//! it: a place in an answer exists, and an answered proclamation is in the store. The first effect has the id that the
//! request carries, and the others have the following ids, in the order in which the service numbers its steps. So the
//! members can report the log position of each.
//!
//! A client is one sequential process, and these effects run concurrently with it. So each is recorded as a separate
//! process, without a member.

use std::sync::Arc;

use squall_checker::history as h;

use crate::workload::recorder::{Process, Recorder};

/// The first number of the processes that stand for a service's steps. Each step is one process.
pub(crate) const BESIDE: u64 = 1_000_000;

/// The operations for one request's effects, while the request is under way.
pub(in crate::workload) struct Effects {
    noted: Vec<(h::OpId, Effect)>,
}

/// A place that only one request can have created. It is not known yet whether it did.
pub(in crate::workload) struct Unsettled(h::OpId);

/// One effect of a request.
struct Effect {
    op: h::Op,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It may happen, whatever the answer is.
    Ambiguous,
    /// It happens only if the call is not answered with success.
    TakesBack,
    /// It has certainly happened if the call was answered with success.
    Answered,
    /// A read, whose result is in the answer.
    Read,
    /// It creates a place. No other request creates one for that lease in that queue. So a reader of the key knows
    /// that it has happened, and when.
    FirstPlace,
}

impl Effects {
    /// Records the effects that a request may have from now on. `is_first`: it is the first request for a place of its
    /// lease in its queue.
    pub(in crate::workload) fn begin(
        recorder: &Recorder,
        process: &Process,
        op: &h::Op,
        caller: Option<&h::Caller>,
        is_first: bool,
    ) -> Effects {
        let h::Op::Lock(lock) = op else { return Effects { noted: Vec::new() } };
        let nowhere: Arc<str> = Arc::from("");
        let noted = of(lock, is_first).into_iter().zip(1..).map(|(effect, number)| {
            let id = h::Client(process.id.0 + number * BESIDE);
            let process = Process { id, node: Arc::clone(&process.node) };
            let id = recorder.call_as(&process, &nowhere, &effect.op, false, caller.cloned());
            (id, effect)
        });
        Effects { noted: noted.collect() }
    }

    /// The id that the request carries, if it is not its own.
    pub(in crate::workload) fn first(&self) -> Option<h::OpId> {
        self.noted.first().map(|(id, _)| *id)
    }

    /// Records that the request was answered or given up. Answers what has to be settled.
    pub(in crate::workload) fn end(
        self,
        recorder: &Recorder,
        outcome: h::Outcome,
        header: Option<h::Header>,
    ) -> Option<Unsettled> {
        let mut unsettled = None;
        for (id, Effect { kind, .. }) in self.noted {
            match (kind, outcome, header) {
                (Kind::Answered, h::Outcome::Ok, Some(header)) => put_done(recorder, id, header),
                (Kind::Read, h::Outcome::Ok, Some(header)) => txn_done(recorder, id, header, Vec::new()),
                (Kind::FirstPlace, h::Outcome::Ok | h::Outcome::Info, _) => unsettled = Some(Unsettled(id)),
                (Kind::TakesBack, h::Outcome::Ok, _) | (_, h::Outcome::Fail, _) | (Kind::Read, ..) => {
                    recorder.returned(id, h::Outcome::Fail, None, Some(error("it was not done")));
                }
                _ => recorder.returned(id, h::Outcome::Info, None, Some(error("nobody tells"))),
            }
        }
        unsettled
    }
}

impl Unsettled {
    /// Records that the place was created at this revision, as an answer with this header shows; `None` if it is
    /// unknown. The answer may be that of a cluster into which the place was restored, so it does not tell which cluster
    /// created the place.
    pub(in crate::workload) fn settle(self, recorder: &Recorder, made: Option<(h::Revision, h::Header)>) {
        match made {
            Some((revision, header)) => {
                put_done(recorder, self.0, h::Header { revision, cluster_id: 0, ..header })
            }
            None => recorder.returned(self.0, h::Outcome::Info, None, Some(error("nobody tells"))),
        }
    }
}

/// Records that a transaction with one put took effect.
fn put_done(recorder: &Recorder, id: h::OpId, header: h::Header) {
    txn_done(recorder, id, header, vec![h::ResponseOp::Put(h::PutResult::default())]);
}

fn txn_done(recorder: &Recorder, id: h::OpId, header: h::Header, responses: Vec<h::ResponseOp>) {
    let result = h::OpResult::Txn(h::TxnResult { succeeded: true, responses });
    recorder.returned(id, h::Outcome::Ok, Some((result, header)), None);
}

fn error(message: &str) -> h::Error {
    h::Error { kind: h::ErrorKind::Other, code: String::new(), message: message.to_owned() }
}

/// The key of a lease's place in a queue.
pub(super) fn place(name: &h::Bytes, lease: h::LeaseId) -> h::Bytes {
    h::Bytes::from([name.as_slice(), format!("/{:x}", lease.0).as_bytes()].concat())
}

/// Compares a key's creation revision with `revision`; 0 means that the key does not exist.
pub(super) fn created(key: &h::Bytes, result: h::CompareResult, revision: h::Revision) -> h::Compare {
    h::Compare {
        key: key.clone(),
        range_end: h::Bytes::default(),
        result,
        target: h::CompareTarget::Create(revision),
    }
}

/// The absence of the key, which the answer to an unlock or a resignation states. It is recorded as a transaction of
/// compares alone, at the revision in the header. It lasts as long as the request, since a break may come between that
/// revision and the answer.
fn absence(compare: h::Compare) -> Effect {
    Effect { op: h::Op::Txn(h::Txn { compares: vec![compare], ..h::Txn::default() }), kind: Kind::Read }
}

fn of(lock: &h::Lock, is_first: bool) -> Vec<Effect> {
    let txn = |kind, compare, op| {
        let txn = h::Txn { compares: vec![compare], success: vec![op], failure: Vec::new() };
        Effect { op: h::Op::Txn(txn), kind }
    };
    let put = |key: h::Bytes, value: &h::Bytes, lease| {
        h::RequestOp::Put(h::Put { key, value: value.clone(), lease, ..h::Put::default() })
    };
    let delete = |key: &h::Bytes| h::DeleteRange { key: key.clone(), ..h::DeleteRange::default() };
    match lock {
        h::Lock::Lock(claim) | h::Lock::Campaign(claim) => {
            let key = place(&claim.name, claim.lease);
            let says = || put(key.clone(), &claim.value, claim.lease);
            let absent = created(&key, h::CompareResult::Equal, h::Revision(0));
            let present = created(&key, h::CompareResult::Greater, h::Revision(0));
            let makes = if is_first { Kind::FirstPlace } else { Kind::Ambiguous };
            let removes = Effect { op: h::Op::DeleteRange(delete(&key)), kind: Kind::TakesBack };
            let mut effects = vec![txn(makes, absent, says()), removes];
            // A new place is created with its value.
            if matches!(lock, h::Lock::Campaign(_)) && !is_first {
                effects.push(txn(Kind::Ambiguous, present, says()));
            }
            effects
        }
        h::Lock::Unlock(key) => {
            let is_gone = created(key, h::CompareResult::Equal, h::Revision(0));
            vec![Effect { op: h::Op::DeleteRange(delete(key)), kind: Kind::Ambiguous }, absence(is_gone)]
        }
        h::Lock::Proclaim(h::Proclamation { leader, value }) => {
            let is_there = created(&leader.key, h::CompareResult::Equal, leader.rev);
            vec![txn(Kind::Answered, is_there, put(leader.key.clone(), value, leader.lease))]
        }
        h::Lock::Resign(leader) => {
            let is_there = created(&leader.key, h::CompareResult::Equal, leader.rev);
            let removes = txn(Kind::Ambiguous, is_there, h::RequestOp::DeleteRange(delete(&leader.key)));
            vec![removes, absence(created(&leader.key, h::CompareResult::NotEqual, leader.rev))]
        }
        h::Lock::Leader(_) | h::Lock::Observe(_) => Vec::new(),
    }
}
