//! `history.jsonl`, written and read a line at a time.
//!
//! The reader bounds what it holds: a line longer than [`ReadLimits::line_bytes`] is an error before it is in memory.
//! Every error names the file, the line and what was expected there. The reader also refuses an operation that returns
//! before its call, one that is ok without a header or a fitting result, a client with two operations open, an id that
//! comes twice, and a run without its `end`.
//!
//! An operation with `"return": null` is open to the end: its client must not call again. A client that gives an
//! operation up and goes on records the instant at which it did, with outcome `info`.

use std::io::{self, BufRead, Write};

use super::alert::AlertLine;
use super::event::{Break, Event, Hint, Meta, WatchLine};
use super::lines::{Lines, ReadError, ReadLimits, ReadProblem};
use super::operation::{Client, OpId, Operation, Outcome};
use super::pool::Pool;
use super::request::{Op, RequestOp, Txn};
use super::response::{OpResult, ResponseOp, TxnResult};

/// The history of a run. Operations and events are each in the order of their lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunHistory {
    /// What the clients did.
    pub operations: Vec<Operation>,
    /// What else happened.
    pub events: Vec<Event>,
}

impl RunHistory {
    /// What was run, if the history says so.
    pub fn meta(&self) -> Option<&Meta> {
        self.events.iter().find_map(|event| match event {
            Event::Meta(meta) => Some(meta),
            _ => None,
        })
    }

    /// What became of alerts, by instant.
    pub fn alerts(&self) -> Vec<&AlertLine> {
        let lines = self.events.iter().filter_map(|event| match event {
            Event::Alert(line) => Some(line),
            _ => None,
        });
        let mut lines: Vec<&AlertLine> = lines.collect();
        lines.sort_by_key(|line| line.at);
        lines
    }

    /// The breaks, in the order in which they happened.
    pub fn breaks(&self) -> impl Iterator<Item = &Break> {
        self.events.iter().filter_map(|event| match event {
            Event::Break(line) => Some(line),
            _ => None,
        })
    }

    /// What watchers received.
    pub fn watches(&self) -> impl Iterator<Item = &WatchLine> {
        self.events.iter().filter_map(|event| match event {
            Event::Watch(line) => Some(line),
            _ => None,
        })
    }

    /// In which order the members' logs have the operations. Never trusted.
    pub fn hints(&self) -> impl Iterator<Item = &Hint> {
        self.events.iter().filter_map(|event| match event {
            Event::Hint(hint) => Some(hint),
            _ => None,
        })
    }

    /// How far a member's clock may have run fast or slow, in parts per million; 0 if the run does not say.
    pub fn drift_ppm(&self) -> u64 {
        self.meta().map_or(0, |meta| meta.max_clock_drift_ppm)
    }

    /// How long a message, and the write that follows it, may take where nothing is broken, in nanoseconds; 0 if that is usual,
    /// or if the run does not say.
    pub fn longest_delay_ns(&self) -> u64 {
        self.meta().map_or(0, |meta| meta.longest_delay_ns)
    }

    /// Whether the members report nothing beyond what clients can see. Then nothing follows from a missing report.
    pub fn members_are_silent(&self) -> bool {
        self.meta().is_some_and(|meta| meta.members_untold)
    }
}

/// Writes a history line by line. It does not buffer; give it a writer that does.
#[derive(Debug)]
pub struct HistoryWriter<W> {
    writer: W,
}

impl<W: Write> HistoryWriter<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        HistoryWriter { writer }
    }

    /// Writes an operation's line.
    ///
    /// # Errors
    /// The writer's.
    pub fn operation(&mut self, operation: &Operation) -> io::Result<()> {
        self.line(operation)
    }

    /// Writes an event's line.
    ///
    /// # Errors
    /// The writer's.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        self.line(event)
    }

    /// Gives the writer back.
    pub fn into_inner(self) -> W {
        self.writer
    }

    fn line<T: serde::Serialize>(&mut self, value: &T) -> io::Result<()> {
        serde_json::to_writer(&mut self.writer, value)?;
        self.writer.write_all(b"\n")
    }
}

