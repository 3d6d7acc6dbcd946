//! Raft's invariants, from the milestones that members reported (Ongaro and Ousterhout 2014, figure 3).
//!
//! - **Election safety**: one leader a term.
//! - **Log matching**: an index and a term name one entry.
//! - **Terms in a log** never fall as indexes rise, also if entries were replaced: the appends that replace them remove
//!   all entries behind them. This holds on any disk that keeps a prefix of what was written.
//! - **State-machine safety**: no two members apply different entries at one index, and after applying it they are in
//!   the same state and gave the same reply. For the latter the members report a digest of state and reply.
//! - **Leader completeness**, as far as it shows: terms never fall as indexes rise, since a later leader holds every
//!   committed entry and appends only after them.
//! - **Membership**: a member's raft and its state know the same voters and the same learners. So a change that the state
//!   refuses must not reach raft either. Each member is judged by itself, even if its disk is from before a break.
//!
//! Each of the others is judged within one era and one cluster, because after a break terms and indexes may be used again. If a
//! member's disk is from before a break, its reports belong to no era.

use std::collections::BTreeMap;

use super::Failure;
use super::era::{Eras, Scope};
use crate::history::{Applied, Event, RaftLine, RunHistory};

const ELECTION: &str = "election safety: at most one leader a term";
const MATCHING: &str = "log matching: an index and a term name one entry";
const ENTRY: &str = "state-machine safety: all members apply the same entry at an index";
const STATE: &str = "state-machine safety: the same state and replies at an index";
const COMPLETENESS: &str = "leader completeness: a leader has every entry that was committed before its term";

const CONFIGURED: &str = "membership: who takes part in raft is who the members are";
const TERMS: &str = "log: the terms of a log's entries never fall";

pub(super) const GUARANTEES: [&str; 7] = [ELECTION, MATCHING, ENTRY, STATE, COMPLETENESS, CONFIGURED, TERMS];

/// For an index in an era: the first line that reported each thing.
struct Known<'a> {
    entry: &'a Applied,
    state: Option<&'a Applied>,
    /// Whether a difference was reported already: one is enough for an index.
    reported: bool,
}

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let mut failures = Vec::new();
    let mut fail = |guarantee, message| failures.push(Failure::new("raft", guarantee, message));
    let mut leaders: BTreeMap<(Scope, u64), &str> = BTreeMap::new();
    let mut applied: BTreeMap<(Scope, u64), Known<'_>> = BTreeMap::new();
    let lines = history.events.iter().filter_map(|event| match event {
        Event::Raft(line) => Some(line),
        _ => None,
    });
    for line in lines {
        let (member, at) = match line {
            RaftLine::Role(role) => (&role.member, role.at),
            RaftLine::Applied(entry) => (&entry.member, entry.at),
        };
        if eras.is_outdated(member, at) {
            continue;
        }
        let scope = eras.scope(member, at);
        match line {
            RaftLine::Role(role) if role.role == "leader" => {
                let leader = leaders.entry((scope, role.term)).or_insert(&role.member);
                if *leader != role.member {
                    let (member, term) = (&role.member, role.term);
                    fail(ELECTION, format!("{leader} and {member} were both leader in term {term}"));
                }
            }
            RaftLine::Role(_) => {}
            RaftLine::Applied(entry) => {
                let new = || Known { entry, state: None, reported: false };
                let known = applied.entry((scope, entry.index)).or_insert_with(new);
                if let Some((guarantee, message)) = known.differs(entry)
                    && !known.reported
                {
                    known.reported = true;
                    fail(guarantee, message);
                }
                if known.state.is_none() && !entry.state.is_empty() {
                    known.state = Some(entry);
                }
            }
        }
    }
    for event in &history.events {
        match event {
            Event::Configuration(line)
                if (&line.voters, &line.learners) != (&line.listed_voters, &line.listed_learners) =>
            {
                let message = format!(
                    "after entry {} the voters in {}'s raft are {:x?} and the learners {:x?}, and its state lists {:x?} and {:x?}",
                    line.index,
                    line.member,
                    line.voters,
                    line.learners,
                    line.listed_voters,
                    line.listed_learners
                );
                fail(CONFIGURED, message);
            }
            Event::LogTerms(line) => {
                if let Some([(high, last), (low, next)]) = line.terms.array_windows().find(|[a, b]| a.0 > b.0)
                {
                    let message = format!(
                        "in {}'s log an entry of term {low}, up to index {next}, stands behind one of term {high} at index {last}",
                        line.member
                    );
                    fail(TERMS, message);
                }
            }
            _ => {}
        }
    }
    let mut before: Option<(Scope, &Applied)> = None;
    for (&(scope, _), known) in &applied {
        let entry = known.entry;
        if let Some((known_scope, known)) = before
            && known_scope == scope
            && known.term > entry.term
        {
            let message = format!(
                "the entry at index {} is of term {}, and the one at index {} of the earlier term {}",
                known.index, known.term, entry.index, entry.term
            );
            fail(COMPLETENESS, message);
        }
        before = Some((scope, entry));
    }
    failures
}

impl Known<'_> {
    fn differs(&self, entry: &Applied) -> Option<(&'static str, String)> {
        let (first, index) = (self.entry, entry.index);
        if first.term != entry.term {
            let message = format!(
                "at index {index} {} applied an entry of term {}, and {} one of term {}",
                first.member, first.term, entry.member, entry.term
            );
            return Some((ENTRY, message));
        }
        if first.digest != entry.digest {
            let message = format!(
                "{} and {} applied different entries of term {} at index {index}",
                first.member, entry.member, entry.term
            );
            return Some((MATCHING, message));
        }
        let state = self.state.filter(|state| !entry.state.is_empty() && state.state != entry.state)?;
        let message = format!(
            "{} and {} applied the same entry of term {} at index {index}, and came to different states or replies: \
             {} and {}",
            state.member, entry.member, entry.term, state.state, entry.state
        );
        Some((STATE, message))
    }
}
