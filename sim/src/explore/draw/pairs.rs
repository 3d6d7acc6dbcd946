//! Faults that belong together in an explored scenario: failures during an operator's work, failures during a member's own
//! work, and what happens before a repair.
//!
//! Faults that are drawn one by one seldom meet. But many historical bugs need two that meet: a crash in the middle of a
//! defragmentation (etcd #11613, #14685, #20271), or a power cut right before a forced new cluster (etcd #20071). So some
//! runs with an operator's work get one of three shapes: a failure during the work, the work and a failure that both
//! repeat, or a change of the members and a power cut before a repair. And some runs get a failure right after a
//! member reports that it does something, such as an install.
//!
//! Pairs have their own random stream and are drawn after the faults. So they do not change scenarios without one.

use std::time::Duration;

use squall_store::seam::Point;

use super::{
    Draws, LONG, draw_settings, draw_until_valid,
    points::{few_points, points_of, points_of_installs},
};
use crate::{
    faults::{
        Action, After, Aim, Crash, Fault, Lasts, Milestone, Mode, RoleSelector, Selector, Settings,
        UnsyncedSetting,
    },
    scenario::Spec,
    text::Window,
    world::Chance,
};

/// How often a pair is drawn again if it does not fit.
const TRIES: u32 = 6;

/// What goes wrong beside the work. A crash stands several times, because it shows the most.
const FAILURES: [Action; 9] = [
    Action::Crash,
    Action::Crash,
    Action::Crash,
    Action::Points,
    Action::Pause,
    Action::Partition,
    Action::DiskStall,
    Action::SlowFsync,
    Action::ResetConnections,
];

/// The changes of the members that a repair may follow.
const CHANGES: [Action; 6] = [
    Action::AddLearner,
    Action::AddLearner,
    Action::AddMember,
    Action::RemoveMember,
    Action::ReplaceMember,
    Action::UpdateMember,
];

/// Adds faults beside one of the operator's works, in two thirds of the runs that have such work. In a quarter of all runs a
/// member fails during its own work.
pub(super) fn pair(spec: &mut Spec, chance: &Chance) {
    beside_operators(spec, &chance.child("operators"));
    let chance = chance.child("members");
    if spec.time_limit < LONG && Draws(chance.stream()).one_in(4) {
        draw_until_valid(spec, &chance, TRIES, amid_own_work);
    }
}

fn beside_operators(spec: &mut Spec, chance: &Chance) {
    let mut draws = Draws(chance.stream());
    let works: Vec<usize> = (0..spec.faults.len())
        .filter(|index| spec.faults[*index].fault().is_some_and(|fault| is_work(fault.action)))
        .collect();
    let Some(work) = draws.0.pick(&works).copied() else { return };
    if draws.one_in(3) {
        return;
    }
    draw_until_valid(spec, chance, TRIES, |spec, chance| companions(spec, work, chance));
}

/// Whether an operator does this.
fn is_work(action: Action) -> bool {
    use Action::*;
    is_repair(action)
        || can_repeat(action)
        || matches!(action, SnapshotSave | AddMember | AddFirst | AddLearner | RemoveMember)
}

/// Whether it repairs a cluster after a disaster.
fn is_repair(action: Action) -> bool {
    matches!(action, Action::ForceNewCluster | Action::RestoreSnapshot | Action::ReplaceMember)
}

/// Whether an operator may do it again and again. A snapshot that a restore refers to is saved once.
fn can_repeat(action: Action) -> bool {
    matches!(
        action,
        Action::Defragment
            | Action::Compact
            | Action::ReclaimSpace
            | Action::MoveLeader
            | Action::UpdateMember
    )
}

fn companions(spec: &mut Spec, work: usize, chance: &Chance) -> Option<()> {
    let mut draws = Draws(chance.stream());
    let fault = spec.faults[work].fault()?.clone();
    let name = fault.name.clone()?;
    if is_repair(fault.action) && !draws.one_in(3) {
        disaster(spec, work, &mut draws, chance)?;
    } else if can_repeat(fault.action) && draws.one_in(2) {
        both_repeat(spec, work, &mut draws, chance)?;
    } else {
        let action = draws.pick(&FAILURES);
        let mut failure = failure(spec, action, &format!("amid-{name}"), &chance.child("failure"))?;
        few_points(&mut failure, points_of(fault.action), &mut draws);
        failure.at = Window::exactly(draws.millis(&[0, 1, 5, 20, 50, 100, 300, 1_000]));
        let after = After { fault: Some(name.clone()), count: 1, ..After::default() };
        failure.after = Some(if is_repair(fault.action) || draws.one_in(2) {
            After { event: Some(Milestone::OperatorStep), count: draws.pick(&[1, 2, 3, 4, 6, 8]), ..after }
        } else {
            after
        });
        if fault.action.aim() != Aim::Cluster && fault.every.is_none() && draws.one_in(2) {
            failure.selector = Some(Selector { same_as: Some(name), ..Selector::default() });
        }
        spec.faults.push(failure.into());
    }
    Some(())
}

