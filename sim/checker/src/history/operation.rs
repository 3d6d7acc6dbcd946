//! One operation of one client: what it asked, when, and what it learned.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::auth::Caller;
use super::request::Op;
use super::response::{OpResult, ResponseOp};

/// An operation's name in the history and in every verdict; unique within a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u64);

/// A client: one sequential process, with one operation open at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Client(pub u64);

/// The first client number for what leaders do by themselves. Each such action has a separate number.
pub const LEADERS: u64 = 1 << 40;

impl Client {
    /// Whether it stands for a leader that does something by itself.
    pub fn is_a_leader(self) -> bool {
        self.0 >= LEADERS
    }
}

/// A store-wide revision, as etcd counts it: an empty store is at 1, and every change makes the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub i64);

/// A lease; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub i64);

impl LeaseId {
    /// No lease.
    pub const NONE: LeaseId = LeaseId(0);

    /// Whether it is none.
    pub fn is_none(&self) -> bool {
        self.0 == 0
    }
}

macro_rules! display_inner {
    ($($name:ident)*) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        })*
    };
}
display_inner!(OpId Client Revision LeaseId);

/// What is known of an operation's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It took effect between call and return; header and result say how.
    Ok,
    /// It certainly did not take effect. Some errors are facts about the store's state all the same
    /// ([`ErrorKind::is_fact`]).
    Fail,
    /// It may have taken effect, at any time from its call on, or not at all.
    Info,
}

/// The header of an etcd response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The cluster that answered; a restore makes a new one.
    pub cluster_id: u64,
    /// The member that answered.
    pub member_id: u64,
    /// The store's revision: for a change the one that it made, else the one at which it was evaluated.
    pub revision: Revision,
    /// The member's raft term.
    pub raft_term: u64,
}

/// An error that the store returned, or that the client met on the way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Error {
    /// What it means for a checker.
    pub kind: ErrorKind,
    /// The gRPC code's name, as `OutOfRange`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The message as it came.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The errors that tell something about the store's state, and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// `mvcc: required revision has been compacted`.
    Compacted,
    /// `mvcc: required revision is a future revision`.
    FutureRevision,
    /// `key not found`: a put that was to keep the value or the lease of a key that is not there.
    KeyNotFound,
    /// `requested lease not found`.
    LeaseNotFound,
    /// `lease already exists`.
    LeaseExists,
    /// Any other; it says nothing about keys, leases or revisions.
    Other,
}

impl ErrorKind {
    /// Whether a certain failure with this error must hold in the store's state at some point between call and
    /// return.
    pub fn is_fact(self) -> bool {
        self != ErrorKind::Other
    }

    /// The kind that etcd's message stands for (`reference/etcd-api.md`, section 3).
    pub fn from_message(message: &str) -> ErrorKind {
        let has = |text: &str| message.contains(text);
        if has("required revision has been compacted") {
            ErrorKind::Compacted
        } else if has("required revision is a future revision") {
            ErrorKind::FutureRevision
        } else if has("etcdserver: key not found") {
            ErrorKind::KeyNotFound
        } else if has("requested lease not found") {
            ErrorKind::LeaseNotFound
        } else if has("lease already exists") {
            ErrorKind::LeaseExists
        } else {
            ErrorKind::Other
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Compacted => "revision compacted",
            ErrorKind::FutureRevision => "future revision",
            ErrorKind::KeyNotFound => "key not found",
            ErrorKind::LeaseNotFound => "lease not found",
            ErrorKind::LeaseExists => "lease exists",
            ErrorKind::Other => "other error",
        })
    }
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Its name.
    pub id: OpId,
    /// Who called.
    pub client: Client,
    /// The node that was asked, by name.
    #[serde(default, skip_serializing_if = "str_is_empty")]
    pub endpoint: Arc<str>,
    /// When it was called, in virtual nanoseconds.
    pub call: u64,
    /// When it returned, or the client gave it up; null if it was open to the end.
    #[serde(rename = "return")]
    pub ret: Option<u64>,
    /// What was asked.
    pub op: Op,
    /// What is known of its effect.
    pub outcome: Outcome,
    /// The response's header, of an operation that is ok.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// The response, of an operation that is ok.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<OpResult>,
    /// The error, of an operation that is not ok.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
    /// Whether it belongs to the reads after heal that durability is judged by.
    #[serde(default, rename = "final", skip_serializing_if = "std::ops::Not::not")]
    pub is_final: bool,
    /// The user for whom it was sent; absent if the client has not said who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
}

impl Operation {
    /// How messages name it: `client 3's put (operation 17)`.
    pub fn title(&self) -> String {
        format!("client {}'s {} (operation {})", self.client, self.op.name(), self.id)
    }

    /// Whether it is ok.
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// Whether its deadline passed before an answer came.
    pub fn deadline_passed(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.code == "DeadlineExceeded")
    }

    /// The error's kind, where it is a certain failure that says something about the state.
    pub fn fact(&self) -> Option<ErrorKind> {
        match (&self.outcome, &self.error) {
            (Outcome::Fail, Some(error)) if error.kind.is_fact() => Some(error.kind),
            _ => None,
        }
    }

    /// The revision in its header.
    pub fn revision(&self) -> Option<Revision> {
        self.header.map(|header| header.revision)
    }

    /// Whether its answer says that it changed keys, and so made the revision in its header. That of a revoke does not
    /// say.
    pub fn made_revision(&self) -> bool {
        fn changes(response: &ResponseOp) -> bool {
            match response {
                ResponseOp::Range(_) => false,
                ResponseOp::Put(_) => true,
                ResponseOp::DeleteRange(result) => result.deleted > 0,
                ResponseOp::Txn(result) => result.responses.iter().any(changes),
            }
        }
        match &self.result {
            Some(OpResult::Put(_)) => true,
            Some(OpResult::DeleteRange(result)) => result.deleted > 0,
            Some(OpResult::Txn(result)) => result.responses.iter().any(changes),
            _ => false,
        }
    }
}

fn str_is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}
