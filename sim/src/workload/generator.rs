//! A client's next request.
//!
//! The promise: every kind of request of etcd's KV service occurs, with every option, and the judge can tell which write
//! a read saw, because values are unique in their run (they carry the operation's id). The few empty values are the
//! exception: an empty value is a case of its own.
//!
//! Compares, filters and past revisions are drawn around what this client saw last. Other clients may have changed it
//! since, so some compares hold and some do not; both are judged.
//!
//! A generator draws from its own stream only. What other clients do changes what it has seen and so the constants that
//! it compares with, but never its draws: without a neighbour a client still asks for the same kinds of request on the
//! same keys. A shrinker depends on that.
//!
//! Watches are no operations: `watcher` makes them. Users and their administrator draw for themselves (`auth`), and so do
//! the clients of locks and elections (`locks`).

mod append;
mod keys;
mod kubernetes;
mod leases;
mod reads;
mod refused;
mod seen;
#[cfg(test)]
mod tests;
mod txns;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;

use self::{keys::Keys, kubernetes::Jobs, leases::Leases, seen::Seen};
use super::weights;
use crate::scenario::{Cluster, Mix, Workload, WorkloadKind};

/// One value in so many is large, where the workload has large ones.
const LARGE_ONE_IN: u32 = 16;
/// One value in so many is empty, in workloads of type `kv`.
const EMPTY_ONE_IN: u32 = 32;

/// The sizes above which the store refuses requests, and the requests that clients do not make.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Operations allowed in one transaction.
    pub txn_ops: u32,
    /// Bytes allowed in one request.
    pub request_bytes: u64,
    /// Whether clients make transactions that write and also read at a named revision. In some real servers, if the revision
    /// cannot be read, only some members do such a transaction (etcd #18667).
    pub past_reads_beside_writes: bool,
    /// Whether clients make transactions that only read. Some real servers panic if the client of such a transaction gives up
    /// (etcd #14110).
    pub read_only_txns: bool,
    /// Whether clients make transactions that delete a key and put it, or put it and delete it. Some real servers lose such a
    /// key when they compact at that revision (etcd #22376).
    pub twofold_txns: bool,
}

impl Limits {
    /// Those of a cluster.
    pub fn of(cluster: &Cluster) -> Limits {
        Limits {
            txn_ops: cluster.max_txn_ops,
            request_bytes: cluster.max_request_bytes,
            past_reads_beside_writes: true,
            read_only_txns: true,
            twofold_txns: true,
        }
    }
}

/// One client's source of operations.
pub struct Generator {
    kind: WorkloadKind,
    mix: Mix,
    limits: Limits,
    value_bytes: usize,
    large_value_bytes: usize,
    /// 0 for a few seconds, which are drawn.
    lease_ttl_secs: u32,
    keys: Keys,
    seen: Seen,
    jobs: Jobs,
    leases: Leases,
    /// The revision of this client's last compaction.
    compacted: i64,
    chance: ChaCha8Rng,
}

impl Generator {
    /// A generator of the operations that `workload` asks for, drawn from `chance`.
    pub fn new(workload: &Workload, limits: Limits, chance: ChaCha8Rng) -> Self {
        Self {
            kind: workload.kind,
            mix: workload.mix(),
            limits,
            value_bytes: workload.value_bytes as usize,
            large_value_bytes: workload.large_value_bytes as usize,
            lease_ttl_secs: workload.lease_ttl_secs,
            keys: Keys { prefix: workload.kind.name(), count: workload.keys, hot: workload.hot_keys },
            seen: Seen::default(),
            jobs: Jobs::default(),
            leases: Leases::default(),
            compacted: 0,
            chance,
        }
    }

    /// The next operation; `unique` makes the values that it writes unlike all others in the run.
    pub fn next(&mut self, unique: u64) -> h::Op {
        let mut op = self.any(unique);
        match &mut op {
            h::Op::Txn(txn) if txn.may_change() => {
                if !self.limits.past_reads_beside_writes {
                    read_now(txn);
                }
                op
            }
            h::Op::Txn(_) if !self.limits.read_only_txns => h::Op::Range(self.get()),
            _ => op,
        }
    }

