//! A run's outputs: its result in memory, the run folder on disk, and the printed lines.
//!
//! ```text
//! RunResult (the runner's) -> RunRecord (run.json, the JSON line, the human line)
//!                          -> RunFolder: scenario.yaml, plan.yaml, history.jsonl, trace.jsonl, timeline.txt, …
//!                          -> View -> report.html, Perfetto, JSON (`squall report`)
//! ```
//!
//! Guarantees: a run folder is complete or absent (it is written under a temporary name and renamed). It holds what is
//! needed to judge the run again without running it (`history.jsonl`) and to run it again without drawing the plan
//! (`plan.yaml`). Every failure has a line with the command that reproduces it.

mod build;
mod campaign;
mod folder;
mod github;
mod html;
mod junit;
mod perfetto;
mod record;
mod result;
mod timeline;
mod view;
mod words;

pub use build::Build;
pub use campaign::{CampaignRun, campaign_html};
pub use folder::{
    SHRUNK, Staged, StoredRun, Workplace, history_text, open, open_history, open_scraped, open_view, stage,
    sweep, write,
};
pub(crate) use folder::{lacks, record_of};
pub(crate) use github::{
    ANNOTATIONS_SHOWN, cell as markdown_cell, data as command_data, fenced, property as command_property,
};
pub use github::{annotations, summary};
pub use html::html;
pub(crate) use junit::escape as xml;
pub use junit::junit;
pub use perfetto::perfetto;
pub use record::{Expected, RunRecord, dead_counters, digest};
pub(crate) use record::{reproduce, shell_word};
pub(crate) use result::faults_in;
pub use result::{Failure, OperationCounts, RunOptions, RunResult, Verdict};
pub use timeline::timeline;
pub use view::{
    AlertSpan, FaultSpan, Finding, Mark, MemberLane, Row, Rows, ShrunkScenario, State, StateSpan, View,
    ViewSource, WatchSpan,
};
pub use words::{FaultWords, PlanWords, plan_words};

#[cfg(test)]
mod tests;
