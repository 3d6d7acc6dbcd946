//! A disk that can lose power: a model in memory of what a crash makes of data that was not synced.
//!
//! [`Content`] is a file's bytes, [`Tree`] the names of files and directories. Each has what a reader sees, and what
//! is durable. A crash keeps all that is durable. The caller's random generator decides what it keeps of the rest, so
//! the same seed gives the same disk. [`Unsynced`] chooses between kinds of crashes.
//!
//! Two disks are made of this model. The simulated world's (`sim/src/world/disk`) adds time, stalls, errors, damage and
//! engines. The store's unit tests have one (`store/src/wal/crash_disk.rs`) on which every operation is done at once,
//! and which can lose power at each operation in turn. The store must not depend on the harness, so the model is a
//! crate of its own, which knows neither of them.

mod content;
mod tree;

pub use content::{Content, Damage, SECTOR};
pub use tree::{EngineContent, Ino, Inode, ROOT, Tree};

/// What a crash makes of data that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// Chance decides: kept, dropped or torn, per file and per sector.
    Drawn,
    /// All of it is gone.
    Lost,
    /// The files are as long as they were, and chance decides for each sector whether it holds what was written. The
    /// names are kept.
    Torn,
    /// The bytes of files are kept, and all names that were not synced are gone: created, renamed and removed files.
    NamesLost,
}
