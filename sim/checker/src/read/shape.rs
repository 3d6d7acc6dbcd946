//! What the values of a history are made of: plain values, independent keys, versions, transactions.
//!
//! Jepsen writes `[key value]` where it tests many objects at once ("independent keys"), etcd's register test writes
//! `[version value]` for a value, and both together `[key [version value]]`. Nothing in the file says so, and a
//! register may not hold a list here, so the shape follows from the values of *all* invocations: a shape counts only
//! where every one has it. A history of several shapes is refused with the line at which it differs.

use super::edn::Edn;
use super::event::RawOperation;

/// How the values of a register's history are made up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Where an operation names the object that it is about.
    pub keys: Keys,
    /// Whether each value comes with the register's version.
    pub versioned: bool,
}

/// Where an operation names the object that it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// Nowhere: there is one object.
    #[default]
    None,
    /// In the entry `:key`.
    Entry,
    /// In the value, `[key value]`.
    Tuple,
}

/// The words for micro-operations of a transaction.
pub(super) const MICRO: [&str; 5] = ["r", "w", "read", "write", "append"];

/// Whether a value is a list of micro-operations, `[[:r KEY VALUE] [:append KEY VALUE] ...]`.
pub(super) fn is_txn(value: &Edn) -> bool {
    let Edn::Seq(list) = value else { return false };
    !list.is_empty()
        && list.iter().all(|micro| match micro {
            Edn::Seq(words) => match words.first() {
                Some(Edn::Keyword(word) | Edn::Str(word)) => {
                    MICRO.contains(&word.as_str()) && words.len() > 1
                }
                _ => false,
            },
            _ => false,
        })
}

/// The shape of a register's history.
pub(super) fn of_register(operations: &[RawOperation]) -> Shape {
    let asked: Vec<&RawOperation> =
        operations.iter().filter(|raw| matches!(raw.function.as_str(), "read" | "write" | "cas")).collect();
    if operations.iter().any(|raw| raw.key.is_some()) {
        return Shape { keys: Keys::Entry, versioned: all_versioned(&asked, whole) };
    }
    // A compare-and-set is a pair by itself: with a key, a pair is in the pair.
    let tuples = !asked.is_empty()
        && asked.iter().all(|raw| match pair(&raw.value) {
            Some((_, rest)) => raw.function != "cas" || pair(rest).is_some(),
            None => false,
        });
    if all_versioned(&asked, whole) {
        Shape { keys: Keys::None, versioned: true }
    } else if tuples {
        let versioned = all_versioned(&asked, rest);
        Shape { keys: Keys::Tuple, versioned }
    } else {
        Shape::default()
    }
}

/// Whether what `part` gives of each value is `[nil value]`: a version is not known yet when an operation is invoked,
/// while a key always is. A read may ask with nil alone.
fn all_versioned(asked: &[&RawOperation], part: fn(&Edn) -> Option<&Edn>) -> bool {
    let mut any = false;
    let all = asked.iter().all(|raw| match (raw.function.as_str(), part(&raw.value)) {
        ("read", Some(Edn::Nil)) => true,
        (function, Some(value)) => pair(value).is_some_and(|(version, rest)| {
            any = true;
            *version == Edn::Nil && (function != "cas" || pair(rest).is_some())
        }),
        (_, None) => false,
    });
    all && any
}

fn whole(value: &Edn) -> Option<&Edn> {
    Some(value)
}

fn rest(value: &Edn) -> Option<&Edn> {
    pair(value).map(|(_, rest)| rest)
}

pub(super) fn pair(value: &Edn) -> Option<(&Edn, &Edn)> {
    match value {
        Edn::Seq(parts) => match parts.as_slice() {
            [first, second] => Some((first, second)),
            _ => None,
        },
        _ => None,
    }
}
