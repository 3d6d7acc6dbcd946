//! The build of this binary (`sim/build.rs` collects it).

use serde::{Deserialize, Serialize};
use std::fmt;

/// A binary's build. Two runs of one scenario and seed must agree only if their builds are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The commit, or `absent` if there was no repository.
    pub commit: String,
    /// The tree at build time: `clean`, `dirty` or `absent`.
    pub tree: String,
    /// The compiler, as `rustc -V` names it.
    pub toolchain: String,
    /// A fingerprint of `Cargo.lock`.
    pub lock: String,
    /// A fingerprint of the sources of the store, the checker and the harness.
    pub sources: String,
}

impl Build {
    /// This binary.
    pub fn this() -> Build {
        Build {
            commit: env!("SQUALL_COMMIT").into(),
            tree: env!("SQUALL_TREE").into(),
            toolchain: env!("SQUALL_TOOLCHAIN").into(),
            lock: env!("SQUALL_LOCK").into(),
            sources: env!("SQUALL_SOURCES").into(),
        }
    }

    /// Whether a run of the other build must give the same hash with this one: sources, dependencies and compiler are
    /// equal. The commit may differ, for example by a change to a text file.
    pub fn same_as(&self, other: &Build) -> bool {
        self.sources == other.sources && self.lock == other.lock && self.toolchain == other.toolchain
    }
}

impl fmt::Display for Build {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let commit = self.commit.get(..12).unwrap_or(&self.commit);
        write!(
            out,
            "commit {commit} ({}), {}, lock {}, sources {}",
            self.tree, self.toolchain, self.lock, self.sources
        )
    }
}
