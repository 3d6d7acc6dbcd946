//! Parts: the connected components of keys that are accessed together.

use crate::model::{ConcurrentHistory, Model, Outcome};
use std::collections::BTreeMap;

/// The operations of each part in order of call; the parts in order of their first operation. Failed operations are
/// in none. An operation without keys touches everything, and then there is one part.
pub(crate) fn partition<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
) -> Vec<Vec<usize>> {
    let operations = history.operations();
    let mut order: Vec<usize> =
        (0..operations.len()).filter(|&op| operations[op].outcome != Outcome::Fail).collect();
    order.sort_by_key(|&op| operations[op].call);

    // Union-find over keys, by their order of appearance.
    let mut number: BTreeMap<String, usize> = BTreeMap::new();
    let mut parent: Vec<usize> = Vec::new();
    let mut first_key: Vec<usize> = Vec::with_capacity(order.len());
    for &op in &order {
        let mut joined: Option<usize> = None;
        for key in model.keys(&operations[op].input) {
            let key = *number.entry(key).or_insert_with(|| {
                parent.push(parent.len());
                parent.len() - 1
            });
            let root = find(&mut parent, key);
            match joined {
                None => joined = Some(root),
                Some(other) => parent[root] = other,
            }
        }
        match joined {
            Some(key) => first_key.push(key),
            None => return vec![order],
        }
    }
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut part_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (&op, &key) in order.iter().zip(&first_key) {
        let root = find(&mut parent, key);
        let part = *part_of.entry(root).or_insert_with(|| {
            parts.push(Vec::new());
            parts.len() - 1
        });
        parts[part].push(op);
    }
    parts
}

fn find(parent: &mut [usize], key: usize) -> usize {
    let mut root = key;
    while parent[root] != root {
        root = parent[root];
    }
    let mut at = key;
    while parent[at] != root {
        at = std::mem::replace(&mut parent[at], root);
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::multi_register::{MicroOp, MultiRegister};
    use crate::model::{ClientId, Operation};

    #[test]
    fn keys_accessed_together_are_judged_together() {
        let read = |client, keys: &[&str]| Operation {
            client: ClientId(client),
            call: client,
            ret: None,
            input: keys.iter().map(|key| MicroOp::Read((*key).into())).collect(),
            outcome: Outcome::Info,
        };
        let txns = vec![read(0, &["a"]), read(1, &["b"]), read(2, &["c", "d"]), read(3, &["d", "a"])];
        let history = ConcurrentHistory::new(txns).unwrap();
        assert_eq!(partition(&MultiRegister::default(), &history), vec![vec![0, 2, 3], vec![1]]);
        let whole = ConcurrentHistory::new(vec![read(0, &["a"]), read(1, &[])]).unwrap();
        assert_eq!(partition(&MultiRegister::default(), &whole), vec![vec![0, 1]]);
    }
}
