//! What follows from lists: a read of a list shows the order of all appends in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::graph::{Because, Graph, Node};
use super::{Contradiction, Inferred};
use crate::model::list_append::{ListOp, ReadLists};
use crate::model::value::Value;
use crate::model::{ConcurrentHistory, Outcome};

/// A list as it is known to have been: who saw or made it, and its elements.
struct Known {
    by: usize,
    elements: Vec<Value>,
}

/// What is known of one key.
#[derive(Default)]
struct Key<'h> {
    name: &'h str,
    /// Who appended each element, of all that may have happened.
    writers: BTreeMap<Value, usize>,
    /// What each transaction appends, in its order.
    appends: BTreeMap<usize, Vec<Value>>,
    /// The longest list that is known.
    longest: Option<Known>,
    /// How long the list was that each completed transaction found before its own appends.
    found: Vec<(usize, usize)>,
}

/// Infers the order of a history of [`ListAppend`](crate::model::ListAppend).
pub fn lists(history: &ConcurrentHistory<Vec<ListOp>, ReadLists>) -> Inferred {
    let mut keys: BTreeMap<Arc<str>, Key<'_>> = BTreeMap::new();
    // Which transaction appends what.
    for (at, operation) in history.operations().iter().enumerate() {
        if operation.outcome == Outcome::Fail {
            continue;
        }
        for op in &operation.input {
            if let ListOp::Append(name, value) = op {
                let key = keys.entry(name.clone()).or_insert_with(|| Key { name, ..Key::default() });
                if key.writers.insert(*value, at).is_some() {
                    return Inferred::Nothing;
                }
                key.appends.entry(at).or_default().push(*value);
            }
        }
    }
    // Which transaction found what.
    for (at, operation) in history.operations().iter().enumerate() {
        let Outcome::Ok(reads) = &operation.outcome else { continue };
        if let Err(contradiction) = found(at, &operation.input, reads, &mut keys) {
            return Inferred::Contradiction(contradiction);
        }
    }
    let keys: Vec<Key<'_>> = keys.into_values().collect();
    for key in &keys {
        if let Err(contradiction) = key.check() {
            return Inferred::Contradiction(contradiction);
        }
    }
    // The transactions that happened: they returned, or a read saw what they appended.
    let seen: BTreeSet<usize> =
        keys.iter().flat_map(|key| key.elements().iter().map(|element| key.writers[element])).collect();
    let mut node_of: BTreeMap<usize, u32> = BTreeMap::new();
    let mut nodes = Vec::new();
    for (at, operation) in history.operations().iter().enumerate() {
        let happened = match &operation.outcome {
            Outcome::Ok(_) => true,
            Outcome::Fail => false,
            Outcome::Info => seen.contains(&at),
        };
        if happened {
            node_of.insert(at, nodes.len() as u32);
            let ret = operation.output().and(operation.ret);
            nodes.push(Node { operation: at, call: operation.call, ret });
        }
    }
    let mut graph = Graph::new(nodes);
    for (number, key) in keys.iter().enumerate() {
        key.edges(number as u32, &node_of, &mut graph);
    }
    match graph.order() {
        Some(order) => {
            let count = graph.len() as u32;
            Inferred::Order(
                order.into_iter().filter(|&node| node < count).map(|node| graph.operation(node)).collect(),
            )
        }
        None => match graph.cycle(|key| keys[key as usize].name.to_owned()) {
            Some(steps) => Inferred::Contradiction(Contradiction::Cycle(steps)),
            None => Inferred::Nothing,
        },
    }
}

