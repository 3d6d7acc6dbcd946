//! The judge: decides whether a history is linearizable, and explains why not.
//!
//! A harness is worth what its verdicts are worth. This crate takes a history: the calls of concurrent clients, and the
//! answers. It gives one of three verdicts: *valid*, with an order of the operations that an independent replay has
//! verified; *invalid*, with the operations that prove it; *unknown*, with the budget that ran out and how far the
//! search came. It never guesses, knows nothing of the store that it judges, has no clock, and does I/O only in its
//! readers.
//!
//! # Where to begin
//! - [`judge::check_paths`] is the entry point for files: it recognises the format, picks the model, and reports.
//! - [`model::Model`] is a small trait. Implement it for your own system, and [`search::check`] judges a history of that
//!   system. The models of this crate: CAS register, register, append store, lock, registers in transactions, and the
//!   whole store of etcd ([`model::etcd`]).
//! - [`revision::check`] judges histories of etcd, whose answers carry revisions, in O(n log n) where the general
//!   search would not end; [`checks`] holds the other checks of a run.
//! - [`search::minimize`] reduces a violation to a core that proves it; [`picture`] draws any checked history as one
//!   HTML file.
//!
//! # Example: your own model
//! A counter that can be incremented and read. Two clients increment it; a third reads 1 although both increments had
//! returned before it asked.
//! ```
//! use squall_checker::model::{ConcurrentHistory, Model, Operation};
//! use squall_checker::search::{self, Budget, Options, Verdict};
//!
//! struct Counter;
//!
//! #[derive(Clone, Debug, PartialEq, Eq, Hash)]
//! enum Ask {
//!     Increment,
//!     Read,
//! }
//!
//! impl Model for Counter {
//!     type State = u64;
//!     type Input = Ask;
//!     type Output = Option<u64>;
//!
//!     fn initial(&self) -> u64 {
//!         0
//!     }
//!
//!     fn step(&self, count: &u64, ask: &Ask, answer: Option<&Option<u64>>) -> Option<u64> {
//!         match (ask, answer) {
//!             (Ask::Increment, _) => Some(count + 1),
//!             // The answer must be the count, unless it never arrived.
//!             (Ask::Read, Some(answer)) => (*answer == Some(*count)).then_some(*count),
//!             (Ask::Read, None) => Some(*count),
//!         }
//!     }
//!
//!     // Everything but `initial` and `step` is optional, and only makes the search faster or the report nicer.
//!     fn is_read_only(&self, ask: &Ask, _: Option<&Option<u64>>) -> bool {
//!         *ask == Ask::Read
//!     }
//! }
//!
//! // Client, call, return, what was asked, what was answered.
//! let mut operations = vec![
//!     Operation::ok(1, 0, 10, Ask::Increment, None),
//!     Operation::ok(2, 5, 15, Ask::Increment, None),
//!     Operation::ok(3, 20, 30, Ask::Read, Some(1)),
//! ];
//! let history = ConcurrentHistory::new(operations.clone())?;
//! let Verdict::Illegal(violation) = search::check(&Counter, &history, &Options::default()) else {
//!     panic!("the read is stale");
//! };
//! assert_eq!(violation.blamed, 2);
//! assert_eq!(violation.states, [2], "both increments had taken effect");
//!
//! // Every one of the three is needed to prove it.
//! let core = search::minimize(&Counter, &history, &violation, &Budget::default());
//! assert_eq!(core.essential, [0, 1, 2]);
//!
//! // Now the second increment times out instead: it took effect at any time after its call, or never.
//! operations[1] = Operation::info(2, 5, Ask::Increment);
//! let history = ConcurrentHistory::new(operations)?;
//! let Verdict::Valid(linearization) = search::check(&Counter, &history, &Options::default()) else {
//!     panic!("the second increment need not have happened");
//! };
//! assert_eq!(linearization.order, [0, 2]);
//! # Ok::<(), squall_checker::model::HistoryError>(())
//! ```
//!
//! # Sources
//! Herlihy and Wing 1990 (linearizability and its locality); Wing and Gong 1993 and Lowe 2017 (the search); Horn and
//! Kroening 2015 (P-compositionality); Gibbons and Korach 1997 (its complexity, and why the order of the writes makes it
//! easy); Junker 2004 (QuickXplain). The essays of [`search`] and [`revision`] argue soundness and completeness.

pub mod checks;
pub mod history;
pub mod judge;
pub mod model;
pub mod picture;
pub mod read;
pub mod revision;
pub mod search;
pub mod transactions;
