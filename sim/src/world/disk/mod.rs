//! The disk of each node: files and engines, with a durable and a pending part.
//!
//! A crash decides what happens to un-synced data, by draws from the node's own random stream: [`squall_disk`] for the
//! bytes and the names of files, [`rows`] for engines. [`pace`] determines how long operations take, and [`state`] holds
//! all of this together with the faults. [`device`] makes simulated processes wait, and holds their locks; [`files`] and
//! [`engine`] implement the seams. The disks of real processes ([`crate::processes`]) use the same state; [`posix`] is
//! its interface for their kernel.
//!
//! The crash disk of the store's unit tests is made of [`squall_disk`] too.
//!
//! Faults: operations fail, the disk is full, syncs lie, operations are slow; a file or an engine is damaged on the
//! disk ([`state::Damage`]). Each fault has its own random stream.

mod device;
mod engine;
mod files;
mod listing;
mod pace;
mod posix;
mod rows;
mod state;

pub use self::listing::Listed;
pub use self::state::{Damage, DiskImage, DiskWork, PowerLoss, Settings};
pub(crate) use self::{
    device::Disk,
    engine::SimEngines,
    files::SimFiles,
    posix::Node,
    state::{Figures, State},
};
pub(crate) use squall_disk::Ino;
pub use squall_disk::Unsynced;

/// The tree of a node's disk: its engines are [`rows`].
type Tree = squall_disk::Tree<rows::Rows>;
type Inode = squall_disk::Inode<rows::Rows>;
