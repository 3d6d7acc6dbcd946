//! Events of a Jepsen-like history, and how they pair up.
//!
//! The foreign formats differ in their notation only: a process invokes a function with a value, and later completes
//! it with ok, fail or info. A notation's reader finds the [`Fields`] of an event; this module makes the event of
//! them, and pairs invocations with completions. The rules are the same for all formats:
//! - a process has one operation open at a time;
//! - a completion belongs to an invocation of the same function, and of the same key;
//! - `info` leaves the operation open for ever. Jepsen starts a new process after it; other tools go on with the same
//!   one, which means the same;
//! - an operation without a completion is open for ever;
//! - the nemesis is no client: its events are numbered like all others, and are otherwise ignored;
//! - a process is a number or a name; where no event names one, all are of one process.
//!
//! Instants are the events' places in the file, from 0, which is what Knossos calls an index. `:time` and `:index` are
//! not looked at: the order of the file is the order of the events, for Jepsen's own checkers too.

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
    pub(super) fn from_name(name: &str) -> Option<Kind> {
        Some(match name {
            "invoke" => Kind::Invoke,
            "ok" => Kind::Ok,
            "fail" => Kind::Fail,
            "info" => Kind::Info,
            _ => return None,
        })
    }
}

/// Who acts in an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Process {
    Number(u64),
    Name(String),
}

/// One event.
#[derive(Debug)]
pub(super) struct RawEvent {
    pub(super) line: u64,
    pub(super) process: Process,
    pub(super) kind: Kind,
    pub(super) function: String,
    pub(super) key: Option<Edn>,
    pub(super) value: Edn,
    /// Whether the event has an error beside the value.
    pub(super) error: bool,
}

/// The parts of an event as a notation has them: a map's entries, or the words of a log line.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) process: Option<Edn>,
    pub(super) kind: Option<Edn>,
    pub(super) function: Option<Edn>,
    pub(super) key: Option<Edn>,
    pub(super) value: Option<Edn>,
    pub(super) error: bool,
}

const SHAPE: &str = "expected a map with `:process :type :f :value`";

impl Fields {
    /// The fields of a map. A name with a namespace (`:jepsen/type`) counts where the plain one is not there.
    pub(super) fn of_map(entries: Vec<(Edn, Edn)>) -> Fields {
        let mut fields = Fields::default();
        let (plain, spaced): (Vec<_>, Vec<_>) = entries.into_iter().partition(
            |(name, _)| !matches!(name, Edn::Keyword(name) | Edn::Symbol(name) if name.contains('/')),
        );
        for (name, value) in plain.into_iter().chain(spaced) {
            let place = match name.name() {
                Some("process") => &mut fields.process,
                Some("type") => &mut fields.kind,
                Some("f") => &mut fields.function,
                Some("key") => &mut fields.key,
                Some("value") => &mut fields.value,
                Some("error" | "exception") => {
                    fields.error |= value != Edn::Nil;
                    continue;
                }
                _ => continue,
            };
            if place.is_none() {
                *place = Some(value);
            }
        }
        fields
    }

