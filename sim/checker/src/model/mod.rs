//! Models: what an object is allowed to answer.
//!
//! A [`Model`] is a deterministic sequential specification: an initial state, and a step from one state to the next
//! on an operation. The general check ([`crate::search`]) asks whether the concurrent operations of a
//! [`ConcurrentHistory`] can be put into one order that respects real time and that the model accepts, which is
//! Herlihy and Wing's linearizability.
//!
//! What a model promises, and what the search builds on:
//! 1. **Determinism.** [`Model::step`] is a function of its arguments alone. An object with several legal outcomes is
//!    modelled by a state that is the set of its possibilities.
//! 2. **Read-only means read-only.** Where [`Model::is_read_only`] says true, no legal step of that operation with
//!    that output changes any state whatsoever. It is not enough that it changes nothing in the present state: a
//!    register's `write 1` changes nothing if the value is 1 already, and may still be needed later.
//! 3. **Out of reach means out of reach.** Where [`Model::can_become_legal`] says false, no sequence of the operations
//!    that it was given makes the operation legal.
//! 4. **Keys are all that is touched.** An operation with the keys `K` ([`Model::keys`]) neither reads nor changes
//!    anything that an operation with keys disjoint from `K` reads or changes. Then linearizability is local
//!    (Herlihy and Wing 1990, theorem 1; Horn and Kroening 2015 call it P-compositionality), and the connected
//!    components of the keys are judged apart.
//!
//! The property tests hold every model of this crate to the four.
//!
//! What a model leaves out: time, clients (put the client into the input where it matters, as a lock's owner does),
//! and chance.

pub mod cas_register;
pub mod etcd;
pub mod kv_append;
pub mod list_append;
pub mod multi_register;
pub mod mutex;
pub mod operation;
pub mod per_key;
pub mod register;
pub mod value;
pub mod versioned_register;

pub use cas_register::CasRegister;
pub use kv_append::KvAppend;
pub use list_append::ListAppend;
pub use multi_register::MultiRegister;
pub use mutex::Mutex;
pub use operation::{ClientId, ConcurrentHistory, HistoryError, Instant, Operation, Outcome};
pub use per_key::PerKey;
pub use register::Register;
pub use versioned_register::VersionedRegister;

use std::fmt::Debug;
use std::hash::Hash;

/// A sequential specification. See the module for what an implementation promises.
pub trait Model: Sync {
    /// The object's state. It is compared, hashed and kept by the thousand: keep it small, and share what is large.
    type State: Clone + Eq + Hash + Debug + Send;
    /// What a client asks. Two operations with equal inputs are taken to be interchangeable in their effect.
    type Input: Clone + Eq + Hash + Debug + Send + Sync + 'static;
    /// What the object answers.
    type Output: Clone + Eq + Hash + Debug + Send + Sync + 'static;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// One operation taking effect in `state`.
    ///
    /// With `Some(output)`: the state after it, if the model may answer exactly that in this state; otherwise `None`.
    /// With `None` (the answer never reached the client): the state after it, if the operation may take effect in this
    /// state with any answer; otherwise `None`, which means that the state stays as it is.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// Whether this operation, with this output, leaves *every* state as it is in which it is legal. With `None`:
    /// whether it does so whatever it answers. `false` is always sound, only slower.
    fn is_read_only(&self, _input: &Self::Input, _output: Option<&Self::Output>) -> bool {
        false
    }

    /// Whether, from `state`, operations among `between` could lead, each taken any number of times and in any order, to a
    /// state in which `input` may be answered with `output`. `true` is always sound, only slower. The search asks it
    /// of the read-only operation that returned first, and gives up a configuration from which that is out of reach:
    /// a register's next read returned a value that the register does not hold and no operation is about to write.
    fn can_become_legal<'a>(
        &self,
        _state: &Self::State,
        _input: &Self::Input,
        _output: &Self::Output,
        _between: impl Iterator<Item = (&'a Self::Input, Option<&'a Self::Output>)>,
    ) -> bool {
        true
    }

    /// The keys that the operation reads or changes; empty means all of them. Empty is always sound, only slower.
    fn keys(&self, _input: &Self::Input) -> Vec<String> {
        Vec::new()
    }

    /// About how many bytes a state holds on the heap. They count in the search's budget.
    fn heap_bytes(&self, _state: &Self::State) -> usize {
        0
    }

    /// The operation as a person reads it, such as `cas 1 -> 2: ok`.
    fn describe(&self, input: &Self::Input, output: Option<&Self::Output>) -> String {
        match output {
            Some(output) => format!("{input:?} -> {output:?}"),
            None => format!("{input:?} -> ?"),
        }
    }

    /// A state as a person reads it.
    fn describe_state(&self, state: &Self::State) -> String {
        format!("{state:?}")
    }
}
