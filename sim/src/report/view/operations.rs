//! The clients' operations as rows, with each text stored once.

use crate::workload::BESIDE;
use squall_checker::history::{Bytes, LEADERS, Op, Operation, Outcome, RequestOp, RunHistory, Txn};
use squall_checker::picture::etcd_label;
use std::collections::{BTreeMap, BTreeSet};

/// The most characters of a label. The middle of a longer one is left out.
const MOST: usize = 160;

/// The operations, ordered by call, and the tables that they refer to.
#[derive(Debug, Default)]
pub struct Rows {
    /// The clients, by number.
    pub clients: Vec<u64>,
    /// Their names, in the same order.
    pub names: Vec<String>,
    /// Labels, errors and endpoints, each once.
    pub texts: Vec<String>,
    /// The keys, by name.
    pub keys: Vec<String>,
    /// The operations, ordered by call.
    pub rows: Vec<Row>,
}

/// One operation.
#[derive(Debug)]
pub struct Row {
    /// Its id.
    pub id: u64,
    /// Its client's index in [`Rows::clients`].
    pub client: usize,
    /// When it was called.
    pub call: u64,
    /// When it returned.
    pub ret: Option<u64>,
    /// Its outcome.
    pub outcome: Outcome,
    /// Whether it may change something.
    pub writes: bool,
    /// The operation and its answer: an index in [`Rows::texts`].
    pub label: usize,
    /// The member that was asked: an index in [`Rows::texts`].
    pub endpoint: usize,
    /// Its keys: indices in [`Rows::keys`].
    pub keys: Vec<usize>,
    /// The revision in its answer.
    pub revision: Option<i64>,
    /// The term in its answer.
    pub term: Option<u64>,
    /// Its error: an index in [`Rows::texts`].
    pub error: Option<usize>,
    /// Whether it belongs to the reads at the end.
    pub is_final: bool,
    /// Whether it failed because the store's rules forbid it. Such a failure is no sign of trouble.
    pub refused: bool,
}

/// The operations of a history.
pub(super) fn rows(history: &RunHistory) -> Rows {
    let mut operations: Vec<&Operation> = history.operations.iter().collect();
    operations.sort_by_key(|operation| (operation.call, operation.id));
    let mut clients: Vec<u64> = operations.iter().map(|operation| operation.client.0).collect();
    clients.sort_unstable();
    clients.dedup();
    let names = names(&clients);
    let mut texts = Table::default();
    let mut keys = Table::default();
    let rows = operations
        .iter()
        .map(|operation| Row {
            id: operation.id.0,
            client: clients.binary_search(&operation.client.0).expect("every client has a lane"),
            call: operation.call,
            ret: operation.ret,
            outcome: operation.outcome,
            writes: operation.op.may_change(),
            label: texts.place(&shorten(&etcd_label(operation))),
            endpoint: texts.place(&operation.endpoint),
            keys: keys_of(&operation.op).iter().map(|key| keys.place(&shorten(&key.to_string()))).collect(),
            revision: operation.header.map(|header| header.revision.0),
            term: operation.header.map(|header| header.raft_term),
            error: operation.error.as_ref().map(|error| {
                let words = format!("{} {}", error.code, error.message);
                let words =
                    if words.trim().is_empty() { error.kind.to_string() } else { words.trim().into() };
                texts.place(&shorten(&words))
            }),
            is_final: operation.is_final,
            refused: is_refusal(operation),
        })
        .collect();
    Rows { clients, names, texts: texts.all, keys: keys.all, rows }
}

/// The clients' names. A service's steps for a client run concurrently, each with its own client number. They are
/// named after that client. All that leaders do by themselves has the name of a leader.
fn names(clients: &[u64]) -> Vec<String> {
    let name = |&client: &u64| match client {
        0 => "operator".to_owned(),
        1 => "compactor".to_owned(),
        _ if client >= LEADERS => "a leader".to_owned(),
        _ if client >= BESIDE => format!("for client {}", client % BESIDE),
        _ => format!("client {client}"),
    };
    clients.iter().map(name).collect()
}

/// The gRPC codes with which a member refuses a request that is against the rules. Other codes mean that the cluster
/// could not answer.
const REFUSALS: [&str; 7] = [
    "InvalidArgument",
    "OutOfRange",
    "NotFound",
    "AlreadyExists",
    "FailedPrecondition",
    "PermissionDenied",
    "Unauthenticated",
];

fn is_refusal(operation: &Operation) -> bool {
    operation.outcome == Outcome::Fail
        && (
            // A step of a service that was not made, since it was not needed.
            operation.endpoint.is_empty()
                || operation
                    .error
                    .as_ref()
                    .is_some_and(|error| error.kind.is_fact() || REFUSALS.contains(&error.code.as_str()))
        )
}

/// The keys that an operation names, each once.
fn keys_of(op: &Op) -> BTreeSet<Bytes> {
    let mut found = BTreeSet::new();
    match op {
        Op::Range(range) => _ = found.insert(range.key.clone()),
        Op::Put(put) => _ = found.insert(put.key.clone()),
        Op::DeleteRange(delete) => _ = found.insert(delete.key.clone()),
        Op::Txn(txn) => txn_keys(txn, &mut found),
        _ => {}
    }
    found
}

fn txn_keys(txn: &Txn, found: &mut BTreeSet<Bytes>) {
    found.extend(txn.compares.iter().map(|compare| compare.key.clone()));
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            RequestOp::Range(range) => _ = found.insert(range.key.clone()),
            RequestOp::Put(put) => _ = found.insert(put.key.clone()),
            RequestOp::DeleteRange(delete) => _ = found.insert(delete.key.clone()),
            RequestOp::Txn(txn) => txn_keys(txn, found),
        }
    }
}

#[derive(Default)]
struct Table {
    all: Vec<String>,
    known: BTreeMap<String, usize>,
}

impl Table {
    fn place(&mut self, text: &str) -> usize {
        if let Some(&place) = self.known.get(text) {
            return place;
        }
        self.known.insert(text.to_owned(), self.all.len());
        self.all.push(text.to_owned());
        self.all.len() - 1
    }
}

fn shorten(text: &str) -> String {
    let count = text.chars().count();
    if count <= MOST {
        return text.to_owned();
    }
    let head: String = text.chars().take(MOST * 2 / 3).collect();
    let tail: String = text.chars().skip(count - MOST / 3).collect();
    format!("{head} … {tail}")
}
