//! From a scenario and a seed to a schedule: what strikes, when, and how it chooses its target.
//!
//! [`plan`] is a pure function. Every fault of the file draws from a child stream of its own, named after the fault,
//! so that adding, removing or editing one fault leaves every other fault's instants and targets as they were; without
//! that, shrinking a schedule would reshuffle it.
//!
//! A target such as "the leader" cannot be known before the run. It stays symbolic in the schedule, beside a number
//! drawn here; when the fault strikes, [`Target::resolve`] maps the candidates of that moment and that number to
//! names. Nothing is drawn at run time, so a schedule that was stored, edited or written by hand means the same again.

mod planner;
mod schedule;
mod target;

pub(crate) use planner::fault_names;
pub use planner::plan;
pub use schedule::{Injection, Schedule, ScheduledFault};
pub(crate) use schedule::{ScheduleFile, nanos};
pub use target::{Candidate, Target};

#[cfg(test)]
mod tests;
