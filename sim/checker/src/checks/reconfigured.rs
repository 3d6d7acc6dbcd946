//! The answer to an operator's request about the members is true.
//!
//! - *Shown*: the answer to a change shows the members after it, so it shows the change.
//! - *Moved*: the leadership was handed over if the answer says so: the successor has led in a later term than the member
//!   that was asked.
//! - *Successor*: no learner is accepted as the successor (etcd's `ErrBadLeaderTransferee`).
//! - *Named*: a member that has once had a name keeps one. A change of its addresses leaves that name alone.
//! - *Answered*: a promotion and a new address are answered, if only by a refusal, if nothing breaks and the member that was asked
//!   does writes meanwhile. An operator's own work breaks nothing, apart from what it starts and stops.
//!
//! A refusal and a missing answer leave open whether a change is done. The lists of members show that (`members`,
//! `learners`).

use std::collections::{BTreeMap, BTreeSet};

use super::era::Eras;
use super::quiet::Disturbances;
use super::{Failure, NEAR, seconds};
use crate::history::{
    Asks, Effect, Event, MemberList, MemberShown, Operation, RaftLine, Reconfiguration, Reconfigured,
    RoleChange, RunHistory,
};

const SHOWN: &str = "members: the answer to a change shows it";
const MOVED: &str = "members: the leadership is handed over once it is said to be";
const SUCCESSOR: &str = "members: the leadership is not handed to a learner";
const ANSWERED: &str = "members: a promotion and an update are answered where nothing breaks";
const NAMED: &str = "members: a member keeps the name that it has published";

pub(super) const GUARANTEES: [&str; 5] = [SHOWN, MOVED, SUCCESSOR, NAMED, ANSWERED];

/// What a leader answers if it has waited too long for its successor.
const TRANSFER_TIMED_OUT: &str = "etcdserver: request timed out, leader transfer took too long";
/// How long an answer may take, in nanoseconds.
const PATIENCE: u64 = 1_500_000_000;
/// How many writes the member must have done meanwhile.
const WRITES: usize = 5;

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let eras = Eras::of(history);
    let (mut lists, mut asked) = (Vec::new(), Vec::new());
    for event in &history.events {
        match event {
            Event::MemberList(list) if eras.of_answer(&list.member, list.call, list.ret).is_some() => {
                lists.push(list);
            }
            Event::Reconfiguration(line) if eras.of_answer(&line.member, line.call, line.ret).is_some() => {
                asked.push(line);
            }
            _ => {}
        }
    }
    let mut failures: Vec<Failure> = asked.iter().copied().find_map(not_shown).into_iter().collect();
    if !history.members_are_silent() {
        let roles = Roles::of(history, &eras);
        failures.extend(asked.iter().find_map(|line| roles.not_moved(&eras, line)));
        let quiet = Disturbances::apart_from(history, Some(Effect::ChangesMembers));
        failures.extend(asked.iter().find_map(|line| not_answered(history, &quiet, line)));
    }
    failures.extend(asked.iter().find_map(|line| to_a_learner(history, &eras, &lists, line)));
    failures.extend(nameless(&eras, &lists));
    failures
}

fn fails(guarantee: &str, line: &Reconfiguration, what: &str) -> Failure {
    let Reconfiguration { member, call, ret, .. } = line;
    let message =
        format!("{member}, asked at {:.3}s, said at {:.3}s that {what}", seconds(*call), seconds(*ret));
    Failure::new("members", guarantee, message)
}

fn not_shown(line: &Reconfiguration) -> Option<Failure> {
    let Reconfigured::Done(shown) = &line.answer else { return None };
    let (id, url) = (line.id, &line.url);
    let of = |is: &dyn Fn(&MemberShown) -> bool| shown.iter().any(is);
    let here = |member: &MemberShown| member.urls.contains(url);
    let (is_shown, change) = match line.asks {
        Asks::Add => (of(&|member| here(member) && !member.learner), format!("a voter at {url} was added")),
        Asks::AddLearner => {
            (of(&|member| here(member) && member.learner), format!("a learner at {url} was added"))
        }
        Asks::Remove => (!of(&|member| member.id == id), format!("{id:x} was removed")),
        Asks::Promote => (of(&|member| member.id == id && !member.learner), format!("{id:x} was promoted")),
        Asks::Update => (of(&|member| member.id == id && here(member)), format!("{id:x} was moved to {url}")),
        Asks::MoveLeader => return None,
    };
    (!is_shown)
        .then(|| fails(SHOWN, line, &format!("{change}, and its list of the members does not show it")))
}

