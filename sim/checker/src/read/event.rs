//! Events of a Jepsen-like history, and how they pair up.
//!
//! The foreign formats differ in their clothes only: a process invokes a function with a value, and later completes
//! it with ok, fail or info. This module pairs the two and keeps the rules that all formats share:
//! - a process has one operation open at a time;
//! - a completion belongs to an invocation of the same function, and of the same value where it repeats one;
//! - `info` leaves the operation open for ever, and its process never comes back (Jepsen starts a new one);
//! - an operation without a completion is open for ever.
//!
//! Instants are the events' places in the file, from 0, which is what Knossos calls an index.

use std::collections::BTreeMap;

use super::edn::Edn;
use crate::history::{ReadError, ReadLimits, ReadProblem};

/// What an event says about its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

impl Kind {
    pub(super) fn from_keyword(name: &str) -> Option<Kind> {
        Some(match name {
            "invoke" => Kind::Invoke,
            "ok" => Kind::Ok,
            "fail" => Kind::Fail,
            "info" => Kind::Info,
            _ => return None,
        })
    }
}

/// One event.
#[derive(Debug)]
pub(super) struct RawEvent {
    pub(super) line: u64,
    pub(super) process: u64,
    pub(super) kind: Kind,
    pub(super) function: String,
    pub(super) key: Option<String>,
    pub(super) value: Edn,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RawOutcome {
    /// With this value.
    Ok(Edn),
    /// It did not happen, or its condition did not hold.
    Fail(Edn),
    /// Nobody knows.
    Info,
}

/// An operation as the file has it, before a model reads meaning into it.
#[derive(Clone, Debug)]
pub(super) struct RawOperation {
    pub(super) process: u64,
    pub(super) function: String,
    pub(super) key: Option<String>,
    /// What was asked.
    pub(super) value: Edn,
    pub(super) call: u64,
    pub(super) ret: Option<u64>,
    pub(super) call_line: u64,
    pub(super) ret_line: Option<u64>,
    pub(super) outcome: RawOutcome,
}

/// Pairs events as they come.
pub(super) struct Pairing<'a> {
    file: &'a str,
    limits: ReadLimits,
    operations: Vec<RawOperation>,
    /// The open operation of each process; `None` for a process that crashed.
    open: BTreeMap<u64, Option<usize>>,
    index: u64,
}

impl<'a> Pairing<'a> {
    pub(super) fn new(file: &'a str, limits: &ReadLimits) -> Self {
        Pairing { file, limits: *limits, operations: Vec::new(), open: BTreeMap::new(), index: 0 }
    }

    /// An event that is no client's, such as the nemesis': it counts, and says nothing.
    pub(super) fn skip(&mut self) {
        self.index += 1;
    }

    pub(super) fn event(&mut self, event: RawEvent) -> Result<(), ReadError> {
        let index = self.index;
        self.index += 1;
        let RawEvent { line, process, kind, function, key, value } = event;
        if kind == Kind::Invoke {
            return self.invoke(line, process, function, key, value, index);
        }
        let at = match self.open.remove(&process) {
            Some(Some(at)) => at,
            Some(None) => return Err(self.broken(line, crashed(process))),
            None => {
                let what = format!("process {process} completes `:{function}` and has no operation open");
                return Err(self.broken(line, what));
            }
        };
        let operation = &self.operations[at];
        if operation.function != function || operation.key != key {
            let what = format!(
                "process {process} completes `:{function}`{}, but the operation it has open is `:{}`{} of line {}",
                of_key(&key),
                operation.function,
                of_key(&operation.key),
                operation.call_line
            );
            return Err(self.broken(line, what));
        }
        let operation = &mut self.operations[at];
        operation.ret = Some(index);
        operation.ret_line = Some(line);
        operation.outcome = match kind {
            Kind::Ok => RawOutcome::Ok(value),
            Kind::Fail => RawOutcome::Fail(value),
            Kind::Info | Kind::Invoke => {
                self.open.insert(process, None);
                RawOutcome::Info
            }
        };
        Ok(())
    }

    /// All operations, in order of call.
    pub(super) fn finish(self) -> Vec<RawOperation> {
        self.operations
    }

    fn invoke(
        &mut self,
        line: u64,
        process: u64,
        function: String,
        key: Option<String>,
        value: Edn,
        index: u64,
    ) -> Result<(), ReadError> {
        match self.open.get(&process) {
            Some(Some(at)) => {
                let opened = self.operations[*at].call_line;
                let what =
                    format!("process {process} has two operations open: the other since line {opened}");
                return Err(self.broken(line, what));
            }
            Some(None) => return Err(self.broken(line, crashed(process))),
            None => {}
        }
        if self.operations.len() == self.limits.operations {
            let problem = ReadProblem::TooManyOperations(self.limits.operations);
            return Err(ReadError { file: self.file.to_owned(), line, problem });
        }
        self.open.insert(process, Some(self.operations.len()));
        self.operations.push(RawOperation {
            process,
            function,
            key,
            value,
            call: index,
            ret: None,
            call_line: line,
            ret_line: None,
            outcome: RawOutcome::Info,
        });
        Ok(())
    }

    fn broken(&self, line: u64, what: String) -> ReadError {
        ReadError { file: self.file.to_owned(), line, problem: ReadProblem::Rule(what) }
    }
}

fn crashed(process: u64) -> String {
    format!("process {process} comes back after an `:info`: expected a new process")
}

fn of_key(key: &Option<String>) -> String {
    key.as_ref().map_or(String::new(), |key| format!(" of key {key:?}"))
}
