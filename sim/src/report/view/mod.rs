//! A run as its reports show it: lanes of members and clients, faults as spans, findings with the operations that show
//! them. [`View::of`] makes it from a run folder's content; the HTML page, the Perfetto trace and the JSON report are
//! made from it.
//!
//! A view decides nothing: verdict and failures are the record's. It runs the judge again only to learn which
//! operations a failure is about, since `run.json` holds only the words. It leaves out what it cannot know, and says
//! so: without a trace there are no snapshots, compactions and ends of processes to show.

mod alerts;
mod faults;
mod findings;
mod members;
mod operations;
mod trace;
mod watches;

use super::record::RunRecord;
use super::words::{PlanWords, plan_words};
use crate::explore::Shrunk;
use crate::plan::Plan;
use serde::Serialize;
use squall_checker::history::{BreakKind, Event, RunHistory};

pub use alerts::AlertSpan;
pub use faults::FaultSpan;
pub use findings::Finding;
pub use members::{Mark, MemberLane, State, StateSpan};
pub use operations::{Row, Rows};
pub use watches::WatchSpan;

/// The inputs of a view.
pub struct ViewSource<'a> {
    /// `run.json`.
    pub record: &'a RunRecord,
    /// The scenario's description.
    pub description: &'a str,
    /// `plan.yaml`.
    pub plan: &'a Plan,
    /// `history.jsonl`.
    pub history: &'a RunHistory,
    /// `trace.jsonl`, if the run kept one.
    pub trace: Option<&'a str>,
    /// The result of `squall shrink`, if there is one.
    pub shrunk: Option<ShrunkScenario>,
}

/// The smallest scenario with the run's failure.
#[derive(Debug, Clone, Serialize)]
pub struct ShrunkScenario {
    /// The figures of the shrinking, and the file's name.
    #[serde(flatten)]
    pub told: Shrunk,
    /// The file's text.
    pub text: String,
}

/// A run as its reports show it. Instants are nanoseconds of virtual time since the run's start.
#[derive(Debug, Serialize)]
pub struct View {
    /// The run's record.
    #[serde(flatten)]
    pub record: RunRecord,
    /// The scenario's description.
    pub description: String,
    /// When the run ended.
    pub end: u64,
    /// The plan in words.
    pub plan: PlanWords,
    /// The members, in the order in which they joined.
    pub members: Vec<MemberLane>,
    /// The faults that struck, by instant.
    pub faults: Vec<FaultSpan>,
    /// The alerts that were pending or fired, by their begin.
    pub alerts: Vec<AlertSpan>,
    /// The watches, by their begin.
    pub watches: Vec<WatchSpan>,
    /// When no majority was up: begin and end.
    pub outages: Vec<(u64, u64)>,
    /// The events of the whole cluster: the heal, breaks, what was stuck.
    pub moments: Vec<Mark>,
    /// The failures, with their operations.
    pub findings: Vec<Finding>,
    /// The operations of the smallest history that shows the first linearizability failure, by id.
    pub core: Vec<u64>,
    /// Whether there was a trace to read.
    pub traced: bool,
    /// The smallest scenario with the failure, if the run was shrunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<ShrunkScenario>,
    /// The clients' operations. Not part of the JSON report: `history.jsonl` has them.
    #[serde(skip)]
    pub operations: Rows,
}

impl View {
    /// The view of a run.
    pub fn of(source: ViewSource) -> View {
        let ViewSource { record, description, plan, history, trace, shrunk } = source;
        let told = trace.map(trace::read).unwrap_or_default();
        let faults = faults::spans(history);
        let end = end(history, record);
        let (findings, core) = findings::findings(record, history);
        View {
            record: record.clone(),
            description: description.to_owned(),
            end,
            plan: plan_words(plan),
            members: members::lanes(history, &told, end, record.on.is_none()),
            faults,
            alerts: alerts::spans(history),
            watches: watches::spans(history),
            outages: outages(history),
            moments: moments(history),
            findings,
            core,
            traced: trace.is_some(),
            shrunk,
            operations: operations::rows(history),
        }
    }
}

fn end(history: &RunHistory, record: &RunRecord) -> u64 {
    let told = history.events.iter().map(|event| match event {
        Event::End(end) => end.at,
        other => other.at(),
    });
    let returned = history.operations.iter().map(|operation| operation.ret.unwrap_or(operation.call));
    let simulated = (record.simulated_seconds * 1e9) as u64;
    told.chain(returned).max().unwrap_or(0).max(simulated).max(1)
}

fn outages(history: &RunHistory) -> Vec<(u64, u64)> {
    let spans = history.events.iter().filter_map(|event| match event {
        Event::Outage(outage) => Some((outage.from, outage.to)),
        _ => None,
    });
    spans.collect()
}

fn moments(history: &RunHistory) -> Vec<Mark> {
    let mark = |at: u64, kind: &str, text: String| Some(Mark { at, kind: kind.to_owned(), text });
    let moments = history.events.iter().filter_map(|event| match event {
        Event::Heal(heal) if heal.action.is_empty() => mark(heal.at, "heal", "everything heals".into()),
        Event::Break(line) => {
            let why = match line.kind {
                BreakKind::Restore => "a snapshot is restored",
                BreakKind::ForceNewCluster => "a survivor becomes a new cluster",
            };
            let text = format!("{why}: what came after revision {} is lost, as expected", line.revision);
            mark(line.at, "break", text)
        }
        Event::Liveness(line) => mark(line.at, "stuck", format!("stuck: {}", line.stuck)),
        _ => None,
    });
    moments.collect()
}
