//! One register with read and write: the object of most textbook examples. It shares its operations with the
//! [CAS register](super::cas_register), and takes no compare-and-set: one in the history is never legal.

use super::Model;
use super::cas_register::{self, Names, RegisterInput, RegisterOutput, Value};

/// The read-write register.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Register {
    /// The value before the first operation.
    pub initial: Value,
    /// The texts of the values that are no integers.
    pub names: Names,
}

impl Model for Register {
    type State = Value;
    type Input = RegisterInput;
    type Output = RegisterOutput;

    fn initial(&self) -> Value {
        self.initial
    }

    fn step(&self, state: &Value, input: &RegisterInput, output: Option<&RegisterOutput>) -> Option<Value> {
        match input {
            RegisterInput::Cas { .. } => None,
            RegisterInput::Read | RegisterInput::Write(_) => cas_register::step(*state, input, output),
        }
    }

    fn is_read_only(&self, input: &RegisterInput, _: Option<&RegisterOutput>) -> bool {
        matches!(input, RegisterInput::Read)
    }

    fn can_become_legal<'a>(
        &self,
        state: &Value,
        input: &RegisterInput,
        output: &RegisterOutput,
        between: impl Iterator<Item = (&'a RegisterInput, Option<&'a RegisterOutput>)>,
    ) -> bool {
        cas_register::can_become_legal(*state, input, output, between)
    }

    fn describe(&self, input: &RegisterInput, output: Option<&RegisterOutput>) -> String {
        cas_register::describe(&self.names, input, output)
    }

    fn describe_state(&self, state: &Value) -> String {
        self.names.show(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compare_and_set_is_not_one_of_its_operations() {
        let cas = RegisterInput::Cas { from: None, to: Some(1) };
        let m = Register::default();
        assert_eq!(m.step(&None, &cas, Some(&RegisterOutput::Cas(true))), None);
        assert_eq!(m.step(&None, &cas, None), None);
        assert_eq!(m.step(&None, &RegisterInput::Write(Some(1)), None), Some(Some(1)));
    }
}
