//! The disk of each node: files and engines, with a durable and a pending part.
//!
//! A crash decides what happens to un-synced data, by draws from the node's own random stream: [`content`] for the
//! bytes of files, [`tree`] for their names, [`rows`] for engines. [`pace`] determines how long operations take, and
//! [`state`] holds all of this together with the faults. [`device`] makes simulated processes wait, and holds their
//! locks;
//! [`files`] and [`engine`] implement the seams. The disks of real processes ([`crate::processes`]) use the same state;
//! [`posix`] is its interface for their kernel.
//!
//! Faults: operations fail, the disk is full, syncs lie, operations are slow; a file or an engine is damaged on the
//! disk ([`state::Damage`]). Each fault has its own random stream.

mod content;
mod device;
mod engine;
mod files;
mod listing;
mod pace;
mod posix;
mod rows;
mod state;
mod tree;

pub use self::listing::Listed;
pub use self::state::{Damage, DiskImage, DiskWork, PowerLoss, Settings, Unsynced};
pub(crate) use self::{
    device::Disk,
    engine::SimEngines,
    files::SimFiles,
    posix::Node,
    state::{Figures, State},
    tree::Ino,
};
