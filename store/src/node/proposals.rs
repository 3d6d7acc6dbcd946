//! Proposals: which client waits for which entry, which proposals wait for a leader, and how they are handed to
//! raft.
//!
//! A proposal without a leader is not refused. It is kept until there is a leader or its client gives up, as in
//! etcd. Once it is handed to raft, only its id is remembered. It may be lost on the way to the leader, or be
//! committed long after the client was told "timed out". Nothing is proposed twice.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft::eraftpb::{Entry, Message, MessageType};
use squall_core::{MembershipChange, Refusal, planted::planted};

use super::{driver::Node, entry, input::Answer};

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

    /// Puts a proposal that raft did not take back to the front of the queue.
    pub(crate) fn put_back(&mut self, id: u64, proposal: Proposal) {
        if planted!(PutBackLost) {
            return;
        }
        self.queue.push_front((id, proposal));
    }

    /// Whether something waits to be handed to raft.
    pub(crate) fn is_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Removes and returns the waiting client's answer, if a client of this member waits for this entry.
    pub(crate) fn take(&mut self, id: u64) -> Option<Answer> {
        self.waiters.remove(&id)
    }

    /// Whether a client of this member waits for this entry. Only a planted error asks.
    #[cfg(madsim)]
    pub(crate) fn awaits(&self, id: u64) -> bool {
        self.waiters.contains_key(&id)
    }

    /// Forgets the proposals whose clients have given up.
    pub(crate) fn forget_closed(&mut self) {
        self.waiters.retain(|_, answer| !answer.is_closed());
        let waiters = &self.waiters;
        self.queue.retain(|(id, _)| waiters.contains_key(id));
    }
}

impl Node {
    /// Takes a proposal from the API, unless too much is committed and not yet applied.
    pub(super) fn take_proposal(&mut self, id: u64, proposal: Proposal, answer: Answer) {
        if planted!(ProposalRefusedAndKept) && !self.can_propose() {
            let (kept, never_asked) = tokio::sync::oneshot::channel();
            std::mem::forget(never_asked);
            self.proposals.push(id, proposal, kept);
            let _ = answer.send(Err(Refusal::NoLeader));
            return;
        }
        if self.raft_gap() > super::MAX_APPLY_GAP {
            let _ = answer.send(Err(Refusal::TooManyRequests));
            return;
        }
        self.proposals.push(id, proposal, answer);
    }

    /// How many entries are committed and not yet applied.
    fn raft_gap(&self) -> u64 {
        self.raft.raft.raft_log.committed - self.raft.raft.raft_log.applied
    }

    /// Whether raft would take a proposal.
    fn can_propose(&self) -> bool {
        self.raft.raft.leader_id != raft::INVALID_ID && self.raft.raft.lead_transferee.is_none()
    }

    /// Hands what waits to raft, normal entries in one message.
    pub(super) fn propose(&mut self) {
        if !self.proposals.is_queued() || !self.can_propose() {
            return;
        }
        let mut batch: Vec<(u64, bytes::Bytes)> = Vec::new();
        while let Some((id, proposal)) = self.proposals.next() {
            match proposal {
                Proposal::Normal(data) => {
                    if planted!(ProposalTwice) && id.is_multiple_of(20) {
                        batch.push((id, data.clone()));
                    }
                    batch.push((id, data));
                }
                Proposal::Change(change) => {
                    // One conf change at a time: raft would turn a second one into an empty entry, and its proposer
                    // would wait in vain. Only the leader knows whether one is pending.
                    let busy = self.is_leader() && self.raft.raft.has_pending_conf();
                    let proposed = !busy && {
                        self.propose_batch(&mut batch);
                        let conf_change = entry::encode_change(id, &change);
                        self.raft.propose_conf_change(Vec::new(), conf_change).is_ok()
                    };
                    if !proposed {
                        self.proposals.put_back(id, Proposal::Change(change));
                        break;
                    }
                }
            }
        }
        self.propose_batch(&mut batch);
    }

    fn propose_batch(&mut self, batch: &mut Vec<(u64, bytes::Bytes)>) {
        if batch.is_empty() {
            return;
        }
        let entries: Vec<Entry> =
            batch.iter().map(|(_, data)| Entry { data: data.clone(), ..Default::default() }).collect();
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.raft.raft.id;
        message.set_entries(entries.into());
        if let Err(error) = self.raft.raft.step(message) {
            tracing::debug!(%error, "raft took no proposals");
            for (id, data) in batch.drain(..).rev() {
                self.proposals.put_back(id, Proposal::Normal(data));
            }
        }
        batch.clear();
    }
}
