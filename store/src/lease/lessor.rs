//! The leader's countdown (`server/lease/lessor.go`): a deadline for each lease, on this member's monotonic clock.
//!
//! It is *primary* while this member leads and has applied the first entry of its term. Otherwise it is empty and no
//! lease expires here. It is plain data: the caller holds the state's lock and passes the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use squall_core::{Lease, LeaseCheckpoint, LeaseId, Leases, Term, planted::planted};

use super::REVOKES_PER_SECOND;
use crate::seam::Monotonic;

/// How many leases may end in one second after a promotion. Room is left for leases that expire in the normal
/// course.
const SPREAD_PER_SECOND: u32 = REVOKES_PER_SECOND / 4 * 3;

/// The deadlines of all leases.
#[derive(Debug, Default)]
pub(crate) struct Lessor {
    /// The term in which this member counts leases down; `None` while it does not.
    primary: Option<Term>,
    countdowns: BTreeMap<LeaseId, Countdown>,
    /// When each lease is due for revocation, earliest first.
    due: BTreeSet<(Monotonic, LeaseId)>,
    /// When the last checkpoint was made.
    checkpointed: Monotonic,
    /// By lease, how many of its checkpoints are in the log and not applied yet. A renewal must wait for them.
    in_log: BTreeMap<LeaseId, u32>,
    /// When each lease was granted, as this member saw it. Only a planted error uses it.
    granted: BTreeMap<LeaseId, Monotonic>,
    /// The lease that was revoked last. Only a planted error uses it.
    revoked_last: Option<LeaseId>,
}

/// The countdown of one lease.
#[derive(Clone, Copy, Debug)]
struct Countdown {
    /// When the lease's time is over.
    deadline: Monotonic,
    /// When the revocation, or the next try at it, is due.
    due: Monotonic,
}

/// The outcome of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The lease has its whole time again.
    Renewed {
        /// That time, in seconds.
        ttl_secs: i64,
    },
    /// There is no such lease.
    NotFound,
    /// The lease's time is over: it waits for its revocation, and can no longer be renewed.
    Expired,
    /// A checkpoint records less time than the full one. It must be taken back first.
    Checkpointed,
    /// This member does not count leases down.
    NotPrimary,
}

impl Lessor {
    /// The term in which this member counts; `None` while it does not.
    pub(crate) fn primary(&self) -> Option<Term> {
        self.primary
    }

    /// This member now leads `term`: every lease gets the time that a new leader gives it, plus `extension`.
    pub(crate) fn promote(&mut self, term: Term, leases: &Leases, now: Monotonic, extension: Duration) {
        self.demote();
        self.primary = Some(term);
        self.checkpointed = now;
        for (id, lease) in leases.iter().filter(|_| !planted!(LeasePromotedByTheFirst)) {
            let secs = Duration::from_secs(lease.secs_at_promotion().unsigned_abs());
            let mut deadline = Monotonic(now.0 + secs + extension);
            if planted!(LeasePromotionKeepsGrant) {
                let granted = self.granted.get(&id).copied().unwrap_or(now);
                deadline = Monotonic(granted.0 + secs);
            }
            self.set(id, deadline);
        }
        self.spread();
    }

    /// If more leases would end within a second than a leader revokes in a second, the later ones get a little more
    /// time, as in etcd. Otherwise, after a promotion, all leases with equal times to live would end together.
    fn spread(&mut self) {
        if self.countdowns.len() < REVOKES_PER_SECOND as usize {
            return;
        }
        let in_order = std::mem::take(&mut self.due);
        // Counts the leases that end in the window that begins here, and those that were pushed into it.
        let (mut begin, mut end, mut count) = (Monotonic(Duration::ZERO), Monotonic(Duration::ZERO), 0_u32);
        for (deadline, id) in in_order {
            let mut later = deadline;
            if count == 0 || deadline > end {
                (begin, end, count) = (deadline, Monotonic(deadline.0 + Duration::from_secs(1)), 1);
            } else {
                count += 1;
                if count > SPREAD_PER_SECOND {
                    let since_begin = Duration::from_secs(1) * count / SPREAD_PER_SECOND;
                    later = deadline.max(Monotonic(begin.0 + since_begin));
                    end = later;
                }
            }
            self.set(id, later);
        }
    }

