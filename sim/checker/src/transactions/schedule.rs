//! An order of transactions that keeps to a graph, and in which no write comes between another and its readers.
//!
//! Transactions are taken one after another. All reads of the one that is taken see the present versions, and none of its
//! writes replaces a version that still has readers to come. Which of several is taken is a choice, and a wrong one may end where
//! nothing fits any more. Three things keep that rare, and mend it:
//! - A transaction that only reads is taken as soon as it fits, which takes nothing from any other. Of the writers the one
//!   that must be done first is tried first.
//! - No writer is taken that would make some transaction wait for itself (`waits_for_itself`). The version
//!   that it writes has readers; these come before whatever else writes that key. So such a writer must not lead to such a
//!   reader. A path from one to the other is searched for among the transactions that overlap the reader in time. All others
//!   come before it or after it, which their times show. So the search is short, however far ahead the reader is.
//! - Where nothing fits, the last choices are taken back, sometimes a few and seldom many, and made again by a seeded chance.
//!
//! The problem is NP-complete (Papadimitriou 1979), so the work is bounded (`work_allowed`) and an order may go
//! unfound. The caller replays what is found, so an error here costs an answer and never makes a wrong one.

use std::collections::BTreeSet;

use super::graph::Graph;
use super::registers::Versions;
use crate::model::value::Value;

/// An order of all transactions of `graph`, where one was found.
pub(super) fn schedule(graph: &Graph, versions: &[Versions]) -> Option<Vec<u32>> {
    let mut schedule = Schedule::new(graph, versions)?;
    let mut allowed = work_allowed(graph.len());
    let mut chance = None;
    let mut attempts = 0u32;
    loop {
        match schedule.next(&mut chance, &mut allowed) {
            Step::Done => return Some(schedule.order()),
            Step::Taken => {}
            Step::OutOfWork => return None,
            Step::Stuck if schedule.taken == 0 => return None,
            Step::Stuck => {
                // Two choices every other time, four every fourth time, eight every eighth: the wrong one is seldom far
                // back.
                attempts += 1;
                let back = 2usize << attempts.trailing_zeros().min(30);
                let state = chance.map_or(1, |chance: Chance| chance.state);
                chance = Some(Chance { state, until: schedule.taken });
                for _ in 0..back.min(schedule.taken) {
                    schedule.take_back();
                }
            }
        }
    }
}

/// How many nodes may be looked at in all, for so many transactions: a few seconds at most.
fn work_allowed(transactions: usize) -> u64 {
    (2_000_000 + 2_000 * transactions as u64).min(20_000_000)
}

/// What came of one step.
enum Step {
    Taken,
    Done,
    /// No transaction fits.
    Stuck,
    OutOfWork,
}

/// Chance, seeded: the same history gives the same order.
#[derive(Clone, Copy)]
struct Chance {
    state: u64,
    /// It chooses until so many transactions are taken. After that, the usual order applies.
    until: usize,
}

impl Chance {
    fn one_in_two(&mut self) -> bool {
        // Marsaglia's xorshift.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 32 & 1 == 1
    }
}

/// A node that was taken, and what it replaced: the key, its version, and how many readers this had to come.
struct Taken {
    node: u32,
    replaced: Vec<(usize, usize, usize)>,
}

struct Schedule<'g> {
    graph: &'g Graph,
    versions: &'g [Versions],
    /// The calls and returns of the transactions.
    times: Vec<(u64, u64)>,
    /// What each transaction reads and writes: the key's place, and the version's.
    reads: Vec<Vec<(usize, usize)>>,
    writes: Vec<Vec<(usize, usize)>>,
    /// What each transaction reads that several writes may have left: the key's place, and the value.
    any_of: Vec<Vec<(usize, Value)>>,
    /// When each transaction must be done at the latest, so that all that come after it can return in time.
    due: Vec<u64>,
    /// Of each key the present version, and how many of its readers are still to come.
    now: Vec<usize>,
    waiting: Vec<usize>,
    /// Of each key the writers that are still to come, by their calls.
    left: Vec<BTreeSet<(u64, u32)>>,
    /// How many nodes that lead to each are still to come.
    incoming: Vec<u32>,
    done: Vec<bool>,
    /// Transactions with nothing before them: writers after those that only read, then by when they are due.
    ready: BTreeSet<(bool, u64, u32)>,
    log: Vec<Taken>,
    /// How many transactions the log has.
    taken: usize,
    /// The number of the search that met each node last.
    looked: Vec<u64>,
    look: u64,
}

