//! Handles one `Ready` of raft: sends, applies and persists in etcd's order (`etcdserver/raft.go`).
//!
//! 1. A leader's messages go out before its own fsync: a follower's disk may work at the same time (Ongaro's thesis,
//!    10.2.1).
//! 2. Committed entries are applied and answered.
//! 3. A snapshot's record, the entries and the hard state are appended to the WAL, in this order, and synced.
//!    Nothing is synced if only the commit index changed.
//! 4. A snapshot is installed. Its record is durable by now, so after a crash in the middle the next start finishes
//!    the install.
//! 5. A follower's messages go out last, because they promise what was synced (a vote, an accepted entry).
//!
//! An exception: before an entry that removes a member is applied, its commit index is synced (`removal`).
//!
//! Entries that became committed by the member's own fsync are applied at the end. The scripts in `store/tests/node`
//! check this order: each step there is a line, and a script can crash the member at each line.

use std::io;

use raft::eraftpb::{Message, MessageType};
use squall_core::{Index, MemberId, Term, planted::planted};

use super::{Halt, Mark, driver::Node};
use crate::{
    seam::{Point, ProbeEvent},
    wal::{SnapshotRecord, WalError},
};

impl Node {
    /// Does what one `Ready` asks for.
    pub(super) async fn handle_ready(&mut self) -> Result<(), Halt> {
        let mut ready = self.raft.ready();
        if ready.ss().is_some() || ready.hs().is_some() {
            self.observe_role();
        }
        for state in ready.take_read_states() {
            if let Ok(id) = state.request_ctx.as_slice().try_into().map(u64::from_be_bytes)
                && !self.reads.confirm(id, state.index)
            {
                self.shared.metrics.slow_read_indexes.inc();
            }
        }
        self.answer_reads(if planted!(ReadBeforeApply) { u64::MAX } else { self.applied_index() });
        if !ready.messages().is_empty() {
            self.env.points.reached(Point::RaftBeforeLeaderSend).await;
        }
        self.send(ready.take_messages());
        let mut promises = ready.take_persisted_messages();
        let early = promises.extract_if(.., |message| match message.get_msg_type() {
            MessageType::MsgRequestVoteResponse => planted!(VoteBeforeSync),
            MessageType::MsgAppendResponse => planted!(AckBeforeSync),
            _ => false,
        });
        let early = early.collect();
        self.send(early);

        if planted!(SingleVoterAcknowledgesBeforeFsync)
            && self.raft.raft.prs().is_singleton()
            && ready.snapshot().is_empty()
        {
            return self.handle_ready_before_fsync(ready).await;
        }

        self.apply(ready.take_committed_entries()).await?;

        let snapshot = Some(ready.snapshot().get_metadata().into()).filter(|mark: &Mark| mark.index > 0);
        if let Some(mark) = snapshot.as_ref().filter(|_| planted!(InstallBeforeRecord)) {
            self.replace_engine(mark.index).await?;
        }
        let late = snapshot.as_ref().filter(|_| planted!(HardStateBeforeSnapshotRecord));
        if let Some(mark) = snapshot.as_ref().filter(|_| late.is_none()) {
            // The file is on disk already: it was synced before raft heard of it.
            self.env.points.reached(Point::SnapshotBeforeSaveSnap).await;
            self.wal.append_snapshot_record(&snapshot_record(mark)).await.map_err(wal_failed)?;
            self.env.points.reached(Point::SnapshotAfterSaveSnap).await;
        }
        let saves = !ready.entries().is_empty() || ready.hs().is_some();
        if saves {
            self.env.points.reached_before_io(Point::RaftBeforeSave).await.map_err(point_failed)?;
            let mut hard_state = ready.hs().cloned();
            if let Some(hard_state) = &mut hard_state {
                hard_state.vote = if planted!(VoteNotStored) { 0 } else { hard_state.vote };
                hard_state.commit = if planted!(CommitNotStored) { 0 } else { hard_state.commit };
            }
            self.wal.append(ready.entries(), hard_state.as_ref()).await.map_err(wal_failed)?;
        }
        let term_or_vote_alone = ready.entries().is_empty() && snapshot.is_none();
        if ready.must_sync() && !(planted!(HardStateNotSynced) && term_or_vote_alone) {
            self.sync_wal().await?;
        }
        if saves {
            self.env.points.reached(Point::RaftAfterSave).await;
        }
        if let Some(mark) = late {
            self.wal.append_snapshot_record(&snapshot_record(mark)).await.map_err(wal_failed)?;
            self.sync_wal().await?;
        }
        if let Some(mark) = snapshot {
            self.install_snapshot(mark).await?;
        }
        if self.raft.mut_store().append(ready.entries()) {
            self.tell_log_terms();
        }
        if !promises.is_empty() {
            self.env.points.reached(Point::RaftBeforeFollowerSend).await;
        }
        self.send(promises);

        self.env.points.reached(Point::RaftBeforeAdvance).await;
        let mut light = self.raft.advance_append(ready);
        self.env.points.reached(Point::RaftAfterAdvance).await;
        if light.commit_index().is_some() {
            // No later `Ready` carries this commit index. It is written like any other, and not synced.
            let mut hard_state = self.raft.raft.hard_state();
            hard_state.commit = if planted!(CommitNotStored) { 0 } else { hard_state.commit };
            self.wal.append(&[], Some(&hard_state)).await.map_err(wal_failed)?;
        }
        self.send(light.take_messages());
        self.apply(light.take_committed_entries()).await?;
        self.raft.advance_apply();
        Ok(())
    }

