//! What a person writes, read strictly: durations, YAML with the place of every error, and refusals.
//!
//! Promises: every error names the file, the line and column, what was expected, and what to write instead. Nothing here
//! knows what a scenario or a plan is.

mod counted;
mod duration;
mod refusal;
mod source;
mod yaml;

pub(crate) use counted::counted;
pub(crate) use duration::go;
pub use duration::{Window, format_duration, parse_duration};
pub use refusal::Refusal;
pub(crate) use refusal::{did_you_mean, one_of};
pub(crate) use source::Source;
pub(crate) use yaml::{Step, locate, read};
