//! Transactions: lists of micro-operations, `[:r KEY VALUE]`, `[:w KEY VALUE]`, `[:append KEY VALUE]`, as Elle has them,
//! or with the words `:read` and `:write`, as Knossos has them. An invocation's read has nil for the value, or none.

use std::sync::Arc;

use super::convert::{KeyNames, NilRead, Wrong, ret_line, unknown};
use super::edn::Edn;
use super::event::{RawOperation, RawOutcome};
use super::scalars::Scalars;
use super::shape::is_txn;
use crate::model::Outcome;
use crate::model::list_append::{ListOp, ReadLists};
use crate::model::multi_register::{MicroOp, ReadValues};

/// What kind of transactions a history holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxnKind {
    /// Knossos' words, `:read` and `:write`.
    Knossos,
    /// Elle's registers, `:r` and `:w`.
    Registers,
    /// Elle's lists, `:r` and `:append`.
    Lists,
}

/// The kind of the transactions of a history; `None` if an operation is no transaction.
pub(super) fn kind(operations: &[RawOperation]) -> Option<TxnKind> {
    let (mut elle, mut lists) = (false, false);
    for raw in operations {
        if raw.function != "txn" && !is_txn(&raw.value) {
            return None;
        }
        let answer = match &raw.outcome {
            RawOutcome::Ok(answer) => Some(answer),
            _ => None,
        };
        for value in std::iter::once(&raw.value).chain(answer) {
            let Edn::Seq(micros) = value else { continue };
            for micro in micros {
                let Edn::Seq(words) = micro else { continue };
                let word = words.first().and_then(Edn::name).unwrap_or_default();
                elle |= matches!(word, "r" | "w" | "append");
                lists |= word == "append";
                lists |= matches!(word, "r" | "read") && matches!(words.get(2), Some(Edn::Seq(_)));
            }
        }
    }
    Some(match (lists, elle) {
        (true, _) => TxnKind::Lists,
        (false, true) => TxnKind::Registers,
        (false, false) => TxnKind::Knossos,
    })
}

/// Reads the transactions of one history.
pub(super) struct Reader {
    scalars: Scalars,
    nil: NilRead,
    keys: KeyNames,
}

/// A micro-operation: its word, its key, and the value if there is one.
struct Micro<'v> {
    word: &'v str,
    key: Arc<str>,
    value: &'v Edn,
}

impl Reader {
    pub(super) fn new(scalars: Scalars, nil: NilRead) -> Self {
        Reader { scalars, nil, keys: KeyNames::default() }
    }

    /// A transaction on registers.
    pub(super) fn registers(
        &mut self,
        raw: &RawOperation,
    ) -> Result<(Vec<MicroOp>, Outcome<ReadValues>), Wrong> {
        const EXPECTED: &str = ":read or :write";
        self.transaction(raw, EXPECTED, |reader, micro| {
            Ok(match micro.word {
                "r" | "read" => {
                    let read = match micro.value {
                        Edn::Nil if reader.nil == NilRead::Unknown => None,
                        value => Some(reader.scalars.value(value)?),
                    };
                    (MicroOp::Read(micro.key), Some(read))
                }
                "w" | "write" => (MicroOp::Write(micro.key, reader.scalars.value(micro.value)?), None),
                other => return Err(format!("unknown micro-operation `:{other}`: expected {EXPECTED}")),
            })
        })
    }

    /// A transaction on lists.
    pub(super) fn lists(&mut self, raw: &RawOperation) -> Result<(Vec<ListOp>, Outcome<ReadLists>), Wrong> {
        const EXPECTED: &str = ":r or :append";
        self.transaction(raw, EXPECTED, |reader, micro| {
            Ok(match micro.word {
                "r" | "read" => {
                    let read = match micro.value {
                        Edn::Nil if reader.nil == NilRead::Unknown => None,
                        Edn::Nil => Some(Arc::from([])),
                        Edn::Seq(values) => Some(
                            values
                                .iter()
                                .map(|value| reader.scalars.value(value))
                                .collect::<Result<_, _>>()?,
                        ),
                        other => return Err(format!("expected a list or nil, found {}", other.kind())),
                    };
                    (ListOp::Read(micro.key), Some(read))
                }
                "append" => match reader.scalars.value(micro.value)? {
                    None => return Err("an append of nil: expected a value".to_owned()),
                    value => (ListOp::Append(micro.key, value), None),
                },
                other => return Err(format!("unknown micro-operation `:{other}`: expected {EXPECTED}")),
            })
        })
    }

    /// What was asked, and what each read gave. `micro` gives an operation and, of a read, its value.
    fn transaction<O: Clone + PartialEq, R>(
        &mut self,
        raw: &RawOperation,
        expected: &str,
        micro: impl Fn(&Self, Micro<'_>) -> Result<(O, Option<R>), String>,
    ) -> Result<(Vec<O>, Outcome<Vec<R>>), Wrong> {
        if raw.function != "txn" && !is_txn(&raw.value) {
            return Err(unknown(raw, &raw.function, ":txn"));
        }
        if raw.key.is_some() {
            return Err((
                raw.call_line,
                "a transaction with a `:key`: expected keys in its operations".to_owned(),
            ));
        }
        let mut all = |value: &Edn| -> Result<Vec<(O, Option<R>)>, String> {
            let Edn::Seq(list) = value else {
                return Err(format!("expected a list of `[{expected} KEY VALUE]`, found {}", value.kind()));
            };
            list.iter()
                .map(|words| {
                    let shape = || format!("expected `[{expected} KEY VALUE]`");
                    let Edn::Seq(words) = words else {
                        return Err(format!("{}, found {}", shape(), words.kind()));
                    };
                    let (word, key, value) = match words.as_slice() {
                        [word, key, value] => (word, key, value),
                        [word, key] if matches!(word.name(), Some("r" | "read")) => (word, key, &Edn::Nil),
                        _ => return Err(shape()),
                    };
                    let word = match word {
                        Edn::Keyword(_) | Edn::Str(_) => word.name().unwrap_or_default(),
                        _ => return Err(shape()),
                    };
                    let key = self.keys.name(key)?;
                    micro(self, Micro { word, key, value })
                })
                .collect()
        };
        let asked = all(&raw.value).map_err(|what| (raw.call_line, what))?;
        let reads = asked.iter().any(|(_, read)| read.is_some());
        let input: Vec<O> = asked.into_iter().map(|(op, _)| op).collect();
        let outcome = match &raw.outcome {
            RawOutcome::Ok(Edn::Nil) if !reads => Outcome::Ok(Vec::new()),
            RawOutcome::Ok(value) => {
                let answered = all(value).map_err(|what| (ret_line(raw), what))?;
                if answered.iter().map(|(op, _)| op).ne(&input) {
                    let what =
                        format!("completes another transaction than the one of line {}", raw.call_line);
                    return Err((ret_line(raw), what));
                }
                Outcome::Ok(answered.into_iter().filter_map(|(_, read)| read).collect())
            }
            RawOutcome::Fail(..) => Outcome::Fail,
            RawOutcome::Info => Outcome::Info,
        };
        Ok((input, outcome))
    }
}
