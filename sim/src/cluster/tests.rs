//! Tests of the queue of procedures and of the roster, without a cluster; and of procedures, over scripted answers.
//! `sim/tests/hostile.rs` tests the procedures on real members.

mod procedures;

use std::{
    cell::RefCell,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;

use super::{
    Done,
    roster::{Roster, Standing},
    turns::{Kind, Turn, Turns},
};
use crate::{
    arena::NodeId,
    workload::{Observer, Recorder},
    world::{World, WorldConfig},
};

const SECOND: Duration = Duration::from_secs(1);

/// The events of a test and the seconds in which they happened.
struct Diary {
    world: World,
    lines: RefCell<Vec<String>>,
}

impl Diary {
    fn note(&self, what: &str) {
        let second = self.world.now().since_start().as_secs();
        self.lines.borrow_mut().push(format!("{second}: {what}"));
    }

    /// A procedure that begins after `wait` seconds and works for `work` seconds, all of it critical or none.
    async fn procedure(&self, turns: &Turns, name: &str, kind: Kind, wait: u32, work: u32, critical: bool) {
        self.world.sleep(SECOND * wait).await;
        let work = async |turn: Turn<'_>| {
            self.note(&format!("{name} begins"));
            if critical {
                turn.begin_critical();
            }
            self.world.sleep(SECOND * work).await;
            turn.end_critical();
            Done::Success
        };
        match turns.run(name, kind, work).await {
            Done::Success => self.note(&format!("{name} is done")),
            other => self.note(&format!("{name}: {other:?}")),
        }
    }
}

fn lines_of(body: impl AsyncFnOnce(&Turns, &Diary) + Send + 'static) -> Vec<String> {
    let finished = World::run(WorldConfig::new(1), |world| async move {
        let diary = Diary { world, lines: RefCell::default() };
        body(&Turns::default(), &diary).await;
        diary.lines.into_inner()
    });
    finished.expect("the world runs").output.expect("the body ends")
}

#[test]
fn procedures_take_turns() {
    let lines = lines_of(async |turns, diary| {
        futures_util::join!(
            diary.procedure(turns, "one", Kind::Reconfigure, 0, 5, false),
            diary.procedure(turns, "two", Kind::Reconfigure, 1, 2, false),
        );
    });
    assert_eq!(lines, ["0: one begins", "5: one is done", "5: two begins", "7: two is done"]);
}

/// A restore that waits for its snapshot is under way, although it has not queued.
#[test]
fn an_expected_procedure_is_under_way() {
    let turns = Turns::default();
    let expected = turns.expect();
    assert!(turns.is_any_under_way());
    drop(expected);
    assert!(!turns.is_any_under_way());
}

#[test]
fn a_recovery_supersedes_what_began_before_it_and_nothing_else() {
    let lines = lines_of(async |turns, diary| {
        futures_util::join!(
            diary.procedure(turns, "one", Kind::Reconfigure, 0, 100, false),
            diary.procedure(turns, "two", Kind::Reconfigure, 1, 100, false),
            diary.procedure(turns, "recovery", Kind::Recover, 3, 4, false),
            diary.procedure(turns, "three", Kind::Reconfigure, 4, 1, false),
        );
    });
    assert_eq!(
        lines,
        [
            "0: one begins",
            "3: one: GivenUp(\"superseded by recovery\")",
            "3: two: GivenUp(\"superseded by recovery\")",
            "3: recovery begins",
            "7: recovery is done",
            "7: three begins",
            "8: three is done",
        ]
    );
}

#[test]
fn a_critical_section_ends_before_it_is_superseded() {
    let lines = lines_of(async |turns, diary| {
        futures_util::join!(
            diary.procedure(turns, "first", Kind::Recover, 0, 6, true),
            diary.procedure(turns, "second", Kind::Recover, 2, 1, true),
        );
    });
    assert_eq!(lines[0], "0: first begins");
    assert!(lines.contains(&"6: second begins".to_owned()), "{lines:?}");
    assert_eq!(lines.last().expect("lines"), "7: second is done");
}

/// A clock that the test sets.
#[derive(Default)]
struct Clock(Mutex<u64>);

impl Observer for Clock {
    fn now_ns(&self) -> u64 {
        *self.0.lock().expect("not poisoned")
    }

    fn note(&self, _node: &str, _text: String) {}
}

fn roster(members: usize) -> (Arc<Clock>, Arc<Recorder>, Vec<NodeId>, Roster) {
    let clock = Arc::new(Clock::default());
    let recorder = Arc::new(Recorder::default());
    recorder.attach(clock.clone());
    let finished = World::run(WorldConfig::new(1), move |world| async move {
        (1..=members).map(|n| world.add_node(&format!("m{n}"))).collect::<Vec<_>>()
    });
    let nodes = finished.expect("the world runs").output.expect("the body ends");
    let roster = Roster::new(recorder.clone(), nodes.iter().copied());
    (clock, recorder, nodes, roster)
}

fn outages(recorder: &Recorder) -> Vec<(u64, u64)> {
    let events = recorder.finish().events.into_iter();
    let outages = events.filter_map(|event| match event {
        h::Event::Outage(outage) => Some((outage.from, outage.to)),
        _ => None,
    });
    outages.collect()
}