/// Reads a history of our own format. `file` is for the errors.
///
/// # Errors
/// The first line that is not as it should be.
pub fn read(reader: impl BufRead, file: &str, limits: &ReadLimits) -> Result<RunHistory, ReadError> {
    let mut lines = Lines::new(reader, file, limits.line_bytes);
    let mut history = RunHistory::default();
    let mut places: Vec<u64> = Vec::new();
    let mut pool = Pool::default();
    let mut last_line = 0;
    while let Some((line, text, complete)) = lines.next_line()? {
        last_line = line;
        let at = |problem| ReadError { file: file.to_owned(), line, problem };
        if matches!(history.events.last(), Some(Event::End(_))) {
            let what = "something follows the `end` line: are these two histories in one file?";
            return Err(at(ReadProblem::Rule(what.to_owned())));
        }
        match parse_line(text, complete).map_err(at)? {
            Line::Event(event) => {
                check_event(&event, &history).map_err(|what| at(ReadProblem::Rule(what)))?;
                history.events.push(*event);
            }
            Line::Operation(mut operation) => {
                if history.operations.len() == limits.operations {
                    return Err(at(ReadProblem::TooManyOperations(limits.operations)));
                }
                check_operation(&operation).map_err(|what| at(ReadProblem::Rule(what)))?;
                pool.share(&mut operation);
                history.operations.push(*operation);
                places.push(line);
            }
        }
    }
    check_clients(&history.operations, &places).map_err(|(line, what)| ReadError {
        file: file.to_owned(),
        line,
        problem: ReadProblem::Rule(what),
    })?;
    let ends = history.events.iter().any(|event| matches!(event, Event::End(_)));
    if history.meta().is_some() && !ends {
        let what = "the file ends without an `end` line: the run was cut off, or half of the file is missing";
        let problem = ReadProblem::Rule(what.to_owned());
        return Err(ReadError { file: file.to_owned(), line: last_line + 1, problem });
    }
    Ok(history)
}

enum Line {
    Operation(Box<Operation>),
    Event(Box<Event>),
}

fn parse_line(text: &str, complete: bool) -> Result<Line, ReadProblem> {
    let malformed = |error: serde_json::Error| {
        if error.is_eof() && !complete {
            return ReadProblem::CutOff;
        }
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        ReadProblem::Malformed(error.column(), what.to_owned())
    };
    match first_key(text) {
        Some(key) if Event::KINDS.contains(&key) => {
            serde_json::from_str(text).map(|event| Line::Event(Box::new(event))).map_err(malformed)
        }
        Some(_) => serde_json::from_str(text)
            .map(|operation| Line::Operation(Box::new(operation)))
            .map_err(malformed),
        None if !complete => Err(ReadProblem::CutOff),
        None => Err(ReadProblem::Malformed(
            1,
            format!("expected an operation, {{\"id\":...}}, or one of {}", Event::KINDS.join(", ")),
        )),
    }
}

/// The first key of a JSON object, without parsing the rest.
fn first_key(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('{')?.trim_ascii_start().strip_prefix('"')?;
    inner.split_once('"').map(|(key, _)| key)
}

/// The newest version of the format. Histories that are written by hand may leave it out.
const FORMAT: u32 = 1;

/// The rules for what is not an operation: the format is known; breaks keep something, and come in the order of time.
fn check_event(event: &Event, before: &RunHistory) -> Result<(), String> {
    if let Event::Meta(meta) = event
        && meta.format > FORMAT
    {
        return Err(format!("the history has format {}: expected {FORMAT}", meta.format));
    }
    let Event::Break(line) = event else { return Ok(()) };
    if line.revision.0 < 1 {
        return Err(format!("a break keeps revision {}: expected 1 or more", line.revision));
    }
    if let Some(instant) = line.continues.filter(|instant| *instant >= line.at) {
        return Err(format!(
            "a break at {} continues what was at {instant}: expected an instant before it",
            line.at
        ));
    }
    match before.breaks().last() {
        Some(last) if last.at >= line.at => Err(format!(
            "a break at {} follows one at {}: expected them in the order of time",
            line.at, last.at
        )),
        _ => Ok(()),
    }
}

