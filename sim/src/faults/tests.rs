//! Tests the flat form of a fault, and the resolution of selectors into names.

use super::*;
use proptest::prelude::*;

fn candidate(n: usize, running: bool, leader: bool) -> Candidate {
    let name = format!("m{n}");
    Candidate {
        name,
        running,
        leader,
        learner: false,
        in_hand: false,
        intact: true,
        startable: true,
        spare: true,
        out: false,
    }
}

fn crash() -> Settings {
    Settings::Crash(Crash::default())
}

fn partition() -> Settings {
    Settings::Partition(Partition::default())
}

fn restart() -> Settings {
    Settings::Restart(Restart::default())
}

fn members(leader: usize, down: &[usize]) -> Vec<Candidate> {
    (1..=5).map(|n| candidate(n, !down.contains(&n), n == leader)).collect()
}

fn target(role: Option<RoleSelector>, names: &[&str], mode: Mode, value: u32) -> Target {
    let names = names.iter().map(|name| name.to_string()).collect();
    Target { selector: Selector { role, names, same_as: None }, mode, value }
}

#[test]
fn targets_resolve_by_what_members_are() {
    let at_rest = members(2, &[]);
    let resolve = |target: &Target, settings: &Settings, members: &[Candidate]| {
        target.resolve(settings, members, &[], 3)
    };
    let leader = target(Some(RoleSelector::Leader), &[], Mode::One, 0);
    assert_eq!(resolve(&leader, &crash(), &at_rest), ["m2"]);
    // During an election there is no leader: the fault hits no member, rather than another one.
    assert_eq!(resolve(&leader, &crash(), &members(0, &[])), [""; 0]);
    // A leader that is down no longer leads.
    assert_eq!(resolve(&leader, &partition(), &members(2, &[2])), [""; 0]);
    let followers = target(Some(RoleSelector::Follower), &[], Mode::All, 0);
    assert_eq!(resolve(&followers, &crash(), &members(2, &[4])), ["m1", "m3", "m5"]);
    let learners = target(Some(RoleSelector::Learner), &[], Mode::All, 0);
    let mut with_a_learner = members(2, &[]);
    with_a_learner[3].learner = true;
    assert_eq!(resolve(&learners, &crash(), &with_a_learner), ["m4"]);
    with_a_learner[3].running = false;
    assert_eq!(resolve(&learners, &restart(), &with_a_learner), [""; 0]);
    let stopped = target(Some(RoleSelector::Stopped), &[], Mode::All, 0);
    assert_eq!(resolve(&stopped, &restart(), &members(2, &[4, 5])), ["m4", "m5"]);
    let named = target(None, &["m5", "m1"], Mode::All, 0);
    assert_eq!(resolve(&named, &crash(), &at_rest), ["m1", "m5"]);
    // A member that is down cannot be crashed again.
    assert_eq!(resolve(&named, &crash(), &members(2, &[5])), ["m1"]);
    let mut same = target(None, &[], Mode::All, 0);
    same.selector.same_as = Some("lose".into());
    let hit = ["m3".to_string()];
    assert_eq!(same.resolve(&restart(), &members(2, &[3, 4]), &hit, 3), ["m3"]);
}

#[test]
fn modes_count_from_the_whole_cluster() {
    for (size, minority, majority) in [(1, 0, 1), (2, 0, 1), (3, 1, 2), (4, 1, 2), (5, 2, 3), (7, 3, 4)] {
        let members: Vec<Candidate> = (1..=size).map(|n| candidate(n, true, n == 1)).collect();
        let hit = |mode, value| target(None, &[], mode, value).resolve(&crash(), &members, &[], 9).len();
        assert_eq!(hit(Mode::Minority, 0), minority, "{size}");
        assert_eq!(hit(Mode::Majority, 0), majority, "{size}");
        // The members left after a lost majority are no quorum.
        assert!(size - majority < size / 2 + 1, "{size}");
        assert!(size - minority > size / 2, "{size}");
        assert_eq!(hit(Mode::All, 0), size);
        assert!((1..=size).contains(&hit(Mode::Random, 0)));
        assert_eq!(hit(Mode::Fixed, 2), size.min(2));
        assert_eq!(hit(Mode::FixedPercent, 50), size.div_ceil(2), "{size}");
        assert_eq!(hit(Mode::FixedPercent, 1), 1);
    }
}

