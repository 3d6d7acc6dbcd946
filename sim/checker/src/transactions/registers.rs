//! What follows from registers: a read of a register shows which write it saw, and no more.
//!
//! The order of the writes of a key is not known. But a write that must come after another must also come after the
//! readers of that other one. And a write that must come before a reader, and is not the one that was read,
//! must come before the write that was read. Each such edge may lead to more; they are followed until there are no new ones.
//! That finds most contradictions, not all.
//!
//! If several transactions wrote a value to a key, or the key had it at first, a read of it may have seen any of these
//! writes. Such reads add no edges; the order need only have the value when they come ([`Versions::any_of`]). All other
//! reads of the key, and other keys, add edges as before.

use std::collections::BTreeMap;

use super::graph::{Because, Graph, Node};
use super::schedule::schedule;
use super::{Contradiction, Inferred};
use crate::model::multi_register::{MicroOp, ReadValues};
use crate::model::value::Value;
use crate::model::{ConcurrentHistory, MultiRegister, Outcome};

/// How many transactions there may be for edges to be followed: reachability takes twice their square in bits, which is
/// 100 MB.
const MOST_FOLLOWED: usize = 20_000;

/// How often new edges are followed.
const ROUNDS: usize = 12;

/// What is known of one key.
#[derive(Default)]
struct Key<'h> {
    name: &'h str,
    /// The writes of each value: the transaction, and whether it was the last that the transaction wrote there.
    writers: BTreeMap<Value, Vec<(usize, bool)>>,
    /// What completed transactions found before their own writes: who, and the value.
    found: Vec<(usize, Value)>,
}

impl Key<'_> {
    /// Whether a read of the value may have seen one of several writes, the initial value among them.
    fn is_ambiguous(&self, value: Value, initial: Value) -> bool {
        let writes = self.writers.get(&value).map_or(0, Vec::len);
        writes + usize::from(value == initial) > 1
    }
}

/// Infers the order of a history of [`MultiRegister`].
pub fn registers(model: &MultiRegister, history: &ConcurrentHistory<Vec<MicroOp>, ReadValues>) -> Inferred {
    let initial = |name: &str| model.initial.get(name).copied().unwrap_or(model.default);
    let mut keys: BTreeMap<&str, Key<'_>> = BTreeMap::new();
    for (at, operation) in history.operations().iter().enumerate() {
        if operation.outcome == Outcome::Fail {
            continue;
        }
        let mut last: BTreeMap<&str, Value> = BTreeMap::new();
        for micro in &operation.input {
            if let MicroOp::Write(name, value) = micro {
                let key = keys.entry(name).or_insert_with(|| Key { name, ..Key::default() });
                key.writers.entry(*value).or_default().push((at, false));
                last.insert(name, *value);
            }
        }
        for (name, value) in last {
            let writes =
                keys.get_mut(name).and_then(|key| key.writers.get_mut(&value)).expect("just written");
            writes.last_mut().expect("just written").1 = true;
        }
    }
    for (at, operation) in history.operations().iter().enumerate() {
        let Outcome::Ok(reads) = &operation.outcome else { continue };
        if let Err(contradiction) = found(at, &operation.input, reads, &mut keys) {
            return Inferred::Contradiction(contradiction);
        }
    }
    let keys: Vec<Key<'_>> = keys.into_values().collect();
    let mut seen = vec![false; history.len()];
    for key in &keys {
        for &(reader, value) in &key.found {
            if value == initial(key.name) && !key.is_ambiguous(value, value) {
                continue;
            }
            let wrong = |why, others| {
                Inferred::Contradiction(Contradiction::Read {
                    operation: reader,
                    key: key.name.to_owned(),
                    why,
                    others,
                })
            };
            match key.writers.get(&value).map(Vec::as_slice) {
                // Which of these writes took effect is not known. One that did not may still be in the order.
                Some(writes) if key.is_ambiguous(value, initial(key.name)) => {
                    writes.iter().for_each(|&(writer, _)| seen[writer] = true);
                }
                None | Some([]) => {
                    return wrong("nobody wrote that value, or only a transaction that failed", Vec::new());
                }
                Some(&[(writer, _), ..]) if writer == reader => {
                    return wrong("the transaction itself wrote that value later", Vec::new());
                }
                Some(&[(writer, false), ..]) => {
                    return wrong(
                        "that value was overwritten within the transaction that wrote it",
                        vec![writer],
                    );
                }
                Some(&[(writer, true), ..]) => seen[writer] = true,
            }
        }
    }
    let mut node_of: BTreeMap<usize, u32> = BTreeMap::new();
    let mut nodes = Vec::new();
    for (at, operation) in history.operations().iter().enumerate() {
        if operation.output().is_some() || operation.outcome == Outcome::Info && seen[at] {
            node_of.insert(at, nodes.len() as u32);
            nodes.push(Node {
                operation: at,
                call: operation.call,
                ret: operation.output().and(operation.ret),
            });
        }
    }
    let mut graph = Graph::new(nodes);
    let versions: Vec<Versions> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| Versions::new(n as u32, key, initial(key.name), &node_of, &mut graph))
        .collect();
    let name = |key: u32| keys[key as usize].name.to_owned();
    let times = graph.times();
    for _ in 0..ROUNDS {
        let Some(order) = graph.order() else { break };
        if graph.len() > MOST_FOLLOWED {
            break;
        }
        let reach = Reach::of(&graph, &order);
        // Each key adds its edges; a short-circuiting `any` would leave the later ones out.
        let mut added = false;
        for key in &versions {
            added |= key.follow(&reach, &times, &mut graph);
        }
        if !added {
            break;
        }
    }
    if graph.order().is_none() {
        return match graph.cycle(name) {
            Some(steps) => Inferred::Contradiction(Contradiction::Cycle(steps)),
            None => Inferred::Nothing,
        };
    }
    match schedule(&graph, &versions) {
        Some(order) => Inferred::Order(order.into_iter().map(|node| graph.operation(node)).collect()),
        None => Inferred::Nothing,
    }
}

