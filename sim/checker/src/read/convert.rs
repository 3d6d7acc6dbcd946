//! From a file's operations to a model's: what functions, values and failures mean.
//!
//! - A failed operation did not happen, and is kept as such. One exception: in logs of Jepsen's first etcd tests
//!   ([`ForeignHistory::failed_cas_is_an_answer`]) `:fail :cas` with its values means that the comparison failed,
//!   which is an answer and is checked. In Knossos' histories it has no such meaning.
//! - The caller says what nil means if a read gave it ([`NilRead`]), because the formats differ.
//! - Keys and versions are taken out of the values first ([`super::shape`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::edn::Edn;
use super::event::{RawOperation, RawOutcome};
use super::scalars::Scalars;
use super::shape::{self, Keys, Shape};
use super::{ForeignHistory, txn};
use crate::history::{ReadError, ReadProblem};
use crate::model::cas_register::{RegisterInput, RegisterOutput};
use crate::model::kv_append::{KvInput, KvOp, KvOutput};
use crate::model::list_append::{ListOp, ReadLists};
use crate::model::multi_register::{MicroOp, ReadValues};
use crate::model::mutex::{MutexInput, MutexOutput};
use crate::model::per_key::KeyedInput;
use crate::model::versioned_register::VersionedOutput;
use crate::model::{ClientId, ConcurrentHistory, Operation, Outcome};

type Converted<I, O> = Result<ConcurrentHistory<I, O>, ReadError>;

/// What is wrong with an operation, at which line.
pub(super) type Wrong = (u64, String);

/// What nil means where a completed read gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NilRead {
    /// The read saw nil: the state of an object never written, where that is the initial state.
    Value,
    /// What the read saw was not kept, and may have been anything.
    Unknown,
}

impl ForeignHistory {
    /// Whether a failed compare-and-set says that the comparison failed, rather than that nothing happened: in logs of
    /// the form that Jepsen's first etcd tests wrote.
    pub fn failed_cas_is_an_answer(&self) -> bool {
        self.first_form
    }

    /// How the values of a register's history are made up.
    pub fn shape(&self) -> Shape {
        shape::of_register(&self.operations)
    }

    /// As operations of a register, for [`CasRegister`](crate::model::CasRegister) and
    /// [`Register`](crate::model::Register).
    ///
    /// # Errors
    /// The line of the first operation that is none of `:read`, `:write`, `:cas` with scalars, or that has a key.
    pub fn register(&self, nil: NilRead) -> Converted<RegisterInput, RegisterOutput> {
        let mut read = RegisterReader::new(self, nil);
        self.convert(|raw| match read.operation(raw)? {
            (Some(_), ..) => Err((raw.call_line, "a register's operation has no key".to_owned())),
            (None, input, outcome) => Ok((input, plain(outcome))),
        })
    }

    /// As operations of a register for each key, for [`PerKey`](crate::model::PerKey).
    ///
    /// # Errors
    /// As [`ForeignHistory::register`], but where a key is missing.
    pub fn keyed_register(&self, nil: NilRead) -> Converted<KeyedInput<RegisterInput>, RegisterOutput> {
        let mut read = RegisterReader::new(self, nil);
        self.convert(|raw| {
            let (key, input, outcome) = read.operation(raw)?;
            let key = key.ok_or_else(|| (raw.call_line, "expected a key".to_owned()))?;
            Ok((KeyedInput { key, input }, plain(outcome)))
        })
    }

    /// As operations of a [`VersionedRegister`](crate::model::VersionedRegister) for each key; without keys, all are of
    /// one key with an empty name.
    ///
    /// # Errors
    /// As [`ForeignHistory::register`].
    pub fn versioned_register(&self, nil: NilRead) -> Converted<KeyedInput<RegisterInput>, VersionedOutput> {
        let mut read = RegisterReader::new(self, nil);
        self.convert(|raw| {
            let (key, input, outcome) = read.operation(raw)?;
            let outcome = match outcome {
                Outcome::Ok((version, RegisterOutput::Read(value))) => {
                    // Nil beside a version: the value of a key that was written is not nil, so the answer left it out.
                    let told = value.is_some() || version.is_none() || version == Some(0);
                    match (version, value, nil) {
                        (None, None, NilRead::Value) => {
                            Outcome::Ok(VersionedOutput::Read { version: Some(0), value: Some(None) })
                        }
                        (None, None, NilRead::Unknown) => {
                            Outcome::Ok(VersionedOutput::Read { version: None, value: None })
                        }
                        _ => Outcome::Ok(VersionedOutput::Read { version, value: told.then_some(value) }),
                    }
                }
                Outcome::Ok((version, RegisterOutput::ReadAny)) => {
                    Outcome::Ok(VersionedOutput::Read { version, value: None })
                }
                Outcome::Ok((_, RegisterOutput::Cas(false))) => Outcome::Fail,
                Outcome::Ok((version, _)) => Outcome::Ok(VersionedOutput::Written(version)),
                Outcome::Fail => Outcome::Fail,
                Outcome::Info => Outcome::Info,
            };
            Ok((KeyedInput { key: key.unwrap_or_else(|| Arc::from("")), input }, outcome))
        })
    }

