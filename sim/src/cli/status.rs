//! The exit status.

use crate::report::{RunRecord, Verdict};
use crate::scenario::Outcome;

/// The exit status of a command. The order is that of gravity: the worst of several wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// 0: every outcome as expected.
    Ok,
    /// 2: a checker ran out of its budget.
    Unknown,
    /// 1: a violation, or an expectation of the scenario missed.
    Violation,
    /// 3: one seed gave two hashes.
    Nondeterminism,
    /// 70: the harness itself failed.
    Harness,
    /// 64: bad arguments or a bad file. Then nothing ran, so there is nothing that could be worse.
    Usage,
    /// 128 and the signal's number: a signal ended the command before its runs were made.
    Interrupted(u8),
}

impl Status {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Status::Ok => 0,
            Status::Violation => 1,
            Status::Unknown => 2,
            Status::Nondeterminism => 3,
            Status::Usage => 64,
            Status::Harness => 70,
            Status::Interrupted(signal) => 128 + signal,
        }
    }

    /// What one run amounts to by itself. A canary's runs amount to nothing each: one of them must find the bug, which
    /// their scenario as a whole decides.
    pub(crate) fn of(record: &RunRecord, expected: Outcome) -> Status {
        if record.failed("harness") {
            Status::Harness
        } else if record.failed("determinism") {
            Status::Nondeterminism
        } else if record.expected || expected == Outcome::Invalid {
            Status::Ok
        } else if record.verdict == Verdict::Unknown {
            Status::Unknown
        } else {
            Status::Violation
        }
    }
}
