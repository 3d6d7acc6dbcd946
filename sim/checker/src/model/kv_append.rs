//! A key-value store of strings with get, put and append: the object of Porcupine's `kv` histories, which come from
//! the labs of MIT's 6.824. A key never written holds the empty string, or whatever the caller gives as initial.
//!
//! Every operation touches one key, so each key is judged by itself. Appending the empty string is read-only.

use super::Model;
use std::sync::Arc;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KvInput {
    /// The key.
    pub key: Arc<str>,
    /// What to do with it.
    pub op: KvOp,
}

/// What to do with a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KvOp {
    /// Read the value.
    Get,
    /// Set the value.
    Put(Arc<str>),
    /// Add to the end of the value.
    Append(Arc<str>),
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KvOutput {
    /// The value read.
    Value(Arc<str>),
    /// Done, for put and append.
    Done,
}

/// The append store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvAppend {
    /// The value of a key never written.
    pub initial: Arc<str>,
}

impl Default for KvAppend {
    fn default() -> Self {
        KvAppend { initial: Arc::from("") }
    }
}

/// The keys written so far and their values, sorted by key. In the part of one key it holds one entry at most.
pub type KvState = Vec<(Arc<str>, Arc<str>)>;

impl Model for KvAppend {
    type State = KvState;
    type Input = KvInput;
    type Output = KvOutput;

    fn initial(&self) -> KvState {
        Vec::new()
    }

    fn step(&self, state: &KvState, input: &KvInput, output: Option<&KvOutput>) -> Option<KvState> {
        let place = state.binary_search_by(|(key, _)| key.as_ref().cmp(input.key.as_ref()));
        let value = match place {
            Ok(at) => &state[at].1,
            Err(_) => &self.initial,
        };
        let after: Arc<str> = match (&input.op, output) {
            (KvOp::Get, None) => return Some(state.clone()),
            (KvOp::Get, Some(KvOutput::Value(read))) => return (read == value).then(|| state.clone()),
            (KvOp::Put(new), None | Some(KvOutput::Done)) => new.clone(),
            (KvOp::Append(more), None | Some(KvOutput::Done)) if more.is_empty() => {
                return Some(state.clone());
            }
            (KvOp::Append(more), None | Some(KvOutput::Done)) => {
                let mut whole = String::with_capacity(value.len() + more.len());
                whole.push_str(value);
                whole.push_str(more);
                whole.into()
            }
            // An answer of another kind than the question is never legal.
            _ => return None,
        };
        let mut next = state.clone();
        match place {
            Ok(at) => next[at].1 = after,
            Err(at) => next.insert(at, (input.key.clone(), after)),
        }
        Some(next)
    }

    fn is_read_only(&self, input: &KvInput, _: Option<&KvOutput>) -> bool {
        match &input.op {
            KvOp::Get => true,
            KvOp::Append(more) => more.is_empty(),
            KvOp::Put(_) => false,
        }
    }

    /// A get waits for a put of a beginning of its value, or else for an append of what comes next in it. Between two
    /// gets of a store that is only appended to, this leaves one order of the appends where there would be thousands.
    fn can_become_legal<'a>(
        &self,
        state: &KvState,
        input: &KvInput,
        output: &KvOutput,
        mut between: impl Iterator<Item = (&'a KvInput, Option<&'a KvOutput>)>,
    ) -> bool {
        let (KvOp::Get, KvOutput::Value(wanted)) = (&input.op, output) else { return true };
        let place = state.binary_search_by(|(key, _)| key.as_ref().cmp(input.key.as_ref()));
        let value = place.map_or(&self.initial, |at| &state[at].1);
        if value == wanted {
            return true;
        }
        let missing = wanted.strip_prefix(value.as_ref());
        between.any(|(other, _)| match &other.op {
            _ if other.key != input.key => false,
            KvOp::Get => false,
            KvOp::Put(text) => wanted.starts_with(text.as_ref()),
            KvOp::Append(text) => {
                !text.is_empty() && missing.is_some_and(|missing| missing.starts_with(text.as_ref()))
            }
        })
    }

    fn keys(&self, input: &KvInput) -> Vec<String> {
        vec![input.key.to_string()]
    }

    fn describe(&self, input: &KvInput, output: Option<&KvOutput>) -> String {
        let key = &input.key;
        let doubt = if output.is_none() { " ?" } else { "" };
        match (&input.op, output) {
            (KvOp::Get, Some(KvOutput::Value(value))) => format!("get {key} = {value:?}"),
            (KvOp::Get, _) => format!("get {key} ?"),
            (KvOp::Put(value), _) => format!("put {key} {value:?}{doubt}"),
            (KvOp::Append(value), _) => format!("append {key} {value:?}{doubt}"),
        }
    }

    fn describe_state(&self, state: &KvState) -> String {
        let entries: Vec<String> = state.iter().map(|(key, value)| format!("{key} = {value:?}")).collect();
        if entries.is_empty() { "nothing written".to_string() } else { entries.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        let m = KvAppend::default();
        let op = |op| KvInput { key: "a".into(), op };
        let value = |v: &str| Some(KvOutput::Value(v.into()));
        let empty = m.initial();
        assert_eq!(m.step(&empty, &op(KvOp::Get), value("").as_ref()), Some(empty.clone()));
        let x = m.step(&empty, &op(KvOp::Append("x".into())), Some(&KvOutput::Done)).unwrap();
        let xy = m.step(&x, &op(KvOp::Append("y".into())), None).unwrap();
        assert_eq!(m.step(&xy, &op(KvOp::Get), value("xy").as_ref()), Some(xy.clone()));
        assert_eq!(m.step(&xy, &op(KvOp::Get), value("y").as_ref()), None);
        let z = m.step(&xy, &op(KvOp::Put("z".into())), Some(&KvOutput::Done)).unwrap();
        assert_eq!(m.describe_state(&z), "a = \"z\"");
    }
}