    /// As operations of [`KvAppend`](crate::model::KvAppend). Its keys begin as `initial`. A get that gives nil found
    /// the key as it began.
    ///
    /// # Errors
    /// The line of the first operation that is none of `:get`, `:put`, `:append` with a key and scalars.
    pub fn kv_append(&self, initial: &str) -> Converted<KvInput, KvOutput> {
        let mut keys = KeyNames::default();
        let mut texts: BTreeMap<String, Arc<str>> = BTreeMap::new();
        let initial: Arc<str> = initial.into();
        self.convert(|raw| {
            let Some(key) = &raw.key else {
                return Err((raw.call_line, "expected a `:key`".to_owned()));
            };
            let key = keys.name(key).map_err(|what| (raw.call_line, what))?;
            let mut text = |value: &Edn, line| {
                let text = match value {
                    Edn::Str(text) => Some(text.clone()),
                    Edn::Nil => None,
                    other => other.scalar(),
                };
                let text =
                    text.ok_or_else(|| (line, format!("expected a string, found {}", value.kind())))?;
                Ok(texts.entry(text).or_insert_with_key(|text| text.as_str().into()).clone())
            };
            let op = match (raw.function.as_str(), &raw.value) {
                ("get", _) => KvOp::Get,
                ("put", value) => KvOp::Put(text(value, raw.call_line)?),
                ("append", Edn::Str(_)) => KvOp::Append(text(&raw.value, raw.call_line)?),
                ("append", value) => {
                    return Err((raw.call_line, format!("expected a string, found {}", value.kind())));
                }
                (other, _) => return Err(unknown(raw, other, ":get, :put or :append")),
            };
            let outcome = match (&raw.outcome, &op) {
                (RawOutcome::Ok(Edn::Nil), KvOp::Get) => Outcome::Ok(KvOutput::Value(initial.clone())),
                (RawOutcome::Ok(value), KvOp::Get) => {
                    Outcome::Ok(KvOutput::Value(text(value, ret_line(raw))?))
                }
                (RawOutcome::Ok(value), _) => {
                    same_value(raw, &raw.value, value)?;
                    Outcome::Ok(KvOutput::Done)
                }
                (RawOutcome::Fail(..), _) => Outcome::Fail,
                (RawOutcome::Info, _) => Outcome::Info,
            };
            Ok((KvInput { key, op }, outcome))
        })
    }

    /// As operations of a [`Mutex`](crate::model::Mutex).
    ///
    /// # Errors
    /// The line of the first operation that is neither `:acquire` nor `:release`, or that is about one lock of several.
    pub fn mutex(&self) -> Converted<MutexInput, MutexOutput> {
        self.convert(|raw| {
            let input = match raw.function.as_str() {
                "acquire" => MutexInput::Acquire,
                "release" => MutexInput::Release,
                other => return Err(unknown(raw, other, ":acquire or :release")),
            };
            if raw.key.is_some() || matches!(raw.value, Edn::Seq(_)) {
                let what = "a lock under a key: expected one lock; split the history by its keys";
                return Err((raw.call_line, what.to_owned()));
            }
            let outcome = match &raw.outcome {
                RawOutcome::Ok(_) => Outcome::Ok(MutexOutput),
                RawOutcome::Fail(..) => Outcome::Fail,
                RawOutcome::Info => Outcome::Info,
            };
            Ok((input, outcome))
        })
    }

