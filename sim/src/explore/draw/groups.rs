//! Groups in an explored scenario: some of the drawn faults take turns, or begin together.
//!
//! A group has its own random stream and is drawn after the faults. So groups do not change scenarios without one.

use std::time::Duration;

use super::{Draws, draw_until_valid};
use crate::{
    faults::{After, Fault, Group, Item, Lasts, Milestone},
    scenario::Spec,
    text::Window,
    world::Chance,
};

/// How often a group is drawn again if it does not fit.
const TRIES: u32 = 6;

/// Puts some of the faults into a group, in a quarter of the runs with two or more faults.
pub(super) fn gather(spec: &mut Spec, chance: &Chance) {
    let mut draws = Draws(chance.stream());
    if spec.faults.len() < 2 || !draws.one_in(4) {
        return;
    }
    draw_until_valid(spec, chance, TRIES, |spec, chance| {
        spec.faults = with_group(&spec.faults, spec.time_limit, &mut Draws(chance.stream()));
        Some(())
    });
}

/// The faults, some of them in a group at the end of the list.
fn with_group(flat: &[Item], limit: Duration, draws: &mut Draws) -> Vec<Item> {
    let mut chosen: Vec<usize> = (0..flat.len()).collect();
    draws.0.shuffle(&mut chosen);
    chosen.truncate(draws.pick(&[2, 2, 3, 4]));
    chosen.sort_unstable();
    let faults = chosen.iter().filter_map(|index| flat[*index].fault());
    let mut members: Vec<Item> = faults.map(|fault| member(fault, draws).into()).collect();
    let serial = draws.one_in(2);
    // Nest a group in a group of the other kind.
    if members.len() > 2 && draws.one_in(2) {
        let inner = members.split_off(members.len() - 2);
        let at = Window::exactly(draws.millis(&[0, 0, 300]));
        members.insert(0, group("inner", at, !serial, inner));
    }
    let latest = (limit.as_millis() as u64 / 100).saturating_sub(20).max(4);
    let at = Duration::from_millis(draws.0.within(3..latest) * 100);
    let mut outer = Group {
        repeat: draws.pick(&[None, None, None, Some(2), Some(3)]),
        deadline: draws.pick(&[None, None, None, Some(1), Some(3)]).map(seconds),
        ..plain("group", Window::exactly(at), serial, members)
    };
    if draws.one_in(4) {
        outer.after = Some(After {
            event: Some(draws.pick(&[
                Milestone::LeaderChange,
                Milestone::SnapshotInstallBegan,
                Milestone::SnapshotSaved,
                Milestone::CompactionFinished,
            ])),
            count: draws.pick(&[1, 1, 2]),
            ..After::default()
        });
        outer.at = Window::exactly(draws.millis(&[0, 10, 200]));
    }
    let rest = flat.iter().enumerate().filter(|(index, _)| !chosen.contains(index));
    rest.map(|(_, item)| item.clone()).chain([Item::Group(Box::new(outer))]).collect()
}

/// A fault as a member of a group: the group says when it begins, and another fault may follow it.
fn member(fault: &Fault, draws: &mut Draws) -> Fault {
    let mut fault = Fault {
        at: Window::exactly(draws.millis(&[0, 0, 0, 100, 500])),
        every: None,
        after: None,
        ..fault.clone()
    };
    if fault.action.lasts() == Lasts::UntilHealed && fault.duration.is_none() {
        fault.duration = Some(Window::exactly(draws.millis(&[200, 500, 1_000, 2_000])));
    }
    fault
}

fn seconds(count: u64) -> Window {
    Window::exactly(Duration::from_secs(count))
}

fn group(name: &str, at: Window, serial: bool, members: Vec<Item>) -> Item {
    Item::Group(Box::new(plain(name, at, serial, members)))
}

fn plain(name: &str, at: Window, serial: bool, members: Vec<Item>) -> Group {
    let (serial, parallel) = if serial { (Some(members), None) } else { (None, Some(members)) };
    Group {
        name: Some(name.to_owned()),
        at,
        every: None,
        after: None,
        repeat: None,
        deadline: None,
        serial,
        parallel,
        stray: None,
    }
}