impl<'g> Schedule<'g> {
    /// Nothing is taken yet. `None` if the graph has a cycle.
    fn new(graph: &'g Graph, versions: &'g [Versions]) -> Option<Self> {
        let count = graph.len();
        let order = graph.order()?;
        let mut reads = vec![Vec::new(); count];
        let mut writes = vec![Vec::new(); count];
        let mut any_of = vec![Vec::new(); count];
        for (key, of) in versions.iter().enumerate() {
            for &(reader, value) in &of.any_of {
                any_of[reader as usize].push((key, value));
            }
            for (version, writer) in of.writers.iter().enumerate() {
                if let Some(writer) = writer {
                    writes[*writer as usize].push((key, version));
                }
                for &reader in &of.readers[version] {
                    reads[reader as usize].push((key, version));
                }
            }
        }
        let mut due = vec![u64::MAX; order.len()];
        for &node in order.iter().rev() {
            let mut least = graph.ret(node).unwrap_or(u64::MAX);
            for to in graph.successors(node) {
                least = least.min(due[to as usize]);
            }
            due[node as usize] = least;
        }
        let times = graph.times();
        let left = |of: &Versions| {
            of.writers.iter().flatten().map(|&writer| (times[writer as usize].0, writer)).collect()
        };
        let mut schedule = Schedule {
            graph,
            versions,
            reads,
            writes,
            any_of,
            due,
            now: vec![0; versions.len()],
            waiting: versions.iter().map(|of| of.readers[0].len()).collect(),
            left: versions.iter().map(left).collect(),
            times,
            incoming: graph.incoming(),
            done: vec![false; order.len()],
            ready: BTreeSet::new(),
            log: Vec::new(),
            taken: 0,
            looked: vec![0; order.len()],
            look: 0,
        };
        let first = (0..order.len() as u32).filter(|&node| schedule.incoming[node as usize] == 0).collect();
        schedule.make_ready(first);
        Some(schedule)
    }

    fn order(&self) -> Vec<u32> {
        self.log.iter().map(|taken| taken.node).filter(|&node| (node as usize) < self.graph.len()).collect()
    }

    fn rank(&self, node: u32) -> (bool, u64, u32) {
        (!self.writes[node as usize].is_empty(), self.due[node as usize], node)
    }

    /// Takes the next transaction.
    fn next(&mut self, chance: &mut Option<Chance>, allowed: &mut u64) -> Step {
        if self.taken == self.graph.len() {
            return Step::Done;
        }
        let mut random = chance.as_mut().filter(|chance| self.taken <= chance.until);
        let mut passed_over = None;
        let mut found = None;
        for &(writes, _, node) in &self.ready {
            *allowed = allowed.saturating_sub(1);
            if !self.fits(node) {
                continue;
            }
            if writes {
                // Taken out, because `self.ready` is borrowed at the same time.
                let mut looks = (std::mem::take(&mut self.looked), self.look);
                let waits = self.waits_for_itself(node, &mut looks, allowed);
                (self.looked, self.look) = looks;
                if waits {
                    continue;
                }
                if random.as_mut().is_some_and(|chance| chance.one_in_two()) {
                    passed_over.get_or_insert(node);
                    continue;
                }
            }
            found = Some(node);
            break;
        }
        if *allowed == 0 {
            return Step::OutOfWork;
        }
        match found.or(passed_over) {
            Some(node) => {
                self.take(node);
                Step::Taken
            }
            None => Step::Stuck,
        }
    }

    /// Whether a transaction sees what it read, and replaces nothing that has other readers to come.
    fn fits(&self, node: u32) -> bool {
        let (reads, writes) = (&self.reads[node as usize], &self.writes[node as usize]);
        let shows = |&(key, value): &(usize, Value)| self.versions[key].values[self.now[key]] == value;
        reads.iter().all(|&(key, version)| self.now[key] == version)
            && self.any_of[node as usize].iter().all(shows)
            && writes.iter().all(|&(key, _)| {
                let own = usize::from(reads.iter().any(|&(read, _)| read == key));
                self.waiting[key] == own
            })
    }

