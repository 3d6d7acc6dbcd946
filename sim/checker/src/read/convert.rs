//! From a file's operations to a model's: what functions, values and failures mean.
//!
//! A failed operation did not happen and is kept as such, with one exception: in `jepsen.util` logs of the CAS
//! register, `:fail :cas` with its values means that the comparison failed, which is an answer and is checked. In
//! Knossos' histories it means nothing of the sort. A read that returned nil has read nil in a log, and was not kept
//! in an EDN history.

use std::sync::Arc;

use super::edn::Edn;
use super::event::{RawOperation, RawOutcome};
use super::{ForeignHistory, Format};
use crate::history::{ReadError, ReadProblem};
use crate::model::cas_register::{RegisterInput, RegisterOutput, Value};
use crate::model::kv_append::{KvInput, KvOp, KvOutput};
use crate::model::multi_register::{MicroOp, ReadValues};
use crate::model::mutex::{MutexInput, MutexOutput};
use crate::model::{ClientId, ConcurrentHistory, Operation, Outcome};

type Converted<I, O> = Result<ConcurrentHistory<I, O>, ReadError>;

impl ForeignHistory {
    /// As operations of a register, for [`CasRegister`](crate::model::CasRegister) and
    /// [`Register`](crate::model::Register).
    ///
    /// # Errors
    /// The line of the first operation that is none of `:read`, `:write`, `:cas` with integers or nil.
    pub fn register(&self) -> Converted<RegisterInput, RegisterOutput> {
        self.convert(|raw| {
            if raw.key.is_some() {
                return Err((raw.call_line, "a register's operation has no `:key`".to_owned()));
            }
            let asked = |what| (raw.call_line, what);
            let input = match raw.function.as_str() {
                "read" => RegisterInput::Read,
                "write" => RegisterInput::Write(integer(&raw.value).map_err(asked)?),
                "cas" => {
                    let Edn::Seq(pair) = &raw.value else {
                        return Err(asked(format!("expected `[from to]`, found {}", raw.value.kind())));
                    };
                    let [from, to] = pair.as_slice() else {
                        return Err(asked(format!("expected `[from to]`, found {} values", pair.len())));
                    };
                    RegisterInput::Cas {
                        from: integer(from).map_err(asked)?,
                        to: integer(to).map_err(asked)?,
                    }
                }
                other => return Err(unknown(raw, other, ":read, :write or :cas")),
            };
            let outcome = match (&raw.outcome, &input) {
                (RawOutcome::Ok(Edn::Nil), RegisterInput::Read) if self.format != Format::JepsenLog => {
                    Outcome::Ok(RegisterOutput::ReadAny)
                }
                (RawOutcome::Ok(value), RegisterInput::Read) => {
                    Outcome::Ok(RegisterOutput::Read(integer(value).map_err(|what| (ret_line(raw), what))?))
                }
                (RawOutcome::Ok(value), _) => {
                    same_value(raw, value)?;
                    match input {
                        RegisterInput::Cas { .. } => Outcome::Ok(RegisterOutput::Cas(true)),
                        _ => Outcome::Ok(RegisterOutput::Written),
                    }
                }
                (RawOutcome::Fail(value), RegisterInput::Cas { .. })
                    if self.format == Format::JepsenLog && *value == raw.value =>
                {
                    Outcome::Ok(RegisterOutput::Cas(false))
                }
                (RawOutcome::Fail(_), _) => Outcome::Fail,
                (RawOutcome::Info, _) => Outcome::Info,
            };
            Ok((input, outcome))
        })
    }

    /// As operations of [`KvAppend`](crate::model::KvAppend).
    ///
    /// # Errors
    /// The line of the first operation that is none of `:get`, `:put`, `:append` with a key and strings.
    pub fn kv_append(&self) -> Converted<KvInput, KvOutput> {
        let mut pool: std::collections::BTreeMap<String, Arc<str>> = std::collections::BTreeMap::new();
        self.convert(|raw| {
            let Some(key) = &raw.key else {
                return Err((raw.call_line, "expected a `:key`".to_owned()));
            };
            let key = pool.entry(key.clone()).or_insert_with(|| key.as_str().into()).clone();
            let text = || match &raw.value {
                Edn::Str(text) => Ok(Arc::from(text.as_str())),
                other => Err((raw.call_line, format!("expected a string, found {}", other.kind()))),
            };
            let op = match raw.function.as_str() {
                "get" => KvOp::Get,
                "put" => KvOp::Put(text()?),
                "append" => KvOp::Append(text()?),
                other => return Err(unknown(raw, other, ":get, :put or :append")),
            };
            let outcome = match (&raw.outcome, &op) {
                (RawOutcome::Ok(Edn::Str(text)), KvOp::Get) => {
                    Outcome::Ok(KvOutput::Value(text.as_str().into()))
                }
                (RawOutcome::Ok(other), KvOp::Get) => {
                    return Err((ret_line(raw), format!("expected a string, found {}", other.kind())));
                }
                (RawOutcome::Ok(value), _) => {
                    same_value(raw, value)?;
                    Outcome::Ok(KvOutput::Done)
                }
                (RawOutcome::Fail(_), _) => Outcome::Fail,
                (RawOutcome::Info, _) => Outcome::Info,
            };
            Ok((KvInput { key, op }, outcome))
        })
    }

