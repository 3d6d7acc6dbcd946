//! What a check is asked for: model, initial value, format, limits.

use std::fmt;

use crate::history::ReadLimits;
use crate::read::{Format, NilRead};
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
    /// Several registers, in transactions: Knossos' `multi-register`, Elle's `rw-register`.
    MultiRegister,
    /// One register with a version.
    VersionedRegister,
    /// Several lists, in transactions: Elle's `list-append`.
    ListAppend,
}

impl ModelName {
    /// All of them.
    pub const ALL: [ModelName; 8] = [
        ModelName::Etcd,
        ModelName::CasRegister,
        ModelName::Register,
        ModelName::KvAppend,
        ModelName::Mutex,
        ModelName::MultiRegister,
        ModelName::VersionedRegister,
        ModelName::ListAppend,
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
            ModelName::VersionedRegister => "versioned-register",
            ModelName::ListAppend => "list-append",
        }
    }

    /// The model of that name. Elle's `rw-register` is `multi-register`.
    pub fn from_name(name: &str) -> Option<ModelName> {
        if name == "rw-register" {
            return Some(ModelName::MultiRegister);
        }
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
    /// The initial value, as the model writes it: an integer or another scalar, `nil`, `held` or `free`, `x=0 y=1`.
    pub initial: Option<String>,
    /// What nil means where a read gave it; without it, it follows from the format and the initial value.
    pub nil: Option<NilRead>,
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
