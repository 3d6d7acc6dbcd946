//! Exploring: many runs, each with a randomly drawn scenario, to find defects that no drill was written for.
//!
//! ```text
//! campaign seed, index ── iteration ──▶ scenario, seed ── a run ──▶ one line of results.jsonl
//!                                                                  │ all lines, of all shards
//!                                                                  ▼
//!                            Summary: findings by signature, coverage, canaries, what is missing
//! ```
//!
//! - A *campaign* is a sequence of iterations. Iteration `i` is a pure function of the campaign's seed and of `i`, so
//!   the shards of a campaign together do exactly what one process would have done, without any communication.
//! - The drawing is *swarm testing* (Groce and others, ISSTA 2012): each run draws which kinds of fault and which
//!   operations are on. A run with one kind of fault goes deeper than one with a bit of everything.
//! - A *finding* is a signature: the checker, the guarantee that it found broken, and the shape of its message. Many
//!   runs that show one defect are one finding.
//! - A *summary* is a pure function of the set of lines. That makes `squall merge` associative, commutative and
//!   idempotent.
//!
//! Left out: coverage-guided mutation. Each iteration is independent of what the others found.
//!
//! | File | What it holds |
//! |---|---|
//! | `draw` | draws a scenario from a seed |
//! | `canaries` | the bugs that every campaign must find |
//! | `iteration` | maps a campaign's seed and an index to a scenario and a seed |
//! | `signature` | which failures count as the same |
//! | `line`, `manifest`, `folder` | a campaign's files |
//! | `merge` | the union of results |
//! | `summary`, `text` | the summary of a set of lines |
//! | `cases` | a campaign's report for CI systems: JUnit, GitHub |

mod canaries;
mod cases;
mod draw;
mod folder;
mod iteration;
mod line;
mod manifest;
mod merge;
mod signature;
mod summary;
mod text;

pub use canaries::canaries;
pub use cases::{campaign_annotations, campaign_junit, campaign_markdown};
pub use draw::{EXPLORED, draw_scenario};
pub use folder::{
    Appender, Results, manifest_path, read_json, read_manifest, read_results, results_path, write_json,
};
pub use iteration::{CampaignSeed, Iteration, Source, file_of, is_checked_twice};
pub use line::{Key, Line};
pub use manifest::{Campaign, FORMAT, Manifest, Named, Shard, ShardNumber};
pub use signature::Signature;
pub use summary::{COVERAGE_FROM, Canary, Figures, Finding, Origin, Shrunk, Summary};
pub use text::summary_text;

#[cfg(test)]
mod tests;