    /// As operations of a [`Mutex`](crate::model::Mutex).
    ///
    /// # Errors
    /// The line of the first operation that is neither `:acquire` nor `:release`.
    pub fn mutex(&self) -> Converted<MutexInput, MutexOutput> {
        self.convert(|raw| {
            let input = match raw.function.as_str() {
                "acquire" => MutexInput::Acquire,
                "release" => MutexInput::Release,
                other => return Err(unknown(raw, other, ":acquire or :release")),
            };
            let outcome = match &raw.outcome {
                RawOutcome::Ok(_) => Outcome::Ok(MutexOutput),
                RawOutcome::Fail(_) => Outcome::Fail,
                RawOutcome::Info => Outcome::Info,
            };
            Ok((input, outcome))
        })
    }

    /// As transactions of a [`MultiRegister`](crate::model::MultiRegister).
    ///
    /// # Errors
    /// The line of the first operation that is no `:txn` of `[:read KEY VALUE]` and `[:write KEY VALUE]`.
    pub fn multi_register(&self) -> Converted<Vec<MicroOp>, ReadValues> {
        self.convert(|raw| {
            if raw.function != "txn" {
                return Err(unknown(raw, &raw.function, ":txn"));
            }
            let asked = micro_ops(&raw.value).map_err(|what| (raw.call_line, what))?;
            let input: Vec<MicroOp> = asked.iter().map(|(micro, _)| micro.clone()).collect();
            let outcome = match &raw.outcome {
                RawOutcome::Ok(value) => {
                    let answered = micro_ops(value).map_err(|what| (ret_line(raw), what))?;
                    if answered.iter().map(|(micro, _)| micro).ne(&input) {
                        let what =
                            format!("completes another transaction than the one of line {}", raw.call_line);
                        return Err((ret_line(raw), what));
                    }
                    let reads = answered.into_iter().filter(|(micro, _)| matches!(micro, MicroOp::Read(_)));
                    Outcome::Ok(reads.map(|(_, value)| value.map(Some)).collect())
                }
                RawOutcome::Fail(_) => Outcome::Fail,
                RawOutcome::Info => Outcome::Info,
            };
            Ok((input, outcome))
        })
    }

    fn convert<I, O>(
        &self,
        mut operation: impl FnMut(&RawOperation) -> Result<(I, Outcome<O>), (u64, String)>,
    ) -> Converted<I, O> {
        let at = |line, what| ReadError { file: self.file.clone(), line, problem: ReadProblem::Rule(what) };
        let mut operations = Vec::with_capacity(self.operations.len());
        for raw in &self.operations {
            let (input, outcome) = operation(raw).map_err(|(line, what)| at(line, what))?;
            let client = ClientId(raw.process);
            operations.push(Operation { client, call: raw.call, ret: raw.ret, input, outcome });
        }
        ConcurrentHistory::new(operations).map_err(|error| at(0, error.to_string()))
    }
}

fn unknown(raw: &RawOperation, function: &str, expected: &str) -> (u64, String) {
    (raw.call_line, format!("unknown function `:{function}`: expected {expected}"))
}

fn ret_line(raw: &RawOperation) -> u64 {
    raw.ret_line.unwrap_or(raw.call_line)
}

/// A completion repeats what was asked, or gives nothing.
fn same_value(raw: &RawOperation, value: &Edn) -> Result<(), (u64, String)> {
    if *value == raw.value || *value == Edn::Nil {
        return Ok(());
    }
    let what = format!(
        "`:{}` completes with another value than it was called with in line {}",
        raw.function, raw.call_line
    );
    Err((ret_line(raw), what))
}

fn integer(value: &Edn) -> Result<Value, String> {
    match value {
        Edn::Nil => Ok(None),
        Edn::Int(number) => Ok(Some(*number)),
        other => Err(format!("expected an integer or nil, found {}", other.kind())),
    }
}

/// The micro-operations of a transaction, with the value that a read gives if it was kept.
fn micro_ops(value: &Edn) -> Result<Vec<(MicroOp, Option<i64>)>, String> {
    let Edn::Seq(list) = value else {
        return Err(format!("expected a list of `[:read|:write KEY VALUE]`, found {}", value.kind()));
    };
    list.iter()
        .map(|micro| {
            let Edn::Seq(words) = micro else {
                return Err(format!("expected `[:read|:write KEY VALUE]`, found {}", micro.kind()));
            };
            let [Edn::Keyword(function), key, value] = words.as_slice() else {
                return Err("expected `[:read|:write KEY VALUE]`".to_owned());
            };
            let key: Arc<str> = match key {
                Edn::Keyword(key) | Edn::Str(key) | Edn::Symbol(key) => key.as_str().into(),
                Edn::Int(key) => key.to_string().into(),
                other => return Err(format!("expected a register's name, found {}", other.kind())),
            };
            let value = integer(value)?;
            match function.as_str() {
                "read" | "r" => Ok((MicroOp::Read(key), value)),
                "write" | "w" => Ok((MicroOp::Write(key, value), None)),
                other => Err(format!("unknown micro-operation `:{other}`: expected :read or :write")),
            }
        })
        .collect()
}
