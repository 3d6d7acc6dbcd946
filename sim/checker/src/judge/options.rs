//! What a check is asked for: model, initial value, format, limits.

use std::fmt;

use crate::history::ReadLimits;
use crate::model::cas_register::Value;
use crate::model::{CasRegister, KvAppend, MultiRegister, Mutex, Register};
use crate::read::Format;
use crate::revision;
use crate::search;

/// The models that can be named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModelName {
    /// The whole store of etcd.
    Etcd,
    /// One register with compare-and-set.
    CasRegister,
    /// One register.
    Register,
    /// Strings by key, with append.
    KvAppend,
    /// A lock.
    Mutex,
    /// Several registers, in transactions.
    MultiRegister,
}

impl ModelName {
    /// All of them.
    pub const ALL: [ModelName; 6] = [
        ModelName::Etcd,
        ModelName::CasRegister,
        ModelName::Register,
        ModelName::KvAppend,
        ModelName::Mutex,
        ModelName::MultiRegister,
    ];

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ModelName::Etcd => "etcd",
            ModelName::CasRegister => "cas-register",
            ModelName::Register => "register",
            ModelName::KvAppend => "kv-append",
            ModelName::Mutex => "mutex",
            ModelName::MultiRegister => "multi-register",
        }
    }

    /// The model of that name.
    pub fn from_name(name: &str) -> Option<ModelName> {
        ModelName::ALL.into_iter().find(|model| model.name() == name)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How to judge.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// The model; without one it follows from the format and what the history calls.
    pub model: Option<ModelName>,
    /// The initial value, as the model writes it: an integer or `nil`, a string, `held` or `free`, `x=0 y=1`.
    pub initial: Option<String>,
    /// The format; without one it is recognised from the content.
    pub format: Option<Format>,
    /// How much a reader takes.
    pub limits: ReadLimits,
    /// Budget and threads of the general search.
    pub search: search::Options,
    /// Budgets of the revision-ordered check.
    pub revision: revision::Budgets,
    /// Whether to draw each history.
    pub picture: bool,
}

fn value(text: &str) -> Result<Value, String> {
    match text.trim() {
        "nil" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("`{text}` is neither an integer nor nil")),
    }
}

/// The initial value that a format's histories start from where none is given: nil in Jepsen's logs, 0 in Knossos'.
fn default_value(format: Format) -> Value {
    if format == Format::JepsenLog { None } else { Some(0) }
}

pub(super) fn cas_register(initial: Option<&str>, format: Format) -> Result<CasRegister, String> {
    Ok(CasRegister { initial: initial.map_or(Ok(default_value(format)), value)? })
}

pub(super) fn register(initial: Option<&str>, format: Format) -> Result<Register, String> {
    Ok(Register { initial: initial.map_or(Ok(default_value(format)), value)? })
}

pub(super) fn kv_append(initial: Option<&str>) -> Result<KvAppend, String> {
    Ok(KvAppend { initial: initial.unwrap_or_default().into() })
}

pub(super) fn mutex(initial: Option<&str>) -> Result<Mutex, String> {
    match initial {
        None | Some("free") => Ok(Mutex { held: false }),
        Some("held") => Ok(Mutex { held: true }),
        Some(other) => Err(format!("`{other}` is neither `free` nor `held`")),
    }
}

pub(super) fn multi_register(initial: Option<&str>, format: Format) -> Result<MultiRegister, String> {
    let Some(text) = initial else {
        return Ok(MultiRegister { default: default_value(format), ..MultiRegister::default() });
    };
    if !text.contains('=') {
        return Ok(MultiRegister { default: value(text)?, ..MultiRegister::default() });
    }
    let entries = text.split([',', ' ']).filter(|entry| !entry.is_empty()).map(|entry| {
        let (name, text) = entry.split_once('=').ok_or(format!("`{entry}` is not NAME=VALUE"))?;
        Ok((name.to_owned(), value(text)?))
    });
    Ok(MultiRegister { initial: entries.collect::<Result<_, String>>()?, default: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_values_are_read_as_each_model_writes_them() {
        assert_eq!(cas_register(None, Format::JepsenLog).unwrap().initial, None);
        assert_eq!(cas_register(None, Format::Edn).unwrap().initial, Some(0));
        assert_eq!(register(Some("nil"), Format::Edn).unwrap().initial, None);
        assert_eq!(&*kv_append(Some("x")).unwrap().initial, "x");
        assert!(mutex(Some("held")).unwrap().held);
        let multi = multi_register(Some("x=1, y=nil"), Format::Edn).unwrap();
        assert_eq!(
            multi.initial.into_iter().collect::<Vec<_>>(),
            [("x".to_owned(), Some(1)), ("y".to_owned(), None)]
        );
        assert_eq!(multi_register(Some("7"), Format::Edn).unwrap().default, Some(7));
        assert!(cas_register(Some("a"), Format::Edn).unwrap_err().contains("neither an integer nor nil"));
        assert!(mutex(Some("0")).is_err());
        assert!(multi_register(Some("x=1 y"), Format::Edn).is_err());
    }
}
