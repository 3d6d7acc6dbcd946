//! `squall list`: lists the scenarios, and the words that a scenario can use.

use super::args::{Format, ListArgs};
use super::{Status, Streams};
use crate::faults::Action;
use crate::scenario::{COUNTERS, CheckerName, Outcome, ScenarioFile, WorkloadKind, load};
use crate::text::Refusal;
use serde_json::json;
use squall_core::planted::Bug;
use squall_store::seam::Point;
use std::path::{Path, PathBuf};

/// Prints the lists.
pub(super) fn list(args: &ListArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    let scenarios = if !args.paths.is_empty() {
        load(&args.paths)?
    } else if Path::new("scenarios").is_dir() {
        load(&[PathBuf::from("scenarios")])?
    } else {
        Vec::new()
    };
    let text = match args.format {
        Format::Human => human(&scenarios),
        Format::Json => json_lines(&scenarios),
    };
    let _ = streams.out.write_all(text.as_bytes());
    Ok(Status::Ok)
}

/// Words of one kind: the kind, the place in a file where they are used, and each word with its explanation.
type Words = (&'static str, &'static str, Vec<(&'static str, &'static str)>);

fn vocabulary() -> [Words; 6] {
    fn split<T>(lines: &[(T, &'static str)]) -> Vec<(&'static str, &'static str)> {
        lines.iter().map(|(_, line)| line.split_once(": ").unwrap_or((line, ""))).collect()
    }
    let actions = Action::ALL.iter().map(|action| (action.name(), action.about())).collect();
    let points = Point::ALL.iter().map(|point| (point.name(), point.about())).collect();
    let bugs = Bug::ALL.iter().map(|bug| (bug.name(), bug.what())).collect();
    [
        ("action", "Actions (spec.faults[].action)", actions),
        ("workload", "Workloads (spec.workloads[].type)", split(&WorkloadKind::ALL)),
        ("checker", "Checkers (spec.expect.checker)", split(&CheckerName::ALL)),
        ("planted_bug", "Planted bugs (spec.cluster.plantedBug)", bugs),
        ("counter", "Counters (spec.expect.counters)", COUNTERS.to_vec()),
        ("point", "Points (spec.faults[].points.names)", points),
    ]
}

fn human(scenarios: &[ScenarioFile]) -> String {
    let mut text = String::from("Scenarios\n");
    if scenarios.is_empty() {
        text.push_str("  none here: name a folder, such as `squall list scenarios`\n");
    }
    for file in scenarios {
        let meta = &file.scenario.metadata;
        text.push_str(&format!("  {:<38} {}\n", meta.name, meta.description));
    }
    for (_, heading, words) in vocabulary() {
        text.push_str(&format!("\n{heading}\n"));
        for (name, what) in words {
            text.push_str(&format!("  {name:<38} {what}\n"));
        }
    }
    text
}

fn json_lines(scenarios: &[ScenarioFile]) -> String {
    let mut lines = Vec::new();
    for file in scenarios {
        let (meta, spec) = (&file.scenario.metadata, &file.scenario.spec);
        lines.push(json!({
            "kind": "scenario",
            "name": meta.name,
            "description": meta.description,
            "path": file.path.display().to_string(),
            "seeds": spec.seeds,
            "expect": if spec.expect.outcome == Outcome::Invalid { "invalid" } else { "valid" },
        }));
    }
    for (kind, _, words) in vocabulary() {
        for (name, what) in words {
            lines.push(json!({"kind": kind, "name": name, "description": what}));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
