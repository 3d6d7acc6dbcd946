//! Alerts in virtual time: a Prometheus that watches a run.
//!
//! ```text
//! members' metrics ── scrape ──▶ squall_alerts::Evaluator ── evaluate ──▶ history: alert, alert_blind
//!                                        │
//!                                        ▼
//!                        series.jsonl ──▶ OpenMetrics, a test for promtool
//! ```
//!
//! [`Prometheus`] is no machine: it has no process, sends nothing, draws nothing, and its scrapes are looks at the members'
//! registries. So a run is the same run with it and without it (a test compares the hashes). The arena knows which faults a
//! scrape meets: a member that is down, paused or cut off from the clients does not answer.
//!
//! Time begins with the clients: the first scrape is at that moment, the others at multiples of the interval. promtool knows
//! no moments between, and is asked to confirm. The clock is the world's; members' clocks, skewed or not, show only in the
//! durations that members measure.
//!
//! What it leaves out: the time that a scrape takes, and its time-out; a Prometheus that is itself cut off, restarts or is slow;
//! discovery of targets, relabelling; Alertmanager.

mod confirm;
mod needs;
mod observer;
mod openmetrics;
mod series;

pub use confirm::confirmation;
pub(crate) use observer::Prometheus;
pub use openmetrics::openmetrics;
pub use series::Scraped;
