//! Many objects of one kind under keys, each operation about one of them: Jepsen's independent keys. Each key is judged
//! apart: two operations can affect each other only if they share a key ([`Model::keys`]).

use super::Model;
use std::sync::Arc;

/// An operation on the object of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyedInput<I> {
    /// The key.
    pub key: Arc<str>,
    /// What is asked of its object.
    pub input: I,
}

/// An object of `M` for each key.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PerKey<M>(pub M);

impl<M: Model> Model for PerKey<M> {
    /// The objects that are not as they began, sorted by key. In the part of one key there is one at most.
    type State = Vec<(Arc<str>, M::State)>;
    type Input = KeyedInput<M::Input>;
    type Output = M::Output;

    fn initial(&self) -> Self::State {
        Vec::new()
    }

    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&M::Output>,
    ) -> Option<Self::State> {
        let initial = self.0.initial();
        let place = state.binary_search_by(|(key, _)| key.cmp(&input.key));
        let before = place.map_or(&initial, |at| &state[at].1);
        let after = self.0.step(before, &input.input, output)?;
        let mut next = state.clone();
        match place {
            // An object that is as it began stays out, so that equal stores are equal states.
            Ok(at) if after == initial => _ = next.remove(at),
            Ok(at) => next[at].1 = after,
            Err(_) if after == initial => {}
            Err(at) => next.insert(at, (input.key.clone(), after)),
        }
        Some(next)
    }

    fn is_read_only(&self, input: &Self::Input, output: Option<&M::Output>) -> bool {
        self.0.is_read_only(&input.input, output)
    }

    fn can_become_legal<'a>(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: &M::Output,
        between: impl Iterator<Item = (&'a Self::Input, Option<&'a M::Output>)>,
    ) -> bool {
        let initial = self.0.initial();
        let place = state.binary_search_by(|(key, _)| key.cmp(&input.key));
        let of_key =
            between.filter(|(other, _)| other.key == input.key).map(|(other, output)| (&other.input, output));
        self.0.can_become_legal(place.map_or(&initial, |at| &state[at].1), &input.input, output, of_key)
    }

    fn keys(&self, input: &Self::Input) -> Vec<String> {
        vec![input.key.to_string()]
    }

    fn describe(&self, input: &Self::Input, output: Option<&M::Output>) -> String {
        format!("key {}: {}", input.key, self.0.describe(&input.input, output))
    }

    fn describe_state(&self, state: &Self::State) -> String {
        if state.is_empty() {
            return self.0.describe_state(&self.0.initial());
        }
        let entries = state.iter().map(|(key, state)| format!("key {key}: {}", self.0.describe_state(state)));
        entries.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cas_register::{CasRegister, RegisterInput, RegisterOutput};

    #[test]
    fn a_key_is_an_object_of_its_own() {
        let m = PerKey(CasRegister::default());
        let at = |key: &str, input| KeyedInput { key: key.into(), input };
        let written = m.step(&m.initial(), &at("a", RegisterInput::Write(Some(1))), None).unwrap();
        let read = |value| Some(RegisterOutput::Read(value));
        assert!(m.step(&written, &at("a", RegisterInput::Read), read(Some(1)).as_ref()).is_some());
        assert!(m.step(&written, &at("b", RegisterInput::Read), read(Some(1)).as_ref()).is_none());
        assert!(m.step(&written, &at("b", RegisterInput::Read), read(None).as_ref()).is_some());
        assert_eq!(m.describe_state(&written), "key a: 1");
        let back = m.step(&written, &at("a", RegisterInput::Write(None)), None).unwrap();
        assert_eq!(back, m.initial());
    }
}
