//! The roster: which members may be hit, may be started, and count at the end.
//!
//! It is the one place that knows each member's standing with the operator. It is asked before a fault hits a member
//! and before a member is started. The end of a run asks it which members must serve.
//!
//! It also watches for outages: times without a running majority. A write that is acknowledged in an outage is a
//! violation. So an outage is recorded only if certainly no majority runs: the configuration is known, and no member
//! came up during the outage (two members that run one after the other can store two copies).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rand::{Rng, seq::SliceRandom};
use squall_checker::history as h;

use crate::{
    arena::{At, NodeId},
    workload::Recorder,
};

/// A member's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has served as a member of the cluster and has the data that it acknowledged.
    Intact,
    /// It was added, but has not been observed serving yet.
    Joining,
    /// It lost acknowledged data: its disk was wiped or rolled back under its id. The store should refuse it.
    Ruined,
    /// It is no member: removed, wiped, or left behind by a forced new cluster. It must not start.
    Out,
}

#[derive(Debug)]
struct Entry {
    standing: Standing,
    /// How many procedures work on it.
    in_hand: u32,
    /// Its current member id, if the operator knows it.
    id: Option<u64>,
    /// All ids that the member has had.
    former_ids: BTreeSet<u64>,
    /// When a cluster was last asked to add it.
    asked_for_at: Option<At>,
    /// Its disk belongs to a cluster that a break has ended.
    outdated: bool,
    /// It must not start before an operator has replaced it, since it cannot detect that it has lost data.
    withheld: bool,
    /// Set while its disk lies about syncs: how many promises the disk had broken before. If the machine loses power,
    /// the member may lose acknowledged data, so the budget does not count its copy.
    lying: Option<u64>,
}

/// All members' standings.
pub(super) struct Roster {
    recorder: Arc<Recorder>,
    entries: BTreeMap<NodeId, Entry>,
    /// The cluster's members, as they were last known.
    members: BTreeSet<NodeId>,
    /// A procedure is changing the members, or one began to and did not finish.
    changing: bool,
    /// The members that heal, if only a core does.
    core: Option<BTreeSet<NodeId>>,
    outage_since: Option<u64>,
    /// Counts the changes. While it grows, the operator's work makes progress.
    changes: u64,
}

impl Roster {
    /// A roster in which every member is intact and in the configuration.
    pub(super) fn new(recorder: Arc<Recorder>, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let entry = || Entry {
            standing: Standing::Intact,
            in_hand: 0,
            id: None,
            former_ids: BTreeSet::new(),
            asked_for_at: None,
            outdated: false,
            withheld: false,
            lying: None,
        };
        let entries: BTreeMap<NodeId, Entry> = nodes.into_iter().map(|node| (node, entry())).collect();
        let members = entries.keys().copied().collect();
        Self { recorder, entries, members, changing: false, core: None, outage_since: None, changes: 0 }
    }

    fn entry(&self, node: NodeId) -> &Entry {
        self.entries.get(&node).unwrap_or_else(|| panic!("{node} is no member's machine"))
    }

    fn entry_mut(&mut self, node: NodeId) -> &mut Entry {
        self.entries.get_mut(&node).unwrap_or_else(|| panic!("{node} is no member's machine"))
    }

    // ---- questions

    /// The cluster's members; `None` while a procedure changes them, and after one that did not finish.
    fn configuration(&self) -> Option<&BTreeSet<NodeId>> {
        (!self.changing).then_some(&self.members)
    }

    pub(super) fn standing(&self, node: NodeId) -> Standing {
        self.entry(node).standing
    }

    /// Whether an operator works on the member.
    pub(super) fn in_hand(&self, node: NodeId) -> bool {
        self.entry(node).in_hand > 0
    }

    /// Whether the member may be started: it is a member, no operator works on it, and it is not left behind by a
    /// core.
    pub(super) fn may_start(&self, node: NodeId) -> bool {
        let withheld = self.entry(node).withheld;
        !self.in_hand(node) && self.standing(node) != Standing::Out && self.heals(node) && !withheld
    }

