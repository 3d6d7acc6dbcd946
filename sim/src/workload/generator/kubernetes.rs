//! What a Kubernetes API server asks of etcd (`staging/src/k8s.io/apiserver/pkg/storage/etcd3`): objects are created only
//! where they are not there, updated and deleted only as they were seen, and listed in pages that all show the revision of
//! the first. Its compactor (`compact.go`) takes turns among servers by a transaction on one key.

use rand::Rng;
use squall_checker::history as h;

use super::{Generator, keys::after};

/// The key on which compactors take turns.
const COMPACT_REV_KEY: &str = "compact_rev_key";

/// What a client remembers between the requests of one job.
#[derive(Default)]
pub(super) struct Jobs {
    /// The list under way: the key that the next page begins with, the end, and the revision that all pages show.
    list: Option<(h::Bytes, h::Bytes, h::Revision)>,
    /// The version of [`COMPACT_REV_KEY`] as it was seen last.
    turn: i64,
    /// The newest revision at this client's last turn.
    at_last_turn: i64,
    /// The revision to compact now: the turn was won.
    compact_now: Option<i64>,
}

impl Generator {
    /// Creates an object that is not there.
    pub(super) fn create(&mut self, unique: u64) -> h::Txn {
        let key = self.key();
        let put = h::Put { key: key.clone(), value: self.value(unique, 0), ..h::Put::default() };
        if_unchanged(&key, h::Revision(0), h::RequestOp::Put(put))
    }

    /// Updates an object as this client saw it last.
    pub(super) fn update(&mut self, unique: u64) -> h::Txn {
        let key = self.key();
        let put = h::Put { key: key.clone(), value: self.value(unique, 0), ..h::Put::default() };
        if_unchanged(&key, self.seen_at(&key), h::RequestOp::Put(put))
    }

    /// Deletes an object as this client saw it last.
    pub(super) fn delete_as_seen(&mut self) -> h::Txn {
        let key = self.key();
        let delete = h::DeleteRange { key: key.clone(), ..h::DeleteRange::default() };
        if_unchanged(&key, self.seen_at(&key), h::RequestOp::DeleteRange(delete))
    }

    /// The next page of the list under way, or the first of a new one.
    pub(super) fn list(&mut self) -> h::Range {
        let (key, range_end) = self.keys.between(&mut self.chance);
        let limit = self.chance.gen_range(1..=4);
        let (key, range_end, revision) =
            self.jobs.list.take().unwrap_or((key, range_end, h::Revision::default()));
        h::Range { key, range_end, revision, limit, ..h::Range::default() }
    }

    /// A step of the compactor: its turn, or the compaction that the turn allows.
    pub(super) fn compactor(&mut self) -> h::Op {
        if let Some(revision) = self.jobs.compact_now.take() {
            return h::Op::Compact(h::Compact { revision: h::Revision(revision), physical: false });
        }
        let key = h::Bytes::from(COMPACT_REV_KEY);
        let value = h::Bytes::from(self.seen.revision.to_string());
        let read = h::RequestOp::Range(h::Range { key: key.clone(), ..h::Range::default() });
        let put = h::RequestOp::Put(h::Put { key: key.clone(), value, ..h::Put::default() });
        let result = h::CompareResult::Equal;
        let target = h::CompareTarget::Version(self.jobs.turn);
        h::Op::Txn(h::Txn {
            compares: vec![h::Compare { key, range_end: h::Bytes::default(), result, target }],
            success: vec![put],
            failure: vec![read],
        })
    }

    /// Continues the jobs: remembers where the next page begins, and whether this client won the compactor's turn.
    pub(super) fn continue_jobs(&mut self, op: &h::Op, result: &h::OpResult, header: &h::Header) {
        match (op, result) {
            (h::Op::Range(range), h::OpResult::Range(page)) if range.limit > 0 => {
                let last = page.kvs.last().filter(|_| page.more == Some(true));
                let revision = if range.revision.0 > 0 { range.revision } else { header.revision };
                self.jobs.list = last.map(|kv| (after(&kv.key), range.range_end.clone(), revision));
            }
            (h::Op::Txn(txn), h::OpResult::Txn(result))
                if txn
                    .compares
                    .iter()
                    .any(|compare| compare.key.as_slice() == COMPACT_REV_KEY.as_bytes()) =>
            {
                if result.succeeded {
                    let before = std::mem::replace(&mut self.jobs.at_last_turn, header.revision.0);
                    self.jobs.compact_now = Some(before).filter(|revision| *revision > 0);
                    self.jobs.turn += 1;
                } else if let Some(h::ResponseOp::Range(range)) = result.responses.first() {
                    self.jobs.turn = range.kvs.first().map_or(0, |kv| kv.version);
                }
            }
            _ => {}
        }
    }

    fn seen_at(&self, key: &h::Bytes) -> h::Revision {
        self.seen.key(key).map_or(h::Revision(0), |kv| kv.mod_revision)
    }
}

/// Does `op` if the key's mod revision is `revision`, and reads the key otherwise.
fn if_unchanged(key: &h::Bytes, revision: h::Revision, op: h::RequestOp) -> h::Txn {
    let result = h::CompareResult::Equal;
    let target = h::CompareTarget::Mod(revision);
    h::Txn {
        compares: vec![h::Compare { key: key.clone(), range_end: h::Bytes::default(), result, target }],
        success: vec![op],
        failure: vec![h::RequestOp::Range(h::Range { key: key.clone(), ..h::Range::default() })],
    }
}
