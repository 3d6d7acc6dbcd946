//! Transactions: compares of every kind, and branches that read, put, delete and nest.
//!
//! A few put a key and delete it, in either order: etcd accepts that of a delete from a key on (#22445), and of nested
//! transactions beside each other (#16380), and does both at one revision.

use rand::Rng;
use squall_checker::history as h;

use super::{Generator, keys::holds};

/// How deep transactions nest below the outermost.
const DEPTH: u32 = 2;

/// What a branch writes so far. etcd refuses a key that is put twice, or put and deleted, in one branch, nested
/// transactions included.
#[derive(Clone, Default)]
struct Writes {
    puts: Vec<h::Bytes>,
    deletes: Vec<(h::Bytes, h::Bytes)>,
}

impl Writes {
    fn takes_put(&mut self, key: &h::Bytes) -> bool {
        let clashes = self.puts.contains(key) || self.deletes.iter().any(|(from, end)| holds(from, end, key));
        if !clashes {
            self.puts.push(key.clone());
        }
        !clashes
    }

    fn takes_delete(&mut self, delete: &h::DeleteRange) -> bool {
        let clashes = self.puts.iter().any(|key| holds(&delete.key, &delete.range_end, key));
        if !clashes {
            self.deletes.push((delete.key.clone(), delete.range_end.clone()));
        }
        !clashes
    }

    /// Both branches of a nested transaction count, though only one is done.
    fn join(&mut self, other: Writes) {
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
    }
}

/// The parts that a transaction's puts are numbered by, so that their values differ.
struct Parts {
    unique: u64,
    next: u32,
}

impl Generator {
    /// Puts if the key is as this client saw it last, and reads it otherwise.
    pub(super) fn compare_and_swap(&mut self, unique: u64) -> h::Op {
        let mut put = self.put(unique, 0);
        if put.ignore_value {
            // A compare-and-swap writes a value. Other puts cover `ignore_value`.
            (put.ignore_value, put.value) = (false, self.value(unique, 1));
        }
        let target = match (self.chance.gen_range(0..3), self.seen.key(&put.key)) {
            (0, Some(kv)) => h::CompareTarget::Value(kv.value.clone()),
            (1, None) => h::CompareTarget::Version(0),
            (_, Some(kv)) => h::CompareTarget::Mod(kv.mod_revision),
            (_, None) => h::CompareTarget::Mod(h::Revision(0)),
        };
        let result = h::CompareResult::Equal;
        let compare = h::Compare { key: put.key.clone(), range_end: h::Bytes::default(), result, target };
        let read = h::Range { key: put.key.clone(), ..h::Range::default() };
        h::Op::Txn(h::Txn {
            compares: vec![compare],
            success: vec![h::RequestOp::Put(put)],
            failure: vec![h::RequestOp::Range(read)],
        })
    }

    /// A transaction that may write.
    pub(super) fn txn(&mut self, unique: u64) -> h::Txn {
        let mut parts = Parts { unique, next: 0 };
        let (txn, _) = self.nested(&mut parts, &Writes::default(), DEPTH);
        txn
    }

    /// A transaction whose writes fit to those around it, and all the writes that it may do.
    fn nested(&mut self, parts: &mut Parts, around: &Writes, depth: u32) -> (h::Txn, Writes) {
        let compares = self.compares();
        let (success, mut writes) = self.branch(parts, around, depth);
        let (failure, others) =
            if self.one_in(2) { self.branch(parts, around, depth) } else { (Vec::new(), Writes::default()) };
        writes.join(others);
        (h::Txn { compares, success, failure }, writes)
    }

    fn branch(&mut self, parts: &mut Parts, around: &Writes, depth: u32) -> (Vec<h::RequestOp>, Writes) {
        let mut all = around.clone();
        let mut ops = Vec::new();
        for _ in 0..self.chance.gen_range(1..=4) {
            let op = match self.chance.gen_range(0..16) {
                0..=7 => {
                    parts.next += 1;
                    let put = self.put(parts.unique, parts.next);
                    all.takes_put(&put.key).then_some(h::RequestOp::Put(put))
                }
                8..=9 => {
                    let delete = self.delete();
                    all.takes_delete(&delete).then_some(h::RequestOp::DeleteRange(delete))
                }
                10 if depth > 0 && self.one_in(8) => {
                    ops.extend(self.twofold(parts, &mut all));
                    None
                }
                10 if depth > 0 => {
                    let (txn, writes) = self.nested(parts, &all, depth - 1);
                    all.join(writes);
                    Some(h::RequestOp::Txn(txn))
                }
                _ => Some(h::RequestOp::Range(self.read_within())),
            };
            ops.extend(op);
        }
        (ops, all)
    }

