//! The members' lanes: each member's states from its first start to the end, and its events.

use super::trace::{Shown, What};
use serde::Serialize;
use squall_checker::history::{Effect, Event, RaftLine, RunHistory};
use std::collections::BTreeMap;

/// A member's lane.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberLane {
    /// The member's name.
    pub name: String,
    /// Its states, without gaps, from its first start on.
    pub states: Vec<StateSpan>,
    /// Its events, by instant.
    pub marks: Vec<Mark>,
}

/// A span in which a member had one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateSpan {
    /// When the span began.
    pub from: u64,
    /// When the span ended.
    pub to: u64,
    /// The state.
    pub state: State,
    /// The member's term; 0 if it is not known.
    pub term: u64,
}

/// A member's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its process does not run.
    Down,
    /// Its process runs, but has not reported its role yet.
    Starting,
    /// Its process runs, in a run whose members do not report their roles.
    Running,
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks whether it could win an election.
    PreCandidate,
    /// It stands for election.
    Candidate,
    /// It leads.
    Leader,
}

/// An event at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When it happened.
    pub at: u64,
    /// Its kind, in camelCase: `started`, `ended`, `snapshotSaved`, …
    pub kind: String,
    /// The event in words.
    pub text: String,
}

enum Step {
    Up,
    Down,
    Role(State, u64),
}

/// The lanes, in the order of the first line of the history; members that came later follow.
///
/// `roles`: whether the members report their roles.
pub(super) fn lanes(history: &RunHistory, shown: &[Shown], end: u64, roles: bool) -> Vec<MemberLane> {
    let mut names: Vec<String> = Vec::new();
    let mut know = |name: &str| {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    for event in &history.events {
        match event {
            Event::Meta(meta) => meta.members.iter().for_each(|name| know(name)),
            Event::Life(life) => know(&life.member),
            Event::Raft(RaftLine::Role(change)) => know(&change.member),
            _ => {}
        }
    }
    let mut steps: BTreeMap<&str, Vec<(u64, Step)>> = BTreeMap::new();
    let mut marks: BTreeMap<&str, Vec<Mark>> = BTreeMap::new();
    for event in &history.events {
        match event {
            Event::Life(life) => {
                steps.entry(&life.member).or_default().push((life.at, Step::Up));
                let (kind, text) = match life.incarnation {
                    0 | 1 => ("started", "starts".to_owned()),
                    life => ("restarted", format!("starts again, its life {life}")),
                };
                marks.entry(&life.member).or_default().push(mark(life.at, kind, text));
            }
            Event::Raft(RaftLine::Role(change)) => {
                let state = match change.role.as_str() {
                    "leader" => State::Leader,
                    "candidate" => State::Candidate,
                    "pre-candidate" => State::PreCandidate,
                    _ => State::Follower,
                };
                steps.entry(&change.member).or_default().push((change.at, Step::Role(state, change.term)));
            }
            Event::Panic(panic) => {
                steps.entry(&panic.member).or_default().push((panic.at, Step::Down));
                let text = format!("panics: {}", panic.message);
                marks.entry(&panic.member).or_default().push(mark(panic.at, "panic", text));
            }
            // Only the trace tells when a process ended. Without a trace the fault's instant stands for it.
            Event::Fault(fault) if shown.is_empty() && fault.does(Effect::EndsProcess) => {
                for name in fault.target.split(',') {
                    steps.entry(name).or_default().push((fault.at, Step::Down));
                }
            }
            _ => {}
        }
    }
    let mut configured: BTreeMap<&str, &str> = BTreeMap::new();
    for line in shown {
        match &line.what {
            // Each start reports the configuration. Only a change of it is shown.
            What::Fact(kind, text) if kind == "configured" => {
                if configured.insert(&line.node, text).is_some_and(|before| before != text) {
                    marks.entry(&line.node).or_default().push(mark(line.at, kind, text.clone()));
                }
            }
            What::Ended(why) => {
                steps.entry(&line.node).or_default().push((line.at, Step::Down));
                marks.entry(&line.node).or_default().push(mark(line.at, "ended", why.clone()));
            }
            What::Fact(kind, text) => {
                marks.entry(&line.node).or_default().push(mark(line.at, kind, text.clone()));
            }
        }
    }
    let lane = |name: String| {
        let states = states(steps.remove(name.as_str()).unwrap_or_default(), end, roles);
        let mut marks = marks.remove(name.as_str()).unwrap_or_default();
        marks.sort_by_key(|mark| mark.at);
        MemberLane { name, states, marks }
    };
    names.into_iter().map(lane).collect()
}

fn mark(at: u64, kind: &str, text: String) -> Mark {
    Mark { at, kind: kind.to_owned(), text }
}

fn states(mut steps: Vec<(u64, Step)>, end: u64, roles: bool) -> Vec<StateSpan> {
    steps.sort_by_key(|(at, _)| *at);
    let mut spans: Vec<StateSpan> = Vec::new();
    let mut up = false;
    for (from, step) in steps {
        let (state, term) = match step {
            Step::Up if !roles => (State::Running, 0),
            Step::Up => (State::Starting, 0),
            Step::Down => (State::Down, 0),
            // The process has ended already: ignore a role that arrives late.
            Step::Role(..) if !up && !spans.is_empty() => continue,
            Step::Role(state, term) => (state, term),
        };
        up = state != State::Down;
        match spans.last_mut() {
            Some(last) if last.state == state && last.term == term => continue,
            Some(last) if last.from == from => {
                (last.state, last.term) = (state, term);
                continue;
            }
            Some(last) => last.to = from,
            None => {}
        }
        spans.push(StateSpan { from, to: end.max(from), state, term });
    }
    spans
}