    /// Whether the member must serve once nothing breaks any more.
    pub(super) fn counts(&self, node: NodeId) -> bool {
        let serves = matches!(self.standing(node), Standing::Intact | Standing::Joining);
        serves && self.heals(node)
    }

    /// Whether the member heals at the end of the run: all do, unless there is a core.
    pub(super) fn heals(&self, node: NodeId) -> bool {
        self.core.as_ref().is_none_or(|core| core.contains(&node))
    }

    /// Chooses the core: intact members that are a quorum of the configuration, or more. `None` if there is no such
    /// set, or if an operator's work is not done.
    pub(super) fn choose_core(&mut self, chance: &mut impl Rng) -> Option<BTreeSet<NodeId>> {
        if self.entries.values().any(|entry| entry.in_hand > 0) {
            return None;
        }
        let configuration = self.configuration()?;
        let quorum = configuration.len() / 2 + 1;
        let mut intact: Vec<NodeId> = configuration.iter().copied().collect();
        intact.retain(|node| self.standing(*node) == Standing::Intact);
        if intact.len() < quorum {
            return None;
        }
        intact.shuffle(chance);
        intact.truncate(chance.gen_range(quorum..=intact.len()));
        self.core = Some(intact.into_iter().collect());
        self.core.clone()
    }

    /// A count that grows whenever the operator's work makes progress.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// A step of the operator's work is done that changes no member's standing.
    pub(super) fn note_progress(&mut self) {
        self.changes += 1;
    }

    /// Whether the member has all data that it acknowledged, on a disk that does not lie.
    pub(super) fn has_sound_copy(&self, node: NodeId) -> bool {
        self.standing(node) == Standing::Intact && self.entry(node).lying.is_none()
    }

    /// Whether a quorum of members with sound copies remains without this one.
    pub(super) fn can_lose_copy(&self, node: NodeId) -> bool {
        let Some(configuration) = self.configuration() else { return false };
        let left =
            configuration.iter().filter(|member| **member != node && self.has_sound_copy(**member)).count();
        left * 2 > configuration.len()
    }

    /// Whether members with sound copies would still be a quorum if one more voter were added that never starts.
    pub(super) fn can_tolerate_a_dead_voter(&self) -> bool {
        let Some(configuration) = self.configuration() else { return false };
        let sound = configuration.iter().filter(|member| self.has_sound_copy(**member)).count();
        sound * 2 > configuration.len() + 1
    }

    /// Whether too few copies are left: no quorum of the members has all data that it acknowledged. Then the store is
    /// not to blame if the cluster fails. While a procedure changes the members, the previous members count, because a
    /// change needs their quorum.
    pub(super) fn has_lost_its_data(&self) -> bool {
        let sound = self.members.iter().filter(|member| self.standing(**member) == Standing::Intact).count();
        sound * 2 <= self.members.len()
            && self.members.iter().any(|member| self.standing(*member) == Standing::Ruined)
    }

    /// Whether the member must not start before it is replaced.
    pub(super) fn withheld(&self, node: NodeId) -> bool {
        self.entry(node).withheld
    }

    /// The members that lost acknowledged data.
    pub(super) fn ruined(&self) -> impl Iterator<Item = NodeId> {
        let ruined = self.entries.iter().filter(|(_, entry)| entry.standing == Standing::Ruined);
        ruined.map(|(node, _)| *node)
    }

    /// The members whose disks lie: a power failure could lose data that they acknowledged.
    pub(super) fn lying(&self) -> impl Iterator<Item = NodeId> {
        self.entries.iter().filter(|(_, entry)| entry.lying.is_some()).map(|(node, _)| *node)
    }

    /// The member's current id, if it is known.
    pub(super) fn id(&self, node: NodeId) -> Option<u64> {
        self.entry(node).id
    }

    /// Whether the member's disk belongs to a cluster that a break has ended.
    pub(super) fn outdated(&self, node: NodeId) -> bool {
        self.entry(node).outdated
    }

    /// Whether the member had this id before.
    pub(super) fn had_id(&self, node: NodeId, id: u64) -> bool {
        self.entry(node).former_ids.contains(&id)
    }

    /// When a cluster was last asked to add the member.
    pub(super) fn asked_for_at(&self, node: NodeId) -> Option<At> {
        self.entry(node).asked_for_at
    }

