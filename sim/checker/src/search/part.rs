//! The depth-first search over one part of a history; the module above argues why it is right.
//!
//! A configuration is the set of operations linearized so far and the state that they led to. The calls and returns of the
//! completed operations are in a doubly linked list in order of time. Linearizing an operation removes it from the list,
//! and backtracking puts it back (Wing and Gong; the list is Lowe's). The calls before the first return in the list are the
//! operations that may come next. The search can stop and continue at any step, so many parts can be searched side by side,
//! and a budget can be given out in rounds.
//!
//! The window: the first operation in the list is the first that is not linearized, and no operation that was called after
//! the first return is linearized yet. So two sets of linearized operations can differ only between these two points. A key
//! is the window's place, its bits, the used ambiguous operations and the state.

use super::layout::{AmbiguousClass, Completed, NONE, Ranked, classify, link, rank};
use super::memo::Memo;
use super::transitions::{ClassId, StateId, Transitions};
use crate::model::{Model, Operation, Outcome};
use std::collections::BTreeMap;

/// How far ahead the search looks for a read-only operation that must become legal, in calls and returns.
const LOOK_AHEAD: usize = 64;
/// How many different states of the deepest frontier are kept for the report.
const MAX_FRONTIER_STATES: usize = 8;

/// Where a search stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Not decided yet.
    Running,
    /// All completed operations are linearized, as far as the goal asks.
    Valid,
    /// Every order was tried.
    Illegal,
    /// More states than the budget allows.
    OutOfStates,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    state: StateId,
    /// After an ambiguous operation: the state before it, and the operation's class; else `NONE`.
    before: StateId,
    last: u32,
    /// Whether the configuration before was one after an ambiguous operation, too.
    chained: bool,
    /// The next thing to try: a call's node, or the number of completed operations plus an ambiguous class.
    cursor: u32,
    /// The rank of the first return.
    limit: u32,
    /// What was taken from here, in the cursor's numbering.
    taken: u32,
    /// Nothing else need be tried from here.
    forced: bool,
}

impl Frame {
    fn new(state: StateId) -> Self {
        Frame {
            state,
            before: NONE,
            last: NONE,
            chained: false,
            cursor: NONE,
            limit: 0,
            taken: NONE,
            forced: false,
        }
    }
}

/// The deepest point that a search has reached.
#[derive(Clone, Debug)]
pub(super) struct Deepest<S> {
    /// The rank of the first return that is not covered.
    pub(super) limit: u32,
    /// The linearized operations, in order.
    pub(super) prefix: Vec<usize>,
    /// The states in which the longest prefixes end, as far as kept.
    pub(super) states: Vec<S>,
    /// The operation that blocks the search: no prefix gets past its return.
    pub(super) blamed: usize,
}

/// A resumable search over one part.
pub(super) struct PartSearch<'h, M: Model> {
    transitions: Transitions<'h, M>,
    completed: Vec<Completed>,
    ambiguous: Vec<AmbiguousClass>,
    /// The list. Nodes: calls `0..n`, returns `n..2n`, head `2n`, tail `2n + 1`.
    next: Vec<u32>,
    previous: Vec<u32>,
    linearized: Vec<u64>,
    used_ambiguous: Vec<u64>,
    remaining: usize,
    /// Completed operations that returned later need not be linearized.
    goal: u32,
    frames: Vec<Frame>,
    entering: bool,
    memo: Memo,
    key: Vec<u64>,
    steps: u64,
    max_states: usize,
    status: Status,
    deepest_limit: u32,
    deepest_depth: usize,
    deepest_path: Vec<u32>,
    deepest_states: Vec<StateId>,
    deepest_blamed: u32,
    /// The latest return that a configuration was given up for as out of reach; zero for none.
    out_of_reach: u32,
    /// How much of `deepest_path` the current path still shares.
    shared: usize,
}

