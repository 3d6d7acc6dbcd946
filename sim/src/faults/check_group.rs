//! The checks of groups: their required keys, and that everything in them can take place.

use std::time::Duration;

use super::{
    Fault, Group, Node,
    check::{Check, Shape},
    group::groups_around,
    order::{MAX_STRIKES, Misfit, Placed, Values, Why, place},
};
use crate::text::{Refusal, Step, Window, format_duration as go};

use Step::Key;

/// How deep groups may be nested.
const MAX_DEPTH: usize = 4;

/// When a fault first strikes, as far as the file determines it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begins {
    pub(super) earliest: Duration,
    pub(super) latest: Duration,
    /// Whether the instants count from the start of the clients.
    pub(super) is_known: bool,
}

/// The range of possible times: the items placed as early and as late as their windows allow.
pub(super) struct Bounds {
    early: Result<Vec<Placed>, Misfit>,
    late: Result<Vec<Placed>, Misfit>,
}

/// Chooses the same end of every window.
struct Ends(fn(Window) -> Duration);

impl Values for Ends {
    fn time(&mut self, _of: &str, window: Window) -> Duration {
        (self.0)(window)
    }

    fn draw(&mut self, _of: &str) -> u64 {
        0
    }
}

impl Bounds {
    pub(super) fn of(nodes: &[Node<'_>], cluster: &Shape) -> Bounds {
        let placed = |end| place(nodes, cluster.time_limit, &mut Ends(end));
        Bounds { early: placed(|window| window.from), late: placed(|window| window.to) }
    }

    /// When the fault at this node first strikes.
    pub(super) fn begins(&self, nodes: &[Node<'_>], node: usize, fault: &Fault) -> Begins {
        let plain = Begins { earliest: fault.at.from, latest: fault.at.to, is_known: fault.after.is_none() };
        if nodes[node].parent.is_none() {
            return plain;
        }
        let first = |placed: &Result<Vec<Placed>, Misfit>| {
            let strike = placed.as_ref().ok()?.iter().find(|strike| strike.node == node)?;
            Some((strike.at, strike.fault.after.is_none()))
        };
        let (Some((earliest, is_known)), Some((latest, _))) = (first(&self.early), first(&self.late)) else {
            return plain;
        };
        Begins { earliest, latest, is_known }
    }
}

impl Check<'_> {
    /// Checks a group's own keys.
    pub(super) fn group(&self, group: &Group) -> Result<(), Refusal> {
        self.refuse_if(
            self.cluster.drawn,
            &[],
            || "a plan lists each fault by itself: write the group out as faults with instants",
        )?;
        self.refuse_if(group.serial.is_some() && group.parallel.is_some(), &[Key("parallel")], || {
            "a group is serial or parallel, and this one says both: put one of the two into the other as a group of its own"
        })?;
        if let Some(stray) = group.stray {
            self.refuse_if(true, &[Key(stray)], || {
                format!(
                    "`{stray}:` belongs to a fault, and this is a group: move it into a member of `{}`, or remove it",
                    group.key()
                )
            })?;
        }
        self.refuse_if(
            group.members().is_empty(),
            &[Key(group.key())],
            || "the group is empty: give it a member, such as `{action: crash, duration: 1s}`, or remove it",
        )?;
        let depth = groups_around(self.nodes, self.index).count() + 1;
        self.refuse_if(depth > MAX_DEPTH, &[Key(group.key())], || {
            format!("groups stand {depth} deep in one another, expected {MAX_DEPTH} at most: a group of one member is that member")
        })?;
        let limit = self.cluster.time_limit;
        self.refuse_if(group.at.to > limit, &[Key("at")], || {
            format!("the group may begin at {}, after the time limit of {}: make `at` earlier or `timeLimit` longer", go(group.at.to), go(limit))
        })?;
        if let Some(every) = group.every {
            self.refuse_if(every.from < Duration::from_millis(1), &[Key("every")], || {
                format!("{} is out of range, expected 1ms or more", go(every.from))
            })?;
            self.refuse_if(
                self.in_group() && group.repeat.is_none(),
                &[Key("every")],
                || "in another group it would go on for ever: say how often, with `repeat:`",
            )?;
        }
        if let Some(repeat) = group.repeat {
            self.refuse_if(!(1..=MAX_STRIKES as u32).contains(&repeat), &[Key("repeat")], || {
                format!("{repeat} is out of range, expected 1 to {MAX_STRIKES}")
            })?;
        }
        if let Some(deadline) = group.deadline {
            self.refuse_if(
                deadline.from.is_zero(),
                &[Key("deadline")],
                || "0s: nothing in the group would begin; make it longer, or remove it",
            )?;
        }
        Ok(())
    }

    /// Whether the item is in a group.
    pub(super) fn in_group(&self) -> bool {
        self.nodes[self.index].parent.is_some()
    }

    /// Refuses keys that a member of a group must not have, because its group has them.
    pub(super) fn member(&self, fault: Option<&Fault>) -> Result<(), Refusal> {
        if !self.in_group() {
            return Ok(());
        }
        self.refuse_if(
            fault.is_some_and(|fault| fault.every.is_some()),
            &[Key("every")],
            || "a member of a group does not repeat by itself: put it into a group of its own with `repeat:`",
        )?;
        let Some(after) = self.nodes[self.index].item.after() else { return Ok(()) };
        for (key, given) in [
            ("fault", after.fault.is_some()),
            ("faults", !after.faults.is_empty()),
            ("since", !after.since.is_zero()),
        ] {
            self.refuse_if(given, &[Key("after"), Key(key)], || {
                format!("in a group the order says what follows what: wait for an `event:` only, and remove `{key}`")
            })?;
        }
        Ok(())
    }
}

/// Checks that everything can take place, after each item has passed its own checks.
pub(super) fn can_take_place(checks: &[Check<'_>], bounds: &Bounds) -> Result<(), Refusal> {
    for placed in [&bounds.early, &bounds.late] {
        if let Err(misfit) = placed {
            return refuse_misfit(checks, misfit);
        }
    }
    let (Ok(early), Ok(late)) = (&bounds.early, &bounds.late) else { return Ok(()) };
    let limit = checks.first().map_or(Duration::MAX, |check| check.cluster.time_limit);
    for check in checks.iter().filter(|check| check.in_group()) {
        let Some(fault) = check.nodes[check.index].item.fault() else { continue };
        let strikes = |placed: &'_ [Placed]| placed.iter().any(|strike| strike.node == check.index);
        check.refuse_if(!strikes(early), &[], || {
            "even at the earliest it begins when the shortest `deadline` around it is over, and then it never strikes: move it forward, or make the deadline longer"
        })?;
        for strike in late.iter().filter(|strike| strike.node == check.index) {
            check.refuse_if(strike.at > limit, &[], || {
                format!(
                    "with what its group does before, `{}` may strike at {}, after the time limit of {}: shorten what stands before it, or make `timeLimit` longer",
                    strike.id, go(strike.at), go(limit)
                )
            })?;
            let end = strike.at.saturating_add(strike.duration.unwrap_or_default());
            let key = fault.duration.map(|_| Key("duration"));
            check.refuse_if(end > limit, key.as_slice(), || {
                format!(
                    "with what its group does before, `{}` may last until {}, after the time limit of {}: shorten it or what stands before it, or make `timeLimit` longer",
                    strike.id, go(end), go(limit)
                )
            })?;
        }
    }
    Ok(())
}

fn refuse_misfit(checks: &[Check<'_>], misfit: &Misfit) -> Result<(), Refusal> {
    let check = &checks[misfit.node];
    let (path, message): (&[Step], String) = match &misfit.why {
        Why::WaitsTwice => (
            &[Key("after")],
            "its group waits already, and a plan cannot say both: put a fault before it, or let one of the two not wait".to_owned(),
        ),
        Why::NeverEnds(group) => (
            &[],
            format!(
                "it lasts until the final heal, so what `{group}` does after it would never begin: give it a `duration`, or a group around it a `deadline`"
            ),
        ),
        Why::DeadlineUnknown(name) => (
            &[Key("deadline")],
            format!(
                "when `{name}` begins is known only at run time (it waits for a state, or for what ends by itself), so that the deadline cannot be kept: leave it out, or move `{name}` out of the group"
            ),
        ),
        Why::TooMany => (
            &[],
            format!("the group strikes more than {MAX_STRIKES} times: repeat less, or hold fewer members"),
        ),
        Why::WaitsForEver(group) => (
            &[Key("after")],
            format!("`{group}` lasts until the final heal, so this would never strike: give what is in it a `duration`"),
        ),
    };
    check.refuse_if(true, path, || message)
}

/// The path to an item in the file: `at`, then the lists and groups.
pub(super) fn way<'a>(at: &[Step<'a>], nodes: &[Node<'a>], index: usize) -> Vec<Step<'a>> {
    at.iter().copied().chain(super::group::path(nodes, index)).collect()
}

/// Whether the group of `one` that also holds `other`, if any, lets `one` end before `other` begins.
pub(super) fn takes_turns_before(nodes: &[Node<'_>], one: usize, other: usize) -> bool {
    let line = |index: usize| {
        let mut line: Vec<usize> = groups_around(nodes, index).collect();
        line.reverse();
        line.push(index);
        line
    };
    let (one, other) = (line(one), line(other));
    let common = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (Some(group), Some(one), Some(other)) =
        (common.checked_sub(1).map(|at| one[at]), one.get(common), other.get(common))
    else {
        return false;
    };
    nodes[group].item.group().is_some_and(Group::is_serial) && nodes[*one].place < nodes[*other].place
}

/// The innermost repeated group around `inner` that does not also hold `outer`.
pub(super) fn repeated_apart<'a>(nodes: &'a [Node<'a>], inner: usize, outer: usize) -> Option<&'a str> {
    let shared: Vec<usize> = groups_around(nodes, outer).collect();
    let mut apart = groups_around(nodes, inner).filter(|group| !shared.contains(group));
    let repeats = |group: &Group| group.every.is_some() || group.repeat.is_some_and(|times| times > 1);
    let found = apart.find(|group| nodes[*group].item.group().is_some_and(repeats))?;
    Some(&nodes[found].name)
}
