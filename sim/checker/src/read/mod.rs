//! Readers of other people's histories, so that the judge can be tried on what it did not write itself.
//!
//! | Format | What | Where from |
//! |---|---|---|
//! | `jepsen-log` | lines of the logger `jepsen.util`, of any year; `history.txt` | Jepsen |
//! | `edn` | EDN maps | Jepsen's and Knossos' stored histories |
//! | `elle-json` | the same maps as JSON objects | elle-cli, and what is written for it |
//! | `porcupine-kv` | EDN maps with a key, one a line | Porcupine's test data |
//! | `etcd-operations` | JSON objects of etcd's robustness reports | etcd |
//! | `squall` | our own JSON Lines ([`crate::history::jsonl`]) | the simulator |
//!
//! The first four are notations for the same events ([`event`]). Their reader gives a [`ForeignHistory`] of processes,
//! functions and values. [`ForeignHistory::register`] and its siblings convert it to a model's operations, because the same
//! file may be a CAS register's or a plain register's. All readers take a stream and hold one line or one value of bounded
//! length at a time. An error names the file, the line, and what was expected.
//!
//! A reader does not drop a part of a request that it does not understand. It makes the operation ambiguous if that is
//! sound, and otherwise refuses the file.

mod convert;
mod edn;
mod edn_history;
mod etcd_compactions;
pub mod etcd_operations;
pub mod etcd_watch;
mod etcd_wire;
mod event;
mod jepsen_log;
mod json_history;
mod json_values;
mod recognise;
mod scalars;
mod shape;
mod txn;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub use convert::NilRead;
pub use recognise::{RECOGNISE_BYTES, packed, recognise, recognise_other};
pub use scalars::Scalars;
pub use shape::{Keys, Shape};
pub use txn::TxnKind;

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
    /// The same maps as JSON objects.
    ElleJson,
    /// EDN maps with a key, one a line.
    PorcupineKv,
    /// JSON Lines of etcd's robustness reports.
    EtcdOperations,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 6] = [
        Format::Squall,
        Format::JepsenLog,
        Format::Edn,
        Format::ElleJson,
        Format::PorcupineKv,
        Format::EtcdOperations,
    ];

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Squall => "squall",
            Format::JepsenLog => "jepsen-log",
            Format::Edn => "edn",
            Format::ElleJson => "elle-json",
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

/// A history of a foreign format: what each process called, with what, and what came back. An operation's place in it
/// is its place in every [`ConcurrentHistory`](crate::model::ConcurrentHistory) made of it; instants are the events'
/// places in the file, from 0.
#[derive(Clone, Debug)]
pub struct ForeignHistory {
    file: String,
    operations: Vec<RawOperation>,
    /// Whether it is a log of the form that Jepsen's first etcd tests wrote.
    first_form: bool,
}

impl ForeignHistory {
    /// Reads a file of `format`, which is neither [`Format::Squall`] nor [`Format::EtcdOperations`]. `file` is for the
    /// errors.
    ///
    /// # Errors
    /// The first line that is not as it should be, or a file without operations.
    ///
    /// # Panics
    /// If `format` is one of the two.
    pub fn read(
        format: Format,
        reader: impl BufRead,
        file: &str,
        limits: &ReadLimits,
    ) -> Result<ForeignHistory, ReadError> {
        let mut first_form = false;
        let operations = match format {
            Format::JepsenLog => {
                let log = jepsen_log::read(reader, file, limits)?;
                first_form = log.first_form;
                log.operations
            }
            Format::Edn | Format::PorcupineKv => edn_history::read(reader, file, limits)?,
            Format::ElleJson => json_history::read(reader, file, limits)?,
            Format::Squall | Format::EtcdOperations => panic!("{format} is read by its own reader"),
        };
        Ok(ForeignHistory { file: file.to_owned(), operations, first_form })
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

    /// Whether any operation has an entry `:key`.
    pub fn has_keys(&self) -> bool {
        self.operations.iter().any(|operation| operation.key.is_some())
    }

    /// What kind of transactions these are; `None` if an operation is no transaction.
    pub fn transactions(&self) -> Option<TxnKind> {
        txn::kind(&self.operations)
    }

    /// The scalars that are no integers.
    pub fn scalars(&self) -> Scalars {
        Scalars::of(&self.operations)
    }

    /// How the file uses nil, to choose what nil means: how many completed register reads gave nil, and whether operations
    /// write nil or compare with it.
    pub fn nils(&self) -> Nils {
        let shape = self.shape();
        let inner = |value: &'_ edn::Edn| -> edn::Edn {
            match (shape.keys, shape::pair(value)) {
                (Keys::Tuple, Some((_, rest))) => rest.clone(),
                _ => value.clone(),
            }
        };
        let mut nils = Nils::default();
        for raw in &self.operations {
            match (raw.function.as_str(), &raw.outcome) {
                ("read", event::RawOutcome::Ok(value)) => {
                    nils.read += usize::from(inner(value) == edn::Edn::Nil)
                }
                ("write", _) => nils.is_value |= inner(&raw.value) == edn::Edn::Nil,
                ("cas", _) => {
                    let value = inner(&raw.value);
                    let pair = shape::pair(&value);
                    nils.is_value |=
                        pair.is_some_and(|(from, to)| *from == edn::Edn::Nil || *to == edn::Edn::Nil);
                }
                _ => {}
            }
        }
        nils
    }

    /// The functions that are called, each once, sorted.
    pub fn functions(&self) -> Vec<&str> {
        let names: std::collections::BTreeSet<&str> =
            self.operations.iter().map(|operation| operation.function.as_str()).collect();
        names.into_iter().collect()
    }
}

/// How a history uses nil.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nils {
    /// How many completed reads gave nil.
    pub read: usize,
    /// Whether an operation writes nil, or compares with it.
    pub is_value: bool,
}
