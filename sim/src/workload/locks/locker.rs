//! A client of locks and elections.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures_util::future::join;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;
use squall_store::seam::Monotonic;

use super::{
    effects::{created, place},
    round::{Ending, Round, Step, What},
};
use crate::{
    scenario::Mix,
    workload::{Client, Pace, Recorder},
};

/// The first id of sessions' leases. Other workloads use smaller ids.
const FIRST_LEASE: i64 = 1_000_000_000;

/// A session's second process has the first one's number plus this.
pub(in crate::workload) const TWIN: u64 = 500_000;

/// A client of locks and elections.
pub(in crate::workload) struct Locker {
    pub(in crate::workload) client: Client,
    /// Another process of the same session, which sometimes asks for the same place.
    pub(in crate::workload) twin: Client,
    pub(in crate::workload) recorder: Arc<Recorder>,
    pub(in crate::workload) keys: u32,
    /// How long it waits for an answer. For its turn it sometimes waits less and sometimes more.
    pub(in crate::workload) patience: Duration,
    pub(in crate::workload) mix: Mix,
    pub(in crate::workload) chance: ChaCha8Rng,
    pub(in crate::workload) pace: Pace,
    /// The lease in use, and its seconds.
    pub(in crate::workload) session: Option<(h::LeaseId, i64)>,
    /// The names that it asked for with that lease.
    pub(in crate::workload) asked: BTreeSet<h::Bytes>,
    /// The elections that it led with that lease before.
    pub(in crate::workload) led: Vec<h::LeaderKey>,
}

/// A hold of a lock or of a leadership.
struct Held {
    leader: h::LeaderKey,
    is_lock: bool,
}

impl Locker {
    /// Works until `stop` is set.
    pub(in crate::workload) async fn work(mut self, stop: Arc<AtomicBool>) {
        let began = self.client.clock().monotonic();
        while self.pace.wait(&self.client, began, &stop).await {
            let round = Round::draw(&self.mix, self.keys, &mut self.chance);
            match round.what {
                What::Lock | What::Campaign => {
                    if let Some(held) = self.take(&round).await {
                        self.hold(&round, held, began, &stop).await;
                    }
                }
                What::Leader => _ = self.ask(h::Lock::Leader(round.name())).await,
                What::Observe => {
                    let patience = self.patience.mul_f64(round.patience);
                    let op = h::Op::Lock(h::Lock::Observe(round.name()));
                    _ = self.client.perform_within(&op, patience).await;
                }
                What::Get => _ = self.get_with_header(round.guarded()).await,
            }
        }
        self.client.settle(None);
    }

    async fn ask(&mut self, lock: h::Lock) -> Option<h::OpResult> {
        self.client.perform(&h::Op::Lock(lock), false).await.map(|(result, _)| result)
    }

    /// Reads a key.
    async fn get_with_header(&mut self, key: h::Bytes) -> Option<(h::KeyValue, h::Header)> {
        let op = h::Op::Range(h::Range { key, ..h::Range::default() });
        match self.client.perform(&op, false).await? {
            (h::OpResult::Range(mut found), header) => found.kvs.pop().map(|kv| (kv, header)),
            _ => None,
        }
    }

    fn unique(&self) -> h::Bytes {
        h::Bytes::from(format!("v{}", self.recorder.next_id()))
    }

    /// The session's lease, or that of a new one.
    async fn session(&mut self, round: &Round) -> Option<h::LeaseId> {
        // Places of one lease in one queue look alike: the judge would have to try all of them. Places in several
        // queues differ, but those that still exist all end together.
        let asks_anew = match self.asked.contains(&round.name()) {
            true => !round.again,
            false => !self.asked.is_empty() && !round.shares,
        };
        if self.session.is_none() || round.anew || asks_anew {
            self.session = None;
            self.asked.clear();
            self.led.clear();
            // The client chooses the id, so that the history has it even if no answer comes.
            let id = FIRST_LEASE + self.recorder.next_id() as i64;
            let op = h::Op::LeaseGrant(h::LeaseGrant { id: h::LeaseId(id), ttl: round.ttl });
            if let (h::OpResult::LeaseGrant(granted), _) = self.client.perform(&op, false).await? {
                self.session = Some((granted.id, granted.ttl));
            }
        }
        self.session.map(|(lease, _)| lease)
    }

    /// Renews the session's lease. False if it is gone or its state is unknown.
    async fn keep_alive(&mut self) -> bool {
        let Some((id, _)) = self.session else { return false };
        let op = h::Op::LeaseKeepAlive(h::LeaseRef { id });
        match self.client.perform(&op, false).await {
            Some((h::OpResult::LeaseKeepAlive(kept), _)) => kept.ttl > 0,
            _ => false,
        }
    }

