//! Judging a history of Jepsen's kind: which model, which initial value, what nil means, and what of this was assumed.
//!
//! | What the history calls | Model | Initial value | A read of nil |
//! |---|---|---|---|
//! | `:read :write :cas`, in a log | cas-register | nil | saw nil |
//! | the same, integers alone | cas-register | 0, as in Knossos' files | was not kept |
//! | the same, with keys, nil as a value, or other scalars | cas-register | nil | saw nil |
//! | the same, with versions | versioned-register | nil, version 0 | saw nil |
//! | transactions of `:read :write` | multi-register | 0, as in Knossos' files | was not kept |
//! | transactions of `:r :w` | multi-register | nil, as Elle has it | saw nil |
//! | transactions of `:r :append` | list-append | empty lists | saw an empty list |
//! | `:get :put :append` with keys | kv-append | the empty string | found the key as it began |
//! | `:acquire :release` | mutex | free | |
//!
//! The rule behind the fourth column: a read can see nil only if nil is the object's initial value.

use std::collections::BTreeSet;
use std::io::BufRead;

use super::general;
use super::inferred;
use super::options::{CheckOptions, ModelName};
use super::report::FileReport;
use crate::model::cas_register::{RegisterInput, Value};
use crate::model::per_key::KeyedInput;
use crate::model::{
    CasRegister, ConcurrentHistory, KvAppend, ListAppend, Model, MultiRegister, Mutex, Operation, PerKey,
    Register, VersionedRegister,
};
use crate::read::{ForeignHistory, Format, Keys, NilRead, Scalars, TxnKind};
use crate::transactions;

pub(super) fn judge(
    format: Format,
    reader: impl BufRead,
    name: &str,
    options: &CheckOptions,
    report: &mut FileReport,
) -> Result<(), String> {
    let history =
        ForeignHistory::read(format, reader, name, &options.limits).map_err(|error| error.to_string())?;
    let model = options.model.unwrap_or_else(|| model_of(format, &history));
    report.model = Some(model);
    let judged = Judge { format, name, history: &history, options, model, report }.judge();
    judged.map_err(|error| match (options.model, hint(&history)) {
        (None, Some(hint)) => format!("{error}; {hint}"),
        _ => error,
    })
}

/// The model that a history is judged by where none is named.
fn model_of(format: Format, history: &ForeignHistory) -> ModelName {
    let functions = history.functions();
    let only = |known: &[&str]| functions.iter().all(|name| known.contains(name));
    match (format, history.transactions()) {
        _ if history.is_empty() => ModelName::CasRegister,
        (_, Some(TxnKind::Lists)) => ModelName::ListAppend,
        (_, Some(TxnKind::Registers | TxnKind::Knossos)) => ModelName::MultiRegister,
        _ if only(&["acquire", "release"]) => ModelName::Mutex,
        _ if history.has_keys() && only(&["get", "put", "append"]) => ModelName::KvAppend,
        _ if only(&["read", "write", "cas"]) && history.shape().versioned => ModelName::VersionedRegister,
        (Format::PorcupineKv, _) if !only(&["read", "write", "cas"]) => ModelName::KvAppend,
        _ => ModelName::CasRegister,
    }
}

/// What kind of history this may be, if no model judges it.
fn hint(history: &ForeignHistory) -> Option<String> {
    let functions: BTreeSet<&str> = history.functions().into_iter().collect();
    let looks = [
        ("transfer", "bank accounts"),
        ("enqueue", "a queue"),
        ("dequeue", "a queue"),
        ("poll", "a log of messages"),
        ("send", "a log of messages"),
        ("watch", "watches"),
        ("add", "a set or a counter"),
        ("inc", "a counter"),
        ("generate", "unique ids"),
    ];
    let (_, what) = looks.iter().find(|(function, _)| functions.contains(function))?;
    let models: Vec<&str> =
        ModelName::ALL.into_iter().filter(|m| *m != ModelName::Etcd).map(ModelName::name).collect();
    Some(format!(
        "this looks like the history of {what}, for which there is no model: there are {}",
        models.join(", ")
    ))
}

struct Judge<'a> {
    format: Format,
    name: &'a str,
    history: &'a ForeignHistory,
    options: &'a CheckOptions,
    model: ModelName,
    report: &'a mut FileReport,
}

