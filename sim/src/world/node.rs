//! Nodes, incarnations of processes, and instants of virtual time.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A node: a machine of the simulated world, with a disk, a network interface and at most one process. Not to be
/// confused with a member, which is raft's. Cheap to copy; shows and serializes as its name.
#[derive(Clone, Copy)]
pub struct NodeId {
    pub(super) index: u16,
    name: &'static str,
}

impl NodeId {
    pub(crate) fn new(index: u16, name: &str) -> Self {
        Self { index, name: intern(name) }
    }

    /// The name, which is also its host name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Its index in the world's lists of nodes.
    pub(super) fn place(self) -> usize {
        usize::from(self.index)
    }
}

/// Interns a name for the life of the operating system's process. Memory grows with distinct names, not with runs.
fn intern(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(name);
    name
}

impl PartialEq for NodeId {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}
impl Eq for NodeId {}
impl PartialOrd for NodeId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for NodeId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.index.cmp(&other.index)
    }
}
impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// An instant of virtual time: nanoseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct At(pub u64);

impl At {
    /// Later than any instant of a run.
    pub const NEVER: At = At(u64::MAX);

    /// The instant `duration` after the run began.
    pub fn from_start(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The time since the run began.
    pub fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The instant `duration` later.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to `self`; zero where `earlier` is later.
    pub fn since(self, earlier: At) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1000)
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}
impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(At)
    }
}

/// One incarnation of a node's process, shared by every handle that the process was given. A handle may outlive its
/// process (the harness holds some), and a process's futures are dropped after it has ended. So each handle checks
/// this first, also in its `Drop`, and does nothing once the life is over.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) node: NodeId,
    pub(crate) incarnation: u32,
    alive: AtomicBool,
}

impl Life {
    pub(crate) fn new(node: NodeId, incarnation: u32) -> Self {
        Self { node, incarnation, alive: AtomicBool::new(true) }
    }

    pub(crate) fn alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}