    /// The planted bug of etcd #14370: a single voter needs no other member, so the entry counts as committed at
    /// once, and is applied and answered before it is on disk.
    async fn handle_ready_before_fsync(&mut self, ready: raft::Ready) -> Result<(), Halt> {
        let mut ready = ready;
        self.apply(ready.take_committed_entries()).await?;
        let (entries, hard_state, must_sync) = (ready.take_entries(), ready.hs().cloned(), ready.must_sync());
        self.raft.mut_store().append(&entries);
        let persisted = ready.take_persisted_messages();
        let mut light = self.raft.advance_append(ready);
        self.apply(light.take_committed_entries()).await?;
        self.raft.advance_apply();
        self.wal.append(&entries, hard_state.as_ref()).await.map_err(wal_failed)?;
        if must_sync {
            self.sync_wal().await?;
        }
        self.send(persisted);
        self.send(light.take_messages());
        Ok(())
    }

    pub(super) async fn sync_wal(&mut self) -> Result<(), Halt> {
        if self.wal.sync().await.map_err(wal_failed)? {
            self.env.probe.emit(ProbeEvent::SegmentCut);
        }
        Ok(())
    }

    pub(super) fn send(&mut self, mut messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        for message in messages.extract_if(.., |message| message.get_msg_type() == MessageType::MsgSnapshot) {
            self.send_snapshot(message);
        }
        if planted!(LeaderGuessesAck) && self.is_leader() {
            let first = self
                .raft
                .store()
                .applied()
                .conf_state
                .voters
                .iter()
                .filter(|id| **id != self.shared.member.0)
                .min();
            for message in messages.iter().filter(|message| Some(&message.to) == first) {
                if let Some(last) = message.get_entries().last() {
                    let mut guess = Message {
                        from: message.to,
                        to: message.from,
                        term: message.term,
                        index: last.index,
                        ..Default::default()
                    };
                    guess.set_msg_type(MessageType::MsgAppendResponse);
                    self.guessed.push(guess);
                }
            }
        }
        for message in &messages {
            self.tell_promise(message);
        }
        self.time_heartbeats(&messages);
        let dropped = self.transport.send(messages);
        self.unreachable.extend(dropped);
    }

    /// Counts the heartbeats that leave more than two intervals after the previous one to the same member. They show
    /// that this leader is overloaded, or its disk is slow.
    fn time_heartbeats(&mut self, messages: &[Message]) {
        let beats = messages.iter().filter(|message| message.get_msg_type() == MessageType::MsgHeartbeat);
        for beat in beats {
            let now = self.env.clock.monotonic();
            let before = self.heartbeats.insert(beat.to, now);
            if before.is_some_and(|before| now.since(before) > 2 * self.config.heartbeat_interval) {
                self.shared.metrics.late_heartbeats.inc();
            }
        }
    }

    /// Tells the probe what a message promises, if it promises anything. Raft relies on the promised vote or entry
    /// being on disk.
    fn tell_promise(&mut self, message: &Message) {
        let term = Term(message.term);
        let event = match message.get_msg_type() {
            MessageType::MsgRequestVote => ProbeEvent::Voted { term, candidate: self.shared.member },
            MessageType::MsgRequestVoteResponse if !message.reject => {
                ProbeEvent::Voted { term, candidate: MemberId(message.to) }
            }
            MessageType::MsgAppendResponse if !message.reject => {
                let promise = (term, Index(message.index));
                // Most acknowledgements repeat an earlier one, since each heartbeat brings some.
                if promise <= self.acknowledged {
                    return;
                }
                self.acknowledged = promise;
                ProbeEvent::Acknowledged { term, index: promise.1 }
            }
            _ => return,
        };
        self.env.probe.emit(event);
    }
}

pub(super) fn wal_failed(error: WalError) -> Halt {
    Halt::Failed(format!("WAL: {error}"))
}

fn point_failed(error: io::Error) -> Halt {
    Halt::Failed(format!("WAL: {error}"))
}

pub(super) fn snapshot_record(mark: &Mark) -> SnapshotRecord {
    SnapshotRecord { index: Index(mark.index), term: Term(mark.term), conf_state: mark.conf_state.clone() }
}