/// Notes what a completed transaction found.
fn found<'h>(
    at: usize,
    input: &'h [ListOp],
    reads: &ReadLists,
    keys: &mut BTreeMap<Arc<str>, Key<'h>>,
) -> Result<(), Contradiction> {
    let mut reads = reads.iter();
    let mut own: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut before: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lists: BTreeMap<&'h Arc<str>, Vec<Value>> = BTreeMap::new();
    for op in input {
        match op {
            ListOp::Append(name, value) => own.entry(name).or_default().push(*value),
            ListOp::Read(name) => {
                let Some(Some(list)) = reads.next() else { continue };
                let mine = own.get(name.as_ref()).map_or(&[][..], Vec::as_slice);
                let wrong = |why| Contradiction::Read {
                    operation: at,
                    key: name.to_string(),
                    why,
                    others: Vec::new(),
                };
                if !list.ends_with(mine) {
                    return Err(wrong("it lacks what the transaction itself appended before"));
                }
                let others = list.len() - mine.len();
                if *before.entry(name).or_insert(others) != others {
                    return Err(wrong("the transaction found two different lists"));
                }
                match lists.get(name) {
                    Some(known) if !list.starts_with(known) => {
                        return Err(wrong("the transaction found two different lists"));
                    }
                    _ => _ = lists.insert(name, list.to_vec()),
                }
            }
        }
    }
    for (name, mut list) in lists {
        let others = before[name.as_ref()];
        // What it appended after its last read stands right behind what it read.
        let mine = own.get(name.as_ref()).map_or(&[][..], Vec::as_slice);
        list.extend_from_slice(&mine[list.len() - others..]);
        let key = keys.entry(name.clone()).or_insert_with(|| Key { name, ..Key::default() });
        key.found.push((at, others));
        key.known(Known { by: at, elements: list })?;
    }
    Ok(())
}

impl Key<'_> {
    /// One more list. Of two lists of a key one goes on where the other ends.
    fn known(&mut self, list: Known) -> Result<(), Contradiction> {
        let Some(longest) = &self.longest else {
            self.longest = Some(list);
            return Ok(());
        };
        let (short, long) = match list.elements.len() > longest.elements.len() {
            true => (longest, &list),
            false => (&list, longest),
        };
        if !long.elements.starts_with(&short.elements) {
            return Err(Contradiction::Read {
                operation: list.by,
                key: self.name.to_owned(),
                why: "another transaction found the elements in another order",
                others: vec![longest.by],
            });
        }
        if list.elements.len() > longest.elements.len() {
            self.longest = Some(list);
        }
        Ok(())
    }

    fn elements(&self) -> &[Value] {
        self.longest.as_ref().map_or(&[], |longest| &longest.elements)
    }

    /// Each element is there once, a transaction appended it, and what one transaction appended stands together in its order.
    fn check(&self) -> Result<(), Contradiction> {
        let Some(longest) = &self.longest else { return Ok(()) };
        let wrong = |why, others| {
            Err(Contradiction::Read { operation: longest.by, key: self.name.to_owned(), why, others })
        };
        let mut seen = BTreeSet::new();
        let mut expected: Option<(usize, usize)> = None;
        for element in &longest.elements {
            let Some(&writer) = self.writers.get(element) else {
                return wrong(
                    "nobody appended one of the elements, or only a transaction that failed",
                    Vec::new(),
                );
            };
            if !seen.insert(element) {
                return wrong("an element that was appended once is there twice", Vec::new());
            }
            let (by, place) = match expected {
                Some(expected) => expected,
                None => (writer, 0),
            };
            let appends = &self.appends[&by];
            if appends[place] != *element {
                return wrong(
                    "it does not have what a transaction appended together and in its order",
                    vec![by],
                );
            }
            expected = (place + 1 < appends.len()).then_some((by, place + 1));
        }
        Ok(())
    }

    fn edges(&self, number: u32, node_of: &BTreeMap<usize, u32>, graph: &mut Graph) {
        let elements = self.elements();
        // Who stands at each place; transactions that did not happen stand nowhere.
        let at: Vec<u32> = elements.iter().map(|element| node_of[&self.writers[element]]).collect();
        for pair in at.windows(2) {
            graph.edge(pair[0], pair[1], Because::Wrote(number));
        }
        // Appends that no read saw come after all that reads saw.
        let seen: BTreeSet<&Value> = elements.iter().collect();
        let behind: Vec<u32> = self
            .writers
            .iter()
            .filter(|(value, _)| !seen.contains(value))
            .filter_map(|(_, writer)| node_of.get(writer).copied())
            .collect();
        let end = graph.helper();
        for &writer in &behind {
            graph.edge(end, writer, Because::Wrote(number));
            if let Some(&last) = at.last() {
                graph.edge(last, writer, Because::Wrote(number));
            }
        }
        for &(reader, length) in &self.found {
            let reader = node_of[&reader];
            if let Some(before) = length.checked_sub(1) {
                graph.edge(at[before], reader, Because::Read(number));
            }
            // What the reader itself appended is known, so it is never among those behind.
            let next = at.get(length).copied().unwrap_or(end);
            graph.edge(reader, next, Because::ReadBefore(number));
        }
    }
}
