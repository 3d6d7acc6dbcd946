//! A leader that has been replaced steps down by itself.
//!
//! A leader counts the followers that answer it. If they are no quorum for an election time-out, it becomes a follower
//! (`CheckQuorum`). A leader that has a successor has lost its quorum, so it steps down after two election time-outs at the
//! latest. A leader that goes on does not harm the data. But it takes requests that it can never answer, and it tells clients
//! that there is a leader.
//!
//! The check uses the roles that the members report. It leaves out a leader that was hit, since it began to lead, by a fault of
//! the machine, the process or the disk ([`Effect::Hinders`]). Such a member may not get to do its work. It may also have ended,
//! and the history has no line about that before the next start.

use std::collections::BTreeMap;

use super::era::Eras;
use super::{Failure, seconds};
use crate::history::{Effect, Event, RaftLine, RoleChange, RunHistory};

const STEPS_DOWN: &str = "raft: a leader steps down once it has been replaced for long";

pub(super) const GUARANTEES: [&str; 1] = [STEPS_DOWN];

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let within = history.meta().map_or(0, |meta| meta.deposed_within_ns);
    if within == 0 || history.members_are_silent() {
        return Vec::new();
    }
    let eras = Eras::of(history);
    let mut roles: BTreeMap<&str, Vec<&RoleChange>> = BTreeMap::new();
    for event in &history.events {
        if let Event::Raft(RaftLine::Role(line)) = event {
            roles.entry(&line.member).or_default().push(line);
        }
    }
    roles.values_mut().for_each(|lines| lines.sort_by_key(|line| line.at));
    let end = history.events.iter().map(Event::at).filter(|at| *at < u64::MAX).max().unwrap_or(0);
    let hindered = Hindered::of(history);
    roles
        .iter()
        .find_map(|(member, lines)| {
            let next = lines.iter().skip(1).map(|next| next.at).chain([end]);
            lines.iter().zip(next).filter(|(line, _)| line.role == "leader").find_map(|(line, until)| {
                let scope = eras.scope(member, line.at);
                if eras.is_outdated(member, line.at) || eras.scope(member, until) != scope {
                    return None;
                }
                let others = roles.iter().filter(|(other, _)| *other != member);
                let later = others.flat_map(|(_, lines)| lines).filter(|other| {
                    other.role == "leader"
                        && other.term > line.term
                        && other.at >= line.at
                        && eras.scope(&other.member, other.at) == scope
                        && !eras.is_outdated(&other.member, other.at)
                });
                let successor = later.min_by_key(|other| other.at)?;
                let too_long = until > successor.at.saturating_add(within);
                if !too_long || hindered.touch(member, line.at, until) {
                    return None;
                }
                let message = format!(
                    "{member} led in term {} until {:.3}s at least, and {} had begun to lead in term {} at {:.3}s",
                    line.term,
                    seconds(until),
                    successor.member,
                    successor.term,
                    seconds(successor.at)
                );
                Some(Failure::new("liveness", STEPS_DOWN, message))
            })
        })
        .into_iter()
        .collect()
}

/// When something kept a member from its work: spans by member, `""` for all of them.
struct Hindered<'a>(Vec<(&'a str, u64, u64)>);

impl<'a> Hindered<'a> {
    fn of(history: &'a RunHistory) -> Self {
        let mut faults: Vec<(&str, &str, u64, u64)> = Vec::new();
        let mut spans = Vec::new();
        for event in &history.events {
            match event {
                Event::Fault(fault) if fault.does(Effect::Hinders) => {
                    faults.push((&fault.action, &fault.target, fault.at, u64::MAX));
                }
                Event::Heal(heal) => {
                    let ended = faults.iter_mut().filter(|(action, target, _, until)| {
                        let all = heal.action.is_empty();
                        *until == u64::MAX && (all || *action == heal.action && *target == heal.target)
                    });
                    ended.for_each(|(_, _, _, until)| *until = heal.at);
                }
                Event::Life(life) => spans.push((&*life.member, life.at, life.at)),
                Event::Panic(line) => spans.push((&*line.member, line.at, u64::MAX)),
                Event::Failed(line) => spans.push((&*line.member, line.at, u64::MAX)),
                _ => {}
            }
        }
        for (_, target, from, until) in faults {
            spans.extend(target.split(',').map(|member| (member, from, until)));
        }
        Hindered(spans)
    }

    fn touch(&self, member: &str, from: u64, to: u64) -> bool {
        self.0
            .iter()
            .any(|(whose, begin, end)| (whose.is_empty() || *whose == member) && *begin <= to && *end >= from)
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::history::{ReadLimits, jsonl};

    const MS: u64 = 1_000_000;

    fn role(at: u64, member: &str, term: u64, role: &str) -> String {
        format!(
            "{{\"raft\":{{\"at\":{},\"member\":\"{member}\",\"term\":{term},\"role\":\"{role}\"}}}}\n",
            at * MS
        )
    }

    fn fault(at: u64, action: &str) -> String {
        format!("{{\"fault\":{{\"at\":{},\"action\":\"{action}\",\"target\":\"m1\"}}}}\n", at * MS)
    }

    /// Whether it is found in a run of ten seconds that a leader goes on.
    fn goes_on(meta: &str, lines: &[String]) -> bool {
        let text = format!(
            "{{\"meta\":{{\"format\":1,\"scenario\":\"s\",\"seed\":1{meta}}}}}\n{}{{\"end\":{{\"at\":10000000000}}}}\n",
            lines.concat() + &role(10_000, "m3", 1, "follower")
        );
        let history = jsonl::read(text.as_bytes(), "test", &ReadLimits::default());
        let found = check(&history.unwrap_or_else(|error| panic!("{error}\n{text}")));
        assert!(found.iter().all(|failure| failure.guarantee == super::STEPS_DOWN));
        !found.is_empty()
    }

    #[test]
    fn a_leader_that_was_replaced_steps_down() {
        let second = ",\"deposed_within_ns\":1000000000";
        let led = [role(1_000, "m1", 2, "leader"), fault(2_000, "partition"), role(4_000, "m2", 3, "leader")];
        assert!(goes_on(second, &led), "it led to the end");
        assert!(goes_on(second, &[&led[..], &[role(5_500, "m1", 3, "follower")]].concat()));
        assert!(!goes_on(second, &[&led[..], &[role(4_500, "m1", 2, "follower")]].concat()));
        assert!(!goes_on("", &led), "nobody says how long it may take");
        assert!(!goes_on(",\"members_untold\":true,\"deposed_within_ns\":1000000000", &led));
        assert!(!goes_on(second, &[led[0].clone(), role(4_000, "m2", 1, "leader")]), "an older one");
        // The second one ended the member, and no line says so.
        for (at, action) in [(3_500, "pause"), (1_500, "truncateFile"), (5_500, "crash")] {
            assert!(!goes_on(second, &[&led[..], &[fault(at, action)]].concat()), "{action}");
        }
        // A fault's line decides what the fault does, not the fault's name.
        let says =
            |action, effects| fault(3_500, action).replace("}}\n", &format!(",\"effects\":{effects}}}}}\n"));
        assert!(goes_on(second, &[&led[..], &[says("newKind", "[\"disturbs\"]")]].concat()));
        assert!(!goes_on(second, &[&led[..], &[says("partition", "[\"hinders\"]")]].concat()));
    }
}
