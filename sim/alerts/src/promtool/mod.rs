//! `promtool test rules` files: run here, and written for promtool.
//!
//! [`TestFile`] reads such a file and runs it with our evaluator, so that a rule's own tests (etcd's mixin has some)
//! are tests of the evaluator too. [`export`] goes the other way: it makes such a file from the series of a run. The
//! file's expectations are our evaluator's verdicts, and promtool confirms them. Source: cmd/promtool/unittest.go at
//! v2.42.0.

mod export;
mod file;
mod run;

pub use export::{Exported, export};
pub use file::{TestFile, TestFileError};
pub use run::Mismatch;
