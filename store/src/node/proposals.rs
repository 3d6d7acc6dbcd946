//! Who waits for which entry, and what waits for a leader.
//!
//! A proposal without a leader is not refused but kept until there is one or its client gives up, as in etcd. Once
//! handed to raft it is forgotten but for its id: it may be lost on the way to the leader, or be committed long after
//! the client was told "timed out". Nothing is proposed twice.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use squall_core::MembershipChange;

use super::input::Answer;

/// What is to be proposed.
#[derive(Debug)]
pub(crate) enum Proposal {
    /// A normal entry's data.
    Normal(Bytes),
    /// A conf change.
    Change(MembershipChange),
}

/// The proposals of one member.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    waiters: BTreeMap<u64, Answer>,
    queue: VecDeque<(u64, Proposal)>,
}

impl Proposals {
    /// Takes a proposal; it goes to raft when the loop gets to it.
    pub(crate) fn push(&mut self, id: u64, proposal: Proposal, answer: Answer) {
        self.waiters.insert(id, answer);
        self.queue.push_back((id, proposal));
    }

    /// The next one to hand to raft, unless its client has given up.
    pub(crate) fn next(&mut self) -> Option<(u64, Proposal)> {
        while let Some((id, proposal)) = self.queue.pop_front() {
            if self.waiters.get(&id).is_some_and(|answer| !answer.is_closed()) {
                return Some((id, proposal));
            }
            self.waiters.remove(&id);
        }
        None
    }

    /// Puts one back to where it was: raft did not take it.
    pub(crate) fn put_back(&mut self, id: u64, proposal: Proposal) {
        self.queue.push_front((id, proposal));
    }

    /// Whether something waits to be handed to raft.
    pub(crate) fn is_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Who waits for this entry, if anybody does on this member.
    pub(crate) fn take(&mut self, id: u64) -> Option<Answer> {
        self.waiters.remove(&id)
    }

    /// Forgets those who don't wait any more.
    pub(crate) fn forget_closed(&mut self) {
        self.waiters.retain(|_, answer| !answer.is_closed());
        let waiters = &self.waiters;
        self.queue.retain(|(id, _)| waiters.contains_key(id));
    }
}
