//! What a snapshot file holds (`etcdutl snapshot status`).

use std::path::Path;

use squall_core::{Index, Revision, State, from_buckets};

use super::OfflineError;
use crate::{
    seam::Files,
    snapshot::{Backup, Check, Meta, Rows, read_backup},
};

/// What a snapshot file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotStatus {
    /// CRC32C over all buckets: names, keys and values. etcd's tools show the same value for the same file.
    pub hash: u32,
    /// The store's revision.
    pub revision: Revision,
    /// The index of the last entry applied to it.
    pub index: Index,
    /// The number of keys in all buckets, as etcd's tools count them.
    pub total_keys: u64,
    /// The size of the database, in bytes.
    pub total_size: u64,
}

/// Reads and verifies a snapshot file.
///
/// # Errors
/// `Snapshot` if the file cannot be read or is damaged; `Rows` if its rows are not those of a store.
pub async fn snapshot_status(files: &dyn Files, snapshot: &Path) -> Result<SnapshotStatus, OfflineError> {
    let backup = read_backup(files, snapshot, Check::Checksum).await?;
    let fold = |hash, bytes: &[u8]| crc32c::crc32c_append(hash, bytes);
    let (mut hash, mut total_keys) = (0, 0);
    let mut count = |hash: &mut u32, pairs: &Rows| {
        total_keys += pairs.len() as u64;
        *hash = pairs.iter().fold(*hash, |hash, (key, value)| fold(fold(hash, key), value));
    };
    let total_size = match &backup {
        Backup::Own(_, rows) => {
            count(&mut hash, rows);
            rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
        }
        Backup::Buckets(buckets, bytes) => {
            for (name, pairs) in buckets {
                hash = fold(hash, name);
                count(&mut hash, pairs);
            }
            *bytes
        }
    };
    let state = restore(snapshot, backup)?;
    Ok(SnapshotStatus { hash, revision: state.revision(), index: state.applied().0, total_keys, total_size })
}

/// The state that a backup holds.
pub(super) fn restore(path: &Path, backup: Backup) -> Result<State, OfflineError> {
    let refuse = |what: String| OfflineError::Rows { path: path.to_owned(), what };
    let (meta, rows) = match backup {
        Backup::Own(meta, rows) => (Some(meta), rows),
        Backup::Buckets(buckets, _) => {
            (None, from_buckets(buckets).map_err(|error| refuse(error.to_string()))?)
        }
    };
    let state = State::restore(rows).map_err(|error| refuse(error.to_string()))?;
    let (index, term) = state.applied();
    let found = Meta { index, term, revision: state.revision() };
    if let Some(meta) = meta.filter(|meta| *meta != found) {
        return Err(refuse(format!("its header says {meta:?}, its rows come to {found:?}")));
    }
    Ok(state)
}