    /// Puts a key and deletes it, or deletes it and puts it. It makes no put that keeps the value or the lease: etcd 3.5 panics
    /// if the transaction itself has deleted the key before.
    fn twofold(&mut self, parts: &mut Parts, all: &mut Writes) -> Vec<h::RequestOp> {
        parts.next += 1;
        let mut put = self.put(parts.unique, parts.next);
        if !self.limits.twofold_txns || !all.takes_put(&put.key) {
            return Vec::new();
        }
        if put.ignore_value {
            (put.ignore_value, put.value) = (false, self.value(parts.unique, parts.next));
        }
        put.ignore_lease = false;
        let (key, prev_kv) = (put.key.clone(), self.one_in(2));
        let one = |op| h::RequestOp::Txn(h::Txn { success: vec![op], ..h::Txn::default() });
        let put = h::RequestOp::Put(put);
        if self.one_in(3) {
            let delete = h::DeleteRange { key: key.clone(), range_end: h::Bytes::default(), prev_kv };
            all.deletes.push((key, h::Bytes::default()));
            return vec![one(put), one(h::RequestOp::DeleteRange(delete))];
        }
        let delete = h::DeleteRange { key, range_end: h::Bytes::from("\0"), prev_kv };
        let delete = h::RequestOp::DeleteRange(delete);
        if self.one_in(3) { vec![put, delete] } else { vec![delete, put] }
    }

    /// A transaction that only reads.
    pub(super) fn read_txn(&mut self, unique: u64) -> h::Txn {
        let mut txn = self.reads(DEPTH);
        if self.one_in(6) {
            make_serializable(&mut txn);
        } else if unique % 3 == 1
            && let [h::RequestOp::Range(first), _, ..] = &mut txn.success[..]
        {
            // One serializable read alone changes nothing: the others still make the transaction linearizable.
            first.serializable = true;
        }
        txn
    }

    fn reads(&mut self, depth: u32) -> h::Txn {
        let compares = self.compares();
        let success = self.read_branch(depth);
        let failure = if self.one_in(2) { self.read_branch(depth) } else { Vec::new() };
        h::Txn { compares, success, failure }
    }

    fn read_branch(&mut self, depth: u32) -> Vec<h::RequestOp> {
        (0..self.chance.gen_range(1..=3))
            .map(|_| {
                if depth > 0 && self.one_in(8) {
                    h::RequestOp::Txn(self.reads(depth - 1))
                } else {
                    h::RequestOp::Range(self.read_within())
                }
            })
            .collect()
    }

    /// A read inside a transaction. Few of them name a revision, because one that cannot be read fails the whole transaction.
    fn read_within(&mut self) -> h::Range {
        let mut range = if self.one_in(2) { self.get() } else { self.range() };
        if self.one_in(10) {
            range.revision = h::Revision(self.past_revision().0.max(0));
        }
        range
    }

    fn compares(&mut self) -> Vec<h::Compare> {
        let count = [0, 0, 1, 1, 1, 1, 2, 3][self.chance.gen_range(0..8)];
        (0..count).map(|_| self.compare()).collect()
    }

    /// A compare of any kind, against something at or beside what was seen.
    fn compare(&mut self) -> h::Compare {
        use h::CompareResult::{Equal, Greater, Less, NotEqual};
        let (key, range_end) =
            if self.one_in(4) { self.keys.span(&mut self.chance) } else { (self.key(), h::Bytes::default()) };
        let result =
            [Equal, Equal, Equal, Greater, Greater, Less, Less, NotEqual][self.chance.gen_range(0..8)];
        let kind = self.chance.gen_range(0..16);
        let near = self.near_revision(&key);
        let beside = self.chance.gen_range(0..2);
        let seen = self.seen.key(&key);
        let target = match kind {
            0..=3 => h::CompareTarget::Mod(seen.map_or(h::Revision(0), |kv| kv.mod_revision)),
            4 => h::CompareTarget::Mod(near),
            5..=6 => h::CompareTarget::Create(seen.map_or(h::Revision(0), |kv| kv.create_revision)),
            7 => h::CompareTarget::Create(near),
            8..=10 => h::CompareTarget::Version(seen.map_or(0, |kv| kv.version + beside)),
            11..=13 => h::CompareTarget::Value(seen.map_or_else(h::Bytes::default, |kv| kv.value.clone())),
            14 => h::CompareTarget::Value(h::Bytes::from("v5")),
            _ => h::CompareTarget::Lease(h::LeaseId(beside)),
        };
        h::Compare { key, range_end, result, target }
    }
}

/// Makes every read of it serializable: then the asked member answers from its own state.
fn make_serializable(txn: &mut h::Txn) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match op {
            h::RequestOp::Range(range) => range.serializable = true,
            h::RequestOp::Txn(txn) => make_serializable(txn),
            _ => {}
        }
    }
}
