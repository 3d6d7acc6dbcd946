//! Compactions: one that waits is answered when its records are gone, and each that was begun ends.
//!
//! What is gone from a member's engine no client can see: what is compacted cannot be read in any case. So this rests on the
//! members' word, [`Compaction`]: which one each has under way, and when it has finished it.
//!
//! - *Waited for*: a member that answered a compaction with `physical` has finished it by then. It is accused where it says in
//!   the same life that it finished only later.
//! - *Finished*: a compaction that is under way is finished, or replaced by an installed snapshot, within [`LEAST`] and [`SLOWER`] times
//!   what the slowest took that another member had under way meanwhile. Nothing is demanded near to a disturbance, nor where
//!   another compaction follows before that time is over: then the first one ends with the other.

use std::collections::BTreeMap;

use super::era::Eras;
use super::quiet::Unquiet;
use super::{Failure, seconds};
use crate::history::{Compaction, Event, Op, Outcome, RunHistory};

const WAITED: &str = "compaction: a physical one is answered when its records are gone";
const FINISHED: &str = "compaction: one that is under way is finished";

pub(super) const GUARANTEES: [&str; 2] = [WAITED, FINISHED];

/// What a compaction may take in any case, in nanoseconds.
const LEAST: u64 = 2_000_000_000;
/// How many times as long as the slowest one it may take.
const SLOWER: u64 = 3;

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let told: Vec<&Compaction> = history
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Compaction(line) => Some(line),
            _ => None,
        })
        .collect();
    let mut failures = Vec::new();
    failures.extend(waited(history, &told));
    failures.extend(finished(history, &told));
    failures
}

fn waited(history: &RunHistory, told: &[&Compaction]) -> Option<Failure> {
    let eras = Eras::of(history);
    history.operations.iter().find_map(|operation| {
        let Op::Compact(compact) = &operation.op else { return None };
        let ret = operation.ret.filter(|_| operation.is_ok() && compact.physical)?;
        let mut done = told.iter().filter(|line| {
            line.finished && *line.member == *operation.endpoint && line.revision >= compact.revision
        });
        let first = done.next().filter(|line| line.at > ret)?;
        let life = |instant| eras.life_of(&first.member, instant);
        let same_life = life(operation.call) == life(first.at);
        // What a later compaction removed says nothing of this one.
        let other = told.iter().any(|line| {
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
fn runs<'a>(told: &[&'a Compaction]) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut open: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for line in told {
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

/// Whether another compaction may have moved the end of this one until `due`: a member under steady requests has always one
/// under way, and tells only of the end.
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

fn finished(history: &RunHistory, told: &[&Compaction]) -> Option<Failure> {
    let runs = runs(told);
    let quiet = Unquiet::of(history);
    let last = history.operations.iter().filter_map(|operation| operation.ret).max()?;
    runs.iter().find_map(|run| {
        let begun = run.begun;
        let until = run.done.map_or(last, |done| done.at);
        if until <= begun.at + LEAST {
            return None;
        }
        // What the others had to remove meanwhile tells how much there was.
        let others =
            runs.iter().filter(|other| other.begun.member != begun.member && other.begun.at <= until);
        let done = others.filter_map(|other| other.done.map(|done| (other.begun.at, done)));
        let meanwhile: Vec<_> = done.filter(|(_, done)| done.at >= begun.at).collect();
        let is_known = meanwhile.iter().any(|(_, done)| done.revision >= begun.revision);
        let slowest = meanwhile.iter().map(|(from, done)| done.at - from).max()?;
        let due = begun.at + LEAST + SLOWER * slowest;
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