    // ---- changes

    pub(super) fn note_asked_for(&mut self, node: NodeId, at: At) {
        self.entry_mut(node).asked_for_at = Some(at);
    }

    pub(super) fn set_standing(&mut self, node: NodeId, standing: Standing) {
        self.changes += 1;
        let entry = self.entry_mut(node);
        entry.standing = standing;
        entry.outdated = false;
        entry.withheld = false;
    }

    /// The member's disk begins to lie; it has broken `broken` promises before. This lasts until
    /// [`Self::note_honest_disk`], whatever happens to the member meanwhile.
    pub(super) fn note_lying_disk(&mut self, node: NodeId, broken: u64) {
        self.entry_mut(node).lying = Some(broken);
    }

    /// The member's disk no longer lies, and all data that it had lied about is synced.
    pub(super) fn note_honest_disk(&mut self, node: NodeId) {
        self.entry_mut(node).lying = None;
    }

    /// The member's disk has broken `broken` promises by now. If that is more than before, the member is ruined.
    pub(super) fn note_broken(&mut self, node: NodeId, broken: u64) {
        let entry = self.entry_mut(node);
        if entry.lying.is_none_or(|before| broken <= before) {
            return;
        }
        entry.lying = Some(broken);
        if matches!(entry.standing, Standing::Intact | Standing::Joining) {
            self.set_ruined(node, false);
            self.withhold(node);
        }
    }

    /// The member must not start again before it is replaced.
    pub(super) fn withhold(&mut self, node: NodeId) {
        self.entry_mut(node).withheld = true;
    }

    /// The member got an old disk under its id; `outdated`: the disk belongs to a cluster that a break has ended.
    pub(super) fn set_ruined(&mut self, node: NodeId, outdated: bool) {
        let entry = self.entry_mut(node);
        entry.standing = Standing::Ruined;
        entry.outdated = outdated;
    }

    /// The member has this id from now on.
    pub(super) fn set_id(&mut self, node: NodeId, id: Option<u64>) {
        self.changes += 1;
        let entry = self.entry_mut(node);
        if let Some(before) = std::mem::replace(&mut entry.id, id)
            && Some(before) != id
        {
            entry.former_ids.insert(before);
        }
    }

    /// Records an id that the member must not get again.
    pub(super) fn retire_id(&mut self, node: NodeId, id: u64) {
        let entry = self.entry_mut(node);
        entry.former_ids.insert(id);
        if entry.id == Some(id) {
            entry.id = None;
        }
    }

    pub(super) fn take_in_hand(&mut self, node: NodeId) {
        self.entry_mut(node).in_hand += 1;
    }

    pub(super) fn let_go(&mut self, node: NodeId) {
        let entry = self.entry_mut(node);
        entry.in_hand = entry.in_hand.checked_sub(1).expect("it was taken in hand");
    }

    // ---- outages

    /// The members are about to change: the majority is unknown until [`Self::set_configuration`].
    pub(super) fn forget_configuration(&mut self) -> Option<BTreeSet<NodeId>> {
        self.end_outage();
        let configuration = self.configuration().cloned();
        self.changing = true;
        configuration
    }

    /// Sets the members.
    pub(super) fn set_configuration(&mut self, members: BTreeSet<NodeId>) {
        self.changes += 1;
        (self.members, self.changing) = (members, false);
    }

    /// Notes which members run. Call it after everything that takes members down.
    pub(super) fn watch_outage(&mut self, runs: impl Fn(NodeId) -> bool) {
        let lost = self.configuration().is_some_and(|members| {
            members.iter().filter(|member| runs(**member)).count() * 2 <= members.len()
        });
        if lost {
            self.outage_since.get_or_insert_with(|| self.recorder.now_ns());
        } else {
            self.end_outage();
        }
    }

    /// A member came up: the outage is over, or another one begins.
    pub(super) fn end_outage(&mut self) {
        let to = self.recorder.now_ns();
        if let Some(from) = self.outage_since.take().filter(|from| *from < to) {
            self.recorder.event(h::Event::Outage(h::Outage { from, to }));
        }
    }
}
