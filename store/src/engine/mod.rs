//! The engines: the sorted key space under the state machine, in memory and on sled.
//!
//! What an engine promises is written at the seam ([`crate::seam::Engine`]) and proven by one suite over every engine
//! (`seam::conformance`). The simulation runs [`MemoryEngine`] under its own durability overlay; the real server runs
//! [`Sled`].
//!
//! # Which sled, and why
//! 0.34.7, and not 1.0.0-alpha.124. The alpha is three times faster at writes and reopens without a lock race, but
//! it takes 500 us for a put with a flush where 0.34.7 takes 80 to 90 us (determinism-traps, measured), its file
//! format may still change between alphas, and its author calls it unfit for production. 0.34.7 has been out since
//! 2021, its flaws are known, and this store needs little of an engine: batches at most every few milliseconds, a
//! flush every 100 ms. Its flaws, and what is done about them:
//! - On Linux its flush is `sync_file_range`, which waits for the pages but neither for the file's length nor for the
//!   disk's cache. A [`Sled`] commit therefore calls `fsync` on the data file after sled's flush.
//! - A page over a quarter of a segment (128 KiB) goes into a separate file below `blobs/`, which sled never syncs.
//!   Values are therefore cut into parts of 4 KiB, so that no page comes near that size.
//! - After a close sled holds its file lock until its threads have ended. Closing waits until the lock is free, and
//!   opening tries again for a bounded time.
//! - It opens a damaged file as if everything after the damage had never been written. A count of committed batches,
//!   stored beside it, reveals that (`sled/committed.rs`).
//! - It may panic on a damaged file. A panic while it opens is reported as corruption; later it stops the member.
//! - Dropping it flushes, so a drop is not like a crash. The simulation does not use it to model one.
//!
//! Killed with -9 in the middle of writes and commits, 300 times on one folder, it lost nothing that was committed and
//! never half a batch (`SQUALL_KILL_ROUNDS=300` repeats that; a test run kills it 12 times). Power cuts on real disks
//! have not been tried.
//!
//! # Left out
//! Iteration without copying the content ([`crate::seam::View`] is a copy: the state machine holds all of it in memory
//! anyway), and a cache size to set.

mod memory;
mod sled;

pub use memory::{Memory, MemoryEngine};
pub use sled::Sled;
