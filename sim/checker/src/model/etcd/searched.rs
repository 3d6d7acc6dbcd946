//! The store as a model for the general search.

use super::store::Etcd;
use crate::history::{ErrorKind, LeaseId, Op, OpResult};
use crate::model::Model;
use crate::revision::{Dialect, Start};

/// What is done to the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EtcdInput {
    /// A client's request.
    Op(Op),
    /// A lease ends by itself.
    Expire(LeaseId),
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EtcdOutput {
    /// A response, and the revision in its header.
    Answer(i64, Option<OpResult>),
    /// An error that says something about the state.
    Refused(ErrorKind),
}

/// The whole store as a model for the general search. Every operation touches all of it, through the revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdModel {
    /// The semantics to judge by.
    pub dialect: Dialect,
    /// Where it starts.
    pub start: Start,
}

impl Model for EtcdModel {
    type State = Etcd;
    type Input = EtcdInput;
    type Output = EtcdOutput;

    fn initial(&self) -> Etcd {
        Etcd::start(self.dialect, &self.start)
    }

    fn step(&self, state: &Etcd, input: &EtcdInput, output: Option<&EtcdOutput>) -> Option<Etcd> {
        let mut next = state.clone();
        match (input, output) {
            (EtcdInput::Expire(lease), _) => next.expire(*lease).then_some(next),
            (EtcdInput::Op(op), None) => next.apply(op, None).ok().map(|_| next),
            (EtcdInput::Op(op), Some(EtcdOutput::Refused(kind))) => {
                state.fails_with(op, *kind).then_some(next)
            }
            (EtcdInput::Op(op), Some(EtcdOutput::Answer(revision, answer))) => {
                let result = next.apply(op, answer.as_ref()).ok()?;
                (next.revision() == *revision && next.same(op, &result, answer.as_ref())).then_some(next)
            }
        }
    }

    fn is_read_only(&self, input: &EtcdInput, output: Option<&EtcdOutput>) -> bool {
        match (input, output) {
            (_, Some(EtcdOutput::Refused(_))) => true,
            (EtcdInput::Op(op), _) => !op.may_change(),
            (EtcdInput::Expire(_), _) => false,
        }
    }
}
