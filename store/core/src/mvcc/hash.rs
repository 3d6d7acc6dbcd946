//! HashKV: one number that is equal on two members if their key spaces are equal.
//!
//! It is etcd's, bit for bit (`mvcc/hash.go`): CRC-32C over the name of the key table and then, in revision order,
//! the revision's bytes and the record's protobuf bytes. Members remove compacted records at their own pace, so the
//! hash must not depend on which of them are still there. Of the records up to the compact revision it takes only
//! those that a compaction at the hashed revision would keep, and no tombstone at the compact revision (older etcds
//! removed it).
//!
//! etcd drops that filter if nothing would be kept, that is, if no key exists at the hashed revision. Its hash then
//! varies with the progress of a compaction. In that case this hash takes the records that the finished compaction
//! keeps. So it is always stable, and equals etcd's hash whenever etcd's is stable.

use super::Mvcc;
use crate::planted::planted;
use crate::rows;
use crate::{HashKv, Refusal, Rev, Revision};

impl Mvcc {
    /// Hash the records up to `revision`, or all records for 0. For a negative revision there are none, as in etcd.
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
