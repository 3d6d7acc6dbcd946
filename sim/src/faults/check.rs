//! The checks that all kinds of fault share: names, times, targets, references, and that action and block agree. The
//! checks of one kind's settings are in its room.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Action, Aim, Candidate, Fault, Item, Lasts, Mode, Node, Peers, RestoreSnapshot, RoleSelector, Settings,
    check_group::{Bounds, can_take_place, way},
    group::nodes,
};
use crate::text::{Refusal, Source, Step, format_duration as go, one_of};

use Step::{Index, Key};

/// The facts about the cluster and the run that the checks need.
pub(crate) struct Shape {
    /// The members' names.
    pub(crate) members: Vec<String>,
    /// How long clients and faults run.
    pub(crate) time_limit: Duration,
    /// Whether the faults are a plan's, which must leave nothing to draw.
    pub(crate) drawn: bool,
}

/// One item under check, and the items that it may refer to.
pub(crate) struct Check<'a> {
    pub(super) source: &'a Source<'a>,
    pub(crate) cluster: &'a Shape,
    pub(super) nodes: &'a [Node<'a>],
    pub(super) index: usize,
    pub(super) bounds: &'a Bounds,
    at: Vec<Step<'a>>,
}

/// Checks the faults and groups at the path `at` of the file.
pub(crate) fn check_faults(
    source: &Source,
    cluster: &Shape,
    items: &[Item],
    at: &[Step],
) -> Result<(), Refusal> {
    let nodes = &nodes(items);
    let bounds = &Bounds::of(nodes, cluster);
    let checks: Vec<Check> = (0..nodes.len())
        .map(|index| Check { source, cluster, nodes, index, bounds, at: way(at, nodes, index) })
        .collect();
    let mut seen = BTreeSet::new();
    for (node, check) in nodes.iter().zip(&checks) {
        check.refuse_at(!seen.insert(&node.name), "name", || {
            format!("the name `{}` is taken by an earlier fault: names are unique", node.name)
        })?;
        check.name()?;
        match node.item {
            Item::Group(group) => check.group(group)?,
            Item::Fault(fault) => check.time(fault)?,
        }
        check.member(node.item.fault())?;
        check.after()?;
        let Some(fault) = node.item.fault() else { continue };
        check.blocks()?;
        check.target()?;
        if let Some(settings) = fault.blocks.get(&fault.action) {
            settings.check(check)?;
        } else if let Some(settings) = fault.settings() {
            settings.check(check)?;
        }
    }
    can_take_place(&checks, bounds)
}