impl<'h, M: Model> PartSearch<'h, M> {
    /// Prepares the search over the operations that `part` names.
    pub(super) fn new(
        model: &'h M,
        operations: &'h [Operation<M::Input, M::Output>],
        part: &[usize],
        max_states: usize,
        memo_bytes: usize,
    ) -> Self {
        let (classes, class_of) = classify(operations, part);
        let Ranked { calls, ret_ranks, call_ranks } = rank(operations, part);

        let mut completed: Vec<Completed> = Vec::with_capacity(part.len());
        let mut ambiguous: BTreeMap<ClassId, Vec<(usize, u32)>> = BTreeMap::new();
        let mut members = vec![0u32; classes.len()];
        let mut completed_calls: Vec<u32> = Vec::with_capacity(part.len());
        for &place in &calls {
            let op = part[place];
            let class = class_of[place];
            let operation = &operations[op];
            match &operation.outcome {
                Outcome::Ok(output) => {
                    members[class as usize] += 1;
                    completed_calls.push(call_ranks[place]);
                    completed.push(Completed {
                        op,
                        class,
                        read_only: model.is_read_only(&operation.input, Some(output)),
                        has_twin: false,
                        ret_rank: ret_ranks[place],
                        calls_before_ret: 0,
                    });
                }
                // One that changes nothing need never be taken (k).
                Outcome::Info if !model.is_read_only(&operation.input, None) => {
                    ambiguous.entry(class).or_default().push((op, call_ranks[place]));
                }
                Outcome::Info | Outcome::Fail => {}
            }
        }
        let n = completed.len();
        let (next, previous) = link(&mut completed, &completed_calls);
        for op in &mut completed {
            op.has_twin = members[op.class as usize] > 1;
        }
        let mut first_bit = 0;
        let ambiguous: Vec<AmbiguousClass> = ambiguous
            .into_iter()
            .map(|(class, ops)| {
                let begin = first_bit;
                first_bit += ops.len() as u32;
                AmbiguousClass { class, ops, used: 0, first_bit: begin }
            })
            .collect();
        PartSearch {
            transitions: Transitions::new(model, classes),
            linearized: vec![0; n / 64 + 2],
            used_ambiguous: vec![0; (first_bit as usize).div_ceil(64)],
            remaining: n,
            goal: u32::MAX,
            out_of_reach: 0,
            frames: vec![Frame::new(Transitions::<M>::INITIAL)],
            entering: true,
            memo: Memo::new(memo_bytes),
            key: Vec::new(),
            steps: 0,
            max_states,
            status: Status::Running,
            deepest_limit: 0,
            deepest_depth: 0,
            deepest_path: Vec::new(),
            deepest_states: Vec::new(),
            deepest_blamed: NONE,
            shared: 0,
            completed,
            ambiguous,
            next,
            previous,
        }
    }

    /// Searches on until decided, until `max_steps` in all are done, until the states take more than `max_bytes`, or
    /// until `stop` says so (asked now and then).
    pub(super) fn run(&mut self, max_steps: u64, max_bytes: usize, stop: impl Fn() -> bool) -> Status {
        let mut rounds = 0u32;
        while self.status == Status::Running && self.steps < max_steps {
            rounds = rounds.wrapping_add(1);
            if rounds.is_multiple_of(1024) && stop() {
                break;
            }
            if self.transitions.states() > self.max_states {
                self.status = Status::OutOfStates;
            } else if self.state_bytes() > max_bytes {
                break;
            } else if self.entering {
                self.enter();
            } else if !self.advance() {
                self.back();
            }
        }
        self.status
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// Steps done: operations tried.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn states(&self) -> usize {
        self.transitions.states()
    }

    pub(super) fn configurations(&self) -> usize {
        self.memo.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.memo.bytes() + self.transitions.bytes()
    }

    /// What the states and the steps between them take.
    pub(super) fn state_bytes(&self) -> usize {
        self.transitions.bytes()
    }

    pub(super) fn memo_is_full(&self) -> bool {
        self.memo.is_full()
    }