    /// As transactions of a [`MultiRegister`](crate::model::MultiRegister).
    ///
    /// # Errors
    /// The line of the first operation that is no transaction of `[:read KEY VALUE]` and `[:write KEY VALUE]`.
    pub fn multi_register(&self, nil: NilRead) -> Converted<Vec<MicroOp>, ReadValues> {
        let mut reader = txn::Reader::new(self.scalars(), nil);
        self.convert(|raw| reader.registers(raw))
    }

    /// As transactions of a [`ListAppend`](crate::model::ListAppend).
    ///
    /// # Errors
    /// The line of the first operation that is no transaction of `[:r KEY LIST]` and `[:append KEY VALUE]`.
    pub fn list_append(&self, nil: NilRead) -> Converted<Vec<ListOp>, ReadLists> {
        let mut reader = txn::Reader::new(self.scalars(), nil);
        self.convert(|raw| reader.lists(raw))
    }

    fn convert<I, O>(
        &self,
        mut operation: impl FnMut(&RawOperation) -> Result<(I, Outcome<O>), Wrong>,
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

/// Reads register operations of any shape.
struct RegisterReader<'a> {
    history: &'a ForeignHistory,
    shape: Shape,
    scalars: Scalars,
    nil: NilRead,
    keys: KeyNames,
}

/// A value's parts: key, version, and the value itself.
type Parts<'v> = (Option<&'v Edn>, Option<&'v Edn>, &'v Edn);

/// Key, what was asked, and what came of it, with the version if the answer has one.
type RegisterOperation = (Option<Arc<str>>, RegisterInput, Outcome<(Option<u64>, RegisterOutput)>);

impl<'a> RegisterReader<'a> {
    fn new(history: &'a ForeignHistory, nil: NilRead) -> Self {
        RegisterReader {
            history,
            shape: history.shape(),
            scalars: history.scalars(),
            nil,
            keys: KeyNames::default(),
        }
    }

    /// Key, what was asked, and what came of it, with the version if the answer has one.
    fn operation(&mut self, raw: &RawOperation) -> Result<RegisterOperation, Wrong> {
        let asked_line = |what| (raw.call_line, what);
        if !matches!(raw.function.as_str(), "read" | "write" | "cas") {
            return Err(unknown(raw, &raw.function, ":read, :write or :cas"));
        }
        let (key_part, _, asked) = self.parts(&raw.value).map_err(asked_line)?;
        let key = match (self.shape.keys, key_part.or(raw.key.as_ref())) {
            (Keys::None, _) => None,
            (_, Some(key)) => Some(self.keys.name(key).map_err(asked_line)?),
            (_, None) => {
                return Err(asked_line("expected a `:key`, as other operations have one".to_owned()));
            }
        };
        let input = match raw.function.as_str() {
            "read" => RegisterInput::Read,
            "write" => RegisterInput::Write(self.scalars.value(asked).map_err(asked_line)?),
            _ => {
                let Edn::Seq(pair) = asked else {
                    return Err(asked_line(format!("expected `[from to]`, found {}", asked.kind())));
                };
                let [from, to] = pair.as_slice() else {
                    return Err(asked_line(format!("expected `[from to]`, found {} values", pair.len())));
                };
                RegisterInput::Cas {
                    from: self.scalars.value(from).map_err(asked_line)?,
                    to: self.scalars.value(to).map_err(asked_line)?,
                }
            }
        };
        let answered_line = |what| (ret_line(raw), what);
        let outcome = match &raw.outcome {
            RawOutcome::Ok(answer) => {
                let (answer_key, version, value) = match (answer, &input) {
                    // A completion without a value only says that the operation is done.
                    (Edn::Nil, RegisterInput::Write(_) | RegisterInput::Cas { .. }) => (None, None, answer),
                    _ => self.parts(answer).map_err(answered_line)?,
                };
                if answer_key.is_some_and(|found| Some(found) != key_part) {
                    return Err(answered_line(format!(
                        "`:{}` completes with another key than it was called with in line {}",
                        raw.function, raw.call_line
                    )));
                }
                let version = version_of(version).map_err(answered_line)?;
                let output = match input {
                    RegisterInput::Read if *value == Edn::Nil && self.nil == NilRead::Unknown => {
                        RegisterOutput::ReadAny
                    }
                    RegisterInput::Read => {
                        RegisterOutput::Read(self.scalars.value(value).map_err(answered_line)?)
                    }
                    RegisterInput::Write(_) => {
                        same_value(raw, asked, value)?;
                        RegisterOutput::Written
                    }
                    RegisterInput::Cas { .. } => {
                        same_value(raw, asked, value)?;
                        RegisterOutput::Cas(true)
                    }
                };
                Outcome::Ok((version, output))
            }
            RawOutcome::Fail(value, error) => match input {
                RegisterInput::Cas { .. }
                    if self.history.failed_cas_is_an_answer() && !error && *value == raw.value =>
                {
                    Outcome::Ok((None, RegisterOutput::Cas(false)))
                }
                _ => Outcome::Fail,
            },
            RawOutcome::Info => Outcome::Info,
        };
        Ok((key, input, outcome))
    }

