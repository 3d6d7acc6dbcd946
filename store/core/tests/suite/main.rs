//! The core's tests from outside, through its public interface alone.
//!
//! - `harness.rs`: a member without raft or an engine: a log, a set of durable rows, batches on their way. It can lose the
//!   latter, and start again.
//! - `script.rs`: narrated scripts (`tests/scripts`), each showing one behaviour; `golden.rs`: what they share with the
//!   node's scripts.
//! - `model.rs`: the same store written as naively as possible; `property.rs`: random entries through both, with crashes.
//! - `damage.rs`: what becomes of rows that the store did not write.

mod damage;
mod golden;
mod harness;
mod model;
mod property;
mod script;
