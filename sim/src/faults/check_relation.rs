//! The checks of relations between faults: "after that fault", "the same members as that fault".

use std::collections::BTreeSet;

use super::{
    After, Fault,
    check::Check,
    check_group::{Begins, repeated_apart, takes_turns_before},
    group::groups_around,
};
use crate::text::{Refusal, Step, did_you_mean, format_duration as go, one_of};

use Step::{Index, Key};

impl Check<'_> {
    /// Checks that what the item waits for exists, and does not wait for this item in turn.
    pub(super) fn after(&self) -> Result<(), Refusal> {
        let Some(after) = self.nodes[self.index].item.after() else { return Ok(()) };
        let names = after.names().count() > 0;
        self.refuse_at(
            !names && after.event.is_none(),
            "after",
            || "it names nothing to wait for: write `fault: NAME`, `event: leaderChange`, or both",
        )?;
        for (key, given) in [("ended", after.ended), ("over", after.over)] {
            self.refuse_if(given && !names, &[Key("after"), Key(key)], || {
                format!("`{key}:` belongs to `fault: NAME`: name one, or remove the key")
            })?;
        }
        self.refuse_if(
            after.ended && after.over,
            &[Key("after"), Key("over")],
            || "`over` is `ended`, or that nobody was hit: write one of the two",
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
        let limit = self.cluster.time_limit;
        self.refuse_if(after.since > limit, &[Key("after"), Key("since")], || {
            format!("{} is after the time limit of {}", go(after.since), go(limit))
        })?;
        if let Some(name) = &after.fault {
            self.waits_for(after, name, &[Key("after"), Key("fault")])?;
        }
        for (index, name) in after.faults.iter().enumerate() {
            self.waits_for(after, name, &[Key("after"), Key("faults"), Index(index)])?;
        }
        Ok(())
    }

    fn waits_for(&self, after: &After, name: &str, path: &[Step]) -> Result<(), Refusal> {
        let Some(found) = self.named(name) else {
            let others = self.nodes.iter().enumerate().filter(|(i, _)| *i != self.index);
            let others: Vec<&str> = others.map(|(_, node)| node.name.as_str()).collect();
            let hint = did_you_mean(name, others.iter().copied());
            return self.refuse_if(true, path, || {
                format!("there is no fault `{name}`, expected {}{hint}", one_of(others))
            });
        };
        let is_group = self.nodes[found].item.group().is_some();
        self.refuse_if(is_group && !after.ended && !after.over, path, || {
            format!("`{name}` is a group: wait for its end, with `over: true`, or name the fault in it whose strike is meant")
        })?;
        self.refuse_if(is_group && self.nodes[found].parent.is_some(), path, || {
            format!("`{name}` stands in another group: wait for that one, or for a fault")
        })?;
        // An item that waits for a member of a group waits for the group.
        let top = |index: usize| groups_around(self.nodes, index).last().unwrap_or(index);
        let (own, mut seen, mut next) = (top(self.index), BTreeSet::new(), vec![top(found)]);
        while let Some(index) = next.pop() {
            self.refuse_if(index == own, path, || {
                format!("`{name}` waits for this fault, so neither would ever strike")
            })?;
            if seen.insert(index) {
                let names = self.nodes[index].item.after().into_iter().flat_map(After::names);
                next.extend(names.filter_map(|name| self.named(name)).map(top));
            }
        }
        Ok(())
    }

    pub(super) fn begins(&self, node: usize, fault: &Fault) -> Begins {
        self.bounds.begins(self.nodes, node, fault)
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// Checks a reference to another fault: that fault exists, fits, strikes once, and certainly strikes before this
    /// one.
    pub(crate) fn earlier_fault(
        &self,
        key: &[Step],
        name: &str,
        fits: impl Fn(&Fault) -> bool,
        what: &str,
    ) -> Result<(), Refusal> {
        let path = self.path(key);
        let found = self.faults().find(|(i, _)| *i != self.index && self.nodes[*i].name == name);
        let Some((found, other)) = found else {
            let others = self.faults().filter(|(i, fault)| *i != self.index && fits(fault));
            let known: Vec<&str> = others.map(|(i, _)| self.nodes[i].name.as_str()).collect();
            let hint = did_you_mean(name, known.iter().copied());
            return self.source.refuse(
                &path,
                format!("there is no other fault `{name}`, expected {what}: {}{hint}", one_of(known)),
            );
        };
        self.source.refuse_if(!fits(other), &path, || {
            format!("`{name}` is a fault of `action: {}`, expected {what}", other.action.name())
        })?;
        self.source.refuse_if(other.every.is_some(), &path, || {
            format!("`{name}` strikes repeatedly, so it is not clear which strike is meant: refer to a fault without `every`")
        })?;
        if let Some(group) = repeated_apart(self.nodes, found, self.index) {
            return self.source.refuse(
                &path,
                format!("`{name}` strikes in each round of `{group}`, so it is not clear which strike is meant: refer to it from within that group"),
            );
        }
        self.source.refuse_if(!self.strikes_before(found, self.index, &mut BTreeSet::new()), &path, || {
            if self.nodes[found].parent.is_some() && !self.begins(found, other).is_known {
                return format!(
                    "when `{name}` strikes is known only at run time, which may be after this fault: place this one after it, in its group or with `after: {{fault: {name}}}`"
                );
            }
            format!(
                "`{name}` may strike as late as {}, which is not before this fault's earliest instant, {}: move one of the two",
                go(self.begins(found, other).latest),
                go(self.begins(self.index, self.fault()).earliest)
            )
        })
    }

    /// Whether `one` certainly strikes before `other`, if both strike.
    fn strikes_before(&self, one: usize, other: usize, seen: &mut BTreeSet<usize>) -> bool {
        if !seen.insert(other) {
            return false;
        }
        let (Some(first), Some(second)) = (self.nodes[one].item.fault(), self.nodes[other].item.fault())
        else {
            return false;
        };
        if takes_turns_before(self.nodes, one, other) {
            return true;
        }
        let (first, own) = (self.begins(one, first), self.begins(other, second));
        if let Some(after) = &second.after {
            let mut by_name = |name: &String| {
                let named = self.named(name);
                named.is_some_and(|index| index == one || self.strikes_before(one, index, seen))
            };
            if after.names().any(&mut by_name) || first.is_known && first.latest < after.since {
                return true;
            }
        }
        let in_groups = self.nodes[one].parent.is_some() || self.nodes[other].parent.is_some();
        first.latest < own.earliest && (!in_groups || first.is_known && own.is_known)
    }
}
