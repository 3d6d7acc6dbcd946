//! Compactions: one that waits is answered when its records are gone, and each that was begun ends.
//!
//! No client can see what is gone from a member's engine, because compacted records cannot be read in any case. So the checks
//! rest on what the members report ([`Compaction`]): which compaction each has under way, and when it has finished it.
//!
//! - *Waited for*: a member that answered a compaction with `physical` has finished it by then. It is accused if it says, in
//!   the same life, that it finished only later.
//! - *Finished*: a compaction that is under way is finished, or replaced by an installed snapshot, within a limit. The limit is
//!   [`LEAST`] and [`SLOWER`] times what the slowest compaction took that another member had under way meanwhile. Nothing is
//!   demanded near a disturbance. Nothing is demanded either if another compaction follows before the limit, because the
//!   first one ends with the other.
//! - *Takes effect*: a compaction that a leader asks for by itself is applied, and not refused, within a limit. The limit is
//!   [`TAKEN_WITHIN`] and [`SLOWER`] times what the slowest write took that was acknowledged meanwhile. At least [`WRITES`] writes
//!   that were called later must show that the log goes on. Nothing is demanded near a disturbance, if another request may have
//!   compacted as much by then, or if the alarm CORRUPT was ever active.
//! - *Retained*: a leader that compacts by itself leaves what it is configured to keep. By time: the revision that it compacts to
//!   existed by then, so the write that made it was called before. By revisions: a write that was called later made a revision
//!   that is further ahead.

use std::collections::{BTreeMap, BTreeSet};

use super::alarms::is_ever_corrupt;
use super::era::Eras;
use super::quiet::Disturbances;
use super::{Failure, seconds};
use crate::history::{Compaction, Event, Op, OpId, Operation, Outcome, RunHistory};

const WAITED: &str = "compaction: a physical one is answered when its records are gone";
const FINISHED: &str = "compaction: one that is under way is finished";
const TAKEN: &str = "compaction: what a leader compacts by itself is compacted";
const RETAINED: &str = "compaction: a leader keeps as much of the history as it is told to";

pub(super) const GUARANTEES: [&str; 4] = [WAITED, FINISHED, TAKEN, RETAINED];

/// What a compaction may take in any case, in nanoseconds.
const LEAST: u64 = 2_000_000_000;
/// How many times as long as the slowest one it may take.
const SLOWER: u64 = 3;
/// How many writes a compaction may wait for, where they are slow.
const STEPS: u64 = 16;
/// How long a leader's own compaction may wait for its entry to be applied, in nanoseconds.
const TAKEN_WITHIN: u64 = 1_000_000_000;
/// How many writes must have been acknowledged meanwhile.
const WRITES: usize = 5;

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let reports: Vec<&Compaction> = history
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Compaction(line) => Some(line),
            _ => None,
        })
        .collect();
    let mut failures = Vec::new();
    failures.extend(waited(history, &reports));
    failures.extend(finished(history, &reports));
    failures.extend(taken(history));
    failures.extend(not_retained(history));
    failures
}

fn waited(history: &RunHistory, reports: &[&Compaction]) -> Option<Failure> {
    let eras = Eras::of(history);
    history.operations.iter().find_map(|operation| {
        let Op::Compact(compact) = &operation.op else { return None };
        let ret = operation.ret.filter(|_| operation.is_ok() && compact.physical)?;
        let mut done = reports.iter().filter(|line| {
            line.finished && *line.member == *operation.endpoint && line.revision >= compact.revision
        });
        let first = done.next().filter(|line| line.at > ret)?;
        let same_life = eras.in_one_life(&first.member, operation.call, first.at);
        // What a later compaction removed says nothing of this one.
        let other = reports.iter().any(|line| {
            !line.finished && line.member == first.member && line.at > ret && line.at <= first.at
        });
        (same_life && !other).then(|| {
            let message = format!(
                "operation {} was answered by {} at {:.3}s, and that member finished the compaction to revision {} at {:.3}s",
                operation.id,
                operation.endpoint,
                seconds(ret),
                compact.revision,
                seconds(first.at)
            );
            Failure::new("compaction", WAITED, message).blaming([operation.id])
        })
    })
}

/// A compaction that a member had under way, and the line that ended it.
struct Run<'a> {
    begun: &'a Compaction,
    done: Option<&'a Compaction>,
}

/// All of them, in the order in which they began.
fn runs<'a>(reports: &[&'a Compaction]) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut open: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for line in reports {
        let of_member = open.entry(line.member.as_str()).or_default();
        if line.finished {
            of_member.drain(..).for_each(|at| runs[at].done = Some(line));
        } else {
            of_member.push(runs.len());
            runs.push(Run { begun: line, done: None });
        }
    }
    runs
}

/// Whether another compaction may have moved the end of this one until `due`: a member with steady requests always has one
/// under way, and reports only the end.
fn goes_further(history: &RunHistory, begun: &Compaction, due: u64) -> bool {
    history.operations.iter().any(|operation| match &operation.op {
        Op::Compact(compact) => {
            compact.revision > begun.revision
                && operation.call <= due
                && operation.ret.is_none_or(|ret| ret >= begun.at)
                && operation.outcome != Outcome::Fail
        }
        _ => false,
    })
}

