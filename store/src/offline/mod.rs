//! Operations on a data folder while no member runs on it: show a snapshot, restore a snapshot, and change the log
//! for a start as a cluster of one.
//!
//! [`snapshot_restore`] founds a *new* cluster from an old one's data, as `etcdutl snapshot restore` does: new ids
//! from `initial_cluster` and the token, the old members and the removed ids are dropped, and the log begins anew
//! with one conf-change entry of term 1 for each member. Every member of the new cluster restores the same file with
//! the same settings, so all have the same state. Writes that were acknowledged after the snapshot are lost; that is
//! what a restore means.
//!
//! [`force_new_cluster`] keeps the ids and the member's whole log, and appends conf changes that remove all other
//! members. `etcd --force-new-cluster` drops entries that are not known to be committed; `force` says why this
//! function keeps them. It runs at the start of the member, between reading the log and starting raft.
//!
//! [`adopt_restored`] takes over a folder that etcd's own `snapshot restore` has made.
//!
//! Sources: etcd `etcdutl/snapshot`, `server/etcdserver/bootstrap.go`.
//!
//! # Left out
//! `--bump-revision` and `--mark-compacted`, which make clients that remember revisions notice a restore; learners:
//! a restore makes every member a voter (as etcd's does).

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
    /// The data folder is not empty.
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
    /// The snapshot's rows are not those of a store.
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

/// A conf-change entry that no client waits for.
fn conf_change(index: u64, term: u64, change: &MembershipChange) -> Entry {
    let change = encode_change(0, change).write_to_bytes().expect("a proto3 message always encodes");
    let mut entry = Entry { index, term, data: change.into(), ..Default::default() };
    entry.set_entry_type(EntryType::EntryConfChange);
    entry
}
