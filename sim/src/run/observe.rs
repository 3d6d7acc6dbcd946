//! Adds what the members reported, beside their answers, to the history: raft's milestones, compactions, and hints.
//!
//! A hint says which client operation a raft entry carried. The judge tries the order that the hints give first, and
//! verifies it; it never trusts it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use squall_checker::history as h;
use squall_core::{MemberId, Revision};
use squall_store::seam::ProbeEvent;

use super::excuse::excuses;
use crate::world::{At, Probed};

/// Adds what the members reported to the history.
pub(super) fn add_observations(history: &mut h::RunHistory, probes: &[Probed]) {
    let breaks: Vec<u64> = history.breaks().map(|line| line.at).collect();
    history.events.extend(probes.iter().filter_map(raft_line).map(h::Event::Raft));
    history.events.extend(promises(probes));
    history.events.extend(probes.iter().filter_map(|probed| match &probed.event {
        ProbeEvent::Failed { reason, .. } => Some(h::Event::Failed(h::Failed {
            at: probed.at.0,
            member: probed.node.name().to_owned(),
            reason: reason.clone(),
        })),
        ProbeEvent::CompactionBegun { revision } => Some(compaction(probed, *revision, false)),
        ProbeEvent::CompactionFinished { revision } => Some(compaction(probed, *revision, true)),
        // A snapshot replaces all rows, so compactions that were under way are over.
        ProbeEvent::SnapshotInstalled { .. } => Some(compaction(probed, Revision(0), true)),
        _ => None,
    }));
    let asked_by_leaders = asked_by_leaders(history, probes);
    let asked = asked_by_leaders.iter().map(|(proposal, operation)| (*proposal, operation.id.0));
    let asked = proposed(probes).chain(asked).collect();
    history.events.extend(hints(&breaks, probes, &asked).into_iter().map(h::Event::Hint));
    history.operations.extend(asked_by_leaders.into_iter().map(|(_, operation)| operation));
    let excuses = excuses(&history.events, probes);
    history.events.extend(excuses.into_iter().map(h::Event::Excused));
}

/// The compactions that leaders asked for by themselves, with their proposals. Each is the operation of a separate client
/// that never got an answer.
fn asked_by_leaders(history: &h::RunHistory, probes: &[Probed]) -> Vec<(u64, h::Operation)> {
    let mut client = h::LEADERS;
    let mut id = history.operations.iter().map(|operation| operation.id.0).max().unwrap_or(0);
    let asked = probes.iter().filter_map(|probed| match probed.event {
        ProbeEvent::CompactsByItself { revision, proposal } => Some((probed, revision, proposal)),
        _ => None,
    });
    asked
        .map(|(probed, revision, proposal)| {
            (id, client) = (id + 1, client + 1);
            let operation = h::Operation {
                id: h::OpId(id),
                client: h::Client(client),
                endpoint: probed.node.name().into(),
                call: probed.at.0,
                ret: None,
                op: h::Op::Compact(h::Compact { revision: h::Revision(revision.0), physical: false }),
                outcome: h::Outcome::Info,
                header: None,
                result: None,
                error: None,
                is_final: false,
                caller: None,
            };
            (proposal, operation)
        })
        .collect()
}

/// The proposed requests of clients: the proposal's id, and the operation's id.
fn proposed(probes: &[Probed]) -> impl Iterator<Item = (u64, u64)> {
    probes.iter().filter_map(|probed| match probed.event {
        ProbeEvent::Proposed { tag, proposal } => Some((proposal, tag)),
        _ => None,
    })
}

