//! When a run exceeds the faults that raft tolerates.
//!
//! A disk that is set back to an older image loses votes and acknowledged entries, on which raft relies. The store
//! checks for that, and detects it while a leader remembers what the member acknowledged. After an election no member
//! remembers it. The store is not to blame for what the member does then: the history says since when nothing is judged.

use std::collections::BTreeMap;

use squall_checker::history as h;
use squall_core::{Index, MemberId, Term};
use squall_store::seam::ProbeEvent;

use crate::world::Probed;

/// The votes of members that had forgotten promises, because their disks were set back to an older image. A member
/// cannot know that unless a leader tells it, and raft guarantees nothing from then on.
pub(super) fn excuses(events: &[h::Event], probes: &[Probed]) -> Vec<h::Excused> {
    let replaced = events.iter().filter_map(|event| match event {
        h::Event::DiskReplaced(line) => Some(line),
        _ => None,
    });
    let excused = replaced.filter_map(|line| {
        let own = probes.iter().filter(|probed| probed.node.name() == line.member);
        excuse(line, own.map(|probed| (probed.at.0, &probed.event)))
    });
    excused.collect()
}

/// The member's first vote after this replacement of its disk that may break a promise: in a term of which it has
/// forgotten something, or before a leader has brought its log back to its former length. `events` holds the member's
/// events and their times.
fn excuse<'a>(
    line: &h::DiskReplaced,
    events: impl Iterator<Item = (u64, &'a ProbeEvent)>,
) -> Option<h::Excused> {
    let (mut current, mut forgetful, mut caught_up) = (None, None, false);
    // By the member's id: the highest term of a promise, and the highest index that it has acknowledged. A leader does
    // not acknowledge its own log to others, so the entries that it applied count as acknowledged.
    let mut promised: BTreeMap<MemberId, (Term, Index)> = BTreeMap::new();
    for (at, event) in events {
        let is_after = at >= line.at;
        let (term, index) = match *event {
            ProbeEvent::Found { member, .. } => {
                current = Some(member);
                if is_after && *forgetful.get_or_insert(member) != member {
                    return None;
                }
                continue;
            }
            // It has detected the loss, and must not vote any more.
            ProbeEvent::Failed { lost_data: true, .. } if is_after => return None,
            ProbeEvent::Voted { term, .. } => (term, None),
            ProbeEvent::Acknowledged { term, index } => (term, Some(index)),
            // An applied entry is committed, whatever its term.
            ProbeEvent::Applied { index, .. } => {
                let before = promised.entry(current?).or_default();
                match is_after {
                    true => caught_up |= index >= before.1,
                    false => before.1 = before.1.max(index),
                }
                continue;
            }
            _ => continue,
        };
        let before = promised.entry(current?).or_default();
        match index {
            _ if !is_after => *before = (before.0.max(term), before.1.max(index.unwrap_or_default())),
            Some(index) => caught_up |= term >= before.0 && index >= before.1,
            None if term > before.0 && (caught_up || before.1 == Index::default()) => {}
            None => {
                let why = format!(
                    "{} voted in term {term}, on a disk that had gone back to an older image",
                    line.member
                );
                return Some(h::Excused { at, why });
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MemberId = MemberId(7);

    /// The excuse for a disk that was replaced at 100, given its member's events.
    fn excused(events: &[(u64, ProbeEvent)]) -> Option<u64> {
        let line = h::DiskReplaced { at: 100, member: "m1".into() };
        excuse(&line, events.iter().map(|(at, event)| (*at, event))).map(|excused| excused.at)
    }

    fn found(member: MemberId) -> ProbeEvent {
        ProbeEvent::Found {
            member,
            cluster: squall_core::ClusterId(1),
            term: Term(0),
            vote: None,
            last: Index(0),
        }
    }

    fn voted(term: u64) -> ProbeEvent {
        ProbeEvent::Voted { term: Term(term), candidate: OWN }
    }

    fn acknowledged(term: u64, index: u64) -> ProbeEvent {
        ProbeEvent::Acknowledged { term: Term(term), index: Index(index) }
    }

    #[test]
    fn a_vote_is_excused_until_the_member_is_as_far_as_it_was() {
        let before = [(1, found(OWN)), (10, acknowledged(2, 50)), (101, found(OWN))];
        let then = |more: &[(u64, ProbeEvent)]| excused(&[&before[..], more].concat());
        assert_eq!(then(&[]), None);
        assert_eq!(then(&[(120, voted(3))]), Some(120), "it may lack what it acknowledged");
        assert_eq!(then(&[(110, acknowledged(2, 49)), (120, voted(3))]), Some(120), "it lacks an entry");
        assert_eq!(then(&[(110, acknowledged(2, 50)), (120, voted(3))]), None, "it has all of it again");
        assert_eq!(then(&[(110, acknowledged(2, 50)), (120, voted(2))]), Some(120), "it may vote twice");
        assert_eq!(then(&[(105, found(MemberId(8))), (120, voted(3))]), None, "it was made anew");
    }

    #[test]
    fn a_leader_that_goes_back_has_promised_what_it_applied() {
        let applied = |index| ProbeEvent::Applied {
            index: Index(index),
            term: Term(2),
            digest: 0,
            state: 0,
            proposal: 0,
            refused: false,
            revision: squall_core::Revision(1),
        };
        let before = [(1, found(OWN)), (5, voted(2)), (10, applied(93)), (101, found(OWN))];
        let then = |more: &[(u64, ProbeEvent)]| excused(&[&before[..], more].concat());
        assert_eq!(then(&[(110, applied(92)), (120, voted(3))]), Some(120), "it lacks an entry");
        assert_eq!(then(&[(110, applied(93)), (120, voted(3))]), None, "it has all of it again");
    }

    #[test]
    fn a_member_that_has_found_out_is_not_excused() {
        let refused = ProbeEvent::Failed { reason: "it has lost data".into(), lost_data: true };
        let events =
            [(1, found(OWN)), (10, acknowledged(2, 50)), (101, found(OWN)), (110, refused), (120, voted(3))];
        assert_eq!(excused(&events), None);
    }

    #[test]
    fn a_member_that_had_promised_nothing_has_forgotten_nothing() {
        assert_eq!(excused(&[(1, found(OWN)), (101, found(OWN)), (120, voted(2))]), None);
    }
}
