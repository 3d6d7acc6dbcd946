//! Alerts in virtual time: what Prometheus would have scraped, recorded and fired, without Prometheus and without waiting.
//!
//! A run of the simulator lasts virtual hours and takes seconds, so a rule's `for: 20m` costs nothing, if whoever judges the
//! rule lives in virtual time too. This crate takes samples at virtual moments, holds Prometheus' rule files against them,
//! and says which alerts are pending and which fire. It is pure: no clock, no I/O, no chance; whoever uses it reads the
//! files, sets the moments and shows the samples.
//!
//! Its promise is that its verdicts are Prometheus 2.42's. Three things hold it to that: etcd's own rule tests run through
//! it (`tests/mixin.rs`), random series and expressions are held against promtool (`tests/oracle.rs`), and any run's series
//! and verdicts can be exported for promtool to confirm ([`promtool::export`]). What of PromQL it does not support it
//! refuses when a rule is loaded.
//!
//! It leaves out native histograms, remote storage, relabelling, Alertmanager's grouping and silences, and the state of
//! alerts across a restart of Prometheus: a virtual Prometheus does not restart.
//!
//! # Example
//! ```
//! use squall_alerts::{Evaluator, labels::Labels, rules::{Phase, RuleFile, Surroundings}};
//!
//! let rules = RuleFile::parse(
//!     "groups:\n- name: g\n  rules:\n  - {alert: NoLeader, expr: etcd_server_has_leader == 0, for: 1m}\n",
//! )?;
//! let mut evaluator = Evaluator::new(&[rules], Surroundings { evaluation_interval_ms: 15_000, ..Surroundings::default() });
//! let has_leader = Labels::of([("__name__", "etcd_server_has_leader"), ("instance", "a")]);
//! for at_ms in (0..=120_000).step_by(15_000) {
//!     evaluator.observe(at_ms, &[(has_leader.clone(), if at_ms < 30_000 { 1.0 } else { 0.0 })])?;
//!     let (alerts, _) = evaluator.evaluate(at_ms);
//!     let expected = match at_ms {
//!         ..30_000 => None,
//!         30_000..90_000 => Some(Phase::Pending),
//!         _ => Some(Phase::Firing),
//!     };
//!     assert_eq!(alerts.first().map(|alert| alert.phase), expected);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod eval;
mod evaluator;
pub mod labels;
pub mod notation;
pub mod numbers;
pub mod promtool;
pub mod query;
pub mod rules;
pub mod scrape;
pub mod store;
pub mod template;

pub use evaluator::Evaluator;
