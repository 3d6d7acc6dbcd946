//! The arena: the place where a scenario runs. Faults, the operator and the clients act only through this trait. The
//! simulated world is one arena ([`Simulated`]); real processes are another ([`crate::processes`]).
//!
//! It deals with machines and the processes on them. It does not know raft roles: to learn who leads, a member's
//! Status is called, as an operator would do.
//!
//! A modifier ([`Modifier`]) changes a link, a disk or a process until its token is lifted. Modifiers may overlap;
//! lifting a token removes its own modifier only.

mod simulated;

use std::{path::Path, time::Duration};

use bytes::Bytes;
use squall_store::{
    Config, metrics,
    offline::RestoreOptions,
    seam::{BoxFuture, Env},
};

pub use crate::faults::Milestone;
pub use crate::world::{
    At, Damage, DiskImage, Modifier, NodeId, PointEffect, PointRule, PointSet, PowerLoss, Status, Token,
    Unsynced,
};
pub(crate) use simulated::Simulated;

/// A place with machines.
pub trait Arena: Send + Sync {
    /// Adds a machine for a member.
    fn add_member(&self, name: &str) -> NodeId;

    /// The host name of a member's machine.
    fn host(&self, node: NodeId) -> String {
        node.name().to_owned()
    }

    /// Adds a machine for a client or an operator and answers its seams.
    fn add_client(&self, name: &str) -> (NodeId, Env);

    /// The time since the run began.
    fn now(&self) -> At;

    /// Waits until an instant.
    fn sleep_until(&self, at: At) -> BoxFuture<'static, ()>;

    /// Starts the server on a machine. Turns the machine on if it is off.
    ///
    /// # Panics
    /// If a process is running.
    fn start(&self, node: NodeId, config: Config);

    /// Asks the process to stop (SIGTERM) and waits until it has ended. One that has not ended after `patience` is
    /// killed (SIGKILL), as systemd does.
    fn stop(&self, node: NodeId, patience: Duration) -> BoxFuture<'static, ()>;

    /// Kills the process (SIGKILL). The machine stays up: its page cache is kept, and peers get a reset.
    fn kill(&self, node: NodeId);

    /// Cuts the machine's power: un-synced data is kept, dropped or torn, and peers get no reset. Answers what was
    /// lost.
    fn power_off(&self, node: NodeId, unsynced: Unsynced) -> PowerLoss;

    /// Completes once the members have reached a milestone `count` times from now on. The operator's steps are not the
    /// members': for them it never completes.
    fn reached(&self, milestone: Milestone, count: u64) -> BoxFuture<'static, ()>;

    /// The state of the machine's process.
    fn status(&self, node: NodeId) -> Status;

    /// The number of the process that runs or ran last on the machine; 0 before the first.
    fn life(&self, node: NodeId) -> u32;

    /// Completes when no process runs on the machine.
    fn ended(&self, node: NodeId) -> BoxFuture<'static, ()>;

    /// Imposes a modifier.
    fn impose(&self, modifier: Modifier) -> Token;

    /// How often a modifier took effect so far.
    fn bites(&self, token: Token) -> u64;

    /// Removes a modifier. Answers how often it took effect.
    fn lift(&self, token: Token) -> u64;

    /// Ends every established connection between two machines, with or without a reset. Answers how many there were.
    fn end_connections(&self, one: NodeId, other: NodeId, how: ConnectionsEnd) -> u64;

    /// Moves the machine's wall clock by `nanoseconds`, back if negative.
    fn jump_wall_clock(&self, node: NodeId, nanoseconds: i64);

    /// Removes a directory and its content, durably.
    ///
    /// # Panics
    /// If a process runs on the machine.
    fn wipe(&self, node: NodeId, dir: &Path);

    /// Writes a file durably, as an operator copies one to a machine.
    fn write_file(&self, node: NodeId, path: &Path, content: Bytes) -> std::io::Result<()>;

    /// An image of the machine's disk, as a snapshot of a running virtual machine holds it.
    fn copy_disk(&self, node: NodeId) -> DiskImage;

    /// Replaces the machine's disk with an image.
    ///
    /// # Panics
    /// If a process runs on the machine.
    fn put_disk(&self, node: NodeId, image: &DiskImage);

    /// Damages one file or engine below `dir`; `seed` chooses it. Answers what was done; `None` if none fits.
    ///
    /// # Panics
    /// If a process runs on the machine.
    fn damage(&self, node: NodeId, dir: &Path, damage: Damage, seed: u64) -> Option<String>;

    /// How many files, directories and engines this machine lost in power failures and failed syncs after a sync had
    /// lied.
    fn broken_promises(&self, node: NodeId) -> u64;

    /// Whether an active fault makes operations of the machine's disk fail.
    fn disk_fails(&self, node: NodeId) -> bool;

    /// All rows of the engine on the machine's disk, as a reader sees them now. `None` if there is none, or if the
    /// arena cannot read engines.
    fn engine_rows(&self, _node: NodeId) -> Option<Vec<(Bytes, Bytes)>> {
        None
    }

    /// What the member on the machine was about to do or had just done when it was last seen at work, and when. `None` if it
    /// did nothing yet, or if the arena cannot see it.
    fn last_step(&self, _node: NodeId) -> Option<(&'static str, At)> {
        None
    }

    /// Whether members report internal events to an observer: their roles, their logs, what they apply.
    fn reports_events(&self) -> bool {
        true
    }

    /// The metrics of the member on the machine, for a scraper at any of the nodes `from`: only the `wanted` families.
    /// `None` if the member would not answer at once: its process is down, starting or paused, or cut off from all of
    /// `from`. Nothing is sent, so a scrape does not change the run.
    fn scrape(
        &self,
        _node: NodeId,
        _from: &[NodeId],
        _wanted: &dyn Fn(&str) -> bool,
    ) -> Option<Vec<metrics::Family>> {
        None
    }

    /// Runs `squalld snapshot restore` on a machine and waits for it.
    fn restore_snapshot(
        &self,
        node: NodeId,
        options: RestoreOptions,
    ) -> BoxFuture<'static, Result<Restored, ToolFailure>>;
}

impl dyn Arena + '_ {
    /// Waits for `duration`.
    pub(crate) async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now().after(duration)).await;
    }

    /// Whether a process runs on the machine; a paused one does.
    pub(crate) fn running(&self, node: NodeId) -> bool {
        matches!(self.status(node), Status::Up | Status::Paused)
    }
}

/// How a device on the way ends connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionsEnd {
    /// A reset reaches both ends.
    Reset,
    /// No reset is sent, so neither end notices.
    Silence,
}

/// What the restore tool reports about the new cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The newest revision in the snapshot.
    pub revision: i64,
    /// The new cluster's id.
    pub cluster_id: u64,
}

/// Why a tool did not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolFailure {
    /// Its process was killed.
    Killed,
    /// It refused, and said why.
    Refused(String),
}