/// A promotion or an update without an answer, though nothing broke and the member did writes.
fn not_answered(history: &RunHistory, quiet: &Disturbances, line: &Reconfiguration) -> Option<Failure> {
    let waited = line.ret.saturating_sub(line.call);
    let is_judged = matches!(line.asks, Asks::Promote | Asks::Update)
        && line.answer == Reconfigured::Unanswered
        && waited >= PATIENCE + 2 * history.longest_delay_ns()
        && !quiet.touch(line.call, line.ret);
    let is_done = |write: &&Operation| {
        *write.endpoint == *line.member
            && write.made_revision()
            && write.call > line.call
            && write.ret.is_some_and(|ret| ret < line.ret)
    };
    let done = if is_judged { history.operations.iter().filter(is_done).count() } else { 0 };
    (done >= WRITES).then(|| {
        let what = match line.asks {
            Asks::Promote => "promotion",
            _ => "update",
        };
        let message = format!(
            "{} was asked for the {what} of {:x} at {:.3}s, and did not answer within {:.3}s, though nothing broke then and it did \
             {done} writes",
            line.member,
            line.id,
            seconds(line.call),
            seconds(waited)
        );
        Failure::new("members", ANSWERED, message)
    })
}

/// Who led when, and who is who.
struct Roles<'a> {
    led: BTreeMap<&'a str, Vec<&'a RoleChange>>,
    names: BTreeMap<(usize, u64), &'a str>,
}

impl<'a> Roles<'a> {
    fn of(history: &'a RunHistory, eras: &Eras<'_>) -> Roles<'a> {
        let mut roles = Roles { led: BTreeMap::new(), names: BTreeMap::new() };
        for event in &history.events {
            match event {
                Event::Raft(RaftLine::Role(line)) if line.role == "leader" => {
                    roles.led.entry(&line.member).or_default().push(line);
                }
                Event::Found(line) => {
                    roles.names.insert((eras.at(line.at), line.id), &line.member);
                }
                _ => {}
            }
        }
        roles
    }

    /// The member that was asked led in some term, and saw the successor lead: in a later term, since a term has one leader.
    fn not_moved(&self, eras: &Eras<'_>, line: &Reconfiguration) -> Option<Failure> {
        if line.asks != Asks::MoveLeader || !matches!(line.answer, Reconfigured::Done(_)) {
            return None;
        }
        let era = eras.at(line.call);
        let successor = *self.names.get(&(era, line.id))?;
        let of = |member: &str| self.led.get(member).map_or(&[][..], Vec::as_slice);
        let before = of(&line.member).iter().filter(|role| role.at <= line.call && eras.at(role.at) == era);
        let term = before.map(|role| role.term).max()?;
        // A member that already leads is its own successor.
        if successor == line.member {
            return None;
        }
        let leads = of(successor)
            .iter()
            .any(|role| role.term > term && role.at <= line.ret + NEAR && eras.at(role.at) == era);
        (!leads).then(|| {
            let what = format!(
                "it has handed the leadership of term {term} to {successor}, which has not led since"
            );
            fails(MOVED, line, &what)
        })
    }
}

/// A transfer to a learner that was begun. The leader either has not heard of the learner, or knows that it learns. An
/// operator who asks for a promotion too early does not make a voter (`learners`).
fn to_a_learner(
    history: &RunHistory,
    eras: &Eras<'_>,
    lists: &[&MemberList],
    line: &Reconfiguration,
) -> Option<Failure> {
    if line.asks != Asks::MoveLeader {
        return None;
    }
    let what = match &line.answer {
        Reconfigured::Done(_) => "it has handed the leadership",
        Reconfigured::Refused(said) if said == TRANSFER_TIMED_OUT => {
            "it has waited for too long to hand the leadership"
        }
        _ => return None,
    };
    let learned = lists.iter().any(|list| {
        list.ret < line.call && eras.at(list.ret) == eras.at(line.call) && list.learners.contains(&line.id)
    });
    let promoted = history.events.iter().any(|event| match event {
        Event::Promotion(promotion) => promotion.id == line.id && promotion.at < line.ret,
        _ => false,
    });
    (learned && !promoted).then(|| fails(SUCCESSOR, line, &format!("{what} to the learner {:x}", line.id)))
}

