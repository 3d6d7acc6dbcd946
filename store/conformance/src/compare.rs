//! Compares two answers, field by field.

use std::fmt;

use squall_store::proto::mvccpb::Event;

use crate::{answer::Answer, operation::Call};

/// The difference between two answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What etcd said.
    pub etcd: String,
    /// What the compared store said.
    pub squalld: String,
}

/// How many seconds two answers may differ in a lease's remaining time.
const SECONDS: i64 = 2;

/// Compares two answers; `None` if they agree.
pub fn answers(call: &Call, etcd: &Answer, squalld: &Answer) -> Option<Difference> {
    match (&etcd.said, &squalld.said) {
        (Ok(one), Ok(other)) => texts(call, one, other),
        (Err(one), Err(other)) if one == other => None,
        _ => texts(call, &etcd.to_string(), &squalld.to_string()),
    }
}

/// The same for the texts of two answers.
pub fn texts(call: &Call, one: &str, other: &str) -> Option<Difference> {
    let (one_lines, other_lines): (Vec<_>, Vec<_>) = (one.lines().collect(), other.lines().collect());
    let mut pairs = one_lines.iter().zip(&other_lines);
    let agree = one_lines.len() == other_lines.len()
        && pairs.all(|(one, other)| {
            one == other || is_about_as_long(call, one, other) || is_taken(call, one, other)
        });
    (!agree).then(|| Difference::of(&one_lines, &other_lines))
}

/// A member's id is a hash of its URLs and of the second in which it is added. So if a member with the same URLs was
/// added in the same second, a URL that is taken is refused because of the id.
fn is_taken(call: &Call, one: &str, other: &str) -> bool {
    let taken = |line: &str| {
        line.contains("etcdserver: Peer URLs already exists")
            || line.contains("etcdserver: member ID already exist")
    };
    matches!(call, Call::MemberAdd { .. }) && taken(one) && taken(other)
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
        Difference::between(&text(etcd), &text(squalld))
    }

    /// Where two texts differ.
    pub(crate) fn between(etcd: &str, squalld: &str) -> Difference {
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
