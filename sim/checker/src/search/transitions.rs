//! States by number, and the model's steps between them.
//!
//! The search handles states as numbers: equal states have equal numbers, so a comparison is a comparison of integers
//! and a configuration's key is a few words. Operations are grouped into classes of equal input and output; a step
//! depends on the state and the class alone (a model is deterministic), so where classes are few the answers are kept
//! in a table and the model is asked once for each.

use super::table::{FixedHasher, IdTable};
use crate::model::Model;
use std::hash::{Hash, Hasher};

/// A state's number, in order of discovery.
pub(super) type StateId = u32;
/// The number of a class of operations with equal input and output.
pub(super) type ClassId = u32;

/// With more classes than this the answers are not kept: a row for each state would cost more than it saves.
const MAX_KEPT_CLASSES: usize = 512;
const NOT_ASKED: u32 = u32::MAX;
const ILLEGAL: u32 = u32::MAX - 1;

/// A class: what was asked, and what was answered, if an answer came.
#[derive(Debug)]
pub(super) struct Class<'h, I, O> {
    pub(super) input: &'h I,
    pub(super) output: Option<&'h O>,
}

/// The part of the model's state space that the search has seen.
pub(super) struct Transitions<'h, M: Model> {
    model: &'h M,
    classes: Vec<Class<'h, M::Input, M::Output>>,
    states: Vec<M::State>,
    /// What the states hold on the heap, in bytes.
    heap: usize,
    by_value: IdTable,
    /// For each state, where its row of answers begins, in rows; `NOT_ASKED` for none yet.
    row_of: Vec<u32>,
    rows: Vec<u32>,
}

impl<'h, M: Model> Transitions<'h, M> {
    pub(super) fn new(model: &'h M, classes: Vec<Class<'h, M::Input, M::Output>>) -> Self {
        let mut transitions = Transitions {
            model,
            classes,
            states: Vec::new(),
            heap: 0,
            by_value: IdTable::default(),
            row_of: Vec::new(),
            rows: Vec::new(),
        };
        transitions.number(model.initial());
        transitions
    }

    /// The initial state's number.
    pub(super) const INITIAL: StateId = 0;

    /// The state after an operation of `class` in `state`; `None` if it is not legal.
    pub(super) fn step(&mut self, state: StateId, class: ClassId) -> Option<StateId> {
        let width = self.classes.len();
        if width > MAX_KEPT_CLASSES {
            return self.ask(state, class);
        }
        let mut row = self.row_of[state as usize];
        if row == NOT_ASKED {
            row = (self.rows.len() / width) as u32;
            self.rows.resize(self.rows.len() + width, NOT_ASKED);
            self.row_of[state as usize] = row;
        }
        let slot = row as usize * width + class as usize;
        match self.rows[slot] {
            NOT_ASKED => {
                let after = self.ask(state, class);
                self.rows[slot] = after.unwrap_or(ILLEGAL);
                after
            }
            ILLEGAL => None,
            after => Some(after),
        }
    }

    /// Whether operations of the classes `between` could make one of `class`, which was answered, legal.
    pub(super) fn can_become_legal(
        &self,
        state: StateId,
        class: ClassId,
        between: impl Iterator<Item = ClassId>,
    ) -> bool {
        let Class { input, output: Some(output) } = self.classes[class as usize] else { return true };
        let between = between.map(|class| {
            let class = &self.classes[class as usize];
            (class.input, class.output)
        });
        self.model.can_become_legal(&self.states[state as usize], input, output, between)
    }

    pub(super) fn state(&self, id: StateId) -> &M::State {
        &self.states[id as usize]
    }

    pub(super) fn states(&self) -> usize {
        self.states.len()
    }

    /// Bytes held, with what the states hold on the heap as far as the model counts it.
    pub(super) fn bytes(&self) -> usize {
        (self.rows.len() + self.row_of.len()) * 4
            + self.states.len() * size_of::<M::State>()
            + self.heap
            + self.by_value.bytes()
    }

    fn ask(&mut self, state: StateId, class: ClassId) -> Option<StateId> {
        let Class { input, output } = self.classes[class as usize];
        let after = self.model.step(&self.states[state as usize], input, output)?;
        Some(if after == self.states[state as usize] { state } else { self.number(after) })
    }

    fn number(&mut self, state: M::State) -> StateId {
        let hash = hash_of(&state);
        let states = &self.states;
        if let Some(id) = self.by_value.find(hash, |id| states[id as usize] == state) {
            return id;
        }
        let id = self.states.len() as StateId;
        assert!(id < ILLEGAL, "the state budget is checked long before four thousand million states");
        self.heap += self.model.heap_bytes(&state);
        self.states.push(state);
        self.row_of.push(NOT_ASKED);
        let states = &self.states;
        self.by_value.insert(hash, id, |id| hash_of(&states[id as usize]));
        id
    }
}

fn hash_of<S: Hash>(state: &S) -> u64 {
    let mut hasher = FixedHasher::default();
    state.hash(&mut hasher);
    hasher.finish()
}
