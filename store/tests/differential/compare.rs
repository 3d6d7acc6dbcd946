//! Compares two answers, field by field.

use std::fmt;

use squall_store::proto::mvccpb::Event;

use crate::{answer::Answer, operation::Call};

/// The difference between two answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub etcd: String,
    pub squalld: String,
}

/// How many seconds two answers may differ in a lease's remaining time.
const SECONDS: i64 = 2;

/// Compares two answers; `None` if they agree.
pub fn answers(call: &Call, etcd: &Answer, squalld: &Answer) -> Option<Difference> {
    match (&etcd.said, &squalld.said) {
        (Ok(one), Ok(other)) => {
            let (one_lines, other_lines): (Vec<_>, Vec<_>) = (one.lines().collect(), other.lines().collect());
            if one_lines.len() == other_lines.len() {
                let mut pairs = one_lines.iter().zip(&other_lines);
                if pairs.all(|(one, other)| one == other || is_about_as_long(call, one, other)) {
                    return None;
                }
            }
            Some(Difference::of(&one_lines, &other_lines))
        }
        (Err(one), Err(other)) if one == other => None,
        _ => Some(Difference { etcd: etcd.to_string(), squalld: squalld.to_string() }),
    }
}

/// The remaining time of a lease depends on the moment of the call.
fn is_about_as_long(call: &Call, one: &str, other: &str) -> bool {
    let seconds = |line: &str| line.trim().strip_prefix("ttl: ")?.strip_suffix(',')?.parse::<i64>().ok();
    matches!(call, Call::LeaseTimeToLive(_))
        && matches!((seconds(one), seconds(other)), (Some(one), Some(other)) if one >= 0 && other >= 0 && (one - other).abs() <= SECONDS)
}

impl Difference {
    /// The first place at which two lists of changes differ, with the changes there.
    pub fn of_changes(what: &str, etcd: &[Event], squalld: &[Event]) -> Difference {
        let text = |events: &[Event]| format!("{what}: {} changes\n{events:#?}", events.len());
        let (etcd, squalld) = (text(etcd), text(squalld));
        Difference::of(&etcd.lines().collect::<Vec<_>>(), &squalld.lines().collect::<Vec<_>>())
    }

    /// The lines that differ: without the common beginning and end, but with some lines before.
    fn of(one: &[&str], other: &[&str]) -> Difference {
        let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
        let head = one.iter().zip(other).take_while(same).count();
        let rest = one.len().min(other.len()) - head;
        let tail = one.iter().rev().zip(other.iter().rev()).take_while(same).count().min(rest);
        let part = |lines: &[&str]| {
            let lines = &lines[head.saturating_sub(4)..(lines.len() - tail + 1).min(lines.len())];
            let cut = &lines[..lines.len().min(60)];
            cut.join("\n")
        };
        Difference { etcd: part(one), squalld: part(other) }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--- etcd:\n{}\n--- squalld:\n{}", self.etcd, self.squalld)
    }
}
