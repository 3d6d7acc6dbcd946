//! Answers of one member within one life never go backwards.
//!
//! A serializable read may be old: the linearizability checker lets it see any revision of its era. But a process only
//! ever moves forward. Take two operations that one member answered within one life, the first returning
//! before the second was called. The second's header does not show an older revision.
//!
//! A life is what lies between two `life` lines of a member; a break ends one too. An operation that
//! was open when a life or an era began is not judged, since either side may have answered it. A member without `life` lines is
//! not judged either.

use std::collections::BTreeMap;

use super::Failure;
use super::era::Eras;
use crate::history::{Operation, Revision, RunHistory};

const MONOTONIC: &str = "monotonic reads: within one life a member's answers never go backwards";

pub(super) const GUARANTEES: [&str; 1] = [MONOTONIC];

/// An operation that one life answered: its return, and its revision.
type Answered<'a> = (u64, Revision, &'a Operation);

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let mut lives: BTreeMap<(&str, usize, usize), Vec<Answered<'_>>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        // Other headers are filled in afterwards and may be ahead of what the operation saw.
        if !operation.op.has_exact_header() {
            continue;
        }
        let (Some(ret), Some(revision)) = (operation.ret, operation.revision()) else { continue };
        let endpoint = &*operation.endpoint;
        let life = eras.life_of(endpoint, operation.call);
        if let (Some(life), Some(era)) = (life, eras.of_operation(operation))
            && eras.life_of(endpoint, ret) == Some(life)
        {
            lives.entry((endpoint, era, life)).or_default().push((ret, revision, operation));
        }
    }
    lives.iter().filter_map(|((member, ..), answers)| goes_back(member, answers)).collect()
}

/// The first answer of a life that went back, if there is one.
fn goes_back(member: &str, answers: &[Answered<'_>]) -> Option<Failure> {
    let mut returned = answers.to_vec();
    returned.sort_unstable_by_key(|(ret, _, operation)| (*ret, operation.id));
    let mut called = answers.to_vec();
    called.sort_unstable_by_key(|(_, _, operation)| (operation.call, operation.id));
    let mut returned = returned.into_iter().peekable();
    let mut newest: Option<(Revision, &Operation)> = None;
    for (_, revision, operation) in called {
        while let Some((_, shown, before)) = returned.next_if(|(ret, ..)| *ret < operation.call) {
            if newest.is_none_or(|(known, _)| known < shown) {
                newest = Some((shown, before));
            }
        }
        if let Some((shown, before)) = newest.filter(|(shown, _)| revision < *shown) {
            let message = format!(
                "{member} answered {} at revision {revision}, after it had answered {} at revision {shown}, and did \
                 not restart in between",
                operation.title(),
                before.title(),
            );
            let failure = Failure::new("monotonic-reads", MONOTONIC, message);
            return Some(failure.blaming([before.id, operation.id]));
        }
    }
    None
}