    /// This member no longer leads: it stops counting.
    pub(crate) fn demote(&mut self) {
        self.primary = None;
        self.in_log.clear();
        self.countdowns.clear();
        self.due.clear();
    }

    /// Starts to count a lease that was granted.
    pub(crate) fn granted(&mut self, id: LeaseId, ttl_secs: i64, now: Monotonic) {
        if planted!(LeasePromotionKeepsGrant) {
            self.granted.insert(id, now);
        }
        if self.primary.is_some() {
            self.set(id, Monotonic(now.0 + Duration::from_secs(ttl_secs.unsigned_abs())));
        }
    }

    /// Forgets a lease that was revoked.
    pub(crate) fn revoked(&mut self, id: LeaseId) {
        if planted!(LeaseRenewedWhileRevoked) {
            self.revoked_last = Some(id);
        }
        self.forget(id);
    }

    /// Stops counting a lease.
    fn forget(&mut self, id: LeaseId) {
        if let Some(countdown) = self.countdowns.remove(&id) {
            self.due.remove(&(countdown.due, id));
        }
    }

    /// Gives a lease its whole time again.
    pub(crate) fn renew(&mut self, id: LeaseId, lease: Option<&Lease>, now: Monotonic) -> Renewal {
        if self.primary.is_none() {
            return Renewal::NotPrimary;
        }
        if lease.is_none() && planted!(LeaseRenewedWhileRevoked) && self.revoked_last == Some(id) {
            return Renewal::Renewed { ttl_secs: 1 };
        }
        let (Some(lease), Some(deadline)) = (lease, self.countdowns.get(&id).map(|one| one.deadline)) else {
            return Renewal::NotFound;
        };
        if deadline <= now && !planted!(LeaseExpiredIsRenewed) {
            return Renewal::Expired;
        }
        let noted = lease.remaining_secs > 0 || self.in_log.contains_key(&id);
        if noted && !planted!(LeaseCheckpointOutlivesRenewal) {
            return Renewal::Checkpointed;
        }
        let whole = Duration::from_secs(lease.ttl_secs.unsigned_abs());
        let renewed = Monotonic(now.0 + if planted!(LeaseTimeHalved) { whole / 2 } else { whole });
        if !planted!(LeaseRenewalIgnored) {
            // A lease that was extended at a promotion may have more time already.
            let least = if planted!(LeaseTimeHalved) { renewed } else { deadline };
            self.set(id, renewed.max(least));
        }
        Renewal::Renewed { ttl_secs: lease.ttl_secs }
    }

    /// The remaining time of a lease; `None` if this member does not count it.
    pub(crate) fn remaining(&self, id: LeaseId, now: Monotonic) -> Option<Duration> {
        self.countdowns.get(&id).map(|one| one.deadline.since(now))
    }

    /// The leases whose revocation is due, longest overdue first, at most `most` of them.
    pub(crate) fn expired(&self, now: Monotonic, most: usize) -> Vec<LeaseId> {
        self.due.iter().take_while(|(due, _)| *due <= now).take(most).map(|(_, id)| *id).collect()
    }

    /// Records that a lease's revocation has been proposed. If the lease still exists at `again`, its revocation is
    /// due once more.
    pub(crate) fn proposed(&mut self, id: LeaseId, again: Monotonic) {
        if let Some(one) = self.countdowns.get_mut(&id)
            && self.due.remove(&(one.due, id))
        {
            one.due = again;
            self.due.insert((again, id));
        }
    }

    /// Forgets that a lease's revocation is due, though the lease still exists. Only a planted error does this.
    #[cfg(madsim)]
    pub(crate) fn forget_due(&mut self, id: LeaseId) {
        if let Some(one) = self.countdowns.get(&id) {
            self.due.remove(&(one.due, id));
        }
    }

    /// Records that checkpoints have been appended to the log.
    pub(crate) fn checkpoints_appended(&mut self, left: &[LeaseCheckpoint]) {
        for one in left {
            *self.in_log.entry(one.id).or_default() += 1;
        }
    }

    /// Records that checkpoints have been applied. A checkpoint that takes another one back is not counted.
    pub(crate) fn checkpoints_applied(&mut self, left: &[LeaseCheckpoint]) {
        for one in left.iter().filter(|one| one.remaining_secs > 0) {
            if let Some(count) = self.in_log.get_mut(&one.id) {
                *count -= 1;
                if *count == 0 {
                    self.in_log.remove(&one.id);
                }
            }
        }
    }