    /// Whether some transaction would have to come before itself, were `node` taken next. Up to now none has to.
    fn waits_for_itself(&self, node: u32, looks: &mut (Vec<u64>, u64), allowed: &mut u64) -> bool {
        self.writes[node as usize].iter().any(|&(key, version)| {
            let readers = &self.versions[key].readers[version];
            readers.iter().any(|&reader| self.would_follow(reader, key, node, looks, allowed))
        })
    }

    /// Whether another writer of the key must come before the reader, once `node` is done.
    fn would_follow(
        &self,
        reader: u32,
        key: usize,
        node: u32,
        looks: &mut (Vec<u64>, u64),
        allowed: &mut u64,
    ) -> bool {
        let (looked, look) = looks;
        *look += 1;
        let (call, ret) = self.times[reader as usize];
        let writes = &self.writes[node as usize];
        let is_present = |key: usize, version: usize| match writes.iter().find(|write| write.0 == key) {
            Some(&(_, written)) => written == version,
            None => self.now[key] == version,
        };
        // What was called after the reader had returned does not lead to it.
        let left = |key: usize| self.left[key].range(..=(ret, u32::MAX)).map(|&(_, writer)| writer);
        let mut stack: Vec<u32> = left(key).filter(|&writer| writer != reader).collect();
        while let Some(at) = stack.pop() {
            *allowed = allowed.saturating_sub(1);
            if at == node || self.done[at as usize] || looked[at as usize] == *look {
                continue;
            }
            looked[at as usize] = *look;
            if at == reader {
                return true;
            }
            stack.extend(self.graph.successors(at).filter(|&to| self.graph.earliest(to) <= ret));
            if (at as usize) < self.graph.len() {
                if self.times[at as usize].1 < call {
                    return true;
                }
                let reads =
                    self.reads[at as usize].iter().filter(|&&(key, version)| is_present(key, version));
                stack.extend(reads.flat_map(|&(key, _)| left(key)).filter(|&writer| writer != at));
            }
        }
        false
    }

    fn take(&mut self, node: u32) {
        self.ready.remove(&self.rank(node));
        for &(key, _) in &self.reads[node as usize] {
            self.waiting[key] -= 1;
        }
        let mut replaced = Vec::new();
        for &(key, version) in &self.writes[node as usize] {
            replaced.push((key, self.now[key], self.waiting[key]));
            self.now[key] = version;
            self.left[key].remove(&(self.times[node as usize].0, node));
            self.waiting[key] = self.versions[key].readers[version].len();
        }
        self.taken += 1;
        let next = self.log(Taken { node, replaced });
        self.make_ready(next);
    }

    /// Notes that a node is done; the nodes that now have nothing before them.
    fn log(&mut self, taken: Taken) -> Vec<u32> {
        self.done[taken.node as usize] = true;
        let mut next = Vec::new();
        for to in self.graph.successors(taken.node) {
            self.incoming[to as usize] -= 1;
            if self.incoming[to as usize] == 0 {
                next.push(to);
            }
        }
        self.log.push(taken);
        next
    }

    /// Helpers are done at once: they stand for nothing that happens.
    fn make_ready(&mut self, mut nodes: Vec<u32>) {
        while let Some(node) = nodes.pop() {
            if (node as usize) < self.graph.len() {
                self.ready.insert(self.rank(node));
            } else {
                nodes.extend(self.log(Taken { node, replaced: Vec::new() }));
            }
        }
    }

    /// Takes back the transaction that was taken last, with the helpers that were done after it.
    fn take_back(&mut self) {
        while let Some(Taken { node, replaced }) = self.log.pop() {
            self.done[node as usize] = false;
            for to in self.graph.successors(node) {
                if self.incoming[to as usize] == 0 && (to as usize) < self.graph.len() {
                    self.ready.remove(&self.rank(to));
                }
                self.incoming[to as usize] += 1;
            }
            if (node as usize) >= self.graph.len() {
                continue;
            }
            for (key, version, waiting) in replaced.into_iter().rev() {
                (self.now[key], self.waiting[key]) = (version, waiting);
                self.left[key].insert((self.times[node as usize].0, node));
            }
            for &(key, _) in &self.reads[node as usize] {
                self.waiting[key] += 1;
            }
            self.ready.insert(self.rank(node));
            self.taken -= 1;
            return;
        }
    }
}