impl<'a> Check<'a> {
    /// The fault under check. Groups have other checks.
    pub(crate) fn fault(&self) -> &'a Fault {
        self.nodes[self.index].item.fault().expect("the checks of a fault are asked for a fault")
    }

    /// The faults, with their indices among the nodes.
    pub(super) fn faults(&self) -> impl Iterator<Item = (usize, &'a Fault)> {
        let faults = self.nodes.iter().enumerate();
        faults.filter_map(|(index, node)| node.item.fault().map(|fault| (index, fault)))
    }

    /// Refuses the action in a cluster of one. `message` describes the effect on its only member.
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
    pub(super) fn refuse_at<S: AsRef<str>>(
        &self,
        wrong: bool,
        key: &str,
        message: impl FnOnce() -> S,
    ) -> Result<(), Refusal> {
        self.refuse_if(wrong, &[Key(key)], message)
    }

    pub(super) fn path<'b>(&'b self, more: &[Step<'b>]) -> Vec<Step<'b>> {
        self.at.iter().copied().chain(more.iter().copied()).collect()
    }

    fn name(&self) -> Result<(), Refusal> {
        let Some(name) = self.nodes[self.index].item.given_name() else { return Ok(()) };
        let good = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        self.refuse_at(!good, "name", || {
            format!("`{name}` is not a name: expected letters, digits, hyphens and dots, at most 64, such as `lose-leader`")
        })
    }

    fn time(&self, fault: &Fault) -> Result<(), Refusal> {
        let Fault { at, every, duration, action, .. } = fault;
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

    /// Checks that the fault has the block of its action and no other.
    fn blocks(&self) -> Result<(), Refusal> {
        let action = self.fault().action;
        for owner in self.fault().blocks.keys() {
            self.refuse_at(*owner != action, owner.name(), || {
                format!(
                    "the block belongs to `action: {}`, but this fault's action is `{}`: change the action, or remove the block",
                    owner.name(),
                    action.name()
                )
            })?;
        }
        self.refuse_at(self.fault().settings().is_none(), "action", || {
            let name = action.name();
            format!("`action: {name}` requires a `{name}:` block, such as {}", action.example())
        })
    }

    fn target(&self) -> Result<(), Refusal> {
        let Fault { action, selector, mode, value, draw, .. } = self.fault();
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

    /// The most members that the selector can match.
    fn selectable(&self) -> Result<usize, Refusal> {
        let members = self.cluster.members.len();
        let Some(selector) = &self.fault().selector else { return Ok(members) };
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
            let action = self.fault().action;
            let path = self.path(&[Key("selector"), Key("role")]);
            if role == RoleSelector::Stopped {
                let stopped = Candidate {
                    name: String::new(),
                    running: false,
                    leader: false,
                    learner: false,
                    in_hand: false,
                    intact: true,
                    startable: true,
                    spare: true,
                    out: false,
                };
                let needs_a_process =
                    self.fault().settings().is_some_and(|settings| !settings.may_hit(&stopped));
                self.source.refuse_if(needs_a_process, &path, || {
                    format!("`stopped` can match nothing: `action: {}` needs a member that runs; select `running`, `leader` or `follower`", action.name())
                })?;
                let own = self.begins(self.index, self.fault());
                // A fault that begins at an unknown instant may begin before this one.
                let crash = |(index, fault): (usize, &Fault)| {
                    let crash = self.begins(index, fault);
                    let may_be_before = crash.earliest <= own.latest
                        || (self.in_group() || self.nodes[index].parent.is_some())
                            && !(crash.is_known && own.is_known);
                    fault.action == Action::Crash && may_be_before
                };
                self.source.refuse_if(!self.faults().any(crash), &path, || {
                    "`stopped` can match nothing: no `crash` strikes before this fault; add one, or select another role"
                })?;
            }
            let learner_is_added = |(_, fault): (usize, &Fault)| fault.action == Action::AddLearner;
            self.source.refuse_if(
                role == RoleSelector::Learner && !self.faults().any(learner_is_added),
                &path,
                || "`learner` can match nothing: no `addLearner` adds one; add such a fault, or select another role",
            )?;
            return Ok(match role {
                RoleSelector::Leader | RoleSelector::Learner => 1,
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

    /// Checks that there is a link that the fault can hit.
    pub(crate) fn other_ends(&self, peers: Peers) -> Result<(), Refusal> {
        let members = self.cluster.members.len();
        let selected = match (self.fault().mode.unwrap_or(Mode::One), &self.fault().selector) {
            (Mode::All, None) => members,
            (Mode::All, Some(selector)) => selector.names.len(),
            (Mode::Fixed, _) => self.fault().value.unwrap_or(0) as usize,
            _ => 1,
        };
        let none_left = peers == Peers::Members && selected >= members;
        self.refuse_at(none_left, "action", || {
            format!("all {members} members may be selected, so that no other member is left at the links' other ends: select fewer, or set `peers: clients`")
        })
    }

    /// Refuses a value that is no percentage.
    pub(crate) fn percentage(&self, path: &[Step], percent: u32) -> Result<(), Refusal> {
        self.refuse_if(!(1..=100).contains(&percent), path, || {
            format!("{percent} is out of range, expected a percentage from 1 to 100")
        })
    }

    /// Refuses a value that is shorter than a millisecond.
    pub(crate) fn at_least_a_millisecond(&self, path: &[Step], value: Duration) -> Result<(), Refusal> {
        self.refuse_if(value < Duration::from_millis(1), path, || {
            format!("{} is out of range, expected 1ms or more", go(value))
        })
    }

    /// Refuses an offset of a clock that is shorter than a millisecond or longer than ten years.
    pub(crate) fn clock_offset(&self, action: &'static str, by: Duration) -> Result<(), Refusal> {
        let path = [Step::Key(action), Step::Key("by")];
        self.at_least_a_millisecond(&path, by)?;
        let years = Duration::from_secs(10 * 365 * 86_400);
        self.refuse_if(by > years, &path, || "it is more than ten years: make it shorter")
    }

    /// Checks that a slowness has a delay or a jitter.
    pub(crate) fn slows(&self, path: &[Step], delay: Duration, jitter: Duration) -> Result<(), Refusal> {
        let nothing = delay.is_zero() && jitter.is_zero();
        self.refuse_if(nothing, path, || "0s slows nothing down: make it longer")
    }

    /// The settings of the restores that come before this fault in the file.
    pub(crate) fn other_restores(&self) -> impl Iterator<Item = &RestoreSnapshot> {
        let before = self.faults().take_while(|(index, _)| *index < self.index);
        before.filter_map(|(_, fault)| match fault.blocks.get(&Action::RestoreSnapshot) {
            Some(Settings::RestoreSnapshot(restore)) => Some(restore),
            _ => None,
        })
    }
}
