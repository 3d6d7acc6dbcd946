//! The reasons why a member does not start. Each is one paragraph that names the place and the remedy.

use std::{io, path::PathBuf};

use squall_core::{ClusterId, MemberId};

use crate::{offline::ForceError, seam::EngineError, wal::WalError};

/// Why [`super::start`] refused.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings contradict each other.
    #[error("configuration: {0}")]
    Config(String),
    /// Another process holds the data folder.
    #[error(
        "data folder {}: locked by another process. Stop that process, or give this member a folder of its own.",
        .0.display()
    )]
    Locked(PathBuf),
    /// The folder holds an engine with data, but no WAL.
    #[error(
        "data folder {}: it holds an engine with data but no WAL (expected in {}), so it is not a member's whole \
         folder. Restore the missing part, or start with an empty folder.",
        .dir.display(), .wal.display()
    )]
    NoWal {
        /// The data folder.
        dir: PathBuf,
        /// Where the WAL would be.
        wal: PathBuf,
    },
    /// `force_new_cluster` without a member to start from.
    #[error(
        "data folder {}: there is no member to force a new cluster from. Point to the data folder of a survivor.",
        .0.display()
    )]
    NothingToForce(PathBuf),
    /// `force_new_cluster` from a member that cannot carry a cluster.
    #[error("force-new-cluster: {0}")]
    Force(#[from] ForceError),
    /// The WAL could not be read, or is damaged.
    #[error("WAL: {0}")]
    Wal(#[from] WalError),
    /// The engine could not be opened, or is damaged.
    #[error("engine: {0}")]
    Engine(#[from] EngineError),
    /// The engine's rows cannot have been written by the store, or do not fit the WAL.
    #[error(
        "data folder {}: {what}. The folder is damaged or put together from two members'. Remove this member from \
         the cluster, empty its folder and add it again; or restore the folder from a snapshot.",
        .dir.display()
    )]
    Corrupt {
        /// The data folder.
        dir: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// The member has lost data that it had acknowledged: its folder was emptied. One paragraph.
    #[error("{0}")]
    LostData(String),
    /// The folder is empty, the settings say to found a cluster, and a member that they name belongs to another
    /// cluster.
    #[error(
        "data folder {}: it is empty, so this member would found cluster {own} with the members of --initial-cluster; but \
         {by}, which answers at one of their URLs, belongs to cluster {other}. If this member belonged to that cluster \
         too, its data is lost: remove it (`member remove`), add it again (`member add`), and start it with \
         --initial-cluster-state existing. If not, correct the URLs.",
        .dir.display()
    )]
    OtherCluster {
        /// The data folder.
        dir: PathBuf,
        /// The cluster that the settings would found.
        own: ClusterId,
        /// The member that answered.
        by: MemberId,
        /// That member's cluster.
        other: ClusterId,
    },
    /// The member was removed from its cluster.
    #[error(
        "data folder {}: member {member} was removed from its cluster, and a removed id is never used again. Empty the folder, add \
         the member again (`member add`), and start it with --initial-cluster-state existing.",
        .dir.display()
    )]
    Removed {
        /// The data folder.
        dir: PathBuf,
        /// The member that the folder belongs to.
        member: MemberId,
    },
    /// No member could be asked, none knows this member, or the members that answered do not agree.
    #[error(
        "joining: {what} (asked {}). Add this member first (`member add`) and list the running members in \
         --initial-cluster.",
        .asked.join(", ")
    )]
    Join {
        /// What went wrong.
        what: String,
        /// The peer URLs asked.
        asked: Vec<String>,
    },
    /// A port could not be opened.
    #[error("listening on {address}: {source}. Choose another address, or stop the process that uses it.")]
    Listen {
        /// `host:port`.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file system refused.
    #[error("data folder {}: {source}", .dir.display())]
    Io {
        /// The data folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A crash left a received snapshot half-installed, and its file cannot be read.
    #[error(
        "snapshot {}: {what}. The member was installing it when it stopped, and holds no other state. Remove the \
         member from the cluster, empty its folder and add it again.",
        .path.display()
    )]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl StartError {
    /// Whether something is wrong with the member's disk or data. The other errors are wrong settings, a removed
    /// member, and a joiner that finds no cluster.
    pub(super) fn is_failure(&self) -> bool {
        use StartError::{Corrupt, Engine, Io, LostData, NoWal, OtherCluster, Snapshot, Wal};
        matches!(
            self,
            NoWal { .. }
                | Wal(_)
                | Engine(_)
                | Corrupt { .. }
                | LostData(_)
                | OtherCluster { .. }
                | Io { .. }
                | Snapshot { .. }
        )
    }

    /// Whether the member has lost data that it had acknowledged, or seems to have lost it. The member must be
    /// replaced; another start does not help.
    pub fn is_lost_data(&self) -> bool {
        matches!(self, StartError::LostData(_) | StartError::OtherCluster { .. })
    }
}
