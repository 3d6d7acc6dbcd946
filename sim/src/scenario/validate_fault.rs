//! The checks of a list of faults, in a scenario or in a schedule.

use super::duration::format_duration as go;
use super::fault::{Action, Fault, Mode, Peers, RoleSelector};
use super::refusal::{Refusal, did_you_mean, one_of};
use super::types::Scenario;
use super::validate::Text;
use super::yaml::Step;
use crate::plan::fault_names;
use std::collections::BTreeSet;
use std::time::Duration;

use Step::{Index, Key};

/// One fault under check, and what it may refer to.
struct Check<'a> {
    on: &'a Text<'a>,
    scenario: &'a Scenario,
    faults: &'a [Fault],
    names: &'a [String],
    index: usize,
    fault: &'a Fault,
    at: Vec<Step<'a>>,
}

/// Checks faults that stand in the file at `at`; `fixed`: a schedule's, whose windows must have no width.
pub(super) fn faults(
    on: &Text,
    scenario: &Scenario,
    faults: &[Fault],
    at: &[Step],
    fixed: bool,
) -> Result<(), Refusal> {
    let names = fault_names(faults);
    let mut seen = BTreeSet::new();
    for (index, fault) in faults.iter().enumerate() {
        let at = at.iter().copied().chain([Index(index)]).collect();
        let check = Check { on, scenario, faults, names: &names, index, fault, at };
        check.unless(!seen.insert(&names[index]), "name", || {
            format!("the name `{}` is taken by an earlier fault: names are unique", names[index])
        })?;
        check.name()?;
        check.time(fixed)?;
        check.blocks()?;
        check.target()?;
        check.settings()?;
    }
    Ok(())
}

impl<'a> Check<'a> {
    fn unless<S: AsRef<str>>(
        &self,
        wrong: bool,
        key: &str,
        message: impl FnOnce() -> S,
    ) -> Result<(), Refusal> {
        self.on.unless(wrong, &self.path(&[Key(key)]), message)
    }

