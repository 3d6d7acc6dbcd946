//! The cluster: its members, and the operator who works on it.
//!
//! The operator's procedures follow etcd's own guides (op-guide: runtime reconfiguration, disaster recovery). Each is
//! a state machine that can continue from any step. It tries a step again, or asks the cluster whether the step was
//! done. A crash or a cut at any step leads to a later success, or to an end that leaves no half-made cluster.
//!
//! | File | What it holds |
//! |---|---|
//! | `member` | machines, configurations, starts and stops |
//! | `roster` | which members may be hit, may be started, and count at the end |
//! | `identity` | which of the listed members is the one on a machine |
//! | `operator` | administrative calls |
//! | `steps` | the procedures' steps, counted, so that a fault can wait for one |
//! | `turns` | one procedure at a time; disaster recovery supersedes what is under way |
//! | `replace`, `add_first`, `add_learner`, `space`, `update`, `lead`, `force`, `restore`, `save`, `damage` | the procedures |
//! | `audit` | asks for the list of members throughout a run |
//! | `recovery` | whether the cluster has come to rest |

mod add_first;
mod add_learner;
mod audit;
mod damage;
mod force;
mod identity;
mod lead;
mod member;
mod operator;
mod recovery;
mod replace;
mod restore;
mod roster;
mod save;
mod space;
mod steps;
mod turns;
mod update;

#[cfg(test)]
mod tests;

pub(crate) use damage::OldDisk;
pub(crate) use member::{AUTH_TOKEN_TTL, LEASE_CHECKPOINT_INTERVAL, WATCH_PROGRESS_INTERVAL};
pub use member::{Cluster, DATA_DIR, INITIAL_TOKEN};
pub use operator::{Endpoint, Operator};
pub(crate) use restore::{Onto, RestorePlan};
pub(crate) use space::Takes;

use crate::faults::Struck;

/// How a procedure ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    /// Its work is done.
    Success,
    /// It was given up without harm, for this reason.
    GivenUp(String),
    /// It failed although no fault prevented it; the text says what is stuck. Checker `liveness`.
    Stuck(String),
}

impl From<Done> for Struck {
    fn from(done: Done) -> Self {
        match done {
            Done::Success => Struck { bit: 1, ..Struck::default() },
            Done::GivenUp(why) => Struck { detail: why, ..Struck::default() },
            Done::Stuck(what) => Struck { stuck: Some(what), ..Struck::default() },
        }
    }
}