/// The first list in which a member has no name, though an earlier list, answered before this one was asked for, has one.
fn nameless(eras: &Eras<'_>, lists: &[&MemberList]) -> Option<Failure> {
    let mut called = lists.to_vec();
    called.sort_by_key(|list| (list.call, list.ret));
    let mut returned = lists.to_vec();
    returned.sort_by_key(|list| (list.ret, list.call));
    let mut returned = returned.into_iter().peekable();
    let mut named: BTreeSet<(usize, u64)> = BTreeSet::new();
    called.into_iter().find_map(|list| {
        while let Some(before) = returned.next_if(|before| before.ret < list.call) {
            let with_name = before.members.iter().filter(|id| !before.unnamed.contains(id));
            named.extend(with_name.map(|id| (eras.at(before.ret), *id)));
        }
        let era = eras.at(list.ret);
        let lost = list.unnamed.iter().find(|id| named.contains(&(era, **id)))?;
        let message = format!(
            "{} said at {:.3}s that {lost:x} has no name, and it had had one before",
            list.member,
            seconds(list.ret)
        );
        Some(Failure::new("members", NAMED, message))
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::checks::locks::tests::read_with;

    const MS: u64 = 1_000_000;

    fn asked((call, ret): (u64, u64), asks: &str, fields: &str, answer: &str) -> String {
        let (call, ret) = (call * MS, ret * MS);
        format!(
            "{{\"reconfiguration\":{{\"call\":{call},\"return\":{ret},\"member\":\"m1\",\"asks\":\"{asks}\",{fields},\
             \"answer\":{answer}}}}}\n"
        )
    }

    fn list((call, ret): (u64, u64), members: &str, learners: &str, unnamed: &str) -> String {
        let (call, ret) = (call * MS, ret * MS);
        format!(
            "{{\"member_list\":{{\"call\":{call},\"return\":{ret},\"member\":\"m1\",\"members\":[{members}],\
             \"learners\":[{learners}],\"unnamed\":[{unnamed}]}}}}\n"
        )
    }

    fn leads(at: u64, member: &str, term: u64) -> String {
        format!(
            "{{\"raft\":{{\"at\":{},\"member\":\"{member}\",\"term\":{term},\"role\":\"leader\"}}}}\n",
            at * MS
        )
    }

    fn found(member: &str, id: u64) -> String {
        format!("{{\"found\":{{\"at\":1,\"member\":\"{member}\",\"id\":{id},\"term\":1}}}}\n")
    }

    /// The guarantees that a run breaks. `meta` is a part of its first line.
    fn broken_where(meta: &str, lines: &[String]) -> Vec<String> {
        check(&read_with(meta, lines)).into_iter().map(|failure| failure.guarantee).collect()
    }

    fn broken(lines: &[String]) -> Vec<String> {
        broken_where("", lines)
    }

    #[test]
    fn the_answer_to_a_change_shows_it() {
        let done =
            r#"{"done":[{"id":1,"urls":["http://a:1"]},{"id":2,"urls":["http://b:1"],"learner":true}]}"#;
        for (asks, fields, shown) in [
            ("add", r#""url":"http://a:1""#, true),
            ("add", r#""url":"http://b:1""#, false),
            ("add", r#""url":"http://c:1""#, false),
            ("add_learner", r#""url":"http://b:1""#, true),
            ("add_learner", r#""url":"http://a:1""#, false),
            ("remove", r#""id":3"#, true),
            ("remove", r#""id":2"#, false),
            ("promote", r#""id":1"#, true),
            ("promote", r#""id":2"#, false),
            ("update", r#""id":1,"url":"http://a:1""#, true),
            ("update", r#""id":1,"url":"http://b:1""#, false),
        ] {
            let expected: &[&str] = if shown { &[] } else { &[super::SHOWN] };
            assert_eq!(broken(&[asked((10, 20), asks, fields, done)]), expected, "{asks} {fields}");
            for answer in ["\"unanswered\"", r#"{"refused":"etcdserver: unhealthy cluster"}"#] {
                assert!(
                    broken(&[asked((10, 20), asks, fields, answer)]).is_empty(),
                    "{asks} {fields} {answer}"
                );
            }
        }
    }

    #[test]
    fn the_leadership_is_with_its_successor_once_it_is_handed_over() {
        let moved = asked((100, 200), "move_leader", "\"id\":2", "{\"done\":[]}");
        let known = [found("m1", 1), found("m2", 2), leads(10, "m2", 2), leads(50, "m1", 3), moved];
        assert_eq!(broken(&known), [super::MOVED]);
        assert!(broken(&[&known[..], &[leads(150, "m2", 4)]].concat()).is_empty());
        assert_eq!(broken(&[&known[..], &[leads(250, "m2", 4)]].concat()), [super::MOVED], "only afterwards");
        assert!(broken_where(",\"members_untold\":true", &known).is_empty());
        let refused = asked((100, 200), "move_leader", "\"id\":2", r#"{"refused":"etcdserver: not leader"}"#);
        assert!(broken(&[&known[..4], &[refused]].concat()).is_empty());
    }

    #[test]
    fn a_learner_is_no_successor() {
        let learns = list((10, 20), "1,2", "2", "");
        let late = format!("{{\"refused\":\"{}\"}}", super::TRANSFER_TIMED_OUT);
        let begun = asked((100, 200), "move_leader", "\"id\":2", &late);
        assert_eq!(broken(&[learns.clone(), begun.clone()]), [super::SUCCESSOR]);
        let refused = asked(
            (100, 200),
            "move_leader",
            "\"id\":2",
            r#"{"refused":"etcdserver: bad leader transferee"}"#,
        );
        assert!(broken(&[learns.clone(), refused]).is_empty());
        let promotion = format!("{{\"promotion\":{{\"at\":{},\"id\":2}}}}\n", 150 * MS);
        assert!(broken(&[learns, promotion, begun.clone()]).is_empty());
        assert!(
            broken(&[list((90, 120), "1,2", "2", ""), begun]).is_empty(),
            "it may have been added meanwhile"
        );
    }

    #[test]
    fn a_member_keeps_its_name() {
        let new = list((10, 20), "1,2", "", "2");
        let named = list((30, 40), "1,2", "", "");
        assert_eq!(broken(&[named.clone(), list((50, 60), "1,2", "", "2")]), [super::NAMED]);
        assert!(broken(&[new, named.clone()]).is_empty());
        assert!(broken(&[named.clone(), list((35, 60), "1,2", "", "2")]).is_empty(), "it may be older");
        let restored = format!("{{\"break\":{{\"kind\":\"restore\",\"revision\":1,\"at\":{}}}}}\n", 45 * MS);
        assert!(broken(&[named, restored, list((50, 60), "1,2", "", "2")]).is_empty());
    }

    #[test]
    fn a_promotion_is_answered_where_nothing_breaks() {
        let write = |number: u64| {
            let (call, ret) = ((9_000 + 100 * number) * MS, (9_010 + 100 * number) * MS);
            format!(
                "{{\"id\":{number},\"client\":1,\"endpoint\":\"m1\",\"call\":{call},\"return\":{ret},\"op\":{{\"put\":{{\"key\":\"a\",\
                 \"value\":\"{number}\"}}}},\"outcome\":\"ok\",\"header\":{{\"cluster_id\":1,\"member_id\":1,\"revision\":{},\
                 \"raft_term\":2}},\"result\":{{\"put\":{{}}}}}}\n",
                number + 2
            )
        };
        let with = |asks: &str, answer: &str, writes: u64, more: &str| {
            let line = asked((8_900, 10_900), asks, "\"id\":7,\"url\":\"\"", answer);
            let mut lines: Vec<String> = (0..writes).map(write).collect();
            lines.extend([line, more.to_owned()]);
            broken(&lines)
        };
        assert_eq!(with("promote", "\"unanswered\"", 6, ""), [super::ANSWERED]);
        assert_eq!(with("update", "\"unanswered\"", 6, ""), [super::ANSWERED]);
        assert!(with("promote", "{\"refused\":\"not ready\"}", 6, "").is_empty());
        assert!(
            with("remove", "\"unanswered\"", 6, "").is_empty(),
            "the member may be the one that is removed"
        );
        assert!(with("promote", "\"unanswered\"", 4, "").is_empty(), "the member does too little");
        let fault = |action: &str| {
            format!("{{\"fault\":{{\"at\":9500000000,\"action\":\"{action}\",\"target\":\"m2\"}}}}\n")
        };
        assert!(with("promote", "\"unanswered\"", 6, &fault("pause")).is_empty());
        assert_eq!(with("promote", "\"unanswered\"", 6, &fault("addLearner")), [super::ANSWERED]);
        let life = "{\"life\":{\"at\":7500000000,\"member\":\"m2\",\"incarnation\":2}}\n";
        assert!(with("promote", "\"unanswered\"", 6, life).is_empty(), "a member has just started");
    }
}
