//! In quiet times every request is answered.
//!
//! While something breaks, a client may give up a request without anyone being at fault. The store is at fault if all of this
//! holds: nothing broke for seconds, no process started, no member changed its role, and the member that was asked took later requests of
//! the same kind and answered all of them in time. Proposals and reads are served in the order in which they came, so the
//! later ones show that this one was lost. (A store that drops every fiftieth answer looks sound to every other
//! checker: each lost answer is an ambiguous write, and those are allowed.)
//!
//! A linearizable read changes nothing, so the store asks for its index again until it has one. It is answered soon after
//! the last disturbance, even if something broke while it waited. If the member says "request timed out" long after that
//! disturbance, and took writes meanwhile, it has forgotten to ask.
//!
//! Only small requests with small answers are judged. A large one takes several round trips, and a later request
//! may well arrive before it. A request that was given up soon after the others had their answers is not judged either, because its
//! own answer may have been on the way. If the network's delays have a long tail, one message may take much longer than all
//! others, and the request and its answer are allowed that.
//!
//! The client's connection must have worked ([`Disturbances::leave_alone`]).

use std::cell::LazyCell;

use super::alarms::is_ever_corrupt;
use super::quiet::Disturbances;
use super::weight::Weights;
use super::{Failure, seconds};
use crate::history::{Ask, Op, Operation, RunHistory};

const ANSWERED: &str = "liveness: a request is answered where nothing breaks";
const READ: &str = "liveness: a read is answered once nothing breaks any more";

pub(super) const GUARANTEES: [&str; 2] = [ANSWERED, READ];

/// What a member says that has waited for too long.
const TIMED_OUT: &str = "etcdserver: request timed out";
/// How long a read may wait in quiet, in nanoseconds: the store asks again every half second.
const READ_WITHIN: u64 = 1_000_000_000;
/// The kind of requests that become entries of the log.
const WRITES_KIND: &str = "write";
/// The kind of reads by a quorum.
const READS_KIND: &str = "read";
/// The kind of renewals of leases.
const RENEWAL: &str = "renewal";
/// How many writes the member must have done meanwhile.
const WRITES: usize = 3;

/// Shorter waits are not judged, in nanoseconds.
const PATIENCE: u64 = 250_000_000;
/// How many later requests must have been answered.
const OVERTAKEN_BY: usize = 5;
/// How many times as long as any of them the request must have waited.
const LONGER: u64 = 2;
/// How much later they must have been called, in nanoseconds.
const LATER: u64 = 20_000_000;
/// What carries no more than this, there and back, is small, in bytes. A stream's first window holds four times as much.
const SMALL: usize = 16_384;

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    // Real members do not report elections, and a request may be lost in one.
    if history.members_are_silent() {
        return Vec::new();
    }
    let times = Disturbances::of(history);
    // Most runs have no such request.
    let weights = LazyCell::new(|| Weights::of(history));
    let there_and_back = 2 * history.longest_delay_ns();
    // Under CORRUPT no lease ends, and the renewal of one whose time is over waits for its end.
    let renewals_wait = is_ever_corrupt(history);
    let lost = history.operations.iter().filter(|operation| gave_up(operation)).find_map(|operation| {
        let until = operation.ret?;
        if times.touch(operation.call, until)
            || renewals_wait && kind(&operation.op) == Some(RENEWAL)
            || weights.of_op(&operation.op) > SMALL
        {
            return None;
        }
        let later = history.operations.iter().filter(|later| {
            later.endpoint == operation.endpoint
                && kind(&later.op) == kind(&operation.op)
                && later.call >= operation.call + LATER
                && later.call <= until - PATIENCE / 2
        });
        let (mut answered, mut longest) = (0, 0);
        for later in later {
            // Another renewal may be lost for the same reason.
            if kind(&later.op) == Some(RENEWAL) && gave_up(later) {
                continue;
            }
            let ret = later.ret.filter(|ret| later.is_ok() && *ret <= until)?;
            answered += 1;
            longest = longest.max(ret - later.call);
        }
        let is_lost = answered >= OVERTAKEN_BY
            && until - operation.call >= LONGER * longest + there_and_back
            && times.leave_alone(history, operation, until);
        is_lost.then_some((operation, answered))
    });
    let failure = lost.map(|(operation, answered)| {
        let message = format!(
            "{} never answered {}, called at {:.3}s and given up {:.3}s later, though nothing \
             broke then and it answered all {answered} requests that came after it",
            operation.endpoint,
            operation.title(),
            seconds(operation.call),
            seconds(operation.ret.unwrap_or(operation.call).saturating_sub(operation.call)),
        );
        Failure::new("liveness", ANSWERED, message).blaming([operation.id])
    });
    failure.into_iter().chain(read_not_answered(history, &times)).collect()
}

/// A read that the member gave up, though it was quiet for long enough before.
fn read_not_answered(history: &RunHistory, times: &Disturbances) -> Option<Failure> {
    let timed_out = |operation: &&Operation| {
        let said = operation.error.as_ref().is_some_and(|error| error.message == TIMED_OUT);
        said && kind(&operation.op) == Some(READS_KIND)
    };
    history.operations.iter().filter(timed_out).find_map(|operation| {
        let until = operation.ret?;
        let from = times.since(until)?.max(operation.call);
        let (mut written, mut longest) = (0, 0);
        for other in &history.operations {
            let meanwhile = other.endpoint == operation.endpoint && other.call >= from && other.call < until;
            if !meanwhile || kind(&other.op) != Some(WRITES_KIND) {
                continue;
            }
            // One that was not answered says that the member does not work, or that it cannot reach a leader.
            let ret = other.ret.filter(|_| other.is_ok() || !gave_up(other))?;
            longest = longest.max(ret - other.call);
            written += usize::from(other.is_ok() && ret <= until);
        }
        let patience = READ_WITHIN + 2 * LONGER * (longest + history.longest_delay_ns());
        (written >= WRITES && until - from > patience).then(|| {
            let message = format!(
                "{} told {} at {:.3}s that it has timed out, though nothing broke from {:.3}s on, and it \
                 did all {written} writes that came since",
                operation.endpoint,
                operation.title(),
                seconds(until),
                seconds(from),
            );
            Failure::new("liveness", READ, message).blaming([operation.id])
        })
    })
}

/// Whether the client waited for long and heard nothing. A refusal is an answer.
fn gave_up(operation: &Operation) -> bool {
    let waited = operation.ret.is_some_and(|ret| ret - operation.call >= PATIENCE);
    !operation.is_ok() && waited && operation.deadline_passed() && kind(&operation.op).is_some()
}

/// Whether an answer needs a quorum: an entry of the log, or an index to read at.
pub(super) fn needs_quorum(op: &Op) -> bool {
    matches!(kind(op), Some(WRITES_KIND | READS_KIND))
}

/// Requests of one kind wait for the same thing: an entry of the log, an index to read at, or the leader's word for a lease.
fn kind(op: &Op) -> Option<&'static str> {
    match op {
        Op::Put(_) | Op::DeleteRange(_) => Some(WRITES_KIND),
        Op::Txn(txn) if txn.may_change() => Some(WRITES_KIND),
        Op::Range(range) if !range.serializable => Some(READS_KIND),
        Op::LeaseKeepAlive(_) => Some(RENEWAL),
        Op::Ask(Ask::TimeToLive(_)) => Some("time left"),
        _ => None,
    }
}
