//! The disks of real processes: file systems of this process, mounted by FUSE, on which each member's data folder
//! lies.
//!
//! The simulated disk's code ([`crate::world`], `disk`) determines such a disk's content, which of it is durable, the
//! effect of a power failure, the times of operations, and the faults, with the same settings and the same meaning.
//! This module adds the kernel's requests ([`filesystem`]), the waiting ([`drive`]), and the mounts ([`mount`]).
//!
//! - The whole content is in this process's memory. It never reaches the machine's own disk, whose speed does not
//!   matter.
//! - Writes reach the disk before `write` returns (the kernel's write-back cache is off). So this process knows all
//!   pending writes, and a killed process's writes are kept. Only writes through a shared mapping would wait in the
//!   kernel; etcd and sled only read through their mappings.
//! - The kernel caches pages; mappings need that (bbolt reads its file through one). So a page that was read once is
//!   read again without a request, and read faults and slow reads affect only the first read. The kernel drops a
//!   file's pages when the file is opened, and does not cache names. So the next process sees what a power failure or
//!   an operator changed.
//! - A killed process's operations are answered at once, with an error that it never sees. Otherwise the kernel would
//!   keep the process until the disk's stall is over.
//! - A sync of a file also makes its name durable, and the names of the folders above it, as on ext4, XFS and btrfs.
//!   (The simulated store gets only what POSIX guarantees.) Later changes of names that were not synced are lost.

mod drive;
mod filesystem;
mod mount;
#[cfg(test)]
mod tests;

pub(super) use drive::Drive;
#[cfg(test)]
pub(super) use mount::can_be_tested;
pub(super) use mount::{Mounted, enter_own_namespace, unavailable};