    fn parts<'v>(&self, value: &'v Edn) -> Result<Parts<'v>, String> {
        let split = |value: &'v Edn, what: &str| {
            shape::pair(value).ok_or_else(|| {
                format!("expected `[{what} value]`, as in every invocation, found {}", value.kind())
            })
        };
        let (key, rest) = match self.shape.keys {
            Keys::Tuple => {
                let (key, rest) = split(value, "key")?;
                (Some(key), rest)
            }
            Keys::None | Keys::Entry => (None, value),
        };
        match (self.shape.versioned, rest) {
            (false, rest) => Ok((key, None, rest)),
            (true, Edn::Nil) => Ok((key, None, rest)),
            (true, rest) => {
                let (version, value) = split(rest, "version")?;
                Ok((key, Some(version), value))
            }
        }
    }
}

fn version_of(version: Option<&Edn>) -> Result<Option<u64>, String> {
    match version {
        None | Some(Edn::Nil) => Ok(None),
        Some(Edn::Int(version)) if *version >= 0 => Ok(Some(*version as u64)),
        Some(other) => {
            Err(format!("expected a version, found {}", other.scalar().unwrap_or(other.kind().to_owned())))
        }
    }
}

fn plain(outcome: Outcome<(Option<u64>, RegisterOutput)>) -> Outcome<RegisterOutput> {
    match outcome {
        Outcome::Ok((_, output)) => Outcome::Ok(output),
        Outcome::Fail => Outcome::Fail,
        Outcome::Info => Outcome::Info,
    }
}

/// Keys as a person writes them: `:x`, `x` and `"x"` are all `x`, unless one history has several of them.
#[derive(Default)]
pub(super) struct KeyNames(BTreeMap<Arc<str>, Edn>);

impl KeyNames {
    /// The name of a key.
    ///
    /// # Errors
    /// If it is no scalar.
    pub(super) fn name(&mut self, key: &Edn) -> Result<Arc<str>, String> {
        let exact = key.scalar().ok_or_else(|| format!("expected a key's name, found {}", key.kind()))?;
        let plain: &str = match key {
            Edn::Keyword(text) | Edn::Str(text) | Edn::Symbol(text) => text,
            _ => &exact,
        };
        match self.0.get_key_value(plain) {
            Some((name, known)) if known == key => return Ok(name.clone()),
            Some(_) => {}
            None => {
                let name: Arc<str> = plain.into();
                self.0.insert(name.clone(), key.clone());
                return Ok(name);
            }
        }
        // Another key took the plain name.
        let mut exact = exact;
        loop {
            match self.0.get_key_value(exact.as_str()) {
                Some((name, known)) if known == key => return Ok(name.clone()),
                Some(_) => exact.insert(0, '\''),
                None => {
                    let name: Arc<str> = exact.as_str().into();
                    self.0.insert(name.clone(), key.clone());
                    return Ok(name);
                }
            }
        }
    }
}

pub(super) fn unknown(raw: &RawOperation, function: &str, expected: &str) -> Wrong {
    (raw.call_line, format!("unknown function `:{function}`: expected {expected}"))
}

pub(super) fn ret_line(raw: &RawOperation) -> u64 {
    raw.ret_line.unwrap_or(raw.call_line)
}

/// A completion repeats what was asked, or gives nothing.
fn same_value(raw: &RawOperation, asked: &Edn, answered: &Edn) -> Result<(), Wrong> {
    if answered == asked || *answered == Edn::Nil {
        return Ok(());
    }
    let what = format!(
        "`:{}` completes with another value than it was called with in line {}",
        raw.function, raw.call_line
    );
    Err((ret_line(raw), what))
}
