//! The disk of each node: files and engines, with a durable and a pending part.
//!
//! What a process has not synced is the crash's to decide, and what the crash decides is drawn from the node's own
//! stream: [`content`] for the bytes of files, [`tree`] for their names, [`rows`] for engines. [`pace`] says how long
//! things take, and [`state`] holds all of it together with the faults. [`device`] lets simulated processes wait, and holds
//! their locks; [`files`] and [`engine`] are the seams' sides. The disks of real processes ([`crate::processes`]) are made
//! of the same state, for which [`posix`] is their kernel's side.
//!
//! Faults: operations fail, the disk is full, syncs lie, operations are slow; a file or an engine is
//! damaged where it lies ([`state::Damage`]). Each draws from a stream of its own.

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
