//! Several lists, read and appended to together in transactions: Elle's `list-append`. A transaction's steps take effect
//! in order and at once; a read returns the whole list, and sees the appends before it in its own transaction. Judged
//! by the general search this is strict serializability, which is Elle's default.
//!
//! Every list begins empty. Transactions that share lists are judged together, others apart.

use super::Model;
use super::value::{Names, Value};
use std::sync::Arc;

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListOp {
    /// Read a list.
    Read(Arc<str>),
    /// Add to the end of a list.
    Append(Arc<str>, Value),
}

impl ListOp {
    fn key(&self) -> &Arc<str> {
        match self {
            ListOp::Read(key) | ListOp::Append(key, _) => key,
        }
    }
}

/// What was read: an entry for each [`ListOp::Read`] of the input, in order. `None`: the list was not kept, and may
/// have been any.
pub type ReadLists = Vec<Option<Arc<[Value]>>>;

/// The lists that are not empty, sorted by name.
pub type ListState = Vec<(Arc<str>, Arc<[Value]>)>;

/// The lists.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListAppend {
    /// The texts of the values that are no integers.
    pub names: Names,
}

impl Model for ListAppend {
    type State = ListState;
    type Input = Vec<ListOp>;
    type Output = ReadLists;

    fn initial(&self) -> ListState {
        Vec::new()
    }

    fn step(&self, state: &ListState, input: &Vec<ListOp>, output: Option<&ReadLists>) -> Option<ListState> {
        let mut next = state.clone();
        let mut reads = output.map(|lists| lists.iter());
        for op in input {
            let place = next.binary_search_by(|(key, _)| key.cmp(op.key()));
            match op {
                ListOp::Read(_) => {
                    let Some(reads) = &mut reads else { continue };
                    let list: &[Value] = place.map_or(&[], |at| &next[at].1);
                    // An answer with too few reads is never legal.
                    if reads.next()?.as_ref().is_some_and(|read| **read != *list) {
                        return None;
                    }
                }
                ListOp::Append(key, value) => match place {
                    Ok(at) => {
                        let list = &next[at].1;
                        next[at].1 = list.iter().copied().chain([*value]).collect();
                    }
                    Err(at) => next.insert(at, (key.clone(), Arc::from([*value]))),
                },
            }
        }
        if reads.is_some_and(|mut rest| rest.next().is_some()) {
            return None;
        }
        Some(next)
    }

    fn is_read_only(&self, input: &Vec<ListOp>, _: Option<&ReadLists>) -> bool {
        input.iter().all(|op| matches!(op, ListOp::Read(_)))
    }

    /// A list only grows. So what was read must go on where the list ends, and some operation must be about to append it.
    fn can_become_legal<'a>(
        &self,
        state: &ListState,
        input: &Vec<ListOp>,
        output: &ReadLists,
        between: impl Iterator<Item = (&'a Vec<ListOp>, Option<&'a ReadLists>)>,
    ) -> bool {
        // Each read up to the transaction's own first append to its list sees the list as it was before it.
        let mut waiting: Vec<(&Arc<str>, &[Value])> = Vec::new();
        let mut own: Vec<&Arc<str>> = Vec::new();
        let mut reads = output.iter();
        for op in input {
            match op {
                ListOp::Append(key, _) => own.push(key),
                ListOp::Read(key) => {
                    let Some(read) = reads.next() else { return false };
                    let Some(read) = read.as_deref().filter(|_| !own.contains(&key)) else { continue };
                    let place = state.binary_search_by(|(name, _)| name.cmp(key));
                    let list: &[Value] = place.map_or(&[], |at| &state[at].1);
                    match read.strip_prefix(list) {
                        None => return false,
                        Some([]) => {}
                        Some(missing) => waiting.push((key, missing)),
                    }
                }
            }
        }
        if waiting.is_empty() {
            return true;
        }
        let mut waiting: Vec<(&Arc<str>, Vec<Value>)> =
            waiting.into_iter().map(|(key, missing)| (key, missing.to_vec())).collect();
        for (other, _) in between {
            for op in other {
                if let ListOp::Append(key, value) = op {
                    for (_, missing) in waiting.iter_mut().filter(|(name, _)| *name == key) {
                        missing.retain(|wanted| wanted != value);
                    }
                }
            }
            waiting.retain(|(_, missing)| !missing.is_empty());
            if waiting.is_empty() {
                return true;
            }
        }
        false
    }

    fn keys(&self, input: &Vec<ListOp>) -> Vec<String> {
        input.iter().map(|op| op.key().to_string()).collect()
    }

    fn describe(&self, input: &Vec<ListOp>, output: Option<&ReadLists>) -> String {
        let mut reads = output.map(|lists| lists.iter());
        let mut words = Vec::new();
        for op in input {
            words.push(match op {
                ListOp::Read(key) => match reads.as_mut().and_then(|reads| reads.next()) {
                    Some(Some(list)) => format!("read {key} = {}", self.show(list)),
                    _ => format!("read {key} ?"),
                },
                ListOp::Append(key, value) => format!("append {} to {key}", self.names.show(value)),
            });
        }
        let doubt = if output.is_none() { " ?" } else { "" };
        format!("{}{doubt}", words.join(", "))
    }

    fn describe_state(&self, state: &ListState) -> String {
        let entries: Vec<String> =
            state.iter().map(|(key, list)| format!("{key} = {}", self.show(list))).collect();
        if entries.is_empty() { "all lists empty".to_owned() } else { entries.join(", ") }
    }
}

impl ListAppend {
    fn show(&self, list: &[Value]) -> String {
        let values: Vec<String> = list.iter().map(|value| self.names.show(value)).collect();
        format!("[{}]", values.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(values: &[i64]) -> Option<Arc<[Value]>> {
        Some(values.iter().copied().map(Some).collect())
    }

    #[test]
    fn a_transaction_reads_its_own_appends_and_must_answer_every_read() {
        let m = ListAppend::default();
        let append = |key: &str, value| ListOp::Append(key.into(), Some(value));
        let read = |key: &str| ListOp::Read(key.into());
        let txn = vec![read("x"), append("x", 1), read("x"), read("y")];
        let after = m.step(&m.initial(), &txn, Some(&vec![list(&[]), list(&[1]), None])).unwrap();
        assert_eq!(m.describe_state(&after), "x = [1]");
        assert_eq!(m.step(&m.initial(), &txn, Some(&vec![list(&[]), list(&[]), None])), None);
        assert_eq!(m.step(&m.initial(), &txn, Some(&vec![list(&[]), list(&[1])])), None);
        assert_eq!(m.step(&m.initial(), &txn, Some(&vec![list(&[]), list(&[1]), None, None])), None);
    }

    #[test]
    fn a_read_is_out_of_reach_where_the_list_went_another_way_or_nobody_appends() {
        let m = ListAppend::default();
        let read = vec![ListOp::Read("x".into())];
        let state = vec![("x".into(), Arc::from([Some(1), Some(2)]))];
        let two = vec![ListOp::Append("x".into(), Some(3)), ListOp::Append("x".into(), Some(4))];
        let can = |answer: &[i64], between: &[&Vec<ListOp>]| {
            let between = between.iter().map(|&other| (other, None));
            m.can_become_legal(&state, &read, &vec![list(answer)], between)
        };
        assert!(can(&[1, 2], &[]));
        assert!(!can(&[1], &[&two]));
        assert!(!can(&[2, 1], &[&two]));
        assert!(!can(&[1, 2, 3], &[]));
        assert!(can(&[1, 2, 3, 4], &[&two]));
        assert!(!can(&[1, 2, 5], &[&two]));
    }
}
