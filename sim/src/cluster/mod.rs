//! The cluster: its members, and the operator who works on it.
//!
//! The operator's procedures follow etcd's own guides (op-guide: runtime reconfiguration, disaster recovery). Each is a
//! state machine that can go on from any step: a step is tried again, or found done or undone by asking the cluster. A
//! crash or a cut at any step leads to a later success, or to an end that leaves no half-made cluster.
//!
//! | File | What it holds |
//! |---|---|
//! | `member` | machines, configurations, starts and stops |
//! | `roster` | which member may be hit, started, counted |
//! | `operator` | administrative calls |
//! | `turns` | one procedure at a time; disaster recovery supersedes what is under way |
//! | `replace`, `add_first`, `add_learner`, `space`, `update`, `lead`, `force`, `restore`, `save`, `damage` | the procedures |
//! | `audit` | asks all through a run who the members are |
//! | `recovery` | whether the cluster has come to rest |

mod add_first;
mod add_learner;
mod audit;
mod damage;
mod force;
mod lead;
mod member;
mod operator;
mod recovery;
mod replace;
mod restore;
mod roster;
mod save;
mod space;
mod turns;
mod update;

#[cfg(test)]
mod tests;

pub(crate) use damage::OldDisk;
pub use member::{Cluster, DATA_DIR, INITIAL_TOKEN};
pub use operator::{Endpoint, Operator};
pub(crate) use restore::{Onto, RestorePlan};

use crate::faults::Struck;

/// How a procedure ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    /// Its work is done.
    Success,
    /// It was given up, harmlessly: why.
    GivenUp(String),
    /// It could not be done although nothing stood in its way: what is stuck. Checker `liveness`.
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
