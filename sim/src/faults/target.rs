//! Turns a selector into names, when a fault strikes.

use super::{Cost, Mode, RoleSelector, Selector, Settings};

/// The target of a fault: a selector, and how many of the selected members it hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The members that it may hit.
    pub selector: Selector,
    /// How many of them.
    pub mode: Mode,
    /// The number or percentage that `fixed` and `fixed-percent` take; 0 with the other modes.
    pub value: u32,
}

/// A member when a fault strikes, as its roster and its operator know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Whether its process runs (a paused one does).
    pub running: bool,
    /// Whether it leads, in the highest term in which a member says that it leads. Known only if a selector needs
    /// roles.
    pub leader: bool,
    /// Whether it says that it is a learner. Known only if a selector needs roles.
    pub learner: bool,
    /// Whether an operator works on it.
    pub in_hand: bool,
    /// Whether it has served as a member of this cluster and has the data that it acknowledged.
    pub intact: bool,
    /// Whether it may be started if it is down: it is a member, and no operator works on it.
    pub startable: bool,
    /// Whether a quorum of intact members remains without it.
    pub spare: bool,
    /// Whether it is no member: removed, or left behind by a forced new cluster.
    pub out: bool,
}

impl Target {
    /// The names that a fault hits, in the candidates' order.
    ///
    /// `members` are all members of the cluster, in a fixed order. If the selector refers to another fault, `same_as`
    /// are the members that it hit. `draw` picks among the selected members: equal numbers and equal candidates give
    /// equal names. The answer is empty if no member fits now (no leader during an election). Then the fault hits no
    /// member, and the trace says so.
    pub fn resolve(
        &self,
        settings: &Settings,
        members: &[Candidate],
        same_as: &[String],
        draw: u64,
    ) -> Vec<String> {
        self.pick(members, same_as, draw, |member| eligible(settings, member))
    }

    /// The names that a fault would hit if the cluster could afford to lose any copy.
    pub fn resolve_unaffordable(
        &self,
        settings: &Settings,
        members: &[Candidate],
        same_as: &[String],
        draw: u64,
    ) -> Vec<String> {
        self.pick(members, same_as, draw, |member| may_hit(settings, member))
    }

    fn pick(
        &self,
        members: &[Candidate],
        same_as: &[String],
        draw: u64,
        eligible: impl Fn(&Candidate) -> bool,
    ) -> Vec<String> {
        let selected: Vec<&Candidate> =
            members.iter().filter(|m| eligible(m) && self.selects(m, same_as)).collect();
        let count = self.count(selected.len(), members.len(), draw);
        let mut state = draw;
        let mut indices: Vec<usize> = (0..selected.len()).collect();
        // Fisher-Yates, as far as is needed.
        for slot in 0..count {
            let left = (indices.len() - slot) as u64;
            state = split_mix(state);
            indices.swap(slot, slot + (state % left) as usize);
        }
        indices.truncate(count);
        indices.sort_unstable();
        indices.into_iter().map(|i| selected[i].name.clone()).collect()
    }

    /// Whether the selector asks which member leads, or which ones learn.
    pub fn asks_for_roles(&self) -> bool {
        matches!(
            self.selector.role,
            Some(RoleSelector::Leader | RoleSelector::Follower | RoleSelector::Learner)
        )
    }

    /// How many of `selected` members are hit in a cluster of `cluster`: never more than there are.
    fn count(&self, selected: usize, cluster: usize, draw: u64) -> usize {
        let wanted = match self.mode {
            Mode::One => 1,
            Mode::All => selected,
            Mode::Fixed => self.value as usize,
            Mode::FixedPercent => ((selected * self.value as usize + 50) / 100).max(1),
            // A separate number from those that choose the members.
            Mode::Random => 1 + (split_mix(!draw) % selected.max(1) as u64) as usize,
            Mode::Minority => cluster.saturating_sub(1) / 2,
            // Enough to leave no quorum: of four, two.
            Mode::Majority => cluster.div_ceil(2),
        };
        wanted.min(selected)
    }

    fn selects(&self, member: &Candidate, same_as: &[String]) -> bool {
        let by_role = match self.selector.role {
            None => true,
            Some(RoleSelector::Leader) => member.running && member.leader,
            Some(RoleSelector::Follower) => member.running && !member.leader,
            Some(RoleSelector::Learner) => member.running && member.learner,
            Some(RoleSelector::Running) => member.running,
            Some(RoleSelector::Stopped) => !member.running,
        };
        by_role
            && (self.selector.names.is_empty() || self.selector.names.contains(&member.name))
            && (self.selector.same_as.is_none() || same_as.contains(&member.name))
    }
}

/// Whether a fault can hit a member in this state: what its kind says, and what the roster allows.
fn eligible(settings: &Settings, member: &Candidate) -> bool {
    let affordable = settings.action().cost() != Cost::Copy
        || settings.beyond_budget()
        || (member.intact && member.spare && !member.in_hand);
    affordable && may_hit(settings, member)
}

/// Whether its kind can hit a member in this state, whatever that costs.
fn may_hit(settings: &Settings, member: &Candidate) -> bool {
    let works = settings.action().cost() == Cost::Work;
    settings.may_hit(member) && (works || !member.in_hand || settings.hits_members_in_hand())
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): enough to spread one draw over a few choices.
fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