    /// The order found; for [`Status::Valid`].
    pub(super) fn order(&self) -> Vec<usize> {
        let path: Vec<u32> = self.frames[..self.frames.len() - 1].iter().map(|frame| frame.taken).collect();
        self.operations_of(&path)
    }

    /// The deepest point reached. There is one once the search has met an operation that it could not commit at once.
    pub(super) fn deepest(&self) -> Option<Deepest<M::State>> {
        (self.deepest_blamed != NONE).then(|| Deepest {
            limit: self.deepest_limit,
            prefix: self.operations_of(&self.deepest_path),
            states: self.deepest_states.iter().map(|id| self.transitions.state(*id).clone()).collect(),
            blamed: self.completed[self.deepest_blamed as usize].op,
        })
    }

    /// For [`Status::Illegal`]: the rank of a return such that no order covers all returns up to it. It is no less
    /// than the deepest point's, and equal to it where nothing was given up that might have got further.
    pub(super) fn impossible(&self) -> u32 {
        self.deepest_limit.max(self.out_of_reach)
    }

    /// Asks for an order of the operations that returned up to the rank `goal` only; the others may be in it.
    pub(super) fn with_goal(mut self, goal: u32) -> Self {
        self.goal = goal;
        self
    }

    fn operations_of(&self, path: &[u32]) -> Vec<usize> {
        let mut used = vec![0usize; self.ambiguous.len()];
        path.iter()
            .map(|&taken| match (taken as usize).checked_sub(self.completed.len()) {
                None => self.completed[taken as usize].op,
                Some(class) => {
                    used[class] += 1;
                    self.ambiguous[class].ops[used[class] - 1].0
                }
            })
            .collect()
    }

    fn step(&mut self, state: StateId, class: ClassId) -> Option<StateId> {
        self.steps += 1;
        self.transitions.step(state, class)
    }

    /// Looks at a configuration for the first time: commits a read-only operation if one is legal (e), else decides
    /// whether the configuration was searched before.
    fn enter(&mut self) {
        if self.remaining == 0 {
            self.status = Status::Valid;
            return;
        }
        let n = self.completed.len() as u32;
        let state = self.top().state;
        let mut node = self.next[2 * n as usize];
        let first = node;
        while node < n {
            let op = &self.completed[node as usize];
            let class = op.class;
            if op.read_only && self.step(state, class).is_some() {
                let top = self.top();
                top.forced = true;
                top.taken = node;
                self.lift(node);
                self.frames.push(Frame::new(state));
                return;
            }
            node = self.next[node as usize];
        }
        let blamed = node - n;
        let limit = self.completed[blamed as usize].ret_rank;
        self.note_depth(blamed, limit);
        if limit > self.goal {
            self.status = Status::Valid;
            return;
        }
        if let Some(waiting) = self.out_of_reach(first, state) {
            self.out_of_reach = self.out_of_reach.max(waiting);
            self.entering = false;
            self.back();
            return;
        }
        let frame = self.top();
        frame.limit = limit;
        frame.cursor = first;
        // The configuration after a single ambiguous operation has one way in, from a configuration that is entered
        // once; it need not be remembered.
        let remember = frame.last == NONE || frame.chained;
        self.entering = false;
        if remember && !self.remember(first, blamed) {
            self.back();
        }
    }

    /// The rank of the return of the read-only operation that returned first, if the model says that it cannot become
    /// legal any more (o).
    fn out_of_reach(&self, first: u32, state: StateId) -> Option<u32> {
        let n = self.completed.len() as u32;
        let mut node = first;
        let mut target = None;
        for _ in 0..LOOK_AHEAD {
            match node.checked_sub(n) {
                None => {}
                Some(at) if at >= n => return None,
                Some(at) => {
                    let op = &self.completed[at as usize];
                    if op.ret_rank > self.goal {
                        return None;
                    }
                    if op.read_only {
                        target = Some(at);
                        break;
                    }
                }
            }
            node = self.next[node as usize];
        }
        let target = target?;
        let waiting = self.completed[target as usize].ret_rank;
        let mut at = first;
        // Completed operations called before the target returned, then ambiguous ones.
        let completed = std::iter::from_fn(|| {
            while at != target + n {
                let node = at;
                at = self.next[at as usize];
                if node < n && node != target {
                    return Some(self.completed[node as usize].class);
                }
            }
            None
        });
        let ambiguous = self.ambiguous.iter().filter_map(|class| {
            let &(_, call_rank) = class.ops.get(class.used as usize)?;
            (call_rank < waiting).then_some(class.class)
        });
        let class = self.completed[target as usize].class;
        let between = completed.chain(ambiguous);
        (!self.transitions.can_become_legal(state, class, between)).then_some(waiting)
    }

