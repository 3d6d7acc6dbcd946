//! One register with read, write and compare-and-set: the object of Jepsen's first etcd test and of Knossos'
//! `cas-register`.
//!
//! A compare-and-set that answered "no" is an observation, namely that the value was not the one compared with; it
//! is read-only. One that answered "yes" with equal values (`cas 1 -> 1`) is read-only too: it is legal in one state
//! alone and leaves it. A write is never read-only, not even of the value that is there already.

use super::Model;
pub use super::value::{Names, Value};

/// What a client asks of a register.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegisterInput {
    /// Read the value.
    Read,
    /// Set the value.
    Write(Value),
    /// Set the value to `to` where it is `from`.
    Cas {
        /// The value that must be there.
        from: Value,
        /// The value that takes its place.
        to: Value,
    },
}

/// What a register answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegisterOutput {
    /// The value read.
    Read(Value),
    /// A read without its value: it may have been any.
    ReadAny,
    /// Written.
    Written,
    /// Whether the compare-and-set took place.
    Cas(bool),
}

/// The CAS register.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CasRegister {
    /// The value before the first operation.
    pub initial: Value,
    /// The texts of the values that are no integers.
    pub names: Names,
}

impl Model for CasRegister {
    type State = Value;
    type Input = RegisterInput;
    type Output = RegisterOutput;

    fn initial(&self) -> Value {
        self.initial
    }

    fn step(&self, state: &Value, input: &RegisterInput, output: Option<&RegisterOutput>) -> Option<Value> {
        step(*state, input, output)
    }

    fn is_read_only(&self, input: &RegisterInput, output: Option<&RegisterOutput>) -> bool {
        is_read_only(input, output)
    }

    fn can_become_legal<'a>(
        &self,
        state: &Value,
        input: &RegisterInput,
        output: &RegisterOutput,
        between: impl Iterator<Item = (&'a RegisterInput, Option<&'a RegisterOutput>)>,
    ) -> bool {
        can_become_legal(*state, input, output, between)
    }

    fn describe(&self, input: &RegisterInput, output: Option<&RegisterOutput>) -> String {
        describe(&self.names, input, output)
    }

    fn describe_state(&self, state: &Value) -> String {
        self.names.show(state)
    }
}

pub(super) fn step(state: Value, input: &RegisterInput, output: Option<&RegisterOutput>) -> Option<Value> {
    match (input, output) {
        (RegisterInput::Read, Some(RegisterOutput::Read(value))) => (*value == state).then_some(state),
        (RegisterInput::Read, None | Some(RegisterOutput::ReadAny)) => Some(state),
        (RegisterInput::Write(value), None | Some(RegisterOutput::Written)) => Some(*value),
        (RegisterInput::Cas { from, to }, Some(RegisterOutput::Cas(true)) | None) => {
            (*from == state).then_some(*to)
        }
        (RegisterInput::Cas { from, .. }, Some(RegisterOutput::Cas(false))) => {
            (*from != state).then_some(state)
        }
        // An answer of another kind than the question is never legal.
        _ => None,
    }
}

pub(super) fn is_read_only(input: &RegisterInput, output: Option<&RegisterOutput>) -> bool {
    match (input, output) {
        (RegisterInput::Read, _) => true,
        (RegisterInput::Cas { .. }, Some(RegisterOutput::Cas(false))) => true,
        (RegisterInput::Cas { from, to }, _) => from == to,
        _ => false,
    }
}

/// A read waits for a write or a compare-and-set to its value; a compare-and-set that said no, for any to another.
pub(super) fn can_become_legal<'a>(
    state: Value,
    input: &RegisterInput,
    output: &RegisterOutput,
    mut between: impl Iterator<Item = (&'a RegisterInput, Option<&'a RegisterOutput>)>,
) -> bool {
    let fits = |value: Value| match (input, output) {
        (RegisterInput::Read, RegisterOutput::Read(read)) => *read == value,
        (RegisterInput::Cas { from, .. }, RegisterOutput::Cas(false)) => *from != value,
        _ => true,
    };
    fits(state)
        || between.any(|(other, _)| match other {
            RegisterInput::Read => false,
            RegisterInput::Write(value) | RegisterInput::Cas { to: value, .. } => fits(*value),
        })
}

pub(super) fn describe(names: &Names, input: &RegisterInput, output: Option<&RegisterOutput>) -> String {
    let show = |value: &Value| names.show(value);
    match (input, output) {
        (RegisterInput::Read, Some(RegisterOutput::Read(value))) => format!("read {}", show(value)),
        (RegisterInput::Read, _) => "read ?".to_string(),
        (RegisterInput::Write(value), Some(_)) => format!("write {}", show(value)),
        (RegisterInput::Write(value), None) => format!("write {} ?", show(value)),
        (RegisterInput::Cas { from, to }, output) => {
            let answer = match output {
                Some(RegisterOutput::Cas(true)) => "",
                Some(_) => ": no",
                None => " ?",
            };
            format!("cas {} to {}{answer}", show(from), show(to))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        let m = CasRegister::default();
        let cas = |from, to| RegisterInput::Cas { from: Some(from), to: Some(to) };
        let step = |s: Value, i: &RegisterInput, o: Option<RegisterOutput>| m.step(&s, i, o.as_ref());
        assert_eq!(step(None, &RegisterInput::Read, Some(RegisterOutput::Read(None))), Some(None));
        assert_eq!(step(Some(1), &RegisterInput::Read, Some(RegisterOutput::Read(None))), None);
        assert_eq!(step(Some(1), &RegisterInput::Read, Some(RegisterOutput::ReadAny)), Some(Some(1)));
        assert_eq!(step(Some(1), &cas(1, 2), Some(RegisterOutput::Cas(true))), Some(Some(2)));
        assert_eq!(step(Some(3), &cas(1, 2), Some(RegisterOutput::Cas(true))), None);
        assert_eq!(step(Some(3), &cas(1, 2), Some(RegisterOutput::Cas(false))), Some(Some(3)));
        assert_eq!(step(Some(1), &cas(1, 2), Some(RegisterOutput::Cas(false))), None);
        assert_eq!(step(Some(1), &cas(1, 2), None), Some(Some(2)));
        assert_eq!(step(Some(3), &cas(1, 2), None), None);
        assert_eq!(step(Some(3), &RegisterInput::Read, Some(RegisterOutput::Written)), None);
    }
}
