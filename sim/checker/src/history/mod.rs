//! A run's history: what the clients of an etcd-style store saw, and the facts that the harness noted beside it.
//!
//! The one input of every checker. The simulator writes it as JSON Lines (`history.jsonl`), one object a line, and
//! [`jsonl`] reads it back; a reader for etcd's own robustness reports maps those to the same types
//! (`crate::read`). A line is either an operation (a flat object that opens with `"id"`) or an event (an object with
//! one key, which names the kind):
//!
//! ```json
//! {"meta":{"format":1,"scenario":"majority-loss","seed":7}}
//! {"id":1,"client":3,"endpoint":"n1","call":1000,"return":2500,"op":{"put":{"key":"a","value":"1"}},"outcome":"ok","header":{"cluster_id":9,"member_id":1,"revision":2,"raft_term":2},"result":{"put":{}}}
//! {"fault":{"at":3000,"action":"crash","target":"n1"}}
//! {"hint":{"member":"n1","term":2,"index":8,"op":1}}
//! {"end":{"at":9000}}
//! ```
//!
//! What the types promise: an operation is recorded once, after it returned or was given up; its instants are virtual
//! nanoseconds on one clock; its [`Outcome`] is honest, that is, `fail` only for what certainly did not happen.
//! What they leave out: how the store works. Requests and responses are those of etcd's v3 API, written again here,
//! because the judge shares no code with the accused.

pub mod alert;
pub mod ask;
pub mod auth;
pub mod bytes;
mod compaction;
mod compared;
mod effect;
pub mod event;
mod excuse;
pub mod jsonl;
pub(crate) mod lines;
pub mod lock;
pub mod operation;
mod pool;
mod reconfiguration;
pub mod request;
pub mod response;

pub use alert::{AlertBlind, AlertLine, AlertState, ExpectedAlert, ExpectedAlerts};
pub use ask::{Ask, Asked, MemberStatus, Standing, TimeLeft, Watched};
pub use auth::{Auth, AuthStatusResult, Caller, Login, Membership, Permission};
pub use bytes::Bytes;
pub use compaction::Compaction;
pub use compared::Compared;
pub use effect::Effect;
pub use event::{
    AlarmLine, Applied, Break, BreakKind, Configuration, DiskReplaced, End, Event, Excused, Expectations,
    Failed, Fault, Found, HashLine, Heal, Hint, Life, Liveness, LogTerms, MemberList, MemberView, Meta,
    Outage, Panicked, Promised, Promotion, RaftLine, RoleChange, WatchEvent, WatchEventKind, WatchLine,
    WatchStart,
};
pub use jsonl::{HistoryWriter, RunHistory};
pub use lines::{ReadError, ReadLimits, ReadProblem};
pub use lock::{Claim, LeaderKey, Lock, Locked, Observed, Proclamation};
pub use operation::{Client, Error, ErrorKind, Header, LEADERS, LeaseId, OpId, Operation, Outcome, Revision};
pub use pool::Pool;
pub use reconfiguration::{Asks, MemberShown, Reconfiguration, Reconfigured};
pub use request::Compare;
pub use request::{
    Compact, CompareResult, CompareTarget, DeleteRange, LeaseGrant, LeaseRef, Op, Opaque, Put, Range,
    RequestOp, SortOrder, SortTarget, Txn,
};
pub use response::{
    CompactResult, DeleteRangeResult, Empty, KeyValue, LeaseGrantResult, LeaseKeepAliveResult, OpResult,
    PutResult, RangeResult, ResponseOp, TxnResult,
};
