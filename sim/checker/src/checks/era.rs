//! The spans between breaks, for checkers that compare what belongs to one cluster's life.
//!
//! A break ends an era and begins another. Eras form a tree: a restored snapshot continues the era in which it was saved
//! ([`Break::continues`]), up to the break's revision. What was made in an era is kept to the end only if the last
//! era's line leads through it.
//!
//! A member with an emptied disk may found a separate cluster, with other ids, while the others go on. The era's cluster
//! does not listen to it, and no checker compares its reports with theirs.
//!
//! An event at the very instant of a break belongs to the era before it: the new cluster starts later.

use std::collections::BTreeMap;

use crate::history::{Break, Event, Operation, Revision, RunHistory};

/// The eras of a history, in the order of time, and each member's lives: a life may have a disk from an earlier era.
pub(super) struct Eras<'a> {
    breaks: Vec<&'a Break>,
    /// By member, when each of its lives began and whether its disk was outdated, in the order of time.
    lives: BTreeMap<&'a str, Vec<(u64, bool)>>,
    /// By member, to which cluster it belonged from which instant on, in the order of time.
    clusters: BTreeMap<&'a str, Vec<(u64, u64)>>,
}

/// An era and a cluster's id: what raft's terms and indexes are unique in.
pub(super) type Scope = (usize, u64);

impl<'a> Eras<'a> {
    pub(super) fn of(history: &'a RunHistory) -> Self {
        let mut lives: BTreeMap<&str, Vec<(u64, bool)>> = BTreeMap::new();
        let mut clusters: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        for event in &history.events {
            match event {
                Event::Life(life) => {
                    lives.entry(&life.member).or_default().push((life.at, life.outdated));
                }
                Event::Found(found) => {
                    clusters.entry(&found.member).or_default().push((found.at, found.cluster));
                }
                _ => {}
            }
        }
        lives.values_mut().for_each(|lives| lives.sort_unstable());
        clusters.values_mut().for_each(|clusters| clusters.sort_unstable());
        Eras { breaks: history.breaks().collect(), lives, clusters }
    }

    /// The breaks, in the order of time: break n ends era n.
    pub(super) fn breaks(&self) -> &[&'a Break] {
        &self.breaks
    }

    /// The era of an instant.
    pub(super) fn at(&self, instant: u64) -> usize {
        self.breaks.iter().filter(|line| line.at < instant).count()
    }

    /// The revision with which an era began.
    pub(super) fn base(&self, era: usize) -> Revision {
        era.checked_sub(1).map_or(Revision(0), |before| self.breaks[before].revision)
    }

    /// The era of an instant, and the cluster to which the member belonged then; 0 if the history does not say.
    pub(super) fn scope(&self, member: &str, instant: u64) -> Scope {
        let clusters = self.clusters.get(member).map_or(&[][..], Vec::as_slice);
        let known = clusters.iter().rev().find(|(since, _)| *since <= instant);
        (self.at(instant), known.map_or(0, |(_, cluster)| *cluster))
    }

    /// The last era.
    pub(super) fn last(&self) -> usize {
        self.breaks.len()
    }

    /// The era that answered an operation; none if it was open at a break, because either era may have answered it.
    pub(super) fn of_operation(&self, operation: &Operation) -> Option<usize> {
        let (from, to) = (self.at(operation.call), self.at(operation.ret?));
        (from == to).then_some(from)
    }

    /// The era in which a member answered. None if a break lay between the question and the answer, or where the
    /// member's disk was from before one.
    pub(super) fn of_answer(&self, member: &str, call: u64, ret: u64) -> Option<usize> {
        let era = self.at(ret);
        (self.at(call) == era && !self.is_outdated(member, ret)).then_some(era)
    }

    /// Whether what an era made at a revision is on the line of events that the last era continues.
    pub(super) fn keeps(&self, era: usize, revision: Revision) -> bool {
        let mut at = self.last();
        // An era's own revisions are those above the one that it began with.
        while at > 0 && revision <= self.breaks[at - 1].revision {
            let line = self.breaks[at - 1];
            at = line.continues.map_or(at - 1, |instant| self.at(instant).min(at - 1));
        }
        at == era
    }

    /// Which of its lives a member was in, counted from 0; none if the history has no line about its lives.
    pub(super) fn life_of(&self, member: &str, instant: u64) -> Option<usize> {
        let lives = self.lives.get(member)?;
        Some(lives.iter().filter(|(begin, _)| *begin <= instant).count())
    }

    /// Whether no start of a member lies between two instants.
    pub(super) fn in_one_life(&self, member: &str, from: u64, to: u64) -> bool {
        self.life_of(member, from) == self.life_of(member, to)
    }

    /// Whether the member's disk was, at that instant, from before a break that made another cluster.
    pub(super) fn is_outdated(&self, member: &str, instant: u64) -> bool {
        let lives = self.lives.get(member).map_or(&[][..], Vec::as_slice);
        lives.iter().rev().find(|(begin, _)| *begin <= instant).is_some_and(|(_, outdated)| *outdated)
    }
}
