//! Breaks of which only the bounds are known.
//!
//! A forced new cluster keeps its survivor's whole log. Only the members can tell how much of it the old cluster had agreed on,
//! and real members do not report that. Two things are known: the last revision that the survivor had answered with, and the revision
//! that it has as a new cluster before any client reaches it. The true break may lie anywhere between them. So a
//! history is broken only if it is broken for each of these places. The judge tries them, from the last one down. If there
//! are too many, it accuses no one.

use super::{Judgement, examine as examine_as_it_is};
use crate::history::{Event, Revision, RunHistory};
use crate::revision::Budgets;

/// How many places are tried.
const TRIES: usize = 64;

pub(super) fn examine(history: &RunHistory, budgets: &Budgets) -> Judgement {
    let open: Vec<(usize, i64, i64)> = history
        .events
        .iter()
        .enumerate()
        .filter_map(|(place, event)| match event {
            Event::Break(line) => Some((place, line.revision.0, line.revision.max(line.most?).0)),
            _ => None,
        })
        .collect();
    if open.is_empty() {
        return examine_as_it_is(history, budgets);
    }
    let mut history = history.clone();
    let mut set = |all: &[i64]| {
        for ((place, ..), revision) in open.iter().zip(all) {
            if let Event::Break(line) = &mut history.events[*place] {
                (line.revision, line.most) = (Revision(*revision), None);
            }
        }
        examine_as_it_is(&history, budgets)
    };
    // The last places first: mostly the survivor has nothing that the others had not.
    let mut places: Vec<i64> = open.iter().map(|(_, _, most)| *most).collect();
    let first = set(&places);
    if first.failures.is_empty() {
        return first;
    }
    for _ in 1..TRIES {
        if !step_down(&open, &mut places) {
            return first;
        }
        let judgement = set(&places);
        if judgement.failures.is_empty() {
            return judgement;
        }
    }
    let unknown = format!(
        "where a forced new cluster parts from its old one is known within bounds only, and none of the last {TRIES} places \
         explains what the clients saw; there are more"
    );
    Judgement { failures: Vec::new(), unknown: Some(unknown), ..first }
}

/// The next lower place of one break, or of the break before it, with those after it at their last places again. False
/// if there is none.
fn step_down(open: &[(usize, i64, i64)], places: &mut [i64]) -> bool {
    for ((_, least, most), place) in open.iter().zip(places).rev() {
        if *place > *least {
            *place -= 1;
            return true;
        }
        *place = *most;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Break, BreakKind};

    fn history(least: i64, most: i64) -> RunHistory {
        let line = Break {
            kind: BreakKind::ForceNewCluster,
            revision: Revision(least),
            most: Some(Revision(most)),
            at: 10,
            cluster_id: None,
            continues: None,
        };
        RunHistory { events: vec![Event::Break(line)], ..RunHistory::default() }
    }

    #[test]
    fn every_place_is_tried_once() {
        let open = [(0, 1, 3), (1, 7, 8)];
        let mut places = vec![3, 8];
        let mut seen = vec![places.clone()];
        while step_down(&open, &mut places) {
            seen.push(places.clone());
        }
        assert_eq!(seen, [[3, 8], [3, 7], [2, 8], [2, 7], [1, 8], [1, 7]]);
    }

    #[test]
    fn a_history_that_some_place_explains_is_valid() {
        assert!(examine(&history(1, 5), &Budgets::default()).failures.is_empty());
    }
}