    /// Takes the next operation that may come, if there is one.
    fn advance(&mut self) -> bool {
        let n = self.completed.len() as u32;
        let frame = *self.top();
        let mut cursor = frame.cursor;
        while cursor < n {
            let node = cursor;
            cursor = self.next[node as usize].min(n);
            let op = &self.completed[node as usize];
            let class = op.class;
            // A legal read-only operation would have been committed on entry.
            if op.read_only || (op.has_twin && self.has_earlier_twin(node)) {
                continue;
            }
            let Some(after) = self.step(frame.state, class) else { continue };
            if frame.last != NONE && !self.needs_last(&frame, class, after, None) {
                continue;
            }
            self.leave(cursor, node);
            self.lift(node);
            self.frames.push(Frame::new(after));
            self.entering = true;
            return true;
        }
        while cursor < n + self.ambiguous.len() as u32 {
            let index = cursor - n;
            cursor += 1;
            let ambiguous = &self.ambiguous[index as usize];
            let class = ambiguous.class;
            // Of identical ambiguous operations the one called first is next (y).
            let Some(&(_, call_rank)) = ambiguous.ops.get(ambiguous.used as usize) else { continue };
            if call_rank > frame.limit {
                continue;
            }
            let Some(after) = self.step(frame.state, class) else { continue };
            if after == frame.state {
                continue; // (k)
            }
            if frame.last != NONE && !self.needs_last(&frame, class, after, Some(index)) {
                continue;
            }
            self.leave(cursor, n + index);
            self.use_ambiguous(index, true);
            self.frames.push(Frame {
                before: frame.state,
                last: index,
                chained: frame.last != NONE,
                ..Frame::new(after)
            });
            self.entering = true;
            return true;
        }
        false
    }

    /// Gives up the topmost configuration, and every one below that has nothing else to try.
    fn back(&mut self) {
        loop {
            self.frames.pop();
            self.shared = self.shared.min(self.frames.len().saturating_sub(1));
            let Some(frame) = self.frames.last().copied() else {
                self.status = Status::Illegal;
                return;
            };
            match frame.taken.checked_sub(self.completed.len() as u32) {
                None => self.unlift(frame.taken),
                Some(index) => self.use_ambiguous(index, false),
            }
            if !frame.forced {
                return;
            }
        }
    }

    /// Whether an operation that leads from `frame.state` to `after` needs the ambiguous one just before it (j): it
    /// does not where leaving that out, or taking it right afterwards, comes to the same.
    fn needs_last(&mut self, frame: &Frame, class: ClassId, after: StateId, ambiguous: Option<u32>) -> bool {
        if ambiguous.is_some() && after == frame.before {
            return false;
        }
        let last = self.ambiguous[frame.last as usize].class;
        match self.step(frame.before, class) {
            None => true,
            Some(without) if without == after => false,
            // Of two ambiguous operations that commute, the one of the lower class comes first.
            Some(_) if ambiguous.is_some_and(|index| index >= frame.last) => true,
            Some(without) => self.step(without, last) != Some(after),
        }
    }

    /// Whether a completed operation of the same class may come next, too, and returned earlier.
    fn has_earlier_twin(&self, node: u32) -> bool {
        let n = self.completed.len() as u32;
        let me = &self.completed[node as usize];
        let mut other = self.next[2 * n as usize];
        while other < n {
            let candidate = &self.completed[other as usize];
            if candidate.class == me.class && candidate.ret_rank < me.ret_rank {
                return true;
            }
            other = self.next[other as usize];
        }
        false
    }