/// The starts after which a member did not serve within `bound`, up to `end`. A life that never served and was followed by
/// another is not counted: it may have been ended. A bound of zero allows everything.
pub(super) fn late_starts(probes: &[Probed], bound: Duration, end: At) -> Vec<h::Liveness> {
    if bound.is_zero() {
        return Vec::new();
    }
    let (mut starts, mut ready) = (BTreeMap::new(), BTreeMap::new());
    for probed in probes {
        let life = (probed.node.name(), probed.incarnation);
        match probed.event {
            ProbeEvent::Starting => drop(starts.insert(life, probed.at)),
            // A removed member need not serve any more.
            ProbeEvent::Ready | ProbeEvent::Leaving => _ = ready.entry(life).or_insert(probed.at),
            _ => {}
        }
    }
    let late = starts.iter().filter_map(|((member, life), from)| {
        let followed = starts.contains_key(&(*member, life + 1));
        let served = ready.get(&(*member, *life));
        let took = match served {
            Some(at) => at.since(*from),
            None if followed => return None,
            None => end.since(*from),
        };
        let what = if served.is_some() { "served only" } else { "still did not serve" };
        (took > bound).then(|| h::Liveness {
            stuck: format!(
                "{member} {what} {took:?} after its start at {:.3}s, and the scenario allows {bound:?} (readyWithin)",
                from.since_start().as_secs_f64()
            ),
            at: end.0,
        })
    });
    late.collect()
}

fn raft_line(probed: &Probed) -> Option<h::RaftLine> {
    let (member, at) = (probed.node.name().to_owned(), probed.at.0);
    match &probed.event {
        ProbeEvent::Role { term, role, .. } => {
            let role = role.name().to_owned();
            Some(h::RaftLine::Role(h::RoleChange { member, term: term.0, role, at }))
        }
        ProbeEvent::Applied { index, term, digest, state, .. } => Some(h::RaftLine::Applied(h::Applied {
            member,
            index: index.0,
            term: term.0,
            digest: format!("{digest:016x}"),
            state: format!("{state:016x}"),
            at,
        })),
        _ => None,
    }
}

fn compaction(probed: &Probed, revision: Revision, finished: bool) -> h::Event {
    h::Event::Compaction(h::Compaction {
        at: probed.at.0,
        member: probed.node.name().to_owned(),
        revision: h::Revision(revision.0),
        finished,
    })
}

/// What each life of a member found when it began, and what it had promised when it ended.
fn promises(probes: &[Probed]) -> Vec<h::Event> {
    let mut lives: BTreeMap<&str, h::Promised> = BTreeMap::new();
    let mut lines = Vec::new();
    for probed in probes {
        let (member, at) = (probed.node.name(), probed.at.0);
        if let ProbeEvent::Found { member: id, cluster, term, vote, last } = &probed.event {
            let found = h::Found {
                at,
                member: member.to_owned(),
                id: id.0,
                cluster: cluster.0,
                term: term.0,
                vote: vote.map_or(0, |vote| vote.0),
                last: last.0,
            };
            let life = h::Promised { at, member: member.to_owned(), id: id.0, ..h::Promised::default() };
            lines.extend(lives.insert(member, life).map(h::Event::Promised));
            lines.push(h::Event::Found(found));
            continue;
        }
        if let ProbeEvent::LogTerms { terms } = &probed.event {
            let terms = terms.iter().map(|(term, last)| (term.0, last.0)).collect();
            lines.push(h::Event::LogTerms(h::LogTerms { at, member: member.to_owned(), terms }));
            continue;
        }
        if let ProbeEvent::Configured { index, voters, learners, listed_voters, listed_learners } =
            &probed.event
        {
            let ids = |ids: &[MemberId]| ids.iter().map(|id| id.0).collect::<Vec<u64>>();
            let line = h::Configuration {
                at,
                member: member.to_owned(),
                index: index.0,
                voters: ids(voters),
                learners: ids(learners),
                listed_voters: ids(listed_voters),
                listed_learners: ids(listed_learners),
            };
            lines.push(h::Event::Configuration(line));
            continue;
        }
        let Some(life) = lives.get_mut(member) else { continue };
        match &probed.event {
            ProbeEvent::Voted { term, candidate } => {
                let vote = (term.0, candidate.0);
                if !life.votes.contains(&vote) {
                    life.votes.push(vote);
                }
            }
            ProbeEvent::Acknowledged { term, index } => {
                life.acknowledged = life.acknowledged.max((term.0, index.0));
            }
            ProbeEvent::Applied { index, .. } => life.applied = life.applied.max(index.0),
            _ => continue,
        }
        life.at = at;
    }
    lines.extend(lives.into_values().map(h::Event::Promised));
    lines
}