    fn path<'b>(&'b self, more: &[Step<'b>]) -> Vec<Step<'b>> {
        self.at.iter().copied().chain(more.iter().copied()).collect()
    }

    fn name(&self) -> Result<(), Refusal> {
        let Some(name) = &self.fault.name else { return Ok(()) };
        let good = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        self.unless(!good, "name", || {
            format!("`{name}` is not a name: expected letters, digits, hyphens and dots, at most 64, such as `lose-leader`")
        })
    }

    fn time(&self, fixed: bool) -> Result<(), Refusal> {
        let Fault { at, every, duration, action, .. } = self.fault;
        let limit = self.scenario.spec.time_limit;
        self.unless(at.to > limit, "at", || {
            format!("the fault may strike at {}, after the time limit of {}: make `at` earlier or `timeLimit` longer", go(at.to), go(limit))
        })?;
        self.unless(duration.is_some() && !action.lasts(), "duration", || {
            format!("`action: {}` takes no duration: it is done at once; remove the key", action.name())
        })?;
        if let Some(duration) = duration {
            self.unless(
                duration.from.is_zero(),
                "duration",
                || "0s: the fault would end as it strikes; make it longer, or remove the fault",
            )?;
            let end = at.to.saturating_add(duration.to);
            self.unless(end > limit, "duration", || {
                format!(
                    "the fault may last until {}, after the time limit of {}: shorten it, or leave `duration` out so that it lasts until the final heal",
                    go(end),
                    go(limit)
                )
            })?;
        }
        if let Some(every) = every {
            self.unless(every.from < Duration::from_millis(1), "every", || {
                format!("{} is out of range, expected 1ms or more", go(every.from))
            })?;
        }
        if fixed {
            self.unless(
                every.is_some(),
                "every",
                || "a schedule lists each strike: write the repetitions out as faults of their own",
            )?;
            for (key, window) in [("at", Some(*at)), ("duration", *duration)] {
                if let Some(window) = window {
                    self.unless(!window.is_fixed(), key, || {
                        format!("`{window}` leaves a choice: a schedule is drawn already; write one duration, such as {}", go(window.from))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The block of the action and no other.
    fn blocks(&self) -> Result<(), Refusal> {
        let fault = self.fault;
        let blocks = [
            ("crash", fault.crash.is_some(), Action::Crash),
            ("partition", fault.partition.is_some(), Action::Partition),
            ("latency", fault.latency.is_some(), Action::Latency),
            ("slowFsync", fault.slow_fsync.is_some(), Action::SlowFsync),
            ("replaceMember", fault.replace_member.is_some(), Action::ReplaceMember),
            ("forceNewCluster", fault.force_new_cluster.is_some(), Action::ForceNewCluster),
            ("restoreSnapshot", fault.restore_snapshot.is_some(), Action::RestoreSnapshot),
            ("compact", fault.compact.is_some(), Action::Compact),
        ];
        for (block, present, owner) in blocks {
            self.unless(present && owner != fault.action, block, || {
                format!(
                    "the block belongs to `action: {}`, but this fault's action is `{}`: change the action, or remove the block",
                    owner.name(),
                    fault.action.name()
                )
            })?;
            let needed = match owner {
                Action::Latency => Some("`latency: {delay: 100ms}`"),
                Action::SlowFsync => Some("`slowFsync: {delay: 300ms}`"),
                Action::RestoreSnapshot => Some("`restoreSnapshot: {snapshot: <name of the snapshotSave>}`"),
                _ => None,
            };
            if let Some(example) = needed {
                self.unless(!present && owner == fault.action, "action", || {
                    format!("`action: {block}` requires a `{block}:` block, such as {example}")
                })?;
            }
        }
        Ok(())
    }

    fn target(&self) -> Result<(), Refusal> {
        let Fault { action, selector, mode, value, draw, .. } = self.fault;
        let what = action.name();
        if !action.has_target() {
            for (key, present) in [
                ("selector", selector.is_some()),
                ("mode", mode.is_some()),
                ("value", value.is_some()),
                ("draw", draw.is_some()),
            ] {
                self.unless(present, key, || {
                    format!("`action: {what}` concerns the whole cluster: remove the key")
                })?;
            }
            return Ok(());
        }
        let mode = mode.unwrap_or(Mode::One);
        self.unless(action.hits_one() && mode != Mode::One, "mode", || {
            format!("`action: {what}` works on one member at a time: write `mode: one`, or leave it out")
        })?;
        match (mode, value) {
            (Mode::Fixed | Mode::FixedPercent, None) => {
                let name = if mode == Mode::Fixed { "fixed" } else { "fixed-percent" };
                self.unless(true, "mode", || {
                    format!("`mode: {name}` requires a `value:`, such as `value: 2`")
                })?;
            }
            (Mode::FixedPercent, Some(value)) => {
                self.unless(*value == 0 || *value > 100, "value", || {
                    format!("{value} is out of range, expected a percentage from 1 to 100")
                })?;
            }
            (Mode::Fixed, Some(0)) => {
                self.unless(true, "value", || "0 members: the fault could hit nobody; write 1 or more")?;
            }
            (Mode::Fixed, Some(_)) | (_, None) => {}
            (_, Some(_)) => {
                self.unless(
                    true,
                    "value",
                    || "`value:` belongs to `mode: fixed` or `mode: fixed-percent`: remove it",
                )?;
            }
        }
        let selectable = self.selectable()?;
        let members = self.scenario.spec.cluster.members as usize;
        let wanted = match mode {
            Mode::One | Mode::All | Mode::FixedPercent => 1,
            Mode::Fixed => value.unwrap_or(1) as usize,
            Mode::Minority => members.saturating_sub(1) / 2,
            Mode::Majority => members.div_ceil(2),
        };
        self.unless(wanted == 0, "mode", || {
            format!("a cluster of {members} has no minority: the fault could hit nobody; write `mode: one`, or more `members`")
        })?;
        self.unless(selectable == 0, "selector", || {
            format!("it can match nothing in a cluster of {members}: there is no follower; select `role: leader`, or more `members`")
        })?;
        self.unless(wanted > selectable, "mode", || {
            format!("it wants {wanted} members, but the selector can match {selectable} at most: ask for fewer, or select more")
        })
    }

    /// How many members the selector can match at most.
    fn selectable(&self) -> Result<usize, Refusal> {
        let members = self.scenario.spec.cluster.members as usize;
        let Some(selector) = &self.fault.selector else { return Ok(members) };
        let given = [selector.role.is_some(), !selector.names.is_empty(), selector.same_as.is_some()];
        self.unless(given.iter().filter(|is| **is).count() != 1, "selector", || {
            "expected exactly one of `role`, `names` and `sameAs`; to select every member, leave the selector out"
        })?;
        if let Some(name) = &selector.same_as {
            self.reference(
                &[Key("selector"), Key("sameAs")],
                name,
                |fault| fault.action.has_target(),
                "a fault that hits members",
            )?;
            return Ok(members);
        }
        if let Some(role) = selector.role {
            let action = self.fault.action;
            let path = self.path(&[Key("selector"), Key("role")]);
            if role == RoleSelector::Stopped {
                let running = [Action::Crash, Action::Pause, Action::SnapshotSave, Action::ForceNewCluster];
                self.on.unless(running.contains(&action), &path, || {
                    format!("`stopped` can match nothing: `action: {}` needs a member that runs; select `running`, `leader` or `follower`", action.name())
                })?;
                let crash =
                    |fault: &Fault| fault.action == Action::Crash && fault.at.from <= self.fault.at.to;
                self.on.unless(!self.faults.iter().any(crash), &path, || {
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
    fn members(&self, key: &[Step], names: &[String]) -> Result<(), Refusal> {
        let known = self.scenario.spec.cluster.member_names();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let mut seen = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            let path: Vec<Step> = self.path(key).into_iter().chain([Index(index)]).collect();
            self.on.unless(!known.contains(&name.as_str()), &path, || {
                format!(
                    "it can match nothing: there is no member `{name}`, expected {}",
                    one_of(known.iter().copied())
                )
            })?;
            self.on.unless(!seen.insert(name), &path, || {
                format!("the member `{name}` stands in the list twice")
            })?;
        }
        Ok(())
    }

    /// Checks a reference to another fault: it exists, fits, strikes once, and certainly before this one.
    fn reference(
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
            return self.on.refuse(
                &path,
                format!("there is no other fault `{name}`, expected {what}: {}{hint}", one_of(known)),
            );
        };
        let other = &self.faults[found];
        self.on.unless(!fits(other), &path, || {
            format!("`{name}` is a fault of `action: {}`, expected {what}", other.action.name())
        })?;
        self.on.unless(other.every.is_some(), &path, || {
            format!("`{name}` strikes repeatedly, so it is not clear which strike is meant: refer to a fault without `every`")
        })?;
        self.on.unless(other.at.to >= self.fault.at.from, &path, || {
            format!(
                "`{name}` may strike as late as {}, which is not before this fault's earliest instant, {}: move one of the two",
                go(other.at.to),
                go(self.fault.at.from)
            )
        })
    }

    /// What blocks say beyond their types.
    fn settings(&self) -> Result<(), Refusal> {
        let fault = self.fault;
        if let Some(partition) = &fault.partition {
            let names = &partition.names;
            let path = [Key("partition"), Key("names")];
            self.on.unless(
                !names.is_empty() && partition.peers != Peers::Members,
                &self.path(&path),
                || "`names:` belongs to `peers: members`: remove one of the two",
            )?;
            self.members(&path, names)?;
            let selected = fault.selector.as_ref().map(|s| s.names.as_slice()).unwrap_or_default();
            let none_left = !names.is_empty() && names.iter().all(|name| selected.contains(name));
            self.on.unless(none_left, &self.path(&path), || {
                "every member named here is among those selected, so that no link would be cut: name others"
            })?;
        }
        if matches!(fault.action, Action::Partition | Action::Latency) {
            let peers = fault.partition.as_ref().map(|p| p.peers).or(fault.latency.as_ref().map(|l| l.peers));
            let members = self.scenario.spec.cluster.members as usize;
            let selected = match (fault.mode.unwrap_or(Mode::One), &fault.selector) {
                (Mode::All, None) => members,
                (Mode::All, Some(selector)) => selector.names.len(),
                (Mode::Fixed, _) => fault.value.unwrap_or(0) as usize,
                _ => 1,
            };
            let nobody = peers.unwrap_or_default() == Peers::Members && selected >= members;
            self.on.unless(nobody, &self.path(&[Key("action")]), || {
                format!("all {members} members may be selected, so that no other member is left at the links' other ends: select fewer, or set `peers: clients`")
            })?;
        }
        if let Some(slow) = &fault.latency {
            let path = self.path(&[Key("latency"), Key("delay")]);
            self.on.unless(
                slow.delay.is_zero() && slow.jitter.is_zero(),
                &path,
                || "0s slows nothing down: make it longer",
            )?;
        }
        if let Some(slow) = &fault.slow_fsync {
            let path = self.path(&[Key("slowFsync"), Key("delay")]);
            self.on.unless(
                slow.delay.is_zero() && slow.jitter.is_zero(),
                &path,
                || "0s slows nothing down: make it longer",
            )?;
        }
        if let Some(restore) = &fault.restore_snapshot {
            let fits = |fault: &Fault| fault.action == Action::SnapshotSave;
            self.reference(
                &[Key("restoreSnapshot"), Key("snapshot")],
                &restore.snapshot,
                fits,
                "a `snapshotSave`",
            )?;
        }
        self.unless(fault.action == Action::ReplaceMember && self.scenario.spec.cluster.members < 2, "action", || {
            "the only member of a cluster cannot be replaced: nobody would be left to add the new one to; use more `members`"
        })
    }
}
