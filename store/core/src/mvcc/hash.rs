//! HashKV: one number that two members must agree on if their key spaces agree.
//!
//! It is etcd's, bit for bit (`mvcc/hash.go`): CRC-32C over the name of the key table and then, in revision order, the
//! revision's bytes and the record's protobuf bytes. Since members remove compacted records at their own pace, the hash
//! must not see which are still there: of the records up to the compact revision it takes those alone that a compaction at
//! the hashed revision would keep, and no tombstone at the compact revision (older etcds removed it).
//!
//! etcd drops that filter if nothing would be kept, that is if no key is there at the hashed revision, and its hash then
//! varies with the progress of a compaction. Here the same case takes the records that the finished compaction keeps:
//! equal to etcd's hash whenever etcd's is stable, and stable always.

use super::Mvcc;
use crate::planted::planted;
use crate::rows;
use crate::{HashKv, Refusal, Rev, Revision};

impl Mvcc {
    /// Hash the records up to `revision`; 0 for all. Up to a negative one there are none, as in etcd.
    pub fn hash(&self, revision: Revision) -> Result<HashKv, Refusal> {
        if revision.0 > 0 && revision.0 < self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision.0 > self.current {
            return Err(Refusal::FutureRev);
        }
        let at = if revision.0 == 0 { self.current } else { revision.0 };
        let any_live = self.index.any_live(at);
        let mut hash = crc32c::crc32c(b"key");
        for (rev, record) in self.records.range(..Rev::start_of(at + i64::from(!planted!(HashMissesNewest))))
        {
            if rev.main <= self.compacted && !planted!(HashSeesProgress) {
                let keep = if any_live {
                    self.index.get(record.key(), at) == Some(*rev)
                } else {
                    self.index.holds(record.key(), *rev)
                };
                if !keep || record.is_tombstone() && rev.main == self.compacted {
                    continue;
                }
                if planted!(HashMissesInterrupted) && self.interrupted == self.compacted {
                    continue;
                }
            }
            let mut buffer = [0; rows::REV_BYTES_MAX];
            hash = crc32c::crc32c_append(hash, rows::rev_bytes(*rev, record.is_tombstone(), &mut buffer));
            hash = crc32c::crc32c_append(hash, record.row());
        }
        Ok(HashKv {
            hash,
            compact_revision: Revision(self.compacted),
            hash_revision: Revision(at),
            revision: Revision(self.current),
        })
    }
}