/// One hint for each operation whose entry was applied, and for each lease that ended by itself, in each era; eras begin at
/// `breaks`. `operations`: what was proposed, by the proposal's id.
fn hints(breaks: &[u64], probes: &[Probed], operations: &BTreeMap<u64, u64>) -> Vec<h::Hint> {
    let era_of = |at: At| breaks.iter().filter(|line| **line <= at.0).count();
    let mut revisions: BTreeMap<(usize, u64), i64> = BTreeMap::new();
    for probed in probes {
        if let ProbeEvent::Applied { index, revision, .. } = &probed.event {
            revisions.entry((era_of(probed.at), index.0)).or_insert(revision.0);
        }
    }
    let made = |era: usize, index: u64| {
        let before = index.checked_sub(1).and_then(|before| revisions.get(&(era, before)));
        let after = revisions.get(&(era, index));
        before
            .zip(after)
            .filter(|(before, after)| after > before)
            .map_or(0, |(_, after)| after.unsigned_abs())
    };
    let mut hinted = BTreeSet::new();
    let mut hints = Vec::new();
    for probed in probes {
        let (index, term, proposal, operation, expired) = match probed.event {
            // A refused entry has no effect, though its client may not know that.
            ProbeEvent::Applied { index, term, proposal, refused: false, .. } => {
                match operations.get(&proposal) {
                    Some(operation) => (index, term, proposal, *operation, h::LeaseId::NONE),
                    None => continue,
                }
            }
            ProbeEvent::LeaseEnded { lease, index, term, proposal } => {
                // A lease that a client revoked has a hint of the client's operation.
                if operations.contains_key(&proposal) {
                    continue;
                }
                (index, term, proposal, 0, h::LeaseId(lease.0))
            }
            _ => continue,
        };
        let era = era_of(probed.at);
        if hinted.insert((era, proposal)) {
            hints.push(h::Hint {
                at: probed.at.0,
                member: probed.node.name().to_owned(),
                term: term.0,
                index: index.0,
                op: h::OpId(operation),
                revision: made(era, index.0),
                expired,
            });
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use squall_core::{Index, Term};

    use super::*;
    use crate::world::NodeId;

    fn probed(at: u64, event: ProbeEvent) -> Probed {
        Probed { at: At(at), node: NodeId::new(1, "m1"), incarnation: 1, event }
    }

    fn applied(at: u64, index: u64, proposal: u64, refused: bool) -> Probed {
        let (index, term, revision) = (Index(index), Term(1), Revision(9));
        probed(at, ProbeEvent::Applied { index, term, digest: 0, state: 0, proposal, refused, revision })
    }

    #[test]
    fn a_leaders_own_compaction_has_an_operation_and_a_hint() {
        let compacts = |proposal| ProbeEvent::CompactsByItself { revision: Revision(5), proposal };
        let probes = [
            probed(10, compacts(70)),
            applied(20, 3, 70, false),
            probed(30, compacts(71)),
            applied(40, 4, 71, true),
        ];
        let mut history = h::RunHistory::default();
        add_observations(&mut history, &probes);
        let asked: Vec<(u64, u64)> = history.operations.iter().map(|made| (made.id.0, made.call)).collect();
        assert_eq!(asked, [(1, 10), (2, 30)]);
        // The second was refused when it was applied, and did nothing.
        let hints: Vec<(u64, u64)> = history.hints().map(|hint| (hint.op.0, hint.index)).collect();
        assert_eq!(hints, [(1, 3)]);
    }
}