/// The work and failures, each in its own rhythm.
fn both_repeat(spec: &mut Spec, work: usize, draws: &mut Draws, chance: &Chance) -> Option<()> {
    let fault = spec.faults[work].fault()?.clone();
    let name = fault.name.clone()?;
    let mut work_again = fault.clone();
    work_again.at = Window::exactly(draws.millis(&[500, 1_000, 2_000]));
    work_again.every = Some(about(draws.millis(&[200, 300, 500, 1_000])));
    if fault.action.aim() == Aim::Members {
        (work_again.selector, work_again.mode, work_again.value) = (None, Some(Mode::All), None);
    }
    spec.faults[work] = work_again.into();
    for number in 1..=draws.pick(&[1, 2, 2]) {
        // What the work has left behind shows at a start. So the first failure is a crash.
        let crash = draws.pick(&[Action::Crash, Action::Crash, Action::Points]);
        let action = if number == 1 { crash } else { draws.pick(&FAILURES) };
        let name = format!("beside-{name}-{number}");
        let mut failure = failure(spec, action, &name, &chance.child(&number.to_string()))?;
        few_points(&mut failure, points_of(fault.action), draws);
        failure.at = Window::exactly(draws.seconds(&[1, 2, 3]));
        failure.every = Some(about(draws.millis(&[500, 700, 1_500, 3_000])));
        spec.faults.push(failure.into());
    }
    Some(())
}

/// What a repair follows: a change of the members, a power cut of all or of most of them, or one after the other. After a
/// power cut one member starts again.
fn disaster(spec: &mut Spec, work: usize, draws: &mut Draws, chance: &Chance) -> Option<()> {
    let repair = spec.faults[work].fault()?.clone();
    let members = spec.cluster.member_names();
    let (changes, cut) = draws.pick(&[(true, false), (true, true), (false, true), (false, true)]);
    let at = repair.at.from.max(draws.millis(&[2_500, 3_500, 5_000]));
    let crash_at = at - draws.millis(&[500, 1_000, 1_500, 2_000]);
    let mut repair = Fault { at: Window::exactly(at), every: None, ..repair };
    let mut before = Vec::new();
    if changes {
        let action = draws.pick(&CHANGES);
        let change_at = crash_at.saturating_sub(draws.millis(&[100, 300, 1_000, 2_000]));
        let mut change = Fault::new(action, Window::exactly(change_at.max(Duration::from_millis(300))));
        change.name = Some("change".to_owned());
        draw_settings(&mut change, &chance.child("change"), &members, &[])?;
        before.push(change);
    }
    if cut {
        let mut crash = Fault::new(Action::Crash, Window::exactly(crash_at));
        crash.name = Some("disaster".to_owned());
        crash.mode = Some(draws.pick(&[Mode::All, Mode::All, Mode::Majority]));
        let unsynced = draws.pick(&[
            UnsyncedSetting::Drop,
            UnsyncedSetting::Drop,
            UnsyncedSetting::Any,
            UnsyncedSetting::Torn,
        ]);
        crash.blocks.insert(Action::Crash, Settings::Crash(Crash { unsynced, during_work: false }));
        before.push(crash);
        if repair.action.aim() != Aim::Cluster {
            let survivor = draws.0.pick(&members).expect("a cluster has a member").clone();
            let named = Some(Selector { names: vec![survivor], ..Selector::default() });
            let mut start = Fault::new(Action::Restart, Window::exactly(at - (at - crash_at) / 2));
            (start.name, start.selector) = (Some("survivor".to_owned()), named.clone());
            (repair.selector, repair.mode, repair.value) = (named, None, None);
            before.push(start);
        }
    }
    spec.faults[work] = repair.into();
    spec.faults.splice(work..work, before.into_iter().map(Into::into));
    Some(())
}

