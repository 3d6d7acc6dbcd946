//! Planted errors: one of squalld's answers is falsified after it has come. A comparison that does not find it is
//! useless.

use squall_conformance::{Answer, Call, Operation, Refused};
use tonic::Code;

/// An error to plant.
#[derive(Clone, Copy)]
pub enum Planted {
    /// Falsifies an answer: the function returns true if it changed the answer, and false if the answer is of another
    /// kind.
    Answer(fn(&Operation, &mut Answer) -> bool),
    /// The recorder misses a change.
    RecorderMissesChange,
    /// A watcher misses a change.
    WatcherMissesChange,
}

/// All planted errors, with their names.
pub const PLANTED: &[(&str, Planted)] = &[
    (
        "a count",
        Planted::Answer(|operation, answer| {
            matches!(operation.call, Call::Range(_)) && add(answer, "count", 1)
        }),
    ),
    (
        "a revision",
        Planted::Answer(|operation, answer| {
            matches!(operation.call, Call::Put(_)) && add(answer, "revision", 1)
        }),
    ),
    (
        "a version in a transaction",
        Planted::Answer(|operation, answer| {
            matches!(operation.call, Call::Txn(_)) && add(answer, "version", 1)
        }),
    ),
    (
        "a hash",
        Planted::Answer(|operation, answer| {
            matches!(operation.call, Call::HashKv(_)) && add(answer, "hash", 1)
        }),
    ),
    (
        "seconds that are left",
        Planted::Answer(|operation, answer| {
            matches!(operation.call, Call::LeaseTimeToLive(_)) && add(answer, "ttl", 5)
        }),
    ),
    ("an auth revision", Planted::Answer(|_, answer| add(answer, "auth_revision", 1))),
    (
        "a member's kind",
        Planted::Answer(|operation, answer| {
            matches!(operation.call, Call::MemberList { .. })
                && replace(answer, "is_learner: false", "is_learner: true")
        }),
    ),
    (
        "a watcher's id",
        Planted::Answer(|operation, answer| {
            matches!(operation.call, Call::WatchCreate { .. }) && add(answer, "watch_id", 1)
        }),
    ),
    (
        "a refusal's code",
        Planted::Answer(|_, answer| match &mut answer.said {
            Err(refused) if refused.code == Code::InvalidArgument => {
                refused.code = Code::FailedPrecondition;
                true
            }
            _ => false,
        }),
    ),
    (
        "a refusal's text",
        Planted::Answer(|_, answer| match &mut answer.said {
            Err(refused) => {
                refused.message.push('.');
                true
            }
            Ok(_) => false,
        }),
    ),
    (
        "a refusal",
        Planted::Answer(|operation, answer| {
            let strikes = matches!(operation.call, Call::DeleteRange(_)) && !answer.is_refused();
            if strikes {
                answer.said =
                    Err(Refused { code: Code::Unavailable, message: "etcdserver: no leader".into() });
            }
            strikes
        }),
    ),
    ("a change that the recorder is not told of", Planted::RecorderMissesChange),
    ("a change that a watcher is not told of", Planted::WatcherMissesChange),
];

/// Adds to the first number of this name; false if there is none.
fn add(answer: &mut Answer, field: &str, more: i64) -> bool {
    let Ok(text) = &mut answer.said else { return false };
    let prefix = format!("{field}: ");
    let number = |line: &str| line.trim().strip_prefix(&prefix)?.strip_suffix(',')?.parse::<i64>().ok();
    let Some((line, found)) =
        text.lines().find_map(|line| Some((line.to_owned(), number(line).filter(|n| *n >= 0)?)))
    else {
        return false;
    };
    let changed = line.replace(&found.to_string(), &(found + more).to_string());
    *text = text.replacen(&line, &changed, 1);
    true
}

fn replace(answer: &mut Answer, from: &str, to: &str) -> bool {
    let Ok(text) = &mut answer.said else { return false };
    let found = text.contains(from);
    *text = text.replacen(from, to, 1);
    found
}