    /// Once in each `interval`: the checkpoints of all leases whose time to live is longer than that.
    pub(crate) fn checkpoints(
        &mut self,
        leases: &Leases,
        now: Monotonic,
        interval: Duration,
    ) -> Vec<LeaseCheckpoint> {
        if self.primary.is_none() || now.since(self.checkpointed) < interval {
            return Vec::new();
        }
        self.checkpointed = now;
        let left = |(id, lease): (LeaseId, &Lease)| {
            let remaining = self.remaining(id, now)?;
            let remaining_secs = i64::try_from(remaining.as_nanos().div_ceil(1_000_000_000)).ok()?;
            // A short lease, or one that was just renewed, needs no checkpoint.
            let noted = remaining > Duration::ZERO
                && Duration::from_secs(lease.ttl_secs.unsigned_abs()) > interval
                && remaining_secs < lease.ttl_secs
                && (lease.remaining_secs == 0 || remaining_secs < lease.remaining_secs);
            let elapsed = (lease.ttl_secs - remaining_secs).max(1);
            let remaining_secs = if planted!(CheckpointNotesElapsed) { elapsed } else { remaining_secs };
            noted.then_some(LeaseCheckpoint { id, remaining_secs })
        };
        leases.iter().filter_map(left).collect()
    }

    /// All leases, ordered by deadline; `None` if this member does not count them.
    pub(crate) fn by_deadline(&self) -> Option<Vec<LeaseId>> {
        if !planted!(LeasesOfTheCountdown) {
            self.primary?;
        }
        let by_time: BTreeSet<(Monotonic, LeaseId)> =
            self.countdowns.iter().map(|(id, one)| (one.deadline, *id)).collect();
        Some(by_time.into_iter().map(|(_, id)| id).collect())
    }

