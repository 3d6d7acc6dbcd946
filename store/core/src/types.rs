//! Newtypes for the numbers that a store must never mix up.
//!
//! Several integer counters run side by side here, and mixing them up is a common error in such systems: a raft
//! *index* is not a *revision* (failed and read-only commands take an index and no revision), and a revision is not
//! a key's *version*. So each has its own type. Signedness and width are those of etcd's API, so that a conversion
//! never clips.

use std::fmt;

/// A raft log index. The first entry is 1; 0 means "before the log".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

/// A raft term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// A main revision: the store-wide count of changes. An empty store is at revision 1. In a request, 0 (or less) means
/// "the newest".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

/// A lease's id. 0 means "no lease".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// A raft member's id. 0 is never a member. Shown in hexadecimal, as etcd shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// A cluster's id. Shown in hexadecimal, as etcd shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

/// One change's place in history: the main revision of its transaction, and its place within it.
///
/// Every write of one transaction shares `main`; `sub` counts them from 0 in the order of execution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rev {
    /// The transaction's revision.
    pub main: i64,
    /// The change's place within the transaction.
    pub sub: i64,
}

/// A running hash over everything applied so far; see [`State::digest`](crate::State::digest).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u64);

impl Index {
    /// The index of the entry after this one.
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }
}

impl Revision {
    /// The revision after this one.
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl LeaseId {
    /// The id that stands for "no lease".
    pub const NONE: LeaseId = LeaseId(0);
}

impl Rev {
    /// The first place in the transaction at `main`.
    pub fn start_of(main: i64) -> Rev {
        Rev { main, sub: 0 }
    }
}

macro_rules! display_decimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}
display_decimal!(Index, Term, Revision);

macro_rules! display_hex {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    )*};
}
display_hex!(LeaseId, MemberId, ClusterId);

impl fmt::Display for Rev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.main, self.sub)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
