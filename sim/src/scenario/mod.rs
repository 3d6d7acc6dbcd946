//! Scenario files: what a person writes, read strictly.
//!
//! A scenario is a drill: a cluster, its network and disks, clients, the faults that strike, and the outcome that
//! must follow. The file is YAML in the shape that Chaos Mesh made familiar (`apiVersion`, `kind`, `metadata`,
//! `spec`; a fault is a flat object with an `action`, a `selector` and a `mode`), keys in camelCase, durations as Go
//! writes them. It holds no choice of the seed's: where it leaves room, it gives a window (`4s..8s`), from which
//! [`crate::plan`] draws.
//!
//! What is promised: a file is either understood wholly, or refused with one paragraph that names file, line,
//! column, what was expected, and what to write instead. Unknown keys, duplicate keys (which `serde_yaml` alone would
//! let win in maps), wrong types, blocks that do not belong to their action, selectors that can match nothing: all
//! refused before anything runs. Nothing is defaulted silently but what the field's documentation states.
//!
//! Left out: no includes, no templates, no environment. One file is one drill.

mod alerts;
mod index;
mod load;
mod types;
mod validate;
mod workload;

pub(crate) use alerts::read_rules;
pub use alerts::{Alerts, ExpectAlerts, Kept, RuleSource};
pub use index::index;
pub use load::{ScenarioFile, load, parse};
pub(crate) use load::{check_header, parse_with, read_text, unreadable};
pub use types::{
    API_VERSION, COUNTERS, CheckerName, Cluster, Disk, Expect, Final, Metadata, Network, Outcome, PlantedBug,
    Scenario, Spec, default_settle,
};
pub(crate) use validate::{name as check_name, spec as check_spec};
pub use workload::{Burst, EndpointChoice, Mix, RecordingName, Workload, WorkloadKind};

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::compare as compare_golden;
