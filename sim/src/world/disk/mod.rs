//! The disk of each node: files and engines, with a durable and a pending part.
//!
//! What a process has not synced is the crash's to decide, and what the crash decides is drawn from the node's own
//! stream: [`content`] for the bytes of files, [`tree`] for their names, [`rows`] for engines. [`device`] adds time,
//! stalls and locks; [`files`] and [`engine`] are the seams' sides.
//!
//! Faults: operations fail ([`device::Failing`]), the disk is full, syncs lie, operations are slow; a file or an engine is
//! damaged where it lies ([`device::Damage`]). Each draws from a stream of its own.

mod content;
mod device;
mod engine;
mod files;
mod listing;
mod pace;
mod rows;
mod tree;

pub use self::device::{Damage, DiskImage, DiskWork, PowerLoss, Settings, Unsynced};
pub use self::listing::Listed;
pub(crate) use self::{
    device::{Disk, Failing},
    engine::SimEngines,
    files::SimFiles,
};
