//! Exploring: many runs, each with a scenario that chance drew, to find what no drill was written for.
//!
//! ```text
//! campaign seed, index ── iteration ──▶ scenario, seed ── a run ──▶ one line of results.jsonl
//!                                                                  │ all lines, of all shards
//!                                                                  ▼
//!                            Summary: findings by signature, coverage, canaries, what is missing
//! ```
//!
//! - A *campaign* is a sequence of iterations. Iteration `i` is a pure function of the campaign's seed and of `i`, so the
//!   shards of a campaign together do exactly what one process would have done, and nobody has to talk to anybody.
//! - The drawing is *swarm testing* (Groce and others, ISSTA 2012): which kinds of fault and which operations are on at all
//!   is drawn for each run. A run with one kind of fault goes deeper than one with a bit of everything.
//! - A *finding* is a signature: the checker, the guarantee that it found broken, and the shape of its message. Many runs
//!   that show one defect are one finding.
//! - A *summary* is a pure function of the set of lines. That makes `squall merge` associative, commutative and idempotent.
//!
//! Left out: coverage-guided mutation. Each iteration is independent of what the others found.
//!
//! | File | What it holds |
//! |---|---|
//! | `draw` | a scenario out of a seed |
//! | `canaries` | the bugs that every campaign must find |
//! | `iteration` | a campaign's seed and an index to a scenario and a seed |
//! | `signature` | which failures are one |
//! | `line`, `manifest`, `folder` | what a campaign leaves on disk |
//! | `merge` | the union of results |
//! | `summary`, `text` | what a set of lines amounts to |

mod canaries;
mod draw;
mod folder;
mod html;
mod iteration;
mod line;
mod manifest;
mod merge;
mod signature;
mod summary;
mod text;

pub use canaries::canaries;
pub use draw::{EXPLORED, draw_scenario};
pub use folder::{
    Appender, Results, manifest_path, read_json, read_manifest, read_results, results_path, write_json,
    write_whole,
};
pub use html::summary_html;
pub use iteration::{CampaignSeed, Iteration, Source, file_of, is_checked_twice};
pub use line::{Key, Line};
pub use manifest::{Campaign, FORMAT, Manifest, Named, Shard, ShardNumber};
pub use signature::Signature;
pub use summary::{COVERAGE_FROM, Canary, Figures, Finding, Origin, Shrunk, Summary};
pub use text::summary_text;

#[cfg(test)]
mod tests;
