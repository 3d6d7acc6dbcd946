//! What a client asks next.
//!
//! Every value written is unique in its run, so that a read tells which write it saw. Compare-and-swaps and
//! transactions compare with what this client saw last, which other clients may have changed since: some succeed, some
//! fail, and both are judged. The kv mix also reads at past revisions and, now and then, from a single member
//! (serializable), since the judge checks those against the replayed states.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;

use crate::scenario::{Mix, Workload, WorkloadKind};

/// One client's source of operations.
pub struct Generator {
    kind: WorkloadKind,
    mix: Mix,
    keys: u32,
    value_bytes: usize,
    chance: ChaCha8Rng,
    /// What this client saw of a key last: its mod revision (0: absent) and value.
    seen: BTreeMap<h::Bytes, (h::Revision, h::Bytes)>,
    last_revision: i64,
}

impl Generator {
    /// Operations as `workload` asks for them, drawn from `chance`.
    pub fn new(workload: &Workload, chance: ChaCha8Rng) -> Self {
        Self {
            kind: workload.kind,
            mix: workload.mix(),
            keys: workload.keys,
            value_bytes: workload.value_bytes as usize,
            chance,
            seen: BTreeMap::new(),
            last_revision: 0,
        }
    }

    /// The next operation; `unique` makes the values that it writes unlike all others in the run.
    pub fn next(&mut self, unique: u64) -> h::Op {
        let total: u32 = self.mix.weights().iter().map(|(_, weight)| weight).sum();
        let mut draw = self.chance.gen_range(0..total);
        let mut chosen = "get";
        for (name, weight) in self.mix.weights() {
            if draw < weight {
                chosen = name;
                break;
            }
            draw -= weight;
        }
        match chosen {
            "put" => h::Op::Put(self.put(unique, 0)),
            "cas" => self.compare_and_swap(unique),
            "range" => self.range(),
            "delete" => h::Op::DeleteRange(self.delete()),
            "txn" => self.txn(unique),
            _ => self.get(),
        }
    }

    /// Remembers what an answer told, for later comparisons and past revisions.
    pub fn learn(&mut self, op: &h::Op, result: &h::OpResult, header: &h::Header) {
        self.last_revision = header.revision.0;
        match (op, result) {
            (h::Op::Range(range), h::OpResult::Range(result))
                if range.revision.0 == 0 && !range.keys_only =>
            {
                if result.kvs.is_empty() && range.range_end.is_empty() {
                    self.seen.remove(&range.key);
                }
                for kv in &result.kvs {
                    self.seen.insert(kv.key.clone(), (kv.mod_revision, kv.value.clone()));
                }
            }
            (h::Op::Put(put), h::OpResult::Put(_)) => {
                self.seen.insert(put.key.clone(), (header.revision, put.value.clone()));
            }
            _ => {}
        }
    }

    fn key(&mut self) -> h::Bytes {
        let number = self.chance.gen_range(0..self.keys);
        h::Bytes::from(format!("{}{number:03}", self.kind.name()))
    }

    fn put(&mut self, unique: u64, part: u32) -> h::Put {
        let key = self.key();
        let mut value = if part == 0 { format!("v{unique}") } else { format!("v{unique}.{part}") };
        if value.len() < self.value_bytes {
            value.push(' ');
            value.extend(('a'..='z').cycle().take(self.value_bytes - value.len()));
        }
        let prev_kv = self.kind == WorkloadKind::Kv && self.chance.gen_ratio(1, 8);
        h::Put { key, value: h::Bytes::from(value), prev_kv, ..h::Put::default() }
    }

    fn get(&mut self) -> h::Op {
        let mut range = h::Range { key: self.key(), ..h::Range::default() };
        if self.kind == WorkloadKind::Kv {
            match self.chance.gen_range(0..16) {
                0 => range.serializable = true,
                1 if self.last_revision > 1 => {
                    let back = self.chance.gen_range(0..20);
                    range.revision = h::Revision((self.last_revision - back).max(1));
                }
                _ => {}
            }
        }
        h::Op::Range(range)
    }

    fn range(&mut self) -> h::Op {
        let (key, range_end) = self.span();
        let mut range = h::Range { key, range_end, ..h::Range::default() };
        match self.chance.gen_range(0..6) {
            0 => range.limit = self.chance.gen_range(1..4),
            1 => range.keys_only = true,
            2 => range.count_only = true,
            3 if self.last_revision > 1 => range.revision = h::Revision(self.last_revision),
            _ => {}
        }
        h::Op::Range(range)
    }

    /// A key, and a key behind it as the end of a range.
    fn span(&mut self) -> (h::Bytes, h::Bytes) {
        let from = self.chance.gen_range(0..self.keys);
        let to = self.chance.gen_range(from + 1..=self.keys);
        let name = self.kind.name();
        (h::Bytes::from(format!("{name}{from:03}")), h::Bytes::from(format!("{name}{to:03}")))
    }

