//! What a member promised outlives every crash (Ongaro and Ousterhout 2014, figure 2: persistent state).
//!
//! A member reports the votes that it grants, the entries that it acknowledges, and the entries that it applies. When it starts
//! again, it reports what it found on its disk. The disk must hold what the member had promised:
//!
//! - the term is no lower than any term in which the member voted or acknowledged;
//! - in the term of the member's last vote, the vote is the same;
//! - the log reaches every entry that the member acknowledged in its present term (a later leader may have overwritten others);
//! - the log reaches every entry that the member applied, because those are committed.
//!
//! No member votes for two candidates in one term, whatever it found.
//!
//! A member whose disk was emptied under its id must take no part. After lives in which it promised something, it must neither
//! vote nor acknowledge in a life that began without a log (etcd #21178).
//!
//! The check finds a promise that was given before it was synced, at the first crash that loses it. Without it, chance would have
//! to turn such a promise into two leaders or a lost write, which takes much longer.
//!
//! A member is excused if a fault harmed its disk in between. Each era is judged apart, because a forced new cluster and a restore
//! begin with other logs. A flipped bit excuses no member: checksums show it, so the member does not start, or it has all that it promised.

use std::collections::BTreeMap;

use super::Failure;
use super::era::{Eras, Scope};
use crate::history::{Effect, Event, Fault, Found, Promised, RunHistory};

const STABLE: &str = "stable storage: what a member promised outlives a crash";
const FORGETFUL: &str = "stable storage: a member that starts empty under its old id takes no part";
const ONE_VOTE: &str = "election safety: a member votes once a term";

pub(super) const GUARANTEES: [&str; 3] = [STABLE, FORGETFUL, ONE_VOTE];

/// What one member has promised so far.
#[derive(Default)]
struct Standing {
    votes: BTreeMap<u64, u64>,
    acknowledged: (u64, u64),
    applied: u64,
    /// When it was first heard of.
    since: u64,
    /// It started empty, though it had promised something before.
    emptied: bool,
}

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let harm = DiskHarm::of(history);
    let mut lines: Vec<&Event> =
        history.events.iter().filter(|event| matches!(event, Event::Found(_) | Event::Promised(_))).collect();
    lines.sort_by_key(|event| event.at());
    let mut standings: BTreeMap<(Scope, &str, u64), Standing> = BTreeMap::new();
    let mut failures = Vec::new();
    for line in lines {
        let (member, id, at) = match line {
            Event::Found(line) => (&line.member, line.id, line.at),
            Event::Promised(line) => (&line.member, line.id, line.at),
            _ => continue,
        };
        if eras.is_outdated(member, at) {
            continue;
        }
        let key = (eras.scope(member, at), member.as_str(), id);
        match line {
            Event::Promised(line) => {
                let standing = standings.entry(key).or_default();
                if standing.emptied && (!line.votes.is_empty() || line.acknowledged.1 > 0) {
                    let message = format!(
                        "{member} started with an empty disk under its old id {id:x}, and votes and acknowledges"
                    );
                    failures.push(Failure::new("raft", FORGETFUL, message));
                }
                if let Some(message) = standing.add(line) {
                    failures.push(Failure::new("raft", ONE_VOTE, message));
                }
            }
            Event::Found(line) => {
                let standing =
                    standings.entry(key).or_insert_with(|| Standing { since: at, ..Standing::default() });
                if harm.may_forget_between(member, standing.since, at) {
                    // A founder that starts with an empty disk has a term and the founders' entries. A member has the same
                    // after its disk went back to its founding. Its folder is not empty then, and it cannot know what
                    // it has forgotten.
                    let promised =
                        standing.acknowledged.0.max(standing.votes.keys().next_back().copied().unwrap_or(0));
                    let began_anew = line.term <= 1 && promised > 1;
                    let emptied = standing.emptied
                        || began_anew && !harm.is_rollback_between(member, standing.since, at);
                    *standing = Standing { emptied, since: standing.since, ..Standing::default() };
                } else if let Some(message) = standing.misses(line) {
                    failures.push(Failure::new("raft", STABLE, message));
                    // Once is enough: what is gone stays gone.
                    *standing = Standing { since: standing.since, ..Standing::default() };
                }
            }
            _ => {}
        }
    }
    failures
}

