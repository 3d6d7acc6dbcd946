//! What a run leaves behind: its result in memory, the run folder on disk, and what is printed about it.

mod result;

pub use result::{Failure, OperationCounts, RunOptions, RunResult, Verdict};
