//! `squall replay --diff A B`: shows the first difference of two traces.
//!
//! A trace holds every event, in order. So two runs diverged at the first line that differs: all bytes before it are
//! equal, and later differences follow from it.

use super::super::args::{Format, ReplayArgs};
use super::super::{Runner, Status, Streams, make};
use crate::report::{self, RunOptions};
use crate::scenario::unreadable;
use crate::text::Refusal;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor};
use std::path::Path;

/// How many lines are shown before the difference.
const BEFORE: usize = 4;

/// How many lines of each side are shown from the difference on.
const AFTER: usize = 3;

type Lines = Box<dyn Iterator<Item = Result<String, Refusal>>>;

/// Compares two run folders or two trace files. The status says whether they differ.
pub(super) fn diff(
    paths: [&Path; 2],
    args: &ReplayArgs,
    runner: Runner,
    streams: &mut Streams,
) -> Result<Status, Refusal> {
    // Both paths are checked before either run is repeated.
    for path in paths {
        if fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_dir() {
            report::record_of(path)?;
        }
    }
    let mut sides = [lines(paths[0], args, runner)?, lines(paths[1], args, runner)?];
    let mut before: VecDeque<String> = VecDeque::new();
    let mut number: u64 = 0;
    let (one, other) = loop {
        let [one, other] = [sides[0].next().transpose()?, sides[1].next().transpose()?];
        match (one, other) {
            (None, None) => {
                let text = match args.format {
                    Format::Human => format!("the same: {number} events\n"),
                    Format::Json => json!({ "same": true, "events": number }).to_string() + "\n",
                };
                let _ = streams.out.write_all(text.as_bytes());
                return Ok(Status::Ok);
            }
            (Some(one), Some(other)) if one == other => {
                number += 1;
                if before.len() == BEFORE {
                    before.pop_front();
                }
                before.push_back(one);
            }
            (one, other) => break (one, other),
        }
    };
    let rest = |first: Option<String>, side: &mut Lines| -> Result<Vec<String>, Refusal> {
        let rest = side.by_ref().take(AFTER - 1).collect::<Result<Vec<_>, _>>()?;
        Ok(first.into_iter().chain(rest).collect())
    };
    let [first, second] = &mut sides;
    let (one, other) = (rest(one, first)?, rest(other, second)?);
    let text = match args.format {
        Format::Json => {
            let parse = |lines: &[String]| -> Vec<Value> {
                lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!(line))).collect()
            };
            let before: Vec<String> = before.into();
            let parts = json!({
                "same": false, "event": number + 1, "before": parse(&before), "a": parse(&one), "b": parse(&other),
            });
            parts.to_string() + "\n"
        }
        Format::Human => human(paths, number, &before, &one, &other),
    };
    let _ = streams.out.write_all(text.as_bytes());
    Ok(Status::Violation)
}

fn human(
    paths: [&Path; 2],
    number: u64,
    before: &VecDeque<String>,
    one: &[String],
    other: &[String],
) -> String {
    let mut text = format!("the first {number} events are the same; then they differ\n");
    for line in before {
        text.push_str(&format!("    {}\n", for_people(line)));
    }
    for (path, sign, lines) in [(paths[0], "A", one), (paths[1], "B", other)] {
        text.push_str(&format!("{sign}   {}\n", path.display()));
        if lines.is_empty() {
            text.push_str(&format!("{sign}   ends here\n"));
        }
        for line in lines {
            text.push_str(&format!("{sign}   {}\n", for_people(line)));
        }
    }
    text
}

/// A line of a trace for people: time, event, node, and the rest unchanged.
fn for_people(line: &str) -> String {
    let Ok(Value::Object(mut event)) = serde_json::from_str(line) else { return line.to_owned() };
    let at = event.remove("at").and_then(|at| at.as_u64()).unwrap_or(0);
    let mut take = |key: &str| event.remove(key).and_then(|value| value.as_str().map(ToOwned::to_owned));
    let (kind, node) =
        (take("kind").unwrap_or_default(), take("node").or_else(|| take("from")).unwrap_or_default());
    let rest: Vec<String> = event
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) => format!("{key} {text}"),
            other => format!("{key} {other}"),
        })
        .collect();
    format!("{:>14.9}s  {node:<10} {kind:<8} {}", at as f64 / 1e9, rest.join(", "))
}

/// Whether the first line is an event: an object with an instant and a kind. A damaged event further on is a difference
/// like any other.
fn begins_with_an_event(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice::<Value>(line).is_ok_and(|event| event["at"].is_u64() && event["kind"].is_string())
}

/// The lines of a trace: from a file, from a run folder, or from the repeated run.
fn lines(path: &Path, args: &ReplayArgs, runner: Runner) -> Result<Lines, Refusal> {
    let file = if path.is_dir() { path.join("trace.jsonl") } else { path.to_owned() };
    if file.is_file() {
        let opened = File::open(&file).map_err(|error| unreadable(&file, &error))?;
        let mut reader = BufReader::with_capacity(1 << 16, opened);
        let head = reader.fill_buf().map_err(|error| unreadable(&file, &error))?;
        if !begins_with_an_event(head) {
            return Err(Refusal::of(
                &file,
                "this is no trace: expected an event a line, as in a run folder's trace.jsonl",
            ));
        }
        let named = move |line: std::io::Result<String>| line.map_err(|error| unreadable(&file, &error));
        return Ok(Box::new(reader.lines().map(named)));
    }
    let stored = report::open(path)?;
    super::only_simulated(path, &stored.record)?;
    let options = RunOptions {
        plan: Some(stored.plan.clone()),
        trace: true,
        judge: false,
        wall_limit: args.wall_limit,
        ..RunOptions::default()
    };
    let (result, _) =
        make::call(runner, &stored.file.scenario, stored.record.seed, &options, args.log.as_deref());
    if let Some(error) = result.harness_error {
        return Err(Refusal::of(path, format!("the run cannot be repeated: {error}")));
    }
    let text = result.trace.unwrap_or_default();
    Ok(Box::new(Cursor::new(text).lines().map(|line| Ok(line.expect("text in memory")))))
}
