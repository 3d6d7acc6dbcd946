//! The rules.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{GivenBack, Sighting, given_back, is_in, sightings};
use super::facts;
use super::holds::{Ends, Hold, all};
use super::queue::{Queues, is_oldest};
use super::waits;
use crate::checks::changes::Changes;
use crate::checks::era::Eras;
use crate::checks::leases::{self, Lease};
use crate::checks::{Failure, add, seconds};
use crate::history::{Bytes, LeaseId, Lock, Observed, Op, OpResult, Operation, RunHistory};

const HELD: &str = "lock: who is told that it holds has its key, of its lease";
const FIRST: &str = "lock: who is told that it holds is the oldest in the queue";
const ALONE: &str = "lock: no two hold at a time";
const FENCE: &str = "lock: who has let go passes no fence";
const LEADER: &str = "lock: the leader that is told of is the oldest candidate";
const ORDER: &str = "lock: leaders follow each other in the order of their create revisions";

pub(in crate::checks) const GUARANTEES: [&str; 6] = [HELD, FIRST, ALONE, FENCE, LEADER, ORDER];

/// Whether any client asked for a lock or an election.
pub(in crate::checks) fn any(history: &RunHistory) -> bool {
    history.operations.iter().any(|operation| matches!(operation.op, Op::Lock(_)))
}

/// Judges all holds by the answers alone.
pub(in crate::checks) fn check(history: &RunHistory) -> Vec<Failure> {
    if !any(history) {
        return Vec::new();
    }
    let eras = Eras::of(history);
    let names = names(history);
    let leases = leases::collect(history, &eras);
    let seen = seen(history, &eras, &names);
    let holds = all(history, &eras, &seen);
    let mut failures = Vec::new();
    failures.extend(alone_by_revision(&holds, &seen));
    if failures.is_empty() {
        failures.extend(alone_by_time(&holds, &Ends::of(history, &leases)));
    }
    failures.extend(passed_over(&holds, &seen, &leases));
    failures.extend(fence(&holds, &seen, &given_back(history, &eras), &leases));
    failures.extend(history.operations.iter().find_map(order));
    failures.extend(waits::check(history));
    failures
}

/// Judges all holds against the changes of a replay, one failure for each guarantee: a broken queue breaks every hold. The
/// replay's order is one of those that explain the other answers, so what is found is a suspicion: see
/// [`facts`](super::facts).
pub(in crate::checks) fn suspect(history: &RunHistory, changes: &Changes) -> Vec<Failure> {
    if !any(history) {
        return Vec::new();
    }
    let eras = Eras::of(history);
    let names = names(history);
    let holds = all(history, &eras, &seen(history, &eras, &names));
    let queues = Queues::of(changes, eras.last() + 1, &names);
    let mut failures = Vec::new();
    for hold in &holds {
        if let Err((guarantee, what)) = held(hold, &queues) {
            add(&mut failures, Failure::new("lock", guarantee, says(hold, &what)).blaming([hold.by]));
        }
    }
    for operation in &history.operations {
        if let Some(era) = eras.of_operation(operation)
            && let Some(what) = leader(operation, era, &queues)
        {
            add(&mut failures, Failure::new("lock", LEADER, what).blaming([operation.id]));
        }
    }
    failures
}

/// The history, with what the services' answers say of the store as answers of it.
pub(in crate::checks) fn with_facts(history: &RunHistory) -> RunHistory {
    let eras = Eras::of(history);
    let holds = all(history, &eras, &seen(history, &eras, &names(history)));
    facts::with(history, &holds, &eras)
}

fn seen<'a>(history: &'a RunHistory, eras: &Eras<'_>, names: &BTreeSet<&Bytes>) -> Vec<Sighting<'a>> {
    sightings(history, eras, |key| names.iter().any(|name| is_in(name, key)))
}

/// The names of all locks and elections that clients asked for.
pub(super) fn names(history: &RunHistory) -> BTreeSet<&Bytes> {
    fn name(operation: &Operation) -> Option<&Bytes> {
        match &operation.op {
            Op::Lock(Lock::Lock(claim) | Lock::Campaign(claim)) => Some(&claim.name),
            Op::Lock(Lock::Leader(name) | Lock::Observe(name)) => Some(name),
            _ => None,
        }
    }
    history.operations.iter().filter_map(name).collect()
}

