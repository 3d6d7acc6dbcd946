//! Errors of the log.

use std::{
    io,
    path::{Path, PathBuf},
};

/// An error of the log. Both kinds stop the member: `Io` while it runs, `Corrupt` before it starts.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The file system refused. After a failed write or sync it is unknown what is on the disk, so the log takes no
    /// more appends. The member must stop and open the log again with [`super::Wal::open`].
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// What the system said.
        source: io::Error,
    },
    /// What is stored cannot be what was written, and no crash explains it.
    #[error(
        "the write-ahead log is corrupt: {file}, byte {offset}: {what}. These records had been made durable, so \
         cutting them off would lose acknowledged data: put back a copy of this member's data folder, or remove the \
         member from the cluster, wipe its data folder and add it again",
        file = file.display()
    )]
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// The place of the damage, in bytes from the segment's start.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
}

impl WalError {
    pub(super) fn corrupt(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, what: what.into() }
    }
}

/// Names the path in an I/O error.
pub(super) trait Context<T> {
    fn context(self, doing: &str, path: &Path) -> Result<T, WalError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, doing: &str, path: &Path) -> Result<T, WalError> {
        self.map_err(|source| WalError::Io { context: format!("{doing} {}", path.display()), source })
    }
}