/// A leader's own compaction that no member applied in time, or that was applied and refused.
fn taken(history: &RunHistory) -> Option<Failure> {
    let own =
        |operation: &&Operation| operation.client.is_a_leader() && matches!(operation.op, Op::Compact(_));
    if !history.operations.iter().any(|operation| own(&operation)) || is_ever_corrupt(history) {
        return None;
    }
    let hinted: BTreeSet<OpId> = history.hints().map(|hint| hint.op).collect();
    let quiet = Disturbances::of(history);
    let last = history.operations.iter().filter_map(|operation| operation.ret).max()?;
    history.operations.iter().filter(own).find_map(|operation| {
        let Op::Compact(compact) = &operation.op else { return None };
        let from = operation.call;
        let later = history.operations.iter().filter(|write| {
            let made = write.made_revision() && !matches!(write.op, Op::Compact(_));
            made && write.call > from && write.call <= from + TAKEN_WITHIN
        });
        let took: Vec<u64> = later.filter_map(|write| Some(write.ret? - write.call)).collect();
        let due = from + TAKEN_WITHIN + SLOWER * took.iter().max()?;
        if hinted.contains(&operation.id) || took.len() < WRITES || due > last || quiet.touch(from, due) {
            return None;
        }
        // Another request may have compacted as much: then this one is refused.
        let other = history.operations.iter().any(|other| match &other.op {
            Op::Compact(other_compact) => {
                other.id != operation.id
                    && other_compact.revision >= compact.revision
                    && other.call <= due
                    && other.outcome != Outcome::Fail
                    && (!other.client.is_a_leader() || hinted.contains(&other.id))
            }
            _ => false,
        });
        (!other).then(|| {
            let message = format!(
                "{} asked by itself at {:.3}s for a compaction to revision {}, and no member has applied that by {:.3}s, though {} \
                 writes were done meanwhile",
                operation.endpoint,
                seconds(from),
                compact.revision,
                seconds(due),
                took.len()
            );
            Failure::new("compaction", TAKEN, message).blaming([operation.id])
        })
    })
}

/// A leader's own compaction to a revision that is to be kept.
fn not_retained(history: &RunHistory) -> Option<Failure> {
    let meta = history.meta()?;
    if meta.retention_ns == 0 && meta.retention_revisions == 0 {
        return None;
    }
    let eras = Eras::of(history);
    // Revisions are noted ten times in a retention, and a clock may run fast.
    let drift = meta.retention_ns / 1_000_000 * history.drift_ppm();
    let kept = (meta.retention_ns - meta.retention_ns / 5).saturating_sub(drift);
    let own = history.operations.iter().filter(|operation| operation.client.is_a_leader());
    own.filter_map(|operation| match &operation.op {
        Op::Compact(compact) => Some((operation, compact.revision)),
        _ => None,
    })
    .find_map(|(operation, revision)| {
        let era = eras.at(operation.call);
        let mut writes = history
            .operations
            .iter()
            .filter(|write| write.made_revision() && eras.of_operation(write) == Some(era));
        let shows = |write: &&Operation| {
            let Some(made) = write.revision() else { return false };
            match meta.retention_ns {
                0 => {
                    let kept = i64::try_from(meta.retention_revisions).unwrap_or(i64::MAX);
                    write.call > operation.call && made.0 <= revision.0.saturating_add(kept)
                }
                _ => made == revision && write.call > operation.call.saturating_sub(kept),
            }
        };
        let write = writes.find(shows)?;
        let message = format!(
            "{} asked by itself at {:.3}s for a compaction to revision {revision}, and operation {}, called at {:.3}s, made revision \
             {}",
            operation.endpoint,
            seconds(operation.call),
            write.id,
            seconds(write.call),
            write.revision().unwrap_or_default()
        );
        Some(Failure::new("compaction", RETAINED, message).blaming([operation.id, write.id]))
    })
}

fn finished(history: &RunHistory, reports: &[&Compaction]) -> Option<Failure> {
    let runs = runs(reports);
    let quiet = Disturbances::of(history);
    let last = history.operations.iter().filter_map(|operation| operation.ret).max()?;
    runs.iter().find_map(|run| {
        let begun = run.begun;
        let until = run.done.map_or(last, |done| done.at);
        if until <= begun.at + LEAST {
            return None;
        }
        // The time that the others needed meanwhile shows how much there was to remove.
        let others =
            runs.iter().filter(|other| other.begun.member != begun.member && other.begun.at <= until);
        let done = others.filter_map(|other| other.done.map(|done| (other.begun.at, done)));
        let meanwhile: Vec<_> = done.filter(|(_, done)| done.at >= begun.at).collect();
        let is_known = meanwhile.iter().any(|(_, done)| done.revision >= begun.revision);
        let slowest = meanwhile.iter().map(|(from, done)| done.at - from).max()?;
        let due = begun.at + LEAST + SLOWER * slowest + STEPS * history.longest_delay_ns();
        (is_known && until > due && !quiet.touch(begun.at, due) && !goes_further(history, begun, due)).then(|| {
            let message = format!(
                "{} had a compaction to revision {} under way at {:.3}s, and has not finished it by {:.3}s",
                begun.member,
                begun.revision,
                seconds(begun.at),
                seconds(until)
            );
            Failure::new("compaction", FINISHED, message)
        })
    })
}
