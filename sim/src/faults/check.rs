//! The checks that all kinds of fault share: names, times, targets, references, and that action and block agree. What one
//! kind's settings must satisfy is in its room.

use std::{collections::BTreeSet, time::Duration};

use super::{Action, Aim, Candidate, Fault, Lasts, Mode, Peers, RestoreSnapshot, RoleSelector, Settings};
use crate::text::{Refusal, Source, Step, did_you_mean, format_duration as go, one_of};

use Step::{Index, Key};

/// What the checks need to know of the cluster and of the run.
pub(crate) struct Shape {
    /// The members' names.
    pub(crate) members: Vec<String>,
    /// How long clients and faults go on.
    pub(crate) time_limit: Duration,
    /// Whether the faults are a plan's: nothing may be left to draw.
    pub(crate) drawn: bool,
}

/// One fault under check, and what it may refer to.
pub(crate) struct Check<'a> {
    source: &'a Source<'a>,
    pub(crate) cluster: &'a Shape,
    faults: &'a [Fault],
    names: &'a [String],
    index: usize,
    pub(crate) fault: &'a Fault,
    at: Vec<Step<'a>>,
}

/// Checks the faults that stand in the file at `at`.
pub(crate) fn check_faults(
    source: &Source,
    cluster: &Shape,
    faults: &[Fault],
    at: &[Step],
) -> Result<(), Refusal> {
    let names = fault_names(faults);
    let mut seen = BTreeSet::new();
    for (index, fault) in faults.iter().enumerate() {
        let at = at.iter().copied().chain([Index(index)]).collect();
        let check = Check { source, cluster, faults, names: &names, index, fault, at };
        check.refuse_at(!seen.insert(&names[index]), "name", || {
            format!("the name `{}` is taken by an earlier fault: names are unique", names[index])
        })?;
        check.name()?;
        check.time()?;
        check.after()?;
        check.blocks()?;
        check.target()?;
        if let Some(settings) = fault.blocks.get(&fault.action) {
            settings.check(&check)?;
        } else if let Some(settings) = fault.settings() {
            settings.check(&check)?;
        }
    }
    Ok(())
}