    fn note_depth(&mut self, blamed: u32, limit: u32) {
        let depth = self.frames.len();
        if self.deepest_blamed != NONE && limit < self.deepest_limit {
            return;
        }
        let state = self.frames[depth - 1].state;
        if self.deepest_blamed == NONE || limit > self.deepest_limit {
            self.deepest_states.clear();
            self.deepest_depth = 0;
        }
        let known = self.deepest_states.iter().position(|known| *known == state);
        if depth > self.deepest_depth {
            self.deepest_limit = limit;
            self.deepest_depth = depth;
            self.deepest_blamed = blamed;
            self.deepest_path.truncate(self.shared);
            self.deepest_path.extend(self.frames[self.shared..depth - 1].iter().map(|frame| frame.taken));
            self.shared = depth - 1;
            // The first state is the one in which the path ends.
            match known {
                Some(at) => self.deepest_states.swap(0, at),
                None => {
                    self.deepest_states.truncate(MAX_FRONTIER_STATES - 1);
                    self.deepest_states.insert(0, state);
                }
            }
        } else if known.is_none() && self.deepest_states.len() < MAX_FRONTIER_STATES {
            self.deepest_states.push(state);
        }
    }

    /// Puts the topmost configuration into the memo; false if it was there.
    fn remember(&mut self, first: u32, blamed: u32) -> bool {
        let frame = self.frames[self.frames.len() - 1];
        let end = self.completed[blamed as usize].calls_before_ret as usize;
        let window_words = (end - first as usize).div_ceil(64);
        let ambiguous_words = self.used_ambiguous.iter().rposition(|word| *word != 0).map_or(0, |at| at + 1);
        let key = &mut self.key;
        key.clear();
        key.push(u64::from(first) << 32 | u64::from(frame.state));
        key.push(u64::from(frame.before) << 32 | u64::from(frame.last));
        key.push(ambiguous_words as u64);
        key.extend_from_slice(&self.used_ambiguous[..ambiguous_words]);
        let (word, shift) = (first as usize / 64, first as usize % 64);
        for at in word..word + window_words {
            let low = self.linearized[at] >> shift;
            let high =
                if shift == 0 { 0 } else { self.linearized.get(at + 1).map_or(0, |w| w << (64 - shift)) };
            key.push(low | high);
        }
        while key.len() > 3 + ambiguous_words && key.last() == Some(&0) {
            key.pop();
        }
        self.memo.insert(&self.key)
    }

    fn top(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the root stays until the search is over")
    }

    fn leave(&mut self, cursor: u32, taken: u32) {
        let top = self.top();
        top.cursor = cursor;
        top.taken = taken;
    }

    fn use_ambiguous(&mut self, index: u32, take: bool) {
        let class = &mut self.ambiguous[index as usize];
        let bit = if take {
            class.used += 1;
            class.first_bit + class.used - 1
        } else {
            class.used -= 1;
            class.first_bit + class.used
        };
        self.used_ambiguous[bit as usize / 64] ^= 1 << (bit % 64);
    }

    fn lift(&mut self, node: u32) {
        let n = self.completed.len() as u32;
        for node in [node, node + n] {
            let (before, after) = (self.previous[node as usize], self.next[node as usize]);
            self.next[before as usize] = after;
            self.previous[after as usize] = before;
        }
        self.linearized[node as usize / 64] |= 1 << (node % 64);
        self.remaining -= 1;
    }

    fn unlift(&mut self, node: u32) {
        let n = self.completed.len() as u32;
        for node in [node + n, node] {
            let (before, after) = (self.previous[node as usize], self.next[node as usize]);
            self.next[before as usize] = node;
            self.previous[after as usize] = node;
        }
        self.linearized[node as usize / 64] &= !(1 << (node % 64));
        self.remaining += 1;
    }
}