/// The rules that one operation must keep by itself.
pub(crate) fn check_operation(operation: &Operation) -> Result<(), String> {
    let id = operation.id;
    if let Some(ret) = operation.ret
        && ret < operation.call
    {
        return Err(format!("operation {id} returns at {ret}, before its call at {}", operation.call));
    }
    if operation.outcome != Outcome::Ok {
        return Ok(());
    }
    if operation.ret.is_none() {
        return Err(format!("operation {id} is ok and has no return: expected the instant of its response"));
    }
    if operation.op.has_exact_header() && operation.header.is_none() {
        return Err(format!("operation {id} is ok and has no header: expected the response's header"));
    }
    let Some(result) = &operation.result else {
        return match operation.op.has_exact_header() {
            true => {
                Err(format!("operation {id} is ok and has no result: expected a {}", operation.op.name()))
            }
            false => Ok(()),
        };
    };
    let fits = match (&operation.op, result) {
        (Op::Txn(txn), OpResult::Txn(result)) => txn_fits(txn, result),
        (Op::Range(_), OpResult::Range(_))
        | (Op::Put(_), OpResult::Put(_))
        | (Op::DeleteRange(_), OpResult::DeleteRange(_))
        | (Op::Compact(_), OpResult::Compact(_))
        | (Op::LeaseGrant(_), OpResult::LeaseGrant(_))
        | (Op::LeaseRevoke(_), OpResult::LeaseRevoke(_))
        | (Op::LeaseKeepAlive(_), OpResult::LeaseKeepAlive(_)) => true,
        (op, _) => !op.has_exact_header(),
    };
    match fits {
        true => Ok(()),
        false => Err(format!(
            "operation {id} is a {} with a {} result that does not fit it",
            operation.op.name(),
            result.name()
        )),
    }
}

fn txn_fits(txn: &Txn, result: &TxnResult) -> bool {
    let branch = if result.succeeded { &txn.success } else { &txn.failure };
    branch.len() == result.responses.len()
        && branch.iter().zip(&result.responses).all(|pair| match pair {
            (RequestOp::Range(_), ResponseOp::Range(_))
            | (RequestOp::Put(_), ResponseOp::Put(_))
            | (RequestOp::DeleteRange(_), ResponseOp::DeleteRange(_)) => true,
            (RequestOp::Txn(txn), ResponseOp::Txn(result)) => txn_fits(txn, result),
            _ => false,
        })
}

/// The rules between operations: ids are unique, and a client has one operation open at a time. `places` are the
/// operations' lines; the error is given with the later one's.
pub(crate) fn check_clients(operations: &[Operation], places: &[u64]) -> Result<(), (u64, String)> {
    let mut ids: Vec<(OpId, u64)> =
        operations.iter().zip(places).map(|(operation, &line)| (operation.id, line)).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err((
            twice[1].1,
            format!("operation id {} was used before, in line {}", twice[0].0, twice[0].1),
        ));
    }
    one_at_a_time(operations, places, |_| true)
}

/// A client has one operation open at a time, of those that `counts`. The error as in [`check_clients`].
pub(crate) fn one_at_a_time(
    operations: &[Operation],
    places: &[u64],
    counts: impl Fn(&Operation) -> bool,
) -> Result<(), (u64, String)> {
    let mut order: Vec<(Client, u64, u64, usize)> = operations
        .iter()
        .enumerate()
        .filter(|(_, op)| counts(op))
        .map(|(index, op)| (op.client, op.call, op.ret.unwrap_or(u64::MAX), index))
        .collect();
    order.sort_unstable();
    for pair in order.windows(2) {
        let ((client, _, ret, earlier), (next_client, call, _, later)) = (pair[0], pair[1]);
        if client == next_client && ret > call {
            let (first, second) = (operations[earlier].id, operations[later].id);
            let what =
                format!("client {client} calls operation {second} while its operation {first} is open");
            return Err((places[earlier].max(places[later]), what));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "jsonl_tests.rs"]
mod tests;
