//! The disk of each node: files and engines, with a durable and a pending part.
//!
//! What a process has not synced is the crash's to decide, and what the crash decides is drawn from the node's own
//! stream: [`content`] for the bytes of files, [`tree`] for their names, [`rows`] for engines. [`device`] adds time,
//! stalls and locks; [`files`] and [`engine`] are the seams' sides.
//!
//! Where later faults go: an error on write or sync is one more outcome of [`device::Access::admitted`]; a full disk a
//! bound on what [`content::Content::append`] takes; a lying sync returns before [`content::Content::settle`]; a flipped
//! bit changes [`content::Content`] in place.

mod content;
mod device;
mod engine;
mod files;
mod listing;
mod rows;
mod tree;

pub use self::device::{DiskImage, PowerLoss, Settings, Unsynced};
pub use self::listing::Listed;
pub(crate) use self::{device::Disk, engine::SimEngines, files::SimFiles};
