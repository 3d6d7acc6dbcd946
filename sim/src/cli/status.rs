//! The exit status.

use crate::report::{RunRecord, Verdict};
use crate::scenario::Outcome;

/// The exit status of a command, ordered by severity: the worst of several wins.
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
    /// 64: bad arguments or a bad file. Nothing ran then, so no other status applies.
    Usage,
    /// 128 plus the signal's number: a signal ended the command before all runs were made.
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

    /// The status of a single run. A canary's runs have none by themselves: one of them must find the bug, which is
    /// decided for all runs of the scenario together.
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
