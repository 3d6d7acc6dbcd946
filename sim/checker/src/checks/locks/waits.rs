//! No client waits in vain: in quiet times turns come, places that were given up go, and observers learn who leads.
//!
//! A wait that lasts too long breaks no promise about answers. So these rules look at time:
//! - *Turn*: a client whose place is the oldest in its queue gets its answer.
//! - *Left*: if the only caller of a place has gone away while it waited, the place leaves its queue, though its lease lives on.
//!   If its turn had come, the answer was on its way, and the key stays.
//! - *Heard*: an observer learns who leads, once there is a leader, and what the leader says.
//!
//! Each rule allows [`LEAST`] of time, and more if the store is slow: [`SLOWER`] times what the slowest request took that the same
//! member answered meanwhile. At least [`OTHERS`] requests must show that the member works, and none may have been left
//! without an answer. Nothing may have broken since the call, since the member's task or the connection that serves it may be
//! gone, and its client must have a connection that works ([`Disturbances::leave_alone`]). Nothing is demanded of a run with users, whose
//! tokens may end in the middle of a service's work, or with a full store. The members report which places there are
//! ([`presence`](super::presence)).

use std::collections::BTreeMap;

use super::judge::names;
use super::presence::{Place, places};
use crate::checks::quiet::Disturbances;
use crate::checks::{Failure, seconds};
use crate::history::{Bytes, Claim, Lock, Observed, Op, OpResult, Operation, RunHistory};

const TURN: &str = "lock: who is the first in its queue does not wait";
const LEFT: &str = "lock: a place whose caller has gone away is given up";
const HEARD: &str = "lock: an observer hears of who leads";

pub(in crate::checks) const GUARANTEES: [&str; 3] = [TURN, LEFT, HEARD];

/// What a turn, a removal or a word to an observer may take at least, in nanoseconds.
const LEAST: u64 = 1_000_000_000;
/// How many times as long as the slowest answered request it may take: each is some requests and some news.
const SLOWER: u64 = 8;
/// How many requests the member must have answered meanwhile.
const OTHERS: usize = 3;
/// What a full store says.
const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";

/// Judges all waits.
pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let excuses = |operation: &Operation| {
        matches!(operation.op, Op::Auth(_))
            || operation.error.as_ref().is_some_and(|error| error.message == NO_SPACE)
    };
    if history.operations.iter().any(excuses) {
        return Vec::new();
    }
    let names = names(history);
    let Some(queues) = places(history, &names) else { return Vec::new() };
    let waits = Waits { history, queues, quiet: Disturbances::of(history) };
    let mut failures = Vec::new();
    failures.extend(history.operations.iter().find_map(|operation| waits.turn(operation)));
    failures.extend(history.operations.iter().find_map(|operation| waits.left(operation)));
    failures.extend(history.operations.iter().find_map(|operation| waits.heard(operation)));
    failures
}

struct Waits<'a> {
    history: &'a RunHistory,
    queues: BTreeMap<&'a Bytes, Vec<Place<'a>>>,
    quiet: Disturbances,
}

/// A call for a place.
fn claim(operation: &Operation) -> Option<&Claim> {
    match &operation.op {
        Op::Lock(Lock::Lock(claim) | Lock::Campaign(claim)) => Some(claim),
        _ => None,
    }
}

impl<'a> Waits<'a> {
    fn of_queue(&self, name: &Bytes) -> &[Place<'a>] {
        self.queues.get(name).map_or(&[], Vec::as_slice)
    }