/// Notes what a completed transaction found.
fn found<'h>(
    at: usize,
    input: &'h [MicroOp],
    reads: &ReadValues,
    keys: &mut BTreeMap<&'h str, Key<'h>>,
) -> Result<(), Contradiction> {
    let mut reads = reads.iter();
    let mut own: BTreeMap<&str, Value> = BTreeMap::new();
    let mut before: BTreeMap<&str, Value> = BTreeMap::new();
    for micro in input {
        match micro {
            MicroOp::Write(name, value) => _ = own.insert(name, *value),
            MicroOp::Read(name) => {
                let Some(Some(value)) = reads.next() else { continue };
                let wrong = |why| Contradiction::Read {
                    operation: at,
                    key: name.to_string(),
                    why,
                    others: Vec::new(),
                };
                match own.get(name.as_ref()) {
                    Some(mine) if mine == value => {}
                    Some(_) => return Err(wrong("it is not what the transaction itself wrote before")),
                    None if *before.entry(name).or_insert(*value) == *value => {}
                    None => return Err(wrong("the transaction found two different values")),
                }
            }
        }
    }
    for (name, value) in before {
        keys.entry(name).or_insert_with(|| Key { name, ..Key::default() }).found.push((at, value));
    }
    Ok(())
}

/// The writes of one key, each with its readers, as nodes. The first is the initial value, which no transaction wrote.
pub(super) struct Versions {
    key: u32,
    pub(super) writers: Vec<Option<u32>>,
    pub(super) readers: Vec<Vec<u32>>,
    /// The value of each.
    pub(super) values: Vec<Value>,
    /// Transactions that read a value of several of them, and the value.
    pub(super) any_of: Vec<(u32, Value)>,
}

