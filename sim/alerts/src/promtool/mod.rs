//! `promtool test rules` files: run here, and written for promtool.
//!
//! [`TestFile`] reads such a file and runs it with our evaluator, so that a rule's own tests (etcd's mixin has some) are
//! tests of the evaluator too. [`export`] goes the other way: out of the series of a run it makes such a file, whose
//! expectations are our evaluator's verdicts, for promtool to confirm. Source: cmd/promtool/unittest.go at v2.42.0.

mod export;
mod file;
mod run;

pub use export::{Exported, export};
pub use file::{TestFile, TestFileError};
pub use run::Mismatch;