/// The name of each fault: the one given, or its action, numbered where that is taken: `crash`, `crash-2`.
pub(crate) fn fault_names(faults: &[Fault]) -> Vec<String> {
    let mut taken: BTreeSet<String> = faults.iter().filter_map(|f| f.name.clone()).collect();
    let mut names = Vec::with_capacity(faults.len());
    for fault in faults {
        let name = fault.name.clone().unwrap_or_else(|| {
            let action = fault.action.name();
            let mut name = action.to_string();
            let mut number = 2;
            while taken.contains(&name) {
                name = format!("{action}-{number}");
                number += 1;
            }
            name
        });
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

impl<'a> Check<'a> {
    /// Refuses the action in a cluster of one, whose only member `message` tells of.
    pub(crate) fn needs_others(&self, message: &str) -> Result<(), Refusal> {
        self.refuse_if(self.cluster.members.len() < 2, &[Key("action")], || message)
    }

    /// Refuses the value at `path`, below the fault, when `wrong` holds.
    pub(crate) fn refuse_if<S: AsRef<str>>(
        &self,
        wrong: bool,
        path: &[Step],
        message: impl FnOnce() -> S,
    ) -> Result<(), Refusal> {
        self.source.refuse_if(wrong, &self.path(path), message)
    }

    /// Refuses the value of one of the fault's own keys when `wrong` holds.
    fn refuse_at<S: AsRef<str>>(
        &self,
        wrong: bool,
        key: &str,
        message: impl FnOnce() -> S,
    ) -> Result<(), Refusal> {
        self.refuse_if(wrong, &[Key(key)], message)
    }

    fn path<'b>(&'b self, more: &[Step<'b>]) -> Vec<Step<'b>> {
        self.at.iter().copied().chain(more.iter().copied()).collect()
    }

    fn name(&self) -> Result<(), Refusal> {
        let Some(name) = &self.fault.name else { return Ok(()) };
        let good = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        self.refuse_at(!good, "name", || {
            format!("`{name}` is not a name: expected letters, digits, hyphens and dots, at most 64, such as `lose-leader`")
        })
    }

    fn time(&self) -> Result<(), Refusal> {
        let Fault { at, every, duration, action, .. } = self.fault;
        let limit = self.cluster.time_limit;
        self.refuse_at(at.to > limit, "at", || {
            format!("the fault may strike at {}, after the time limit of {}: make `at` earlier or `timeLimit` longer", go(at.to), go(limit))
        })?;
        self.refuse_at(duration.is_some() && action.lasts() == Lasts::Never, "duration", || {
            format!("`action: {}` takes no duration: it is done at once; remove the key", action.name())
        })?;
        self.refuse_at(duration.is_none() && action.lasts() == Lasts::ForItsDuration, "action", || {
            format!("`action: {}` requires a `duration:`: at its end something happens", action.name())
        })?;
        if let Some(duration) = duration {
            self.refuse_at(
                duration.from.is_zero(),
                "duration",
                || "0s: the fault would end as it strikes; make it longer, or remove the fault",
            )?;
            let end = at.to.saturating_add(duration.to);
            self.refuse_at(end > limit, "duration", || {
                format!(
                    "the fault may last until {}, after the time limit of {}: shorten it, or leave `duration` out so that it lasts until the final heal",
                    go(end),
                    go(limit)
                )
            })?;
        }
        if let Some(every) = every {
            self.refuse_at(every.from < Duration::from_millis(1), "every", || {
                format!("{} is out of range, expected 1ms or more", go(every.from))
            })?;
        }
        if self.cluster.drawn {
            self.refuse_at(
                every.is_some(),
                "every",
                || "a plan lists each strike: write the repetitions out as faults of their own",
            )?;
            for (key, window) in [("at", Some(*at)), ("duration", *duration)] {
                if let Some(window) = window {
                    self.refuse_at(!window.is_fixed(), key, || {
                        format!("`{window}` leaves a choice: a plan is drawn already; write one duration, such as {}", go(window.from))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// What the fault waits for: it exists, and does not wait for this fault in turn.
    fn after(&self) -> Result<(), Refusal> {
        let Some(after) = &self.fault.after else { return Ok(()) };
        self.refuse_at(
            after.fault.is_none() && after.event.is_none(),
            "after",
            || "it names nothing to wait for: write `fault: NAME`, `event: leaderChange`, or both",
        )?;
        self.refuse_if(
            after.ended && after.fault.is_none(),
            &[Key("after"), Key("ended")],
            || "`ended:` belongs to `fault: NAME`: name one, or remove the key",
        )?;
        self.refuse_if(
            after.count != 1 && after.event.is_none(),
            &[Key("after"), Key("count")],
            || "`count:` belongs to `event:`: name one, or remove the key",
        )?;
        self.refuse_if(
            after.count == 0,
            &[Key("after"), Key("count")],
            || "0 times is at once: remove `after`, or write 1 or more",
        )?;
        let Some(name) = &after.fault else { return Ok(()) };
        let path = [Key("after"), Key("fault")];
        let place = |name: &String| self.names.iter().position(|other| other == name);
        let mut at = place(name);
        self.refuse_if(at.is_none(), &path, || {
            let others: Vec<&str> = self
                .names
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != self.index)
                .map(|(_, n)| n.as_str())
                .collect();
            let hint = did_you_mean(name, others.iter().copied());
            format!("there is no fault `{name}`, expected {}{hint}", one_of(others))
        })?;
        // A chain of so many steps has come back to where it was.
        for _ in 0..=self.faults.len() {
            let Some(index) = at else { return Ok(()) };
            self.refuse_if(index == self.index, &path, || {
                format!("`{name}` waits for this fault, so neither would ever strike")
            })?;
            at = self.faults[index].after.as_ref().and_then(|after| after.fault.as_ref()).and_then(place);
        }
        Ok(())
    }

    /// The block of the action and no other.
    fn blocks(&self) -> Result<(), Refusal> {
        let action = self.fault.action;
        for owner in self.fault.blocks.keys() {
            self.refuse_at(*owner != action, owner.name(), || {
                format!(
                    "the block belongs to `action: {}`, but this fault's action is `{}`: change the action, or remove the block",
                    owner.name(),
                    action.name()
                )
            })?;
        }
        self.refuse_at(self.fault.settings().is_none(), "action", || {
            let name = action.name();
            format!("`action: {name}` requires a `{name}:` block, such as {}", action.example())
        })
    }

    fn target(&self) -> Result<(), Refusal> {
        let Fault { action, selector, mode, value, draw, .. } = self.fault;
        let what = action.name();
        if action.aim() == Aim::Cluster {
            for (key, present) in [
                ("selector", selector.is_some()),
                ("mode", mode.is_some()),
                ("value", value.is_some()),
                ("draw", draw.is_some()),
            ] {
                self.refuse_at(present, key, || {
                    format!("`action: {what}` concerns the whole cluster: remove the key")
                })?;
            }
            return Ok(());
        }
        let mode = mode.unwrap_or(Mode::One);
        self.refuse_at(action.aim() == Aim::OneMember && mode != Mode::One, "mode", || {
            format!("`action: {what}` works on one member at a time: write `mode: one`, or leave it out")
        })?;
        match (mode, value) {
            (Mode::Fixed | Mode::FixedPercent, None) => {
                let name = if mode == Mode::Fixed { "fixed" } else { "fixed-percent" };
                self.refuse_at(true, "mode", || {
                    format!("`mode: {name}` requires a `value:`, such as `value: 2`")
                })?;
            }
            (Mode::FixedPercent, Some(value)) => {
                self.refuse_at(*value == 0 || *value > 100, "value", || {
                    format!("{value} is out of range, expected a percentage from 1 to 100")
                })?;
            }
            (Mode::Fixed, Some(0)) => {
                self.refuse_at(true, "value", || "0 members: the fault could hit nobody; write 1 or more")?;
            }
            (Mode::Fixed, Some(_)) | (_, None) => {}
            (_, Some(_)) => {
                self.refuse_at(
                    true,
                    "value",
                    || "`value:` belongs to `mode: fixed` or `mode: fixed-percent`: remove it",
                )?;
            }
        }
        let selectable = self.selectable()?;
        let members = self.cluster.members.len();
        let wanted = match mode {
            Mode::One | Mode::All | Mode::Random | Mode::FixedPercent => 1,
            Mode::Fixed => value.unwrap_or(1) as usize,
            Mode::Minority => members.saturating_sub(1) / 2,
            Mode::Majority => members.div_ceil(2),
        };
        self.refuse_at(wanted == 0, "mode", || {
            format!("a cluster of {members} has no minority: the fault could hit nobody; write `mode: one`, or more `members`")
        })?;
        self.refuse_at(selectable == 0, "selector", || {
            format!("it can match nothing in a cluster of {members}: there is no follower; select `role: leader`, or more `members`")
        })?;
        self.refuse_at(wanted > selectable, "mode", || {
            format!("it wants {wanted} members, but the selector can match {selectable} at most: ask for fewer, or select more")
        })
    }

    /// How many members the selector can match at most.
    fn selectable(&self) -> Result<usize, Refusal> {
        let members = self.cluster.members.len();
        let Some(selector) = &self.fault.selector else { return Ok(members) };
        let given = [selector.role.is_some(), !selector.names.is_empty(), selector.same_as.is_some()];
        self.refuse_at(given.iter().filter(|is| **is).count() != 1, "selector", || {
            "expected exactly one of `role`, `names` and `sameAs`; to select every member, leave the selector out"
        })?;
        if let Some(name) = &selector.same_as {
            self.earlier_fault(
                &[Key("selector"), Key("sameAs")],
                name,
                |fault| fault.action.aim() != Aim::Cluster,
                "a fault that hits members",
            )?;
            return Ok(members);
        }
        if let Some(role) = selector.role {
            let action = self.fault.action;
            let path = self.path(&[Key("selector"), Key("role")]);
            if role == RoleSelector::Stopped {
                let stopped = Candidate {
                    name: String::new(),
                    running: false,
                    leader: false,
                    in_hand: false,
                    intact: true,
                    startable: true,
                    spare: true,
                    out: false,
                };
                let needs_a_process =
                    self.fault.settings().is_some_and(|settings| !settings.may_hit(&stopped));
                self.source.refuse_if(needs_a_process, &path, || {
                    format!("`stopped` can match nothing: `action: {}` needs a member that runs; select `running`, `leader` or `follower`", action.name())
                })?;
                let crash =
                    |fault: &Fault| fault.action == Action::Crash && fault.at.from <= self.fault.at.to;
                self.source.refuse_if(!self.faults.iter().any(crash), &path, || {
                    "`stopped` can match nothing: no `crash` strikes before this fault; add one, or select another role"
                })?;
            }
            return Ok(match role {
                RoleSelector::Leader => 1,
                RoleSelector::Follower => members - 1,
                RoleSelector::Running | RoleSelector::Stopped => members,
            });
        }
        self.members(&[Key("selector"), Key("names")], &selector.names)?;
        Ok(selector.names.len())
    }

    /// Checks names of members, each once.
    pub(crate) fn members(&self, key: &[Step], names: &[String]) -> Result<(), Refusal> {
        let known: Vec<&str> = self.cluster.members.iter().map(String::as_str).collect();
        let mut seen = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            let path: Vec<Step> = self.path(key).into_iter().chain([Index(index)]).collect();
            self.source.refuse_if(!known.contains(&name.as_str()), &path, || {
                format!(
                    "it can match nothing: there is no member `{name}`, expected {}",
                    one_of(known.iter().copied())
                )
            })?;
            self.source.refuse_if(!seen.insert(name), &path, || {
                format!("the member `{name}` stands in the list twice")
            })?;
        }
        Ok(())
    }

    /// Checks a reference to another fault: it exists, fits, strikes once, and certainly before this one.
    pub(crate) fn earlier_fault(
        &self,
        key: &[Step],
        name: &str,
        fits: impl Fn(&Fault) -> bool,
        what: &str,
    ) -> Result<(), Refusal> {
        let path = self.path(key);
        let others =
            || self.names.iter().enumerate().filter(|(i, _)| *i != self.index && fits(&self.faults[*i]));
        let Some((found, _)) =
            self.names.iter().enumerate().find(|(i, other)| *i != self.index && *other == name)
        else {
            let known: Vec<&str> = others().map(|(_, name)| name.as_str()).collect();
            let hint = did_you_mean(name, known.iter().copied());
            return self.source.refuse(
                &path,
                format!("there is no other fault `{name}`, expected {what}: {}{hint}", one_of(known)),
            );
        };
        let other = &self.faults[found];
        self.source.refuse_if(!fits(other), &path, || {
            format!("`{name}` is a fault of `action: {}`, expected {what}", other.action.name())
        })?;
        self.source.refuse_if(other.every.is_some(), &path, || {
            format!("`{name}` strikes repeatedly, so it is not clear which strike is meant: refer to a fault without `every`")
        })?;
        let waits =
            self.fault.after.as_ref().is_some_and(|after| after.fault.as_ref() == Some(&self.names[found]));
        self.source.refuse_if(!waits && other.at.to >= self.fault.at.from, &path, || {
            format!(
                "`{name}` may strike as late as {}, which is not before this fault's earliest instant, {}: move one of the two",
                go(other.at.to),
                go(self.fault.at.from)
            )
        })
    }

    /// Whether a link is left that faults of links can hit.
    pub(crate) fn other_ends(&self, peers: Peers) -> Result<(), Refusal> {
        let members = self.cluster.members.len();
        let selected = match (self.fault.mode.unwrap_or(Mode::One), &self.fault.selector) {
            (Mode::All, None) => members,
            (Mode::All, Some(selector)) => selector.names.len(),
            (Mode::Fixed, _) => self.fault.value.unwrap_or(0) as usize,
            _ => 1,
        };
        let none_left = peers == Peers::Members && selected >= members;
        self.refuse_at(none_left, "action", || {
            format!("all {members} members may be selected, so that no other member is left at the links' other ends: select fewer, or set `peers: clients`")
        })
    }

    /// Refuses what is no percentage.
    pub(crate) fn percentage(&self, path: &[Step], percent: u32) -> Result<(), Refusal> {
        self.refuse_if(!(1..=100).contains(&percent), path, || {
            format!("{percent} is out of range, expected a percentage from 1 to 100")
        })
    }

    /// Refuses what is shorter than a millisecond.
    pub(crate) fn at_least_a_millisecond(&self, path: &[Step], value: Duration) -> Result<(), Refusal> {
        self.refuse_if(value < Duration::from_millis(1), path, || {
            format!("{} is out of range, expected 1ms or more", go(value))
        })
    }

    /// Whether a slowness slows anything down.
    pub(crate) fn slows(&self, path: &[Step], delay: Duration, jitter: Duration) -> Result<(), Refusal> {
        let nothing = delay.is_zero() && jitter.is_zero();
        self.refuse_if(nothing, path, || "0s slows nothing down: make it longer")
    }

    /// The settings of the restores that stand before this fault.
    pub(crate) fn other_restores(&self) -> impl Iterator<Item = &RestoreSnapshot> {
        self.faults[..self.index].iter().filter_map(|fault| {
            match fault.blocks.get(&Action::RestoreSnapshot) {
                Some(Settings::RestoreSnapshot(restore)) => Some(restore),
                _ => None,
            }
        })
    }
}
