//! Which transaction must come before which: a graph, its cycles, and an order that keeps to it.
//!
//! Nodes are transactions, and helpers that stand for many edges at once. Each return has a helper for all transactions that are
//! called later, so that real time takes a linear number of edges. The others are those that the inference makes for a key.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{Step, Why};

/// Why an edge is there, with the key's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Because {
    Read(u32),
    Wrote(u32),
    ReadBefore(u32),
    RealTime,
}

/// A transaction as the graph needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Its place in the history.
    pub(super) operation: usize,
    pub(super) call: u64,
    /// Its return, of a completed one.
    pub(super) ret: Option<u64>,
}

pub(super) struct Graph {
    nodes: Vec<Node>,
    /// Of transactions and then helpers: where an edge leads, and why.
    edges: Vec<Vec<(u32, Because)>>,
    /// The returns, ascending: those of the first helpers.
    returns: Vec<u64>,
}

impl Graph {
    /// The graph of real time alone.
    pub(super) fn new(nodes: Vec<Node>) -> Self {
        let mut returns: Vec<(u64, u32)> =
            nodes.iter().enumerate().filter_map(|(at, node)| Some((node.ret?, at as u32))).collect();
        returns.sort_unstable();
        let times = returns.iter().map(|&(ret, _)| ret).collect();
        let mut graph = Graph { edges: vec![Vec::new(); nodes.len()], nodes, returns: times };
        let first = graph.edges.len() as u32;
        for (place, &(_, node)) in returns.iter().enumerate() {
            let helper = graph.helper();
            graph.edge(node, helper, Because::RealTime);
            if place > 0 {
                graph.edge(helper - 1, helper, Because::RealTime);
            }
        }
        for node in 0..graph.nodes.len() {
            let before = returns.partition_point(|&(ret, _)| ret < graph.nodes[node].call);
            if before > 0 {
                graph.edge(first + before as u32 - 1, node as u32, Because::RealTime);
            }
        }
        graph
    }

    /// How many transactions there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A new helper.
    pub(super) fn helper(&mut self) -> u32 {
        self.edges.push(Vec::new());
        self.edges.len() as u32 - 1
    }

    pub(super) fn edge(&mut self, from: u32, to: u32, because: Because) {
        if from != to {
            self.edges[from as usize].push((to, because));
        }
    }

    pub(super) fn operation(&self, node: u32) -> usize {
        self.nodes[node as usize].operation
    }

    /// When each transaction was called and when it returned: never if that is not known.
    pub(super) fn times(&self) -> Vec<(u64, u64)> {
        self.nodes.iter().map(|node| (node.call, node.ret.unwrap_or(u64::MAX))).collect()
    }

    /// When a completed transaction returned; nothing for any other node.
    pub(super) fn ret(&self, node: u32) -> Option<u64> {
        self.nodes.get(node as usize)?.ret
    }

    /// No transaction on or after this node was called before this time. Zero for helpers of which that is not known.
    pub(super) fn earliest(&self, node: u32) -> u64 {
        match (node as usize).checked_sub(self.nodes.len()) {
            None => self.nodes[node as usize].call,
            Some(helper) => self.returns.get(helper).copied().unwrap_or(0),
        }
    }

    /// All nodes, helpers too, each after those that lead to it; among transactions that may come next the one called
    /// first. `None` if there is a cycle.
    pub(super) fn order(&self) -> Option<Vec<u32>> {
        let mut incoming = self.incoming();
        let mut ready: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
        // Helpers go at once: they stand for nothing that happens.
        let rank = |node: u32| self.nodes.get(node as usize).map_or(0, |node| node.call + 1);
        for node in (0..self.edges.len() as u32).filter(|&node| incoming[node as usize] == 0) {
            ready.push(Reverse((rank(node), node)));
        }
        let mut order = Vec::with_capacity(self.edges.len());
        while let Some(Reverse((_, node))) = ready.pop() {
            order.push(node);
            for &(to, _) in &self.edges[node as usize] {
                incoming[to as usize] -= 1;
                if incoming[to as usize] == 0 {
                    ready.push(Reverse((rank(to), to)));
                }
            }
        }
        (order.len() == self.edges.len()).then_some(order)
    }

    /// How many edges lead to each node.
    pub(super) fn incoming(&self) -> Vec<u32> {
        let mut incoming = vec![0u32; self.edges.len()];
        for &(to, _) in self.edges.iter().flatten() {
            incoming[to as usize] += 1;
        }
        incoming
    }

    pub(super) fn successors(&self, node: u32) -> impl Iterator<Item = u32> {
        self.edges[node as usize].iter().map(|&(to, _)| to)
    }

    /// A short cycle, if there is one. `key` gives the names of keys.
    pub(super) fn cycle(&self, key: impl Fn(u32) -> String) -> Option<Vec<Step>> {
        // What is left when all that is not on or after a cycle is taken away, from both ends.
        let mut left = vec![true; self.edges.len()];
        let mut incoming = self.incoming();
        let mut gone: VecDeque<u32> =
            (0..self.edges.len() as u32).filter(|&node| incoming[node as usize] == 0).collect();
        while let Some(node) = gone.pop_front() {
            left[node as usize] = false;
            for &(to, _) in &self.edges[node as usize] {
                incoming[to as usize] -= 1;
                if incoming[to as usize] == 0 {
                    gone.push_back(to);
                }
            }
        }
        let starts: Vec<u32> = (0..self.nodes.len() as u32).filter(|&node| left[node as usize]).collect();
        // A cycle through many transactions explains little: a few starts, spread over all, are tried for a short one.
        let step = starts.len().div_ceil(STARTS).max(1);
        let paths = starts.iter().step_by(step).filter_map(|&start| self.way_back(start, &left));
        let found = paths
            .min_by_key(Vec::len)
            .or_else(|| starts.iter().find_map(|&start| self.way_back(start, &left)))?;
        Some(self.steps(&found, key))
    }

    /// The shortest way from a node to itself, as nodes and why each leads to the next.
    fn way_back(&self, start: u32, left: &[bool]) -> Option<Vec<(u32, Because)>> {
        let mut from: Vec<Option<(u32, Because)>> = vec![None; self.edges.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for &(to, because) in &self.edges[node as usize] {
                if !left[to as usize] || from[to as usize].is_some() {
                    continue;
                }
                from[to as usize] = Some((node, because));
                if to == start {
                    let mut path = Vec::new();
                    let mut at = start;
                    loop {
                        let (before, because) = from[at as usize].expect("a way led here");
                        path.push((before, because));
                        at = before;
                        if at == start {
                            path.reverse();
                            return Some(path);
                        }
                    }
                }
                queue.push_back(to);
            }
        }
        None
    }

    /// A path without its helpers: a transaction's way over helpers has the reason of its first edge.
    fn steps(&self, path: &[(u32, Because)], key: impl Fn(u32) -> String) -> Vec<Step> {
        path.iter()
            .filter_map(|&(node, because)| {
                let operation = self.nodes.get(node as usize)?.operation;
                let why = match because {
                    Because::Read(of) => Why::Read(key(of)),
                    Because::Wrote(of) => Why::Wrote(key(of)),
                    Because::ReadBefore(of) => Why::ReadBefore(key(of)),
                    Because::RealTime => Why::RealTime,
                };
                Some(Step { operation, why })
            })
            .collect()
    }
}

/// How many transactions are tried as the start of a short cycle.
const STARTS: usize = 64;