    fn delete(&mut self) -> h::DeleteRange {
        let prev_kv = self.chance.gen_ratio(1, 4);
        if self.chance.gen_ratio(1, 8) {
            let (key, range_end) = self.span();
            h::DeleteRange { key, range_end, prev_kv }
        } else {
            h::DeleteRange { key: self.key(), prev_kv, ..h::DeleteRange::default() }
        }
    }

    fn compare_and_swap(&mut self, unique: u64) -> h::Op {
        let put = self.put(unique, 0);
        let compare = self.compare(&put.key);
        let read = h::Range { key: put.key.clone(), ..h::Range::default() };
        h::Op::Txn(h::Txn {
            compares: vec![compare],
            success: vec![h::RequestOp::Put(put)],
            failure: vec![h::RequestOp::Range(read)],
        })
    }

    fn compare(&mut self, key: &h::Bytes) -> h::Compare {
        let seen = self.seen.get(key).cloned();
        let target = match (self.chance.gen_range(0..3), seen) {
            (0, Some((_, value))) => h::CompareTarget::Value(value),
            (1, None) => h::CompareTarget::Version(0),
            (_, Some((revision, _))) => h::CompareTarget::Mod(revision),
            (_, None) => h::CompareTarget::Mod(h::Revision(0)),
        };
        let range_end = h::Bytes::default();
        h::Compare { key: key.clone(), range_end, result: h::CompareResult::Equal, target }
    }

    /// Up to three writes to keys that differ, with a read before or behind them.
    fn txn(&mut self, unique: u64) -> h::Op {
        let compared = self.key();
        let compares = if self.chance.gen_ratio(1, 2) { vec![self.compare(&compared)] } else { Vec::new() };
        let mut success = Vec::new();
        let mut touched: Vec<h::Bytes> = Vec::new();
        for part in 1..=self.chance.gen_range(1..=3) {
            let put = self.put(unique, part);
            // etcd refuses a key that one branch writes twice.
            if touched.contains(&put.key) {
                continue;
            }
            touched.push(put.key.clone());
            success.push(if self.chance.gen_ratio(1, 5) {
                h::RequestOp::DeleteRange(h::DeleteRange {
                    key: put.key,
                    prev_kv: true,
                    ..h::DeleteRange::default()
                })
            } else {
                h::RequestOp::Put(put)
            });
        }
        let read = |key| h::RequestOp::Range(h::Range { key, ..h::Range::default() });
        let place = self.chance.gen_range(0..=success.len());
        let key = self.key();
        success.insert(place, read(key));
        let failure = vec![read(compared)];
        h::Op::Txn(h::Txn { compares, success, failure })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn workload(kind: WorkloadKind) -> Workload {
        Workload {
            name: None,
            kind,
            clients: 1,
            rate: 1,
            keys: 4,
            value_bytes: 0,
            request_timeout: std::time::Duration::from_secs(1),
            mix: None,
        }
    }

    #[test]
    fn the_same_stream_asks_the_same() {
        let ops = |seed| -> Vec<h::Op> {
            let mut generator = Generator::new(&workload(WorkloadKind::Kv), ChaCha8Rng::seed_from_u64(seed));
            (0..200).map(|unique| generator.next(unique)).collect()
        };
        assert_eq!(ops(1), ops(1));
        assert_ne!(ops(1), ops(2));
    }

    #[test]
    fn the_kv_mix_asks_for_everything_that_it_names() {
        let mut generator = Generator::new(&workload(WorkloadKind::Kv), ChaCha8Rng::seed_from_u64(1));
        generator.last_revision = 100;
        let ops: Vec<h::Op> = (0..1_000).map(|unique| generator.next(unique)).collect();
        for kind in ["range", "put", "delete_range", "txn"] {
            assert!(ops.iter().any(|op| op.name() == kind), "no {kind}");
        }
        let ranges: Vec<&h::Range> = ops
            .iter()
            .filter_map(|op| if let h::Op::Range(range) = op { Some(range) } else { None })
            .collect();
        assert!(ranges.iter().any(|range| range.serializable));
        assert!(ranges.iter().any(|range| range.revision.0 > 0));
        assert!(ranges.iter().any(|range| range.limit > 0));
        assert!(ranges.iter().any(|range| range.count_only) && ranges.iter().any(|range| range.keys_only));
    }

    #[test]
    fn no_branch_writes_a_key_twice() {
        let mut generator = Generator::new(&workload(WorkloadKind::Kv), ChaCha8Rng::seed_from_u64(3));
        for unique in 0..2_000 {
            if let h::Op::Txn(txn) = generator.next(unique) {
                let mut keys: Vec<_> = txn
                    .success
                    .iter()
                    .filter_map(|op| match op {
                        h::RequestOp::Put(put) => Some(&put.key),
                        h::RequestOp::DeleteRange(delete) => Some(&delete.key),
                        _ => None,
                    })
                    .collect();
                let count = keys.len();
                keys.sort();
                keys.dedup();
                assert_eq!(keys.len(), count);
            }
        }
    }
}