    /// Sets a lease's deadline.
    fn set(&mut self, id: LeaseId, deadline: Monotonic) {
        self.forget(id);
        self.countdowns.insert(id, Countdown { deadline, due: deadline });
        self.due.insert((deadline, id));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use squall_core::{Command, Index, State};

    use super::*;

    const ELECTION: Duration = Duration::from_secs(1);
    const INTERVAL: Duration = Duration::from_secs(5);
    const AGAIN: Duration = Duration::from_secs(7);

    /// A member's state with its lessor. It applies every proposal at once.
    struct Member {
        state: State,
        lessor: Lessor,
        now: Monotonic,
        term: Term,
    }

    impl Member {
        fn new() -> Member {
            Member {
                state: State::new(),
                lessor: Lessor::default(),
                now: Monotonic(Duration::ZERO),
                term: Term(1),
            }
        }

        fn apply(&mut self, command: Command) -> bool {
            let index = Index(self.state.applied().0.0 + 1);
            let applied = self.state.apply(index, Term(1), &command).reply.is_ok();
            match command {
                Command::LeaseGrant { id, ttl_secs } if applied => {
                    self.lessor.granted(id, ttl_secs, self.now);
                }
                Command::LeaseRevoke(id) if applied => self.lessor.revoked(id),
                _ => {}
            }
            applied
        }

        fn promote(&mut self) {
            self.term = Term(self.term.0 + 1);
            self.lessor.promote(self.term, self.state.leases(), self.now, ELECTION);
        }

        fn renew(&mut self, id: LeaseId) -> Renewal {
            self.lessor.renew(id, self.state.leases().get(id), self.now)
        }
    }

    #[test]
    fn a_member_that_does_not_lead_counts_nothing() {
        let mut member = Member::new();
        member.apply(Command::LeaseGrant { id: LeaseId(1), ttl_secs: 2 });
        member.now = Monotonic(Duration::from_secs(100));
        assert_eq!(member.lessor.expired(member.now, 9), []);
        assert_eq!(member.renew(LeaseId(1)), Renewal::NotPrimary);
        member.promote();
        assert_eq!(member.lessor.remaining(LeaseId(1), member.now), Some(Duration::from_secs(3)));
        member.lessor.demote();
        assert_eq!(member.lessor.remaining(LeaseId(1), member.now), None);
    }

    #[test]
    fn a_revocation_that_is_not_applied_is_due_again() {
        let mut member = Member::new();
        member.promote();
        member.apply(Command::LeaseGrant { id: LeaseId(1), ttl_secs: 2 });
        member.now = Monotonic(Duration::from_secs(2));
        assert_eq!(member.lessor.expired(member.now, 9), [LeaseId(1)]);
        member.lessor.proposed(LeaseId(1), Monotonic(member.now.0 + AGAIN));
        assert_eq!(member.lessor.expired(member.now, 9), []);
        assert_eq!(member.renew(LeaseId(1)), Renewal::Expired);
        member.now = Monotonic(member.now.0 + AGAIN);
        assert_eq!(member.lessor.expired(member.now, 9), [LeaseId(1)]);
        member.lessor.proposed(LeaseId(1), Monotonic(member.now.0 + AGAIN));
        member.apply(Command::LeaseRevoke(LeaseId(1)));
        assert_eq!(member.renew(LeaseId(1)), Renewal::NotFound);
        member.now = Monotonic(Duration::from_secs(1000));
        assert_eq!(member.lessor.expired(member.now, 9), []);
    }

    /// No more leases end in a second than a leader can revoke, and a lease that ends apart from the others keeps
    /// its deadline.
    #[test]
    fn leases_that_would_end_together_are_spread_at_a_promotion() {
        let (alike, apart) = (3_000, LeaseId(9_999));
        let mut member = Member::new();
        for id in 1..=alike {
            member.apply(Command::LeaseGrant { id: LeaseId(id), ttl_secs: 10 });
        }
        member.apply(Command::LeaseGrant { id: apart, ttl_secs: 60 });
        member.promote();
        let left = |id| member.lessor.remaining(LeaseId(id), member.now).expect("it counts");
        let mut left: Vec<Duration> = (1..=alike).map(left).collect();
        left.sort();
        let (first, last) = (Duration::from_secs(10) + ELECTION, Duration::from_secs(14) + ELECTION);
        assert!(
            left[0] == first && left[left.len() - 1] <= last,
            "{:?}, {:?}",
            left[0],
            left[left.len() - 1]
        );
        let within_a_second = |from: &Duration| {
            left.iter().filter(|at| *at >= from && **at < *from + Duration::from_secs(1)).count()
        };
        let most = left.iter().map(within_a_second).max();
        assert!(most <= Some(SPREAD_PER_SECOND as usize + 1), "{most:?} in a second");
        assert_eq!(member.lessor.remaining(apart, member.now), Some(Duration::from_secs(60) + ELECTION));

        let mut few = Member::new();
        for id in 1..500 {
            few.apply(Command::LeaseGrant { id: LeaseId(id), ttl_secs: 10 });
        }
        few.promote();
        assert!((1..500).all(|id| few.lessor.remaining(LeaseId(id), few.now) == Some(first)));
    }

    /// A checkpoint that is on its way through the log would take a renewal back at the next promotion.
    #[test]
    fn a_renewal_waits_for_checkpoints_in_the_log() {
        let mut member = Member::new();
        member.promote();
        member.apply(Command::LeaseGrant { id: LeaseId(1), ttl_secs: 30 });
        member.now = Monotonic(Duration::from_secs(20));
        let left = member.lessor.checkpoints(member.state.leases(), member.now, INTERVAL);
        assert_eq!(left, [LeaseCheckpoint { id: LeaseId(1), remaining_secs: 10 }]);
        member.lessor.checkpoints_appended(&left);
        assert_eq!(member.renew(LeaseId(1)), Renewal::Checkpointed);
        member.apply(Command::LeaseCheckpoint(left.clone()));
        member.lessor.checkpoints_applied(&left);
        assert_eq!(member.renew(LeaseId(1)), Renewal::Checkpointed);
        let whole = vec![LeaseCheckpoint { id: LeaseId(1), remaining_secs: 0 }];
        member.apply(Command::LeaseCheckpoint(whole.clone()));
        member.lessor.checkpoints_applied(&whole);
        assert_eq!(member.renew(LeaseId(1)), Renewal::Renewed { ttl_secs: 30 });
    }

    #[derive(Clone, Debug)]
    enum Step {
        Grant(i64, i64),
        Revoke(i64),
        Renew(i64),
        Wait(u64),
        Promote,
        Demote,
        Expire,
        Checkpoint,
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = 1..4i64;
        prop_oneof![
            3 => (id.clone(), 1..40i64).prop_map(|(id, ttl)| Step::Grant(id, ttl)),
            1 => id.clone().prop_map(Step::Revoke),
            4 => id.prop_map(Step::Renew),
            6 => (1..6_000u64).prop_map(Step::Wait),
            2 => Just(Step::Promote),
            1 => Just(Step::Demote),
            3 => Just(Step::Expire),
            2 => Just(Step::Checkpoint),
        ]
    }

    proptest! {
        /// Compares the lessor with a simple model: for each lease, the earliest moment at which it may end.
        #[test]
        fn a_lease_ends_when_its_account_says(steps in proptest::collection::vec(step(), 1..120)) {
            let mut member = Member::new();
            // While the leases are counted: the moment from which each may be revoked, and the time that it gets
            // when renewed.
            let mut ends: BTreeMap<LeaseId, (Duration, Duration)> = BTreeMap::new();
            for step in steps {
                let now = member.now.0;
                match step {
                    Step::Grant(id, ttl) => {
                        let ttl_secs = ttl;
                        if member.apply(Command::LeaseGrant { id: LeaseId(id), ttl_secs }) {
                            let ttl = Duration::from_secs(ttl as u64);
                            ends.insert(LeaseId(id), (now + ttl, ttl));
                        }
                    }
                    Step::Revoke(id) => {
                        member.apply(Command::LeaseRevoke(LeaseId(id)));
                        ends.remove(&LeaseId(id));
                    }
                    Step::Renew(id) => {
                        let id = LeaseId(id);
                        let mut renewal = member.renew(id);
                        if renewal == Renewal::Checkpointed {
                            let left = vec![LeaseCheckpoint { id, remaining_secs: 0 }];
                            member.apply(Command::LeaseCheckpoint(left));
                            renewal = member.renew(id);
                        }
                        let primary = member.lessor.primary().is_some();
                        match ends.get_mut(&id) {
                            _ if !primary => prop_assert_eq!(renewal, Renewal::NotPrimary),
                            None => prop_assert_eq!(renewal, Renewal::NotFound),
                            Some((end, _)) if *end <= now => prop_assert_eq!(renewal, Renewal::Expired),
                            Some((end, ttl)) => {
                                let ttl_secs = ttl.as_secs() as i64;
                                prop_assert_eq!(renewal, Renewal::Renewed { ttl_secs });
                                *end = (*end).max(now + *ttl);
                            }
                        }
                    }
                    Step::Wait(millis) => member.now = Monotonic(now + Duration::from_millis(millis)),
                    Step::Promote => {
                        member.promote();
                        for (id, (end, ttl)) in &mut ends {
                            let lease = member.state.leases().get(*id).expect("it is there");
                            let left = match lease.remaining_secs {
                                0 => *ttl,
                                secs => Duration::from_secs(secs as u64),
                            };
                            *end = now + left + ELECTION;
                        }
                    }
                    Step::Demote => member.lessor.demote(),
                    Step::Expire => {
                        let expired = member.lessor.expired(member.now, usize::MAX);
                        let expected: BTreeSet<LeaseId> = ends
                            .iter()
                            .filter(|(_, (end, _))| member.lessor.primary().is_some() && *end <= now)
                            .map(|(id, _)| *id)
                            .collect();
                        prop_assert_eq!(expired.iter().copied().collect::<BTreeSet<_>>(), expected);
                        for id in expired {
                            prop_assert!(member.apply(Command::LeaseRevoke(id)));
                            ends.remove(&id);
                        }
                    }
                    Step::Checkpoint => {
                        let left = member.lessor.checkpoints(member.state.leases(), member.now, INTERVAL);
                        for one in &left {
                            let (end, ttl) = ends[&one.id];
                            let exact = end.saturating_sub(now).as_secs_f64();
                            prop_assert!(one.remaining_secs as f64 >= exact, "never less than is left");
                            prop_assert!((one.remaining_secs as f64) < exact + 1.0);
                            prop_assert!(ttl > INTERVAL, "a short lease is not noted");
                        }
                        member.apply(Command::LeaseCheckpoint(left));
                    }
                }
            }
        }
    }
}
