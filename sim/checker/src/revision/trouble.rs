//! What stood in the way where the replay got furthest: the raw material of explanations.

use super::compare::Mismatch;
use crate::history::KeyValue;

/// One reason why the replay could not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// An answer, or the error that the state demands, differs.
    Answer { item: u32, mismatch: Mismatch },
    /// It would have had to make a revision, and changes nothing.
    Idle { item: u32 },
    /// It would have made a revision, where the revision in its header has another creator.
    Creates { item: u32 },
    /// What it writes is not what was seen of the revision.
    DoesNotFit { item: u32 },
    /// Nothing is left that could have made the revision.
    NoCreator { segment: u32, used_up: bool },
    /// Its error or its answer fits no state that it could have met.
    Stuck { item: u32 },
    /// The break keeps a revision that was never reached.
    NotReached,
}

/// The furthest segment that was reached, and what stood in the way there.
#[derive(Clone, Debug, Default)]
pub(super) struct Frontier {
    pub(super) segment: u32,
    pub(super) troubles: Vec<Trouble>,
    /// The keys that matter, as the state had them there.
    pub(super) state: Vec<KeyValue>,
}

const KEPT: usize = 16;

impl Frontier {
    pub(super) fn is_deeper(&self, segment: u32) -> bool {
        segment > self.segment || self.troubles.is_empty()
    }

    pub(super) fn note(&mut self, segment: u32, trouble: Trouble) {
        self.note_with(segment, trouble, Vec::new());
    }

    pub(super) fn note_with(&mut self, segment: u32, trouble: Trouble, state: Vec<KeyValue>) {
        if self.is_deeper(segment) {
            self.segment = segment;
            self.troubles.clear();
            self.state = state;
        } else if segment < self.segment || self.troubles.len() >= KEPT || self.troubles.contains(&trouble) {
            return;
        }
        self.troubles.push(trouble);
    }
}