    fn any(&mut self, unique: u64) -> h::Op {
        let choice = weights::choose(&self.mix, &mut self.chance);
        match self.kind {
            WorkloadKind::Register | WorkloadKind::Kv => self.next_of_kv(choice, unique),
            WorkloadKind::Append => match choice {
                "txn" => h::Op::Txn(self.append(unique)),
                "readTxn" => h::Op::Txn(self.read_lists()),
                _ => h::Op::Range(self.get()),
            },
            WorkloadKind::Kubernetes => match choice {
                "put" => h::Op::Txn(self.create(unique)),
                "cas" => h::Op::Txn(self.update(unique)),
                "delete" => h::Op::Txn(self.delete_as_seen()),
                "range" => h::Op::Range(self.list()),
                "compact" => self.compactor(),
                _ => h::Op::Range(self.get()),
            },
            WorkloadKind::Lease => self.next_of_leases(choice, unique),
            WorkloadKind::Watch
            | WorkloadKind::Auth
            | WorkloadKind::Lock
            | WorkloadKind::Questions
            | WorkloadKind::EtcdAnswers => {
                unreachable!("watchers, users and those who take turns ask nothing of the generator")
            }
        }
    }

    fn next_of_kv(&mut self, choice: &str, unique: u64) -> h::Op {
        match choice {
            "put" => h::Op::Put(self.put(unique, 0)),
            "cas" => self.compare_and_swap(unique),
            "range" => h::Op::Range(self.range()),
            "delete" => h::Op::DeleteRange(self.delete()),
            "txn" => h::Op::Txn(self.txn(unique)),
            "readTxn" => h::Op::Txn(self.read_txn(unique)),
            "past" => h::Op::Range(self.past()),
            "refused" => self.refused(unique),
            "compact" => h::Op::Compact(self.compaction()),
            _ => h::Op::Range(self.get()),
        }
    }

    /// Remembers what an answer showed.
    pub fn learn(&mut self, op: &h::Op, result: &h::OpResult, header: &h::Header) {
        self.seen.learn(op, result, header);
        if self.kind == WorkloadKind::Kubernetes {
            self.continue_jobs(op, result, header);
        }
        self.leases.learn(op, result);
    }

    /// True once in `n` draws.
    fn one_in(&mut self, n: u32) -> bool {
        self.chance.gen_ratio(1, n)
    }

    fn key(&mut self) -> h::Bytes {
        self.keys.one(&mut self.chance)
    }

    /// A put of any key. `part` tells apart the values of one transaction; 0 is for an operation that writes once.
    fn put(&mut self, unique: u64, part: u32) -> h::Put {
        let key = self.key();
        let mut put = h::Put { key, value: self.value(unique, part), ..h::Put::default() };
        if self.kind == WorkloadKind::Kv {
            put.prev_kv = self.one_in(6);
            match self.chance.gen_range(0..24) {
                0 | 1 => {
                    put.ignore_value = true;
                    put.value = h::Bytes::default();
                }
                2 => put.ignore_lease = true,
                _ => {}
            }
        }
        put
    }

    fn value(&mut self, unique: u64, part: u32) -> h::Bytes {
        if self.kind == WorkloadKind::Kv && self.one_in(EMPTY_ONE_IN) {
            return h::Bytes::default();
        }
        let large = self.large_value_bytes > 0 && self.one_in(LARGE_ONE_IN);
        let least = if large { self.large_value_bytes } else { self.value_bytes };
        let size = least + self.chance.gen_range(0..=least / 2);
        let mut value = if part == 0 { format!("v{unique}") } else { format!("v{unique}.{part}") };
        if value.len() < size {
            value.push(' ');
            value.extend(('a'..='z').cycle().take(size - value.len()));
        }
        h::Bytes::from(value)
    }

    /// Up to a revision seen lately, mostly; now and then one that this client has asked for before, or a future one.
    fn compaction(&mut self) -> h::Compact {
        let newest = self.seen.revision;
        let back = self.chance.gen_range(0..8);
        let revision = match self.chance.gen_range(0..8) {
            0..=3 => newest,
            4 | 5 => newest - back,
            6 => self.compacted,
            _ => newest + 1,
        };
        let revision = revision.max(1);
        self.compacted = revision;
        h::Compact { revision: h::Revision(revision), physical: self.one_in(4) }
    }

    fn delete(&mut self) -> h::DeleteRange {
        let prev_kv = self.one_in(4);
        let (key, range_end) = match self.chance.gen_range(0..24) {
            0..=3 => self.keys.between(&mut self.chance),
            4 => self.keys.span(&mut self.chance),
            _ => (self.key(), h::Bytes::default()),
        };
        h::DeleteRange { key, range_end, prev_kv }
    }
}

/// Makes every read of a transaction a read at the newest revision.
fn read_now(txn: &mut h::Txn) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match op {
            h::RequestOp::Range(range) => range.revision = h::Revision(0),
            h::RequestOp::Txn(txn) => read_now(txn),
            _ => {}
        }
    }
}
