//! What an operator does to a data folder while no member runs on it: look at a snapshot, restore one, and the log's
//! part of starting as a cluster of one.
//!
//! [`snapshot_restore`] founds a *new* cluster from an old one's data, as `etcdutl snapshot restore` does: new ids from
//! `initial_cluster` and the token, the old members and the memory of removed ones gone, the log begun anew with one
//! conf-change entry a member, of term 1. Every member of the new cluster restores the same file with the same settings,
//! and all come to the same state. What was acknowledged after the snapshot is lost, which is what a restore means.
//!
//! [`force_new_cluster`] keeps the ids and the member's whole log, and appends the conf changes that remove everyone else.
//! `etcd --force-new-cluster` drops what is not known to be committed; `force` says why this does not. It runs at the
//! start of the member, between reading the log and starting raft.
//!
//! [`adopt_restored`] takes over the folder that etcd's own `snapshot restore` has made.
//!
//! Sources: etcd `etcdutl/snapshot`, `server/etcdserver/bootstrap.go`.
//!
//! # Left out
//! `--bump-revision` and `--mark-compacted`, which make clients that remember revisions notice a restore; learners, which
//! the store does not have yet (etcd's restore ignores them too).

mod adopt;
mod force;
mod restore;
mod status;

#[cfg(test)]
mod tests;

pub use adopt::adopt_restored;
pub use force::{ForceError, Forced, force_new_cluster};
pub use restore::{RestoreOptions, Restored, snapshot_restore};
pub use status::{SnapshotStatus, snapshot_status};

use std::{io, path::PathBuf};

use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType};
use squall_core::MembershipChange;

use crate::{node::encode_change, seam::EngineError, snapshot::SnapshotError, wal::WalError};

/// Why an offline operation was refused or failed: one paragraph each.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The settings contradict each other.
    #[error("{0}")]
    Options(String),
    /// The data folder holds something.
    #[error(
        "the data folder {} is not empty, and a restore never writes over data. Give a folder that does not exist, or \
         move this one away",
        dir.display()
    )]
    NotEmpty {
        /// The data folder.
        dir: PathBuf,
    },
    /// The snapshot could not be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The snapshot's rows are not a store's.
    #[error(
        "the snapshot {} is whole, but holds no store that this build can read: {what}. Take another snapshot",
        path.display()
    )]
    Rows {
        /// The snapshot.
        path: PathBuf,
        /// What is wrong with them.
        what: String,
    },
    /// The folder is an etcd's, and cannot be taken over.
    #[error(
        "the data folder {} is etcd's, and cannot be taken over: {what}. Save a snapshot of that cluster, and restore it into \
         an empty folder",
        dir.display()
    )]
    Foreign {
        /// The data folder.
        dir: PathBuf,
        /// What is in the way.
        what: String,
    },
    /// The new engine could not be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The new log could not be written.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The file system refused.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A conf-change entry that nobody waits for.
fn conf_change(index: u64, term: u64, change: &MembershipChange) -> Entry {
    let change = encode_change(0, change).write_to_bytes().expect("a proto3 message always encodes");
    let mut entry = Entry { index, term, data: change.into(), ..Default::default() };
    entry.set_entry_type(EntryType::EntryConfChange);
    entry
}
