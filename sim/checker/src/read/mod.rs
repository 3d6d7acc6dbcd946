//! Readers of other people's histories, so that the judge can be tried on what it did not write itself.
//!
//! | Format | What | Where from |
//! |---|---|---|
//! | `jepsen-log` | lines of the logger `jepsen.util` | Jepsen's early tests, etcd's among them |
//! | `edn` | EDN maps | Jepsen's and Knossos' stored histories |
//! | `porcupine-kv` | EDN maps with a key, one a line | Porcupine's test data |
//! | `etcd-operations` | JSON Lines of etcd's robustness reports | etcd |
//! | `squall` | our own JSON Lines ([`crate::history::jsonl`]) | the simulator |
//!
//! The first three are read into a [`ForeignHistory`], which knows processes, functions and values; a model then reads
//! meaning into it ([`ForeignHistory::register`] and its siblings), since the same file may be a CAS register's or a
//! plain register's. All readers take a stream, hold one line or one value at a time with a limit to its length, and
//! name file, line, and what was expected where something is wrong.

mod convert;
mod edn;
mod edn_history;
pub mod etcd_operations;
mod etcd_wire;
mod event;
mod jepsen_log;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::BufRead;

use crate::history::{ReadError, ReadLimits};
use event::RawOperation;

/// A file format of histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Our own JSON Lines.
    Squall,
    /// Lines of the logger `jepsen.util`.
    JepsenLog,
    /// EDN maps of Jepsen and Knossos.
    Edn,
    /// EDN maps with a key, one a line.
    PorcupineKv,
    /// JSON Lines of etcd's robustness reports.
    EtcdOperations,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 5] =
        [Format::Squall, Format::JepsenLog, Format::Edn, Format::PorcupineKv, Format::EtcdOperations];

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Squall => "squall",
            Format::JepsenLog => "jepsen-log",
            Format::Edn => "edn",
            Format::PorcupineKv => "porcupine-kv",
            Format::EtcdOperations => "etcd-operations",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much of a file's beginning [`recognise`] should see, in bytes.
pub const RECOGNISE_BYTES: usize = 4096;

/// The format of a file that begins with `head`; `None` where it looks like none of them.
pub fn recognise(head: &[u8]) -> Option<Format> {
    let text = String::from_utf8_lossy(head);
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(';'))
        .or_else(|| text.trim().starts_with(';').then_some(";"))?;
    if first.contains("jepsen.util - ") || (first.starts_with("INFO") && text.contains("jepsen.util - ")) {
        return Some(Format::JepsenLog);
    }
    let mut rest = text[text.find(first)?..].chars().filter(|c| !c.is_whitespace());
    match (rest.next()?, rest.next()) {
        ('{', Some('"')) | ('[', Some('{')) if first.contains("\"ClientId\"") || json_array(&text) => {
            Some(Format::EtcdOperations)
        }
        ('{', Some('"')) => Some(Format::Squall),
        ('{', Some(':')) if first.contains(":key") && first.ends_with('}') => Some(Format::PorcupineKv),
        ('{', Some(':')) | ('[' | '(', Some('{' | ';' | ']' | ')' | '#') | None) | (';', _) => {
            Some(Format::Edn)
        }
        ('#', _) if first.starts_with("#_") || first.starts_with("#jepsen.") => Some(Format::Edn),
        _ => None,
    }
}

/// Whether the text opens an array of JSON objects, as `operations.json` of some etcd versions does.
fn json_array(text: &str) -> bool {
    let mut significant = text.chars().filter(|c| !c.is_whitespace());
    (significant.next(), significant.next(), significant.next()) == (Some('['), Some('{'), Some('"'))
}

/// A history of a foreign format: what each process called, with what, and what came back. An operation's place in it
/// is its place in every [`ConcurrentHistory`](crate::model::ConcurrentHistory) made of it; instants are the events'
/// places in the file, from 0.
#[derive(Clone, Debug)]
pub struct ForeignHistory {
    file: String,
    format: Format,
    operations: Vec<RawOperation>,
}

impl ForeignHistory {
    /// Reads a file of `format`, which is one of [`Format::JepsenLog`], [`Format::Edn`] and [`Format::PorcupineKv`].
    /// `file` is for the errors.
    ///
    /// # Errors
    /// The first line that is not as it should be.
    ///
    /// # Panics
    /// If `format` is one of the others.
    pub fn read(
        format: Format,
        reader: impl BufRead,
        file: &str,
        limits: &ReadLimits,
    ) -> Result<ForeignHistory, ReadError> {
        let operations = match format {
            Format::JepsenLog => jepsen_log::read(reader, file, limits)?,
            Format::Edn | Format::PorcupineKv => edn_history::read(reader, file, limits)?,
            Format::Squall | Format::EtcdOperations => panic!("{format} is read by its own reader"),
        };
        Ok(ForeignHistory { file: file.to_owned(), format, operations })
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The line of an operation's call.
    pub fn call_line(&self, operation: usize) -> u64 {
        self.operations[operation].call_line
    }

    /// The line of an operation's completion, if it has one.
    pub fn return_line(&self, operation: usize) -> Option<u64> {
        self.operations[operation].ret_line
    }

    /// Whether any operation names a key.
    pub fn has_keys(&self) -> bool {
        self.operations.iter().any(|operation| operation.key.is_some())
    }

    /// The functions that are called, each once, sorted.
    pub fn functions(&self) -> Vec<&str> {
        let names: std::collections::BTreeSet<&str> =
            self.operations.iter().map(|operation| operation.function.as_str()).collect();
        names.into_iter().collect()
    }
}
