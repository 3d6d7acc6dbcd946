//! Several registers, read and written together in transactions: Knossos' `multi-register`, and Elle's `rw-register`.
//! A transaction is a list of reads and writes that take effect in order and at once; a read sees the writes before it
//! in its own transaction. Judged by the general search this is strict serializability, which is Elle's default.
//!
//! Transactions that share registers are judged together, others apart. A transaction that only reads is read-only.

use super::Model;
use super::value::{Names, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MicroOp {
    /// Read a register.
    Read(Arc<str>),
    /// Set a register.
    Write(Arc<str>, Value),
}

impl MicroOp {
    fn key(&self) -> &Arc<str> {
        match self {
            MicroOp::Read(key) | MicroOp::Write(key, _) => key,
        }
    }
}

/// What was read: an entry for each [`MicroOp::Read`] of the input, in order. `None`: the value was not kept, and
/// may have been any.
pub type ReadValues = Vec<Option<Value>>;

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MultiRegister {
    /// Values before the first transaction, by name.
    pub initial: BTreeMap<String, Value>,
    /// The value of every register that `initial` does not name.
    pub default: Value,
    /// The texts of the values that are no integers.
    pub names: Names,
}

impl MultiRegister {
    fn initial_of(&self, key: &str) -> Value {
        self.initial.get(key).copied().unwrap_or(self.default)
    }

    /// Whether the reads of a transaction see what they saw.
    fn fits(&self, state: &MultiState, input: &[MicroOp], output: &ReadValues) -> bool {
        let mut reads = output.iter();
        for (at, micro) in input.iter().enumerate() {
            let MicroOp::Read(key) = micro else { continue };
            // An answer with too few reads is never legal.
            let Some(read) = reads.next() else { return false };
            let Some(read) = read else { continue };
            let own = input[..at].iter().rev().find_map(|micro| match micro {
                MicroOp::Write(written, value) if written == key => Some(*value),
                _ => None,
            });
            let found = own
                .unwrap_or_else(|| place(state, key).map_or_else(|_| self.initial_of(key), |at| state[at].1));
            if found != *read {
                return false;
            }
        }
        reads.next().is_none()
    }
}

/// The registers written so far and their values, sorted by name.
pub type MultiState = Vec<(Arc<str>, Value)>;

/// Where a key is in the state, or where it would be.
fn place(state: &MultiState, key: &str) -> Result<usize, usize> {
    state.binary_search_by(|(name, _)| name.as_ref().cmp(key))
}

impl Model for MultiRegister {
    type State = MultiState;
    type Input = Vec<MicroOp>;
    type Output = ReadValues;

    fn initial(&self) -> MultiState {
        Vec::new()
    }

    fn step(
        &self,
        state: &MultiState,
        input: &Vec<MicroOp>,
        output: Option<&ReadValues>,
    ) -> Option<MultiState> {
        // Most steps of a search are not legal, and a copy of the state costs the most.
        if let Some(output) = output
            && !self.fits(state, input, output)
        {
            return None;
        }
        let mut next = state.clone();
        for micro in input {
            let MicroOp::Write(key, value) = micro else { continue };
            match place(&next, key) {
                Ok(at) => next[at].1 = *value,
                // A register that holds its initial value stays out of the state, so that equal stores are
                // equal states.
                Err(_) if self.initial_of(key) == *value => {}
                Err(at) => next.insert(at, (key.clone(), *value)),
            }
        }
        next.retain(|(key, value)| *value != self.initial_of(key));
        Some(next)
    }

    fn is_read_only(&self, input: &Vec<MicroOp>, _: Option<&ReadValues>) -> bool {
        input.iter().all(|micro| matches!(micro, MicroOp::Read(_)))
    }

    /// Each read waits for a write of its value.
    fn can_become_legal<'a>(
        &self,
        state: &MultiState,
        input: &Vec<MicroOp>,
        output: &ReadValues,
        mut between: impl Iterator<Item = (&'a Vec<MicroOp>, Option<&'a ReadValues>)>,
    ) -> bool {
        if !self.is_read_only(input, Some(output)) {
            return true;
        }
        let mut waiting: Vec<(&Arc<str>, Value)> = Vec::new();
        for (micro, read) in input.iter().zip(output) {
            let Some(read) = read else { continue };
            let place = state.binary_search_by(|(key, _)| key.as_ref().cmp(micro.key().as_ref()));
            let value = place.map_or_else(|_| self.initial_of(micro.key()), |at| state[at].1);
            if value != *read {
                waiting.push((micro.key(), *read));
            }
        }
        while !waiting.is_empty() {
            let Some((other, _)) = between.next() else { return false };
            for micro in other {
                if let MicroOp::Write(key, value) = micro {
                    waiting.retain(|(name, wanted)| *name != key || wanted != value);
                }
            }
        }
        true
    }

    fn heap_bytes(&self, state: &MultiState) -> usize {
        state.capacity() * size_of::<(Arc<str>, Value)>()
    }

    fn keys(&self, input: &Vec<MicroOp>) -> Vec<String> {
        input.iter().map(|micro| micro.key().to_string()).collect()
    }

    fn describe(&self, input: &Vec<MicroOp>, output: Option<&ReadValues>) -> String {
        let mut reads = output.map(|values| values.iter());
        let mut words = Vec::new();
        for micro in input {
            words.push(match micro {
                MicroOp::Read(key) => match reads.as_mut().and_then(|reads| reads.next()) {
                    Some(Some(value)) => format!("read {key} = {}", self.names.show(value)),
                    _ => format!("read {key} ?"),
                },
                MicroOp::Write(key, value) => format!("write {key} {}", self.names.show(value)),
            });
        }
        let doubt = if output.is_none() { " ?" } else { "" };
        format!("{}{doubt}", words.join(", "))
    }

    fn describe_state(&self, state: &MultiState) -> String {
        let mut all = self.initial.clone();
        all.extend(state.iter().map(|(key, value)| (key.to_string(), *value)));
        let entries: Vec<String> =
            all.iter().map(|(key, value)| format!("{key} = {}", self.names.show(value))).collect();
        if entries.is_empty() {
            format!("all {}", self.names.show(&self.default))
        } else {
            entries.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_reads_its_own_writes_and_must_answer_every_read() {
        let m = MultiRegister { default: Some(0), ..MultiRegister::default() };
        let txn = vec![
            MicroOp::Read("x".into()),
            MicroOp::Write("x".into(), Some(1)),
            MicroOp::Read("x".into()),
            MicroOp::Read("y".into()),
        ];
        let after = m.step(&m.initial(), &txn, Some(&vec![Some(Some(0)), Some(Some(1)), None])).unwrap();
        assert_eq!(m.describe_state(&after), "x = 1");
        assert_eq!(m.step(&m.initial(), &txn, Some(&vec![Some(Some(0)), Some(Some(0)), None])), None);
        assert_eq!(m.step(&m.initial(), &txn, Some(&vec![Some(Some(0)), Some(Some(1))])), None);
        assert_eq!(m.step(&m.initial(), &txn, Some(&vec![Some(Some(0)), Some(Some(1)), None, None])), None);
        // Writing the initial value again gives the initial state again.
        let back = m.step(&after, &vec![MicroOp::Write("x".into(), Some(0))], None).unwrap();
        assert_eq!(back, m.initial());
    }
}