impl Versions {
    /// Finds them, and draws the edges that follow at once.
    fn new(
        key: u32,
        of: &Key<'_>,
        initial: Value,
        node_of: &BTreeMap<usize, u32>,
        graph: &mut Graph,
    ) -> Versions {
        let mut place: BTreeMap<Value, usize> = BTreeMap::from([(initial, 0)]);
        let mut versions = Versions {
            key,
            writers: vec![None],
            readers: vec![Vec::new()],
            values: vec![initial],
            any_of: Vec::new(),
        };
        let writes =
            of.writers.iter().flat_map(|(value, writes)| writes.iter().map(move |write| (value, write)));
        for (value, (writer, last)) in writes {
            if let (true, Some(&node)) = (*last, node_of.get(writer)) {
                place.insert(*value, versions.writers.len());
                versions.writers.push(Some(node));
                versions.readers.push(Vec::new());
                versions.values.push(*value);
            }
        }
        for (reader, value) in &of.found {
            let reader = node_of[reader];
            if of.is_ambiguous(*value, initial) {
                versions.any_of.push((reader, *value));
                continue;
            }
            let at = place[value];
            versions.readers[at].push(reader);
            if let Some(writer) = versions.writers[at] {
                graph.edge(writer, reader, Because::Read(key));
            }
        }
        // Who read the initial value comes before every write, its own apart.
        if !versions.readers[0].is_empty() {
            let first = graph.helper();
            let own: Vec<u32> = versions.readers[0].clone();
            for &writer in versions.writers.iter().flatten() {
                match own.contains(&writer) {
                    false => graph.edge(first, writer, Because::ReadBefore(key)),
                    true => {
                        for &reader in &own {
                            graph.edge(reader, writer, Because::ReadBefore(key));
                        }
                    }
                }
            }
            for &reader in &own {
                graph.edge(reader, first, Because::ReadBefore(key));
            }
        }
        versions
    }

    /// Draws the edges that follow from those there are; whether there were any. `times` are the calls and returns.
    fn follow(&self, reach: &Reach, times: &[(u64, u64)], graph: &mut Graph) -> bool {
        let mut any = false;
        let mut edge = |from: u32, to: u32, because| {
            if from != to && !reach.leads(from, to) {
                graph.edge(from, to, because);
                any = true;
            }
        };
        for (at, &writer) in self.writers.iter().enumerate() {
            let Some(writer) = writer else { continue };
            // Most pairs are far apart in time, and then nothing new follows.
            let last = self.readers[at].iter().map(|&reader| times[reader as usize].1).max();
            let (call, ret) = times[writer as usize];
            let last = last.unwrap_or(0).max(ret);
            for &other in self.writers.iter().flatten().filter(|&&other| other != writer) {
                let (other_call, other_ret) = times[other as usize];
                if other_ret < call || last < other_call {
                    continue;
                }
                // A write comes after the readers of the value that it overwrites.
                if reach.leads(writer, other) {
                    for &reader in &self.readers[at] {
                        edge(reader, other, Because::ReadBefore(self.key));
                    }
                }
                // A write that comes before a reader of another write comes before that other write.
                if self.readers[at].iter().any(|&reader| reach.leads(other, reader)) {
                    edge(other, writer, Because::Wrote(self.key));
                }
            }
        }
        any
    }
}

/// Which node leads to which transaction.
struct Reach {
    words: usize,
    bits: Vec<u64>,
}

impl Reach {
    fn of(graph: &Graph, order: &[u32]) -> Reach {
        let words = graph.len().div_ceil(64);
        let mut bits = vec![0u64; words * order.len()];
        let mut sum = vec![0u64; words];
        for &node in order.iter().rev() {
            sum.fill(0);
            for to in graph.successors(node) {
                let to = to as usize;
                for (word, of) in sum.iter_mut().zip(&bits[to * words..(to + 1) * words]) {
                    *word |= of;
                }
                if to < graph.len() {
                    sum[to / 64] |= 1 << (to % 64);
                }
            }
            bits[node as usize * words..(node as usize + 1) * words].copy_from_slice(&sum);
        }
        Reach { words, bits }
    }

    fn leads(&self, from: u32, to: u32) -> bool {
        self.bits[from as usize * self.words + to as usize / 64] >> (to % 64) & 1 == 1
    }
}
