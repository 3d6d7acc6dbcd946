//! The disks of real processes: file systems of this process, mounted by FUSE, on which each member's data folder lies.
//!
//! What lies on such a disk, what of it is durable, what a power failure makes of the rest, how long things take and which
//! faults hold is the simulated disk's code ([`crate::world`], `disk`): the same settings and the same meaning. Here are the
//! kernel's questions ([`filesystem`]), the waiting ([`drive`]), and the mounts ([`mount`]).
//!
//! - Everything is in this process's memory. Nothing of it reaches the machine's own disk, whose speed does not matter.
//! - Writes reach the disk before `write` returns (the kernel's write-back cache is off), so all that is pending is known
//!   here, and a killed process leaves behind what it had written. Only writes through a shared mapping would wait in the
//!   kernel; etcd and sled only read through theirs.
//! - The kernel caches pages, which is what makes mappings possible (bbolt reads its file through one). So a page that was
//!   read once is read again without asking: read faults and slow reads bite on the first. The kernel forgets the pages when
//!   the file is opened, and all names at once; so what a power failure or an operator changes is seen by the next process.
//! - A process that has been killed is answered at once, with an error that it never sees. Otherwise the kernel would keep it
//!   until the disk's stall is over.
//! - A sync of a file makes its name durable too, and the names of the folders it is in, as on ext4, XFS and btrfs. (The
//!   simulated store is held to less, which is what POSIX says.) Names that were changed since, and not synced, are lost.

mod drive;
mod filesystem;
mod mount;
#[cfg(test)]
mod tests;

pub(super) use drive::Drive;
#[cfg(test)]
pub(super) use mount::can_be_tested;
pub(super) use mount::{Mounted, enter_own_namespace, unavailable};
