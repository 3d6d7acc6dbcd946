//! Reads strictly what a person writes: durations, and YAML with the place of every error. Also defines refusals, and writes
//! files whole or not at all.
//!
//! Every error names the file, the line and column, what was expected, and what to write instead. This module does not
//! depend on scenarios or plans.

mod counted;
mod duration;
mod refusal;
mod source;
mod whole;
mod yaml;

pub(crate) use counted::{counted, counted_are};
pub(crate) use duration::go;
pub use duration::{Window, format_duration, parse_duration};
pub use refusal::Refusal;
pub(crate) use refusal::{did_you_mean, one_of};
pub(crate) use source::Source;
pub(crate) use whole::named;
pub use whole::write_whole;
pub(crate) use yaml::{Step, locate, read};