    /// Waits for its turn.
    async fn take(&mut self, round: &Round) -> Option<Held> {
        let lease = self.session(round).await?;
        let is_lock = round.what == What::Lock;
        let value = if is_lock { h::Bytes::default() } else { self.unique() };
        let claim = h::Claim { name: round.name(), lease, value };
        let name = claim.name.clone();
        self.asked.insert(name.clone());
        let op = h::Op::Lock(if is_lock { h::Lock::Lock(claim) } else { h::Lock::Campaign(claim) });
        let patience = self.patience.mul_f64(round.patience);
        let taken = if round.twice {
            self.client.shares_place(&name, lease);
            self.twin.shares_place(&name, lease);
            let twin = self.twin.perform_within(&op, patience);
            join(self.client.perform_within(&op, patience), twin).await.0
        } else {
            self.client.perform_within(&op, patience).await
        };
        // A lock's answer has no fencing token. And without an answer, the read shows whether a place is left.
        let found = self.get_with_header(place(&name, lease)).await;
        self.client.settle(found.as_ref().map(|(kv, header)| (kv.create_revision, *header)));
        let leader = match (taken, found) {
            (Some((h::OpResult::Elected(leader), _)), _) => Some(leader),
            (Some((h::OpResult::Locked(locked), _)), Some((kv, _))) if locked.key == kv.key => {
                Some(h::LeaderKey { name, key: kv.key, rev: kv.create_revision, lease })
            }
            _ => None,
        };
        if leader.is_none() {
            self.linger(round).await;
        }
        leader.map(|leader| Held { leader, is_lock })
    }

    /// Goes on without a place, and keeps the session alive for as long as the round says.
    async fn linger(&mut self, round: &Round) {
        let half = round.lingers.unwrap_or_default() / 2;
        for _ in 0..2 {
            if !self.keep_alive().await {
                self.session = None;
                return;
            }
            if half.is_zero() {
                return;
            }
            self.client.clock().sleep(half).await;
        }
    }

    /// Writes behind the fence. Answers whether the write took effect.
    async fn write(&mut self, round: &Round, held: &Held) -> bool {
        let key = held.leader.key.clone();
        let put = h::Put { key: round.guarded(), value: self.unique(), ..h::Put::default() };
        let op = h::Op::Txn(h::Txn {
            compares: vec![created(&key, h::CompareResult::Equal, held.leader.rev)],
            success: vec![h::RequestOp::Put(put)],
            failure: vec![h::RequestOp::Range(h::Range { key, ..h::Range::default() })],
        });
        let done = self.client.perform(&op, false).await;
        matches!(done, Some((h::OpResult::Txn(result), _)) if result.succeeded)
    }

    /// Does the holder's steps, and ends the hold.
    async fn hold(&mut self, round: &Round, held: Held, began: Monotonic, stop: &AtomicBool) {
        if !held.is_lock {
            let of_name = |key: &&h::LeaderKey| key.name == held.leader.name && key.rev != held.leader.rev;
            if let Some(former) = self.led.iter().rfind(of_name).filter(|_| round.resigns_late) {
                // This must not end a leadership that it has won since with another candidacy.
                _ = self.ask(h::Lock::Resign(former.clone())).await;
            }
            self.led.push(held.leader.clone());
        }
        for step in &round.steps {
            if !self.pace.wait(&self.client, began, stop).await {
                return;
            }
            let still = match step {
                Step::KeepAlive => self.keep_alive().await,
                Step::Say if !held.is_lock => {
                    let (leader, value) = (held.leader.clone(), self.unique());
                    self.ask(h::Lock::Proclaim(h::Proclamation { leader, value })).await.is_some()
                }
                Step::Write | Step::Say => self.write(round, &held).await,
                Step::Sleep(beyond) => {
                    let ttl = self.session.map_or(0, |(_, ttl)| ttl);
                    let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
                    self.client.clock().sleep(ttl + *beyond).await;
                    self.write(round, &held).await
                }
            };
            if !still && !self.keep_alive().await {
                self.session = None;
                return;
            }
        }
        match round.ending {
            Ending::LetGo => {
                let leader = held.leader.clone();
                let let_go = if held.is_lock { h::Lock::Unlock(leader.key) } else { h::Lock::Resign(leader) };
                _ = self.ask(let_go).await;
            }
            Ending::Revoke => {
                if let Some((id, _)) = self.session.take() {
                    let op = h::Op::LeaseRevoke(h::LeaseRef { id });
                    _ = self.client.perform(&op, false).await;
                }
            }
            Ending::Forget => self.session = None,
            Ending::Keep => {}
        }
        if round.late {
            // The former leader proclaims nothing more either.
            if !held.is_lock {
                let (leader, value) = (held.leader.clone(), self.unique());
                _ = self.ask(h::Lock::Proclaim(h::Proclamation { leader, value })).await;
            }
            _ = self.write(round, &held).await;
        }
    }
}