    /// The event; `None` if it is not a client's.
    ///
    /// # Errors
    /// What is missing or of the wrong kind, and what was expected.
    pub(super) fn event(self, line: u64) -> Result<Option<RawEvent>, String> {
        let process = match self.process {
            Some(Edn::Int(number)) if number >= 0 => Process::Number(number as u64),
            Some(Edn::Int(number)) => {
                return Err(format!("expected a process's number of 0 or more, or a name, found {number}"));
            }
            Some(ref process) => match process.name() {
                Some(name) if name.contains("nemesis") => return Ok(None),
                Some(name) => match name.parse() {
                    Ok(number) => Process::Number(number),
                    Err(_) => Process::Name(name.to_owned()),
                },
                None if *process == Edn::Nil => Process::Name(String::new()),
                None => return Err(format!("expected a process's number or name, found {}", process.kind())),
            },
            None => Process::Name(String::new()),
        };
        let kind = match self.kind {
            None => return Err(format!("{SHAPE}, found none with `:type`")),
            Some(kind) => {
                let name = kind.name().ok_or_else(|| format!("expected a type, found {}", kind.kind()))?;
                Kind::from_name(name)
                    .ok_or_else(|| format!("unknown type `:{name}`: expected :invoke, :ok, :fail or :info"))?
            }
        };
        let value = self.value.unwrap_or(Edn::Nil);
        let function = match self.function {
            None | Some(Edn::Nil) if super::shape::is_txn(&value) => "txn".to_owned(),
            None => return Err(format!("{SHAPE}, found none with `:f`")),
            Some(function) => match function.name() {
                Some(name) => name.to_owned(),
                None => return Err(format!("expected a function's keyword, found {}", function.kind())),
            },
        };
        let key = match self.key {
            None | Some(Edn::Nil) => None,
            Some(key) if key.scalar().is_some() => Some(key),
            Some(other) => return Err(format!("expected a key, found {}", other.kind())),
        };
        Ok(Some(RawEvent { line, process, kind, function, key, value, error: self.error }))
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RawOutcome {
    /// With this value.
    Ok(Edn),
    /// It did not happen, or its condition did not hold. With the value, and whether an error stood beside it.
    Fail(Edn, bool),
    /// It is not known.
    Info,
}

/// An operation as the file has it, before it is converted to a model's operation.
#[derive(Clone, Debug)]
pub(super) struct RawOperation {
    pub(super) process: u64,
    pub(super) function: String,
    pub(super) key: Option<Edn>,
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
    /// The open operation of each process.
    open: BTreeMap<Process, usize>,
    /// The numbers of the processes that have names.
    names: BTreeMap<String, u64>,
    index: u64,
}

/// The first number for processes with names.
const NAMED: u64 = 1_000_000_000;

impl<'a> Pairing<'a> {
    pub(super) fn new(file: &'a str, limits: &ReadLimits) -> Self {
        Pairing {
            file,
            limits: *limits,
            operations: Vec::new(),
            open: BTreeMap::new(),
            names: BTreeMap::new(),
            index: 0,
        }
    }

    /// The next event; `None` for one of no client, which is numbered and otherwise ignored.
    pub(super) fn event(&mut self, event: Option<RawEvent>) -> Result<(), ReadError> {
        let index = self.index;
        self.index += 1;
        let Some(event) = event else { return Ok(()) };
        if event.kind == Kind::Invoke {
            return self.invoke(event, index);
        }
        let RawEvent { line, process, kind, function, key, value, error } = event;
        let Some(&at) = self.open.get(&process) else {
            let what = format!("{} completes `:{function}` and has no operation open", who(&process));
            return Err(self.broken(line, what));
        };
        let operation = &self.operations[at];
        if operation.function != function || operation.key != key {
            let what = format!(
                "{} completes `:{function}`{}, but the operation it has open is `:{}`{} of line {}",
                who(&process),
                of_key(&key),
                operation.function,
                of_key(&operation.key),
                operation.call_line
            );
            return Err(self.broken(line, what));
        }
        self.open.remove(&process);
        let operation = &mut self.operations[at];
        operation.ret = Some(index);
        operation.ret_line = Some(line);
        operation.outcome = match kind {
            Kind::Ok => RawOutcome::Ok(value),
            Kind::Fail => RawOutcome::Fail(value, error),
            Kind::Info | Kind::Invoke => RawOutcome::Info,
        };
        Ok(())
    }

    /// All operations, in order of call.
    ///
    /// # Errors
    /// If there was no event at all, not even of the nemesis: such a file was not understood, or is empty.
    pub(super) fn finish(self) -> Result<Vec<RawOperation>, ReadError> {
        if self.index == 0 {
            return Err(self.broken(1, "no event in this file: expected some".to_owned()));
        }
        Ok(self.operations)
    }

    fn invoke(&mut self, event: RawEvent, index: u64) -> Result<(), ReadError> {
        let RawEvent { line, process, function, key, value, .. } = event;
        if let Some(&at) = self.open.get(&process) {
            let opened = self.operations[at].call_line;
            let what = format!("{} has two operations open: the other since line {opened}", who(&process));
            return Err(self.broken(line, what));
        }
        if self.operations.len() == self.limits.operations {
            let problem = ReadProblem::TooManyOperations(self.limits.operations);
            return Err(ReadError { file: self.file.to_owned(), line, problem });
        }
        let number = match &process {
            Process::Number(number) => *number,
            Process::Name(name) if name.is_empty() => 0,
            Process::Name(name) => {
                let next = NAMED + self.names.len() as u64;
                *self.names.entry(name.clone()).or_insert(next)
            }
        };
        self.open.insert(process, self.operations.len());
        self.operations.push(RawOperation {
            process: number,
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

fn who(process: &Process) -> String {
    match process {
        Process::Number(number) => format!("process {number}"),
        Process::Name(name) if name.is_empty() => "the process without a name".to_owned(),
        Process::Name(name) => format!("process `{name}`"),
    }
}

fn of_key(key: &Option<Edn>) -> String {
    key.as_ref().and_then(Edn::scalar).map_or(String::new(), |key| format!(" of key {key}"))
}