impl Standing {
    /// Adds a life's promises. Returns a contradiction to an earlier one.
    fn add(&mut self, line: &Promised) -> Option<String> {
        let mut twice = None;
        for &(term, candidate) in &line.votes {
            let known = *self.votes.entry(term).or_insert(candidate);
            if known != candidate {
                let member = &line.member;
                twice.get_or_insert(format!(
                    "{member} voted in term {term} for {known:x} and for {candidate:x}"
                ));
            }
        }
        self.acknowledged = self.acknowledged.max(line.acknowledged);
        self.applied = self.applied.max(line.applied);
        twice
    }

    /// The first of the member's promises that its disk does not hold at a start.
    fn misses(&self, found: &Found) -> Option<String> {
        let Found { member, term, vote, last, .. } = found;
        let lost = |what: String| Some(format!("{member} {what}: its disk has lost what it promised"));
        if let Some((&voted, &candidate)) = self.votes.last_key_value() {
            if *term < voted {
                return lost(format!(
                    "voted for {candidate:x} in term {voted}, and starts again in term {term}"
                ));
            }
            if *term == voted && *vote != candidate {
                return lost(format!(
                    "voted for {candidate:x} in term {voted}, and starts again with a vote for {vote:x} in it"
                ));
            }
        }
        let (acknowledged_in, index) = self.acknowledged;
        if *term < acknowledged_in {
            return lost(format!(
                "acknowledged entries in term {acknowledged_in}, and starts again in term {term}"
            ));
        }
        if *term == acknowledged_in && *last < index {
            return lost(format!(
                "acknowledged entry {index} in term {term}, and starts again with a log that ends at {last}"
            ));
        }
        (*last < self.applied).then(|| {
            let applied = self.applied;
            format!("{member} applied entry {applied}, and starts again with a log that ends at {last}")
        })
    }
}

/// Events of one moment of virtual time are recorded some nanoseconds apart, in their order. A member's report has the
/// moment itself. So a member's failure may be dated some nanoseconds before the fault that caused it.
const ONE_MOMENT: u64 = 1_000;

/// Which members' disks were harmed, and when.
pub(super) struct DiskHarm<'a>(Vec<HarmedDisks<'a>>);

/// A fault that harmed disks, and from when to when it was active.
struct HarmedDisks<'a> {
    fault: &'a Fault,
    members: Vec<&'a str>,
    from: u64,
    to: u64,
}

impl<'a> DiskHarm<'a> {
    pub(super) fn of(history: &'a RunHistory) -> Self {
        let mut harms: Vec<HarmedDisks<'a>> = Vec::new();
        for event in &history.events {
            match event {
                Event::Fault(fault) if fault.harms_disk => harms.push(HarmedDisks {
                    fault,
                    members: fault.target.split(',').collect(),
                    from: fault.at,
                    to: u64::MAX,
                }),
                Event::Heal(heal) => {
                    let members: Vec<&str> = heal.target.split(',').collect();
                    let ended = harms.iter_mut().find(|harm| {
                        harm.fault.action == heal.action && harm.members == members && harm.to == u64::MAX
                    });
                    if let Some(harm) = ended {
                        harm.to = heal.at;
                    }
                }
                _ => {}
            }
        }
        DiskHarm(harms)
    }

    /// Whether the member's disk was harmed at some time of this span.
    pub(super) fn between(&self, member: &str, from: u64, to: u64) -> bool {
        self.of_member(member, from, to).next().is_some()
    }

    /// Whether the member's disk may have lost something at some time of this span, so that no checksum shows it.
    fn may_forget_between(&self, member: &str, from: u64, to: u64) -> bool {
        self.of_member(member, from, to).any(|harm| !harm.fault.does(Effect::FlipsBit))
    }

    /// Whether the member's disk was set back to an older image at some time of this span.
    fn is_rollback_between(&self, member: &str, from: u64, to: u64) -> bool {
        self.of_member(member, from, to).any(|harm| harm.fault.does(Effect::RollsBackDisk))
    }

    fn of_member(&self, member: &str, from: u64, to: u64) -> impl Iterator<Item = &HarmedDisks<'a>> {
        let to = to.saturating_add(ONE_MOMENT);
        self.0.iter().filter(move |harm| harm.members.contains(&member) && harm.from <= to && harm.to >= from)
    }
}
