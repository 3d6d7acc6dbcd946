//! Lists that grow, as in Jepsen's list-append: a key's value is its list of elements, in the order in which they were
//! appended. A transaction compares the lists that it appends to with what this client saw last, appends where they are
//! the same, and reads otherwise. So a lost, doubled or reordered write is seen by every later reader.

use rand::{Rng, seq::index::sample};
use squall_checker::history as h;

use super::Generator;

/// A list that is longer than this, in bytes, is started again.
const LONGEST_LIST_BYTES: usize = 1_500;
/// The most lists that a transaction touches.
const MOST_LISTS: usize = 3;

impl Generator {
    /// Appends to one list or more, and reads others.
    pub(super) fn append(&mut self, unique: u64) -> h::Txn {
        let lists = self.some_lists();
        let appends = self.chance.gen_range(1..=lists.len());
        let mut txn = h::Txn::default();
        for (part, key) in lists.iter().enumerate() {
            txn.failure.push(read(key));
            if part >= appends {
                txn.success.push(read(key));
                continue;
            }
            let seen = self.seen.key(key);
            txn.compares.push(h::Compare {
                key: key.clone(),
                range_end: h::Bytes::default(),
                result: h::CompareResult::Equal,
                target: h::CompareTarget::Mod(seen.map_or(h::Revision(0), |kv| kv.mod_revision)),
            });
            let element = format!("{unique}.{part}");
            let before = seen.map(|kv| kv.value.as_slice()).unwrap_or_default();
            let value = if before.is_empty() || before.len() > LONGEST_LIST_BYTES {
                h::Bytes::from(element)
            } else {
                h::Bytes::from([before, b",", element.as_bytes()].concat().as_slice())
            };
            txn.success.push(h::RequestOp::Put(h::Put { key: key.clone(), value, ..h::Put::default() }));
        }
        txn
    }

    /// Reads some lists in one transaction.
    pub(super) fn read_lists(&mut self) -> h::Txn {
        h::Txn { success: self.some_lists().iter().map(read).collect(), ..h::Txn::default() }
    }

    /// One to three different lists.
    fn some_lists(&mut self) -> Vec<h::Bytes> {
        let all = self.keys.count as usize;
        let count = self.chance.gen_range(1..=MOST_LISTS.min(all));
        sample(&mut self.chance, all, count).into_iter().map(|number| self.keys.name(number as u32)).collect()
    }
}

fn read(key: &h::Bytes) -> h::RequestOp {
    h::RequestOp::Range(h::Range { key: key.clone(), ..h::Range::default() })
}