#[test]
fn an_outage_ends_when_a_member_comes_up_and_is_not_told_while_the_members_change() {
    let (clock, recorder, nodes, mut roster) = roster(3);
    let at = |instant: u64| *clock.0.lock().expect("not poisoned") = instant;
    at(10);
    roster.watch_outage(|node| node == nodes[0]);
    at(20);
    // Another member comes up and goes down again. Two copies may exist, so a new outage begins.
    roster.end_outage();
    roster.watch_outage(|node| node == nodes[1]);
    at(30);
    roster.forget_configuration();
    roster.watch_outage(|_| false);
    at(40);
    roster.set_configuration([nodes[0]].into());
    roster.watch_outage(|node| node == nodes[0]);
    at(50);
    roster.watch_outage(|_| false);
    at(60);
    roster.end_outage();
    assert_eq!(outages(&recorder), [(10, 20), (20, 30), (50, 60)]);
}

#[test]
fn who_may_be_started_and_counted() {
    let (_, _, nodes, mut roster) = roster(3);
    let node = nodes[0];
    assert!(roster.may_start(node) && roster.counts(node));
    roster.take_in_hand(node);
    roster.take_in_hand(node);
    assert!(!roster.may_start(node), "an operator works on it");
    roster.let_go(node);
    assert!(!roster.may_start(node), "a second procedure has it too");
    roster.let_go(node);
    assert!(roster.may_start(node));
    roster.set_ruined(node, false);
    assert!(roster.may_start(node) && !roster.counts(node), "it may try, and should be refused");
    roster.set_standing(node, Standing::Out);
    assert!(!roster.may_start(node) && !roster.counts(node));
    roster.set_standing(node, Standing::Joining);
    assert!(roster.may_start(node) && roster.counts(node));
}

#[test]
fn a_core_is_a_quorum_of_intact_members_and_the_others_are_left_behind() {
    let mut sizes = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let (_, _, nodes, mut roster) = roster(5);
        roster.set_ruined(nodes[1], false);
        let core = roster.choose_core(&mut ChaCha8Rng::seed_from_u64(seed)).expect("four are intact");
        sizes.insert(core.len());
        assert!(core.len() >= 3 && !core.contains(&nodes[1]));
        for node in nodes {
            assert_eq!(roster.counts(node), core.contains(&node));
            assert_eq!(roster.may_start(node), core.contains(&node));
        }
    }
    assert_eq!(sizes, [3, 4].into());
}

#[test]
fn there_is_no_core_without_a_quorum_or_while_an_operator_works() {
    let chance = || ChaCha8Rng::seed_from_u64(1);
    let (_, _, nodes, mut roster) = roster(3);
    roster.take_in_hand(nodes[0]);
    assert_eq!(roster.choose_core(&mut chance()), None);
    roster.let_go(nodes[0]);
    roster.set_ruined(nodes[0], false);
    roster.set_standing(nodes[1], Standing::Joining);
    assert_eq!(roster.choose_core(&mut chance()), None, "one member alone is no quorum of three");
    roster.set_standing(nodes[1], Standing::Intact);
    let configuration = roster.forget_configuration().expect("it is known");
    assert_eq!(roster.choose_core(&mut chance()), None, "the members are changing");
    roster.set_configuration(configuration);
    assert!(roster.choose_core(&mut chance()).is_some());
    assert!(nodes.iter().all(|node| roster.counts(*node) == (*node != nodes[0])));
}

#[test]
fn a_copy_may_be_lost_only_where_a_quorum_of_copies_remains() {
    let (_, _, nodes, mut roster) = roster(3);
    assert!(roster.can_lose_copy(nodes[0]));
    roster.set_ruined(nodes[0], false);
    assert!(!roster.can_lose_copy(nodes[1]));
    roster.set_standing(nodes[0], Standing::Joining);
    assert!(!roster.can_lose_copy(nodes[1]), "a joiner may not have the data yet");
    roster.set_standing(nodes[0], Standing::Intact);
    assert!(roster.can_lose_copy(nodes[1]));
    roster.forget_configuration();
    assert!(!roster.can_lose_copy(nodes[1]), "the members are changing");
}

#[test]
fn data_is_lost_where_no_quorum_of_the_members_has_it_whether_or_not_they_are_changing() {
    let (_, _, nodes, mut roster) = roster(3);
    roster.set_ruined(nodes[0], false);
    assert!(!roster.has_lost_its_data(), "two of three are left");
    roster.set_configuration([nodes[0], nodes[1]].into());
    assert!(roster.has_lost_its_data(), "one of two is left");
    roster.forget_configuration();
    assert!(roster.has_lost_its_data(), "a third member is being added, which those two cannot agree on");
    roster.set_standing(nodes[0], Standing::Out);
    assert!(!roster.has_lost_its_data(), "the member was replaced: nothing was forgotten under its id");
}

#[test]
fn an_id_that_was_had_is_never_taken_for_a_new_one() {
    let (_, _, nodes, mut roster) = roster(1);
    roster.set_id(nodes[0], Some(7));
    assert!(!roster.had_id(nodes[0], 7));
    roster.retire_id(nodes[0], 7);
    assert!(roster.had_id(nodes[0], 7) && roster.id(nodes[0]).is_none());
    roster.set_id(nodes[0], Some(8));
    roster.set_id(nodes[0], Some(9));
    assert!(roster.had_id(nodes[0], 8) && !roster.had_id(nodes[0], 9));
}