impl Judge<'_> {
    fn judge(mut self) -> Result<(), String> {
        match self.model {
            ModelName::CasRegister | ModelName::Register => self.register(),
            ModelName::VersionedRegister => self.versioned_register(),
            ModelName::KvAppend => {
                let initial = self.options.initial.clone().unwrap_or_default();
                self.assume_initial(&format!("{initial:?}"));
                self.assume("a get of nil found the key as it began");
                let history = self.history.kv_append(&initial).map_err(|error| error.to_string())?;
                let keys: BTreeSet<&str> =
                    history.operations().iter().map(|op| op.input.key.as_ref()).collect();
                self.assume_keys(keys.len());
                self.general(&KvAppend { initial: initial.into() }, &history)
            }
            ModelName::Mutex => {
                let held = match self.options.initial.as_deref() {
                    None | Some("free") => false,
                    Some("held") => true,
                    Some(other) => {
                        return Err(self.bad_initial(&format!("`{other}` is neither `free` nor `held`")));
                    }
                };
                self.assume_initial(if held { "held" } else { "free" });
                self.assume("whoever releases a held lock may");
                let history = self.history.mutex().map_err(|error| error.to_string())?;
                self.general(&Mutex { held }, &history)
            }
            ModelName::MultiRegister => self.multi_register(),
            ModelName::ListAppend => {
                if self.options.initial.is_some() {
                    return Err(self.bad_initial("every list begins empty: expected none"));
                }
                let nil = self.options.nil.unwrap_or(NilRead::Value);
                self.assume("every list began empty");
                self.assume(match nil {
                    NilRead::Value => "a read of nil saw an empty list",
                    NilRead::Unknown => "what a read of nil saw was not kept, and fits any list",
                });
                self.assume("transactions are strictly serializable");
                let history = self.history.list_append(nil).map_err(|error| error.to_string())?;
                let model = ListAppend { names: self.history.scalars().names() };
                let infer = || transactions::lists(&history);
                inferred::judge(
                    &model,
                    &history,
                    infer,
                    |op| self.history.call_line(op),
                    self.options,
                    self.report,
                );
                Ok(())
            }
            ModelName::Etcd => Err(format!(
                "{}: a {} history is none of etcd's: expected --model cas-register, register, versioned-register, \
                 kv-append, mutex, multi-register or list-append",
                self.name, self.format
            )),
        }
    }

    fn register(&mut self) -> Result<(), String> {
        let shape = self.history.shape();
        if shape.versioned {
            return Err(format!(
                "{}:{}: the values of this history are `[version value]`: expected --model versioned-register",
                self.name,
                self.history.call_line(0)
            ));
        }
        let mut scalars = self.history.scalars();
        let nils = self.history.nils();
        let default = match self.format {
            Format::JepsenLog => None,
            _ if shape.keys != Keys::None || scalars.any_named() || nils.is_value => None,
            _ => Some(0),
        };
        let initial = self.initial(&mut scalars, default)?;
        let nil = self.options.nil.unwrap_or(match (self.format, initial) {
            (Format::JepsenLog, _) | (_, None) => NilRead::Value,
            _ => NilRead::Unknown,
        });
        self.assume_nil(nil, nils.read);
        self.assume(match self.history.failed_cas_is_an_answer() {
            true => "a failed cas found another value than it compares with; any other failed operation did not happen",
            false => "a failed operation did not happen",
        });
        let names = scalars.names();
        if shape.keys == Keys::None {
            let history = self.history.register(nil).map_err(|error| error.to_string())?;
            return match self.model {
                ModelName::Register => self.general(&Register { initial, names }, &history),
                _ => self.general(&CasRegister { initial, names }, &history),
            };
        }
        let history = self.history.keyed_register(nil).map_err(|error| error.to_string())?;
        self.assume_keys(keys(&history));
        match self.model {
            ModelName::Register => self.general(&PerKey(Register { initial, names }), &history),
            _ => self.general(&PerKey(CasRegister { initial, names }), &history),
        }
    }

    fn versioned_register(&mut self) -> Result<(), String> {
        let shape = self.history.shape();
        if !shape.versioned {
            return Err(format!(
                "{}:{}: expected values `[version value]` in every operation, nil for a version that is not known",
                self.name,
                self.history.call_line(0)
            ));
        }
        let mut scalars = self.history.scalars();
        let initial = self.initial(&mut scalars, None)?;
        let nil = self.options.nil.unwrap_or(NilRead::Value);
        self.assume("the version began at 0, and each write raises it by 1");
        self.assume(match nil {
            NilRead::Value => "a read of [nil nil] saw a register that was never written",
            NilRead::Unknown => "what a read of [nil nil] saw was not kept, and fits any state",
        });
        self.assume("a failed operation did not happen");
        let names = scalars.names();
        let model = VersionedRegister { initial, names };
        let history = self.history.versioned_register(nil).map_err(|error| error.to_string())?;
        if shape.keys == Keys::None {
            return self.general(&model, &without_keys(history)?);
        }
        self.assume_keys(keys(&history));
        self.general(&PerKey(model), &history)
    }

    fn multi_register(&mut self) -> Result<(), String> {
        let elle = self.history.transactions() != Some(TxnKind::Knossos);
        let mut scalars = self.history.scalars();
        let mut model = MultiRegister::default();
        match self.options.initial.as_deref().filter(|text| text.contains('=')) {
            None => model.default = self.initial(&mut scalars, if elle { None } else { Some(0) })?,
            Some(text) => {
                for entry in text.split([',', ' ']).filter(|entry| !entry.is_empty()) {
                    let parts = entry.split_once('=');
                    let (name, text) =
                        parts.ok_or_else(|| self.bad_initial(&format!("`{entry}` is not NAME=VALUE")))?;
                    let value = scalars.parse(text).map_err(|what| self.bad_initial(&what))?;
                    model.initial.insert(name.to_owned(), value);
                }
                self.report.assumptions.push(format!("initial values {text}, nil elsewhere"));
            }
        }
        // Knossos gives the initial values one by one; what its reads of nil saw was not kept in any case.
        let nil = self.options.nil.unwrap_or(match (elle, model.default) {
            (true, None) => NilRead::Value,
            _ => NilRead::Unknown,
        });
        self.assume_nil(nil, 0);
        self.assume("transactions are strictly serializable");
        model.names = scalars.names();
        let history = self.history.multi_register(nil).map_err(|error| error.to_string())?;
        let infer = || transactions::registers(&model, &history);
        inferred::judge(&model, &history, infer, |op| self.history.call_line(op), self.options, self.report);
        Ok(())
    }

    fn general<M: Model>(
        &mut self,
        model: &M,
        history: &ConcurrentHistory<M::Input, M::Output>,
    ) -> Result<(), String> {
        let line = |op: usize| self.history.call_line(op);
        general::judge(model, history, line, self.options, self.report);
        Ok(())
    }

    /// The initial value that was given, or else `default`.
    fn initial(&mut self, scalars: &mut Scalars, default: Value) -> Result<Value, String> {
        let value = match &self.options.initial {
            None => default,
            Some(text) => scalars.parse(text).map_err(|what| self.bad_initial(&what))?,
        };
        self.assume_initial(&scalars.names().show(&value));
        Ok(value)
    }

    fn bad_initial(&self, what: &str) -> String {
        format!("--initial for the model {}: {what}", self.model)
    }

    fn assume(&mut self, what: &str) {
        self.report.assumptions.push(what.to_owned());
    }

    fn assume_initial(&mut self, value: &str) {
        let given = if self.options.initial.is_some() { "" } else { " (--initial sets it)" };
        self.assume(&format!("initial value {value}{given}"));
    }

    fn assume_nil(&mut self, nil: NilRead, reads: usize) {
        let given = if self.options.nil.is_some() { "" } else { " (--nil sets it)" };
        self.assume(&match (nil, reads) {
            (NilRead::Value, _) => format!("a read of nil saw nil{given}"),
            (NilRead::Unknown, 0) => {
                format!("what a read of nil saw was not kept, and fits any value{given}")
            }
            (NilRead::Unknown, reads) => {
                format!("{reads} reads of nil: what they saw was not kept, and fits any value{given}")
            }
        });
    }

    fn assume_keys(&mut self, keys: usize) {
        self.assume(&match keys {
            1 => "1 key".to_owned(),
            keys => format!("{keys} keys, each judged apart"),
        });
    }
}

fn keys<I, O>(history: &ConcurrentHistory<KeyedInput<I>, O>) -> usize {
    history.operations().iter().map(|op| &op.input.key).collect::<BTreeSet<_>>().len()
}

/// The history of the one object.
fn without_keys<O: Clone>(
    history: ConcurrentHistory<KeyedInput<RegisterInput>, O>,
) -> Result<ConcurrentHistory<RegisterInput, O>, String> {
    let operations = history.operations().iter().map(|op| Operation {
        client: op.client,
        call: op.call,
        ret: op.ret,
        input: op.input.input.clone(),
        outcome: op.outcome.clone(),
    });
    ConcurrentHistory::new(operations.collect()).map_err(|error| error.to_string())
}