    /// The places that a call has made or found.
    fn places_of(&self, claim: &Claim) -> impl Iterator<Item = &Place<'a>> {
        let lease = claim.lease;
        self.of_queue(&claim.name).iter().filter(move |place| place.lease == lease)
    }

    /// Since when a place is the oldest of its queue; never if another one stays before it.
    fn first_since(&self, name: &Bytes, place: &Place<'_>) -> u64 {
        let older = self.of_queue(name).iter().filter(|other| other.create < place.create);
        older.map(|other| other.until.unwrap_or(u64::MAX)).fold(place.from, u64::max)
    }

    /// How long the slowest request took that a call's member answered between two instants, in nanoseconds. None if nothing
    /// can be demanded of the member: the time was too short, something broke since the call, or it answered too few requests,
    /// or left one unanswered.
    fn had_time(&self, operation: &Operation, from: u64, to: u64) -> Option<u64> {
        if to.saturating_sub(from) <= LEAST + SLOWER * self.history.longest_delay_ns() {
            return None;
        }
        let (mut answered, mut slowest) = (0, 0);
        for other in &self.history.operations {
            let ends = other.ret.unwrap_or(u64::MAX);
            let is_plain = match &other.op {
                Op::Range(range) => !range.serializable,
                Op::Put(_) | Op::DeleteRange(_) | Op::Txn(_) => true,
                _ => false,
            };
            if !is_plain || other.endpoint != operation.endpoint || other.call > to || ends < from {
                continue;
            }
            if other.deadline_passed() || other.ret.is_none() {
                return None;
            }
            if other.is_ok() {
                slowest = slowest.max(ends - other.call);
                answered += usize::from(other.call >= from && ends <= to);
            }
        }
        slowest += self.history.longest_delay_ns();
        let enough = answered >= OTHERS && to - from > LEAST + SLOWER * slowest;
        (enough && self.quiet.leave_alone(self.history, operation, to)).then_some(slowest)
    }

    fn turn(&self, operation: &Operation) -> Option<Failure> {
        let (claim, ret) = (claim(operation)?, operation.ret?);
        if !operation.is_ok() && !operation.deadline_passed() {
            return None;
        }
        self.places_of(claim).find_map(|place| {
            let from = self.first_since(&claim.name, place).max(operation.call);
            let to = ret.min(place.until.unwrap_or(u64::MAX));
            self.had_time(operation, from, to).map(|_| {
                let message = format!(
                    "operation {} waits at {} for {} with key {}, which is the first in the queue from {:.3}s to {:.3}s, and is \
                     not told so",
                    operation.id,
                    operation.endpoint,
                    claim.name,
                    place.key,
                    seconds(from),
                    seconds(to)
                );
                Failure::new("lock", TURN, message).blaming([operation.id])
            })
        })
    }

    fn left(&self, operation: &Operation) -> Option<Failure> {
        let (wanted, ret) = (claim(operation)?, operation.ret?);
        if !operation.deadline_passed() {
            return None;
        }
        self.places_of(wanted).find_map(|place| {
            let others = self.history.operations.iter().filter(|other| {
                other.id != operation.id
                    && claim(other).is_some_and(|one| one.name == wanted.name && one.lease == wanted.lease)
                    && other.ret.is_none_or(|ret| ret >= place.from)
            });
            // Another call that has found the place keeps it, or gives it up in its own time.
            let found = others.map(|other| other.call).min().unwrap_or(u64::MAX);
            let to = place.until.unwrap_or(self.end()).min(found);
            let slowest = self.had_time(operation, ret, to).filter(|_| place.from <= ret)?;
            // One that had its turn by then was answered, and the answer came too late: its key stays.
            let waits = self.first_since(&wanted.name, place) > ret + LEAST / 2 + slowest;
            waits.then(|| {
                let message = format!(
                    "operation {} asked {} for a place in {} and was given up at {:.3}s; its key {} was still there at {:.3}s",
                    operation.id,
                    operation.endpoint,
                    wanted.name,
                    seconds(ret),
                    place.key,
                    seconds(to)
                );
                Failure::new("lock", LEFT, message).blaming([operation.id])
            })
        })
    }

    fn heard(&self, operation: &Operation) -> Option<Failure> {
        let Op::Lock(Lock::Observe(name)) = &operation.op else { return None };
        let ret = operation.ret?;
        let told = match &operation.result {
            Some(OpResult::Observed(told)) => told.as_slice(),
            _ if operation.deadline_passed() => &[],
            _ => return None,
        };
        let newest = told.iter().map(|told| told.kv.create_revision.0.unsigned_abs()).max().unwrap_or(0);
        if let Some(failure) = self.heard_said(operation, name, told) {
            return Some(failure);
        }
        let mut unheard = self.of_queue(name).iter().filter(|place| place.create > newest);
        unheard.find_map(|place| {
            let from = self.first_since(name, place).max(operation.call);
            let to = ret.min(place.until.unwrap_or(u64::MAX));
            self.had_time(operation, from, to).map(|_| {
                let message = format!(
                    "operation {} observed {name} at {} until {:.3}s, and was never told of {}, which led from {:.3}s to {:.3}s",
                    operation.id,
                    operation.endpoint,
                    seconds(ret),
                    place.key,
                    seconds(from),
                    seconds(to)
                );
                Failure::new("lock", HEARD, message).blaming([operation.id])
            })
        })
    }

    /// The leader has said something, and the observer received neither that nor anything later.
    fn heard_said(&self, operation: &Operation, name: &Bytes, told: &[Observed]) -> Option<Failure> {
        let ret = operation.ret?;
        let newest = told.iter().map(|told| told.kv.mod_revision).max().unwrap_or_default();
        let said = self.history.operations.iter().filter_map(|said| match &said.op {
            Op::Lock(Lock::Proclaim(what)) if what.leader.name == *name && said.is_ok() => {
                Some((said, &what.leader, said.ret?, said.revision()?))
            }
            _ => None,
        });
        said.filter(|(.., made)| *made > newest).find_map(|(said, leader, done, _)| {
            let is_it = |place: &&Place<'_>| {
                place.key == &leader.key && place.create == leader.rev.0.unsigned_abs()
            };
            let place = self.of_queue(name).iter().find(is_it)?;
            let from = self.first_since(name, place).max(operation.call).max(done);
            let to = ret.min(place.until.unwrap_or(u64::MAX));
            self.had_time(operation, from, to).map(|_| {
                let message = format!(
                    "operation {} observed {name} at {} until {:.3}s, and was never told what the leader had said by {:.3}s \
                     (operation {})",
                    operation.id,
                    operation.endpoint,
                    seconds(ret),
                    seconds(done),
                    said.id
                );
                Failure::new("lock", HEARD, message).blaming([operation.id, said.id])
            })
        })
    }

    /// When the history ends.
    fn end(&self) -> u64 {
        self.history.operations.iter().filter_map(|operation| operation.ret).max().unwrap_or(0)
    }
}