#[test]
fn a_random_number_is_any_number() {
    let random = target(None, &[], Mode::Random, 0);
    let counts: std::collections::BTreeSet<usize> =
        (0..100).map(|draw| random.resolve(&crash(), &members(1, &[]), &[], draw).len()).collect();
    assert_eq!(counts, (1..=5).collect());
}

#[test]
fn draws_reach_every_member() {
    let one = target(None, &[], Mode::One, 0);
    let hit: std::collections::BTreeSet<String> =
        (0..100).flat_map(|draw| one.resolve(&crash(), &members(1, &[]), &[], draw)).collect();
    assert_eq!(hit.len(), 5);
}

proptest! {
    #[test]
    fn targets_are_members_each_once(draw in any::<u64>(), leader in 0usize..6, value in 1u32..6, down in 1usize..6) {
        let members = members(leader, &[down]);
        for mode in [Mode::One, Mode::All, Mode::Fixed, Mode::FixedPercent, Mode::Minority, Mode::Majority] {
            for role in [None, Some(RoleSelector::Leader), Some(RoleSelector::Follower), Some(RoleSelector::Stopped)] {
                let target = target(role, &[], mode, value);
                let hit = target.resolve(&partition(), &members, &[], draw);
                let mut sorted = hit.clone();
                sorted.sort();
                sorted.dedup();
                prop_assert_eq!(&hit, &sorted);
                prop_assert_eq!(&target.resolve(&partition(), &members, &[], draw), &hit);
            }
        }
    }
}

#[test]
fn members_in_hand_are_hit_by_what_names_such_work_alone() {
    let mut members = members(1, &[]);
    members[1].in_hand = true;
    let all = target(None, &[], Mode::All, 0);
    let hit = |settings: &Settings| all.resolve(settings, &members, &[], 0);
    assert_eq!(hit(&crash()), ["m1", "m3", "m4", "m5"]);
    assert_eq!(hit(&Settings::Pause(Pause {})), ["m1", "m3", "m4", "m5"]);
    assert_eq!(hit(&Settings::Crash(Crash { during_work: true, ..Crash::default() })).len(), 5);
    // Links and disks belong to the machine: a member that an operator works on is hit too.
    assert_eq!(hit(&partition()).len(), 5);
    assert_eq!(hit(&Settings::DiskStall(DiskStall {})).len(), 5);
}

#[test]
fn a_copy_is_lost_only_where_a_quorum_of_copies_remains() {
    let mut members = members(1, &[]);
    members[0].spare = false;
    members[1].intact = false;
    let all = target(None, &[], Mode::All, 0);
    assert_eq!(all.resolve(&Settings::WipeDisk(WipeDisk {}), &members, &[], 0), ["m3", "m4", "m5"]);
}

#[test]
fn every_kind_has_a_name_of_its_own_and_says_what_it_is() {
    let names: std::collections::BTreeSet<&str> = Action::NAMES.iter().copied().collect();
    assert_eq!(names.len(), Action::ALL.len());
    for action in Action::ALL {
        assert!(!action.about().is_empty(), "{action:?}");
        let required = action.unwritten().is_none();
        assert_eq!(required, !action.example().is_empty(), "{action:?}: a required block has an example");
        assert!(!required || action.has_settings(), "{action:?}");
    }
}

/// Histories from before the effects were recorded are judged like new ones. A newer kind needs no row in the checker's
/// table: name it here.
#[test]
fn old_histories_have_the_effects_that_the_rooms_name_today() {
    const YOUNGER_THAN_RECORDED_EFFECTS: [&str; 0] = [];
    for action in Action::ALL {
        let name = action.name();
        let old = squall_checker::history::Effect::of_action(name);
        assert!(YOUNGER_THAN_RECORDED_EFFECTS.contains(&name) || action.effects() == old, "{name}: {old:?}");
    }
}

#[test]
fn a_restore_that_strikes_again_has_another_token() {
    let token = |token: Option<&str>, id: &str| {
        let mut restore = RestoreSnapshot {
            snapshot: "b".into(),
            token: token.map(str::to_owned),
            old_token: false,
            onto: restore_snapshot::RestoreOnto::All,
            pause: Default::default(),
        };
        restore.complete(id);
        restore.token.unwrap()
    };
    assert_eq!(token(None, "r"), "r");
    assert_eq!(token(None, "r.2"), "r.2");
    assert_eq!(token(Some("t"), "r"), "t");
    assert_eq!(token(Some("t"), "r.2"), "t.2");
    assert_eq!(token(Some("t"), "v1.b"), "t");
}
