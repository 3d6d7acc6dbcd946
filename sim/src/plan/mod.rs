//! From a scenario and a seed to a plan: a drawn run, with nothing left to draw but chance by place.
//!
//! [`Plan::draw`] is a pure function. A plan says everything explicitly: cluster settings, network, disk, workloads, and
//! every strike of every fault with its instant, its duration and the number that picks its target. `run` makes it, the
//! run folder keeps it as `plan.yaml`, `replay` takes it, and a person can edit it.
//!
//! Every fault of the scenario draws from a child stream of its own, named after the fault, so that to add, remove or
//! edit one fault leaves every other fault as it was. Without that, shrinking a plan would reshuffle it.
//!
//! A plan has no groups ([`crate::faults::Group`]): they are resolved when it is drawn. Where the end of a member is an
//! instant that only the run will know, what follows it carries a relation, "begins when that fault is over".
//!
//! A target such as "the leader" cannot be known before the run. It stays symbolic in the plan, beside the drawn number;
//! when the fault strikes, [`crate::faults::Target::resolve`] maps the candidates of that moment and that number to names.
//! Nothing is drawn at run time, so a plan that was stored, edited or written by hand means the same again.

mod draw;
mod drawn;
mod file;

pub use drawn::DrawnFault;
pub(crate) use file::PlanFile;
pub use file::{Plan, parse_plan};

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod tests;