fn says(hold: &Hold<'_>, what: &str) -> String {
    let call = if hold.is_lock { "lock" } else { "campaign" };
    format!(
        "the {call} of {} for lease {} (operation {}) was answered at {:.3}s with key {}, at revision {}: {what}",
        hold.name,
        hold.lease,
        hold.by,
        seconds(hold.ret),
        hold.key,
        hold.header
    )
}

/// An older key is seen after an answer said that a client holds.
fn alone_by_revision(holds: &[Hold<'_>], seen: &[Sighting<'_>]) -> Option<Failure> {
    holds.iter().find_map(|hold| {
        let create = hold.create?;
        let older = seen.iter().find(|seen| {
            seen.era == hold.era
                && seen.create < create
                && (hold.is_lock && seen.at >= hold.header || seen.call > hold.ret)
                && seen.key != hold.key
                && is_in(hold.name, seen.key)
        })?;
        let how = if older.fenced { "let a write pass" } else { "was read" };
        let what = format!(
            "its place is of revision {create}, and the older key {} of revision {} {how} at revision {} (operation {})",
            older.key, older.create, older.at, older.by
        );
        Some(Failure::new("lock", ALONE, says(hold, &what)).blaming([hold.by, older.by]))
    })
}

/// Two holds overlap in time, and both certainly lasted.
fn alone_by_time(holds: &[Hold<'_>], ends: &Ends<'_>) -> Option<Failure> {
    let mut open: BTreeMap<(usize, &Bytes), (&Hold<'_>, u64)> = BTreeMap::new();
    for hold in holds {
        let Some(until) = ends.of_hold(hold).filter(|until| *until > hold.ret) else { continue };
        let place = open.entry((hold.era, hold.name)).or_insert((hold, until));
        let (before, lasts) = *place;
        if before.key != hold.key && lasts > hold.ret {
            let what = format!(
                "until {:.3}s the answer of {:.3}s (operation {}) lasts, with key {}",
                seconds(lasts),
                seconds(before.ret),
                before.by,
                before.key
            );
            return Some(Failure::new("lock", ALONE, says(hold, &what)).blaming([before.by, hold.by]));
        }
        if until > lasts {
            *place = (hold, until);
        }
    }
    None
}

/// A client is elected, or its answer says that it holds, though its lease had ended while an older key was still there.
fn passed_over(
    holds: &[Hold<'_>],
    seen: &[Sighting<'_>],
    leases: &BTreeMap<LeaseId, Lease>,
) -> Option<Failure> {
    holds.iter().find_map(|hold| {
        let create = hold.create?;
        let ended = leases.get(&hold.lease).filter(|lease| lease.is_of(hold.era))?.ended()?;
        let older = seen.iter().find(|seen| {
            seen.era == hold.era
                && seen.create < create
                && seen.call > ended
                && seen.key != hold.key
                && is_in(hold.name, seen.key)
        })?;
        let what = format!(
            "its lease had ended by {:.3}s, before its turn: the older key {} of revision {} is seen by operation {}, called at \
             {:.3}s",
            seconds(ended),
            older.key,
            older.create,
            older.by,
            seconds(older.call)
        );
        Some(Failure::new("lock", FIRST, says(hold, &what)).blaming([hold.by, older.by]))
    })
}

/// A key is seen alive after it was given back, or its lease had ended.
fn fence(
    holds: &[Hold<'_>],
    seen: &[Sighting<'_>],
    given_back: &[GivenBack<'_>],
    leases: &BTreeMap<LeaseId, Lease>,
) -> Option<Failure> {
    let mut lease_of: BTreeMap<&Bytes, LeaseId> = BTreeMap::new();
    for hold in holds {
        lease_of.insert(hold.key, hold.lease);
    }
    let mut ended: BTreeMap<&Bytes, Vec<&GivenBack<'_>>> = BTreeMap::new();
    for end in given_back {
        ended.entry(end.key).or_default().push(end);
    }
    seen.iter().find_map(|seen| {
        let of_key = ended.get(seen.key).into_iter().flatten();
        let end = of_key.copied().find(|end| {
            let is_of_life = if end.that_alone { seen.create == end.up_to } else { seen.create <= end.up_to };
            end.era == seen.era && is_of_life && seen.call > end.ret
        });
        let of_lease = lease_of.get(seen.key).and_then(|id| leases.get_key_value(id));
        let lease_end = of_lease.filter(|(_, lease)| {
            lease.is_of(seen.era) && lease.ended().is_some_and(|ended| seen.call > ended)
        });
        let (why, by) = match (end, lease_end) {
            (Some(end), _) => {
                let why = format!("was given back by {:.3}s (operation {})", seconds(end.ret), end.by);
                (why, Some(end.by))
            }
            (None, Some((id, lease))) => {
                let at = seconds(lease.ended().unwrap_or_default());
                (format!("is of lease {id}, which had ended by {at:.3}s"), None)
            }
            (None, None) => return None,
        };
        let how = if seen.fenced { "a write behind its fence was done" } else { "it was read" };
        let message = format!(
            "the key {} of revision {} {why}, and {how} by operation {}, called at {:.3}s",
            seen.key,
            seen.create,
            seen.by,
            seconds(seen.call)
        );
        Some(Failure::new("lock", FENCE, message).blaming(by.into_iter().chain([seen.by])))
    })
}

/// An observer sees an earlier leader after a later one.
fn order(operation: &Operation) -> Option<Failure> {
    let Some(OpResult::Observed(told)) = &operation.result else { return None };
    told.windows(2).find_map(|pair| {
        let revisions = |told: &Observed| (told.kv.create_revision, told.kv.mod_revision);
        let (before, after) = (revisions(&pair[0]), revisions(&pair[1]));
        (after < before).then(|| {
            let message = format!(
                "operation {} was told of the leader of revision {}, and then of that of revision {} (said at revisions {} \
                 and {})",
                operation.id, before.0, after.0, before.1, after.1
            );
            Failure::new("lock", ORDER, message).blaming([operation.id])
        })
    })
}

/// Judges a hold against the replay.
fn held<'a>(hold: &Hold<'a>, queues: &Queues<'a>) -> Result<(), (&'static str, String)> {
    if !is_in(hold.name, hold.key) {
        return Err((HELD, "that key is none of the queue".to_owned()));
    }
    let present = queues.at(hold.era, hold.name, hold.header);
    let Some(kv) = present.get(hold.key) else {
        return Err((HELD, "that key is not there".to_owned()));
    };
    if kv.lease != hold.lease {
        return Err((HELD, format!("that key is of lease {}", kv.lease)));
    }
    if hold.create.is_some_and(|create| kv.create_revision.0 != create) {
        return Err((HELD, format!("that key was created at revision {}", kv.create_revision)));
    }
    // A campaign's answer does not say at which revision its turn came.
    let older = present.values().find(|other| other.create_revision < kv.create_revision);
    match older.filter(|_| hold.is_lock) {
        None => Ok(()),
        Some(older) => {
            let what = format!(
                "its place is of revision {}, and key {} of revision {} is before it",
                kv.create_revision, older.key, older.create_revision
            );
            Err((FIRST, what))
        }
    }
}

/// What is wrong with what an answer says of a leader.
fn leader<'a>(operation: &'a Operation, era: usize, queues: &Queues<'a>) -> Option<String> {
    match (&operation.op, operation.result.as_ref()?) {
        (Op::Lock(Lock::Leader(name)), OpResult::Leader(kv)) => {
            let revision = operation.revision()?;
            let present = queues.at(era, name, revision.0);
            let is_true = present.get(&kv.key) == Some(&kv) && is_oldest(&present, kv);
            (!is_true).then(|| {
                format!(
                    "operation {} was told that {} leads {name} with {} at revision {revision}",
                    operation.id, kv.key, kv.value
                )
            })
        }
        (Op::Lock(Lock::Observe(name)), OpResult::Observed(told)) => told.iter().find_map(|told| {
            let kv = &told.kv;
            let present = queues.at(era, name, kv.mod_revision.0);
            (present.get(&kv.key) != Some(&kv)).then(|| {
                format!(
                    "operation {} was told that {} leads {name}, and had said {} at revision {}",
                    operation.id, kv.key, kv.value, kv.mod_revision
                )
            })
        }),
        _ => None,
    }
}