/// A member fails right after a member reports an event. Installed snapshots are rare, so for them a member is away again and
/// again, and the others keep only a short log.
fn amid_own_work(spec: &mut Spec, chance: &Chance) -> Option<()> {
    let mut draws = Draws(chance.stream());
    let event = draws.pick(&[
        Milestone::SnapshotInstallBegan,
        Milestone::SnapshotInstallBegan,
        Milestone::SnapshotInstallBegan,
        Milestone::SnapshotInstalled,
        Milestone::SnapshotSaved,
        Milestone::CompactionFinished,
        Milestone::LeaderChange,
        Milestone::Ready,
    ]);
    let installs = matches!(event, Milestone::SnapshotInstallBegan | Milestone::SnapshotInstalled);
    let members = spec.cluster.member_names();
    let member = draws.0.pick(&members).expect("a cluster has a member").clone();
    let named = Some(Selector { names: vec![member], ..Selector::default() });
    if installs {
        keep_away(spec, &named, &mut draws);
    }
    let at_the_same = draws.one_in(2);
    for number in 1..=draws.pick(&[1, 2, 3]) {
        let chance = chance.child(&format!("failure {number}"));
        let action = draws.pick(&[
            Action::Points,
            Action::Points,
            Action::Points,
            Action::Crash,
            Action::Crash,
            Action::Crash,
            Action::DiskStall,
        ]);
        // An install has many steps, and each lasts for a few milliseconds.
        let action = if installs && number == 1 && !draws.one_in(3) { Action::Points } else { action };
        let mut failure = failure(spec, action, &format!("amid-own-work-{number}"), &chance)?;
        failure.at = Window::exactly(draws.millis(&[0, 1, 5, 10, 20, 35, 50, 70, 100, 150, 300]));
        failure.after = Some(After { event: Some(event), count: number, ..After::default() });
        if installs && action == Action::Points {
            // The install may begin and end within milliseconds.
            failure.at = Window::exactly(Duration::ZERO);
            failure.duration = Some(about(draws.millis(&[300, 1_000, 3_000])));
        }
        if installs && (at_the_same || action == Action::Points) {
            (failure.selector, failure.mode, failure.value) = (named.clone(), None, None);
        }
        let points = if installs { points_of_installs() } else { Point::ALL };
        few_points(&mut failure, points, &mut draws);
        spec.faults.push(failure.into());
    }
    Some(())
}

/// A member is away again and again, and the others keep too short a log for it.
fn keep_away(spec: &mut Spec, member: &Option<Selector>, draws: &mut Draws) {
    spec.cluster.snapshot_count = draws.pick(&[5, 20, 50, 100]);
    spec.cluster.snapshot_catchup_entries = draws.pick(&[0, 2, 10]);
    let action = draws.pick(&[Action::Partition, Action::Crash, Action::Pause]);
    let mut away = Fault::new(action, Window::exactly(draws.millis(&[1_000, 1_500, 2_000])));
    away.name = Some("away".to_owned());
    away.duration = Some(about(draws.millis(&[500, 1_000, 2_000])));
    away.every = Some(about(draws.millis(&[3_000, 4_000])));
    away.selector.clone_from(member);
    spec.faults.push(away.into());
}

/// A failure of a short duration, with drawn settings. `None` if it does not fit the cluster.
fn failure(spec: &Spec, action: Action, name: &str, chance: &Chance) -> Option<Fault> {
    let mut draws = Draws(chance.stream());
    let members = spec.cluster.member_names();
    let mut failure = Fault::new(action, Window::exactly(Duration::ZERO));
    failure.name = Some(name.to_owned());
    if action.lasts() != Lasts::Never {
        failure.duration = Some(about(draws.millis(&[50, 100, 300, 1_000, 3_000])));
    }
    match draws.pick(&[0, 0, 1, 2]) {
        1 => failure.selector = Some(Selector { role: Some(RoleSelector::Leader), ..Selector::default() }),
        2 if action.aim() == Aim::Members => failure.mode = Some(Mode::All),
        _ => {}
    }
    draw_settings(&mut failure, &chance.child("block"), &members, &[])?;
    Some(failure)
}

/// From the given time to half as long again.
fn about(time: Duration) -> Window {
    Window { from: time, to: time + time / 2 }
}
