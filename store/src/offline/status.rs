//! What a snapshot file holds (`etcdutl snapshot status`).

use std::path::Path;

use squall_core::{Index, Revision, State};

use super::OfflineError;
use crate::{
    seam::Files,
    snapshot::{Check, Meta, Rows, read_file},
};

/// What a snapshot file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotStatus {
    /// CRC32C over all rows, keys and values.
    pub hash: u32,
    /// The store's revision.
    pub revision: Revision,
    /// The last entry applied to it.
    pub index: Index,
    /// The number of rows, of all tables.
    pub total_keys: u64,
    /// The size of the file, in bytes.
    pub total_size: u64,
}

/// Reads and verifies a snapshot file.
///
/// # Errors
/// `Snapshot` where it cannot be read or is damaged, `Rows` where it is not a store's.
pub async fn snapshot_status(files: &dyn Files, snapshot: &Path) -> Result<SnapshotStatus, OfflineError> {
    let (meta, rows) = read_file(files, snapshot, Check::Checksum).await?;
    let hash = rows
        .iter()
        .fold(0, |hash, (key, value)| crc32c::crc32c_append(crc32c::crc32c_append(hash, key), value));
    let total_keys = rows.len() as u64;
    let opened = files.open(snapshot).await;
    let opened = opened
        .map_err(|source| OfflineError::Io { context: format!("opening {}", snapshot.display()), source })?;
    let state = restore(snapshot, meta, rows)?;
    Ok(SnapshotStatus {
        hash,
        revision: state.revision(),
        index: state.applied().0,
        total_keys,
        total_size: opened.len(),
    })
}

/// The state that a snapshot's rows hold, which must be what its header says.
pub(super) fn restore(path: &Path, meta: Meta, rows: Rows) -> Result<State, OfflineError> {
    let refuse = |what: String| OfflineError::Rows { path: path.to_owned(), what };
    let state = State::restore(rows).map_err(|error| refuse(error.to_string()))?;
    let (index, term) = state.applied();
    let found = Meta { index, term, revision: state.revision() };
    if found != meta {
        return Err(refuse(format!("its header says {meta:?}, its rows come to {found:?}")));
    }
    Ok(state)
}
