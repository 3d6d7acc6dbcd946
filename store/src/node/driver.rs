//! The loop: inputs in, raft's `Ready` out, in etcd's order.

use std::{sync::Arc, time::Duration};

use raft::{
    RawNode, StateRole,
    eraftpb::{Entry, Message, MessageType},
};
use squall_core::{Index, MemberId, Refusal, Term};
use tokio::sync::{mpsc, oneshot};

use super::{
    Halt, Input, Shared,
    committer::Committer,
    ids::Ids,
    input::Answer,
    log_bridge,
    proposals::{Proposal, Proposals},
    raft_log::RaftLog,
    reads::Reads,
};
use crate::{
    Config,
    peer::Hub,
    seam::{BoxFuture, Engine, Env, Monotonic, ProbeEvent, Role, Ticker},
    wal::{SnapshotRecord, Wal},
};

/// Inputs handled in one turn, at most: raft's answers must not wait for ever.
const INPUTS_PER_TURN: usize = 1024;
/// A ReadIndex without a confirmation is asked again after this long.
const READ_RETRY: Duration = Duration::from_millis(500);
/// How often those who gave up are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// After its removal a member stays this long to send what it has queued: the others learn from it that it is gone.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a node is built from.
pub(crate) struct NodeParts {
    pub env: Env,
    pub config: Arc<Config>,
    pub shared: Arc<Shared>,
    pub hub: Arc<Hub>,
    pub wal: Wal,
    pub engine: Arc<dyn Engine>,
    pub log: RaftLog,
    /// The index of the last snapshot record.
    pub snapshot_index: u64,
    pub inputs: mpsc::Receiver<Input>,
    pub own_inputs: mpsc::Sender<Input>,
    pub ids: Ids,
}

/// A running member's loop and all that it alone may touch.
pub(crate) struct Node {
    pub(super) env: Env,
    pub(super) config: Arc<Config>,
    pub(super) shared: Arc<Shared>,
    pub(super) hub: Arc<Hub>,
    pub(super) raft: RawNode<RaftLog>,
    pub(super) wal: Wal,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) committer: Committer,
    inputs: mpsc::Receiver<Input>,
    pub(super) own_inputs: mpsc::WeakSender<Input>,
    ticker: Box<dyn Ticker>,
    pub(super) ids: Ids,
    pub(super) proposals: Proposals,
    pub(super) reads: Reads<oneshot::Sender<Result<(), Refusal>>>,
    read_asked: Monotonic,
    /// The batch of reads under way is to be asked for again.
    pub(super) reads_due: bool,
    /// Peers to which a message was dropped: raft may not be told while it waits for a `Ready` to be handled.
    unreachable: Vec<MemberId>,
    forgotten: Monotonic,
    /// The index of the last snapshot record in the WAL.
    pub(super) snapshot_index: u64,
    /// Snapshots on their way to peers; the log they need stays meanwhile.
    pub(super) snapshots_in_flight: usize,
    /// The pause before the next step of a compaction.
    pub(super) compaction: Option<BoxFuture<'static, ()>>,
    /// Who waits for this member to lead no more.
    transfers: Vec<oneshot::Sender<()>>,
}

impl Node {
    /// # Errors
    /// A configuration that raft refuses.
    pub(crate) fn new(parts: NodeParts) -> Result<Node, raft::Error> {
        let NodeParts { env, config, shared, hub, wal, engine, log, snapshot_index, inputs, own_inputs, ids } =
            parts;
        let raft_config = raft::Config {
            id: shared.member.0,
            election_tick: config.election_ticks(),
            heartbeat_tick: 1,
            applied: log.applied().index,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 512,
            check_quorum: true,
            pre_vote: true,
            read_only_option: raft::ReadOnlyOption::Safe,
            ..Default::default()
        };
        let raft = RawNode::new(&raft_config, log, &log_bridge::logger())?;
        let committer = Committer::start(
            &env,
            engine.clone(),
            shared.clone(),
            own_inputs.clone(),
            config.engine_commit_interval,
            config.engine_commit_batches,
        );
        let ticker = env.clock.ticker(config.heartbeat_interval);
        let now = env.clock.monotonic();
        let mut node = Node {
            env,
            config,
            shared,
            hub,
            raft,
            wal,
            engine,
            committer,
            inputs,
            own_inputs: own_inputs.downgrade(),
            ticker,
            ids,
            proposals: Proposals::default(),
            reads: Reads::default(),
            read_asked: now,
            reads_due: false,
            unreachable: Vec::new(),
            forgotten: now,
            snapshot_index,
            snapshots_in_flight: 0,
            compaction: None,
            transfers: Vec::new(),
        };
        node.publish_status();
        node.schedule_compaction();
        Ok(node)
    }

    /// Runs until the member stops, and says why it did.
    pub(crate) async fn run(mut self) -> Halt {
        // Those that the data folder knows already: no entry may come to bring them.
        self.connect_members();
        let halt = loop {
            if let Err(halt) = self.turn().await {
                break halt;
            }
        };
        if halt == Halt::Removed {
            // The others must hear of the entry that removed this member.
            self.env.clock.sleep(FAREWELL).await;
        }
        self.hub.close();
        self.inputs.close();
        halt
    }

    async fn turn(&mut self) -> Result<(), Halt> {
        let compaction = async {
            match &mut self.compaction {
                Some(pause) => pause.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { biased;
            () = self.ticker.tick() => self.tick(),
            () = compaction => self.compaction_step(),
            input = self.inputs.recv() => match input {
                Some(input) => self.take(input).await?,
                None => return Err(Halt::Requested),
            },
        }
        for _ in 1..INPUTS_PER_TURN {
            match self.inputs.try_recv() {
                Ok(input) => self.take(input).await?,
                Err(_) => break,
            }
        }
        self.propose();
        self.ask_reads();
        while self.raft.has_ready() {
            self.handle_ready().await?;
            for peer in std::mem::take(&mut self.unreachable) {
                self.raft.report_unreachable(peer.0);
            }
            // A conf change or a new leader may have let something go on.
            self.propose();
            if std::mem::take(&mut self.reads_due) && self.reads.is_asking() {
                self.ask_again();
            }
            self.ask_reads();
        }
        self.publish_status();
        Ok(())
    }

    fn tick(&mut self) {
        self.raft.tick();
        let now = self.env.clock.monotonic();
        if self.reads.is_asking() && now.since(self.read_asked) >= READ_RETRY {
            self.ask_again();
        }
        if now.since(self.forgotten) >= FORGET_EVERY {
            self.forgotten = now;
            self.proposals.forget_closed();
            self.reads.retain(|waiter| !waiter.is_closed());
        }
    }

    async fn take(&mut self, input: Input) -> Result<(), Halt> {
        match input {
            Input::Messages(messages) => {
                for message in messages {
                    self.step(message);
                }
            }
            Input::Snapshot(message) => self.step(*message),
            Input::Propose { id, data, answer } => self.take_proposal(id, Proposal::Normal(data), answer),
            Input::ChangeMembers { id, change, answer } => {
                self.take_proposal(id, Proposal::Change(change), answer);
            }
            Input::ReadIndex(waiter) => self.reads.push(waiter),
            Input::Unreachable(peer) => self.raft.report_unreachable(peer.0),
            Input::SnapshotReport { to, delivered } => self.snapshot_report(to, delivered),
            Input::EngineCommitted(Ok(mark)) => self.save_snapshot(mark).await?,
            Input::EngineCommitted(Err(error)) => return Err(Halt::Failed(format!("engine: {error}"))),
            Input::CommitEngine(done) => self.committer.commit_now(done),
            Input::RemovedByPeer(peer) => {
                tracing::warn!(%peer, "a member says that this one was removed");
                return Err(Halt::Removed);
            }
            Input::TransferLeadership(done) => self.transfer_leadership(done),
            Input::Stop => return Err(Halt::Requested),
        }
        Ok(())
    }

    /// Hands a peer's message to raft. What raft refuses (a stranger's answer, a message that only this member may send
    /// to itself) is dropped, as if lost.
    fn step(&mut self, message: Message) {
        let (from, kind) = (message.from, message.get_msg_type());
        if let Err(error) = self.raft.step(message) {
            tracing::debug!(from, ?kind, %error, "raft dropped a message");
        }
    }

    // Proposals and reads.

    fn take_proposal(&mut self, id: u64, proposal: Proposal, answer: Answer) {
        let status = self.raft_gap();
        if status > super::MAX_APPLY_GAP {
            let _ = answer.send(Err(Refusal::TooManyRequests));
            return;
        }
        self.proposals.push(id, proposal, answer);
    }

    fn raft_gap(&self) -> u64 {
        self.raft.raft.raft_log.committed - self.raft.raft.raft_log.applied
    }

    /// Whether raft would take a proposal.
    fn can_propose(&self) -> bool {
        self.raft.raft.leader_id != raft::INVALID_ID && self.raft.raft.lead_transferee.is_none()
    }

    /// Hands what waits to raft, normal entries in one message.
    fn propose(&mut self) {
        if !self.proposals.is_queued() || !self.can_propose() {
            return;
        }
        let mut batch: Vec<(u64, bytes::Bytes)> = Vec::new();
        while let Some((id, proposal)) = self.proposals.next() {
            match proposal {
                Proposal::Normal(data) => batch.push((id, data)),
                Proposal::Change(change) => {
                    // One at a time: raft would turn a second one into an empty entry, and its proposer would wait in
                    // vain. Only the leader can know.
                    let busy = self.is_leader() && self.raft.raft.has_pending_conf();
                    let proposed = !busy && {
                        self.propose_batch(&mut batch);
                        let conf_change = super::entry::encode_change(id, &change);
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

    fn ask_reads(&mut self) {
        if !self.reads.can_ask() {
            return;
        }
        #[cfg(madsim)]
        if self.config.plants(crate::PlantedBug::LeaderServesReadsWithoutReadIndex) && self.is_leader() {
            let id = self.ids.next();
            self.reads.ask(id);
            self.reads.confirm(id, 0);
            self.answer_reads(0);
            return;
        }
        self.ask_again();
    }

    /// Asks for a batch of reads, or again for the one under way.
    pub(super) fn ask_again(&mut self) {
        let id = self.ids.next();
        self.reads.ask(id);
        self.read_asked = self.env.clock.monotonic();
        self.raft.read_index(id.to_be_bytes().to_vec());
    }

    /// Answers the reads that waited for `applied`.
    pub(super) fn answer_reads(&mut self, applied: u64) {
        for waiter in self.reads.applied(applied) {
            let _ = waiter.send(Ok(()));
        }
    }

    // Ready.

    async fn handle_ready(&mut self) -> Result<(), Halt> {
        let mut ready = self.raft.ready();
        if ready.ss().is_some() || ready.hs().is_some() {
            self.observe_role();
        }
        for state in ready.take_read_states() {
            if let Ok(id) = state.request_ctx.as_slice().try_into().map(u64::from_be_bytes) {
                self.reads.confirm(id, state.index);
            }
        }
        self.answer_reads(self.applied_index());
        self.send(ready.take_messages());

        #[cfg(madsim)]
        if self.config.plants(crate::PlantedBug::SingleVoterAcknowledgesBeforeFsync)
            && self.raft.raft.prs().is_singleton()
            && ready.snapshot().is_empty()
        {
            return self.handle_ready_before_fsync(ready).await;
        }

        self.apply(ready.take_committed_entries())?;

        let snapshot =
            Some(ready.snapshot().get_metadata().into()).filter(|mark: &super::Mark| mark.index > 0);
        if let Some(mark) = &snapshot {
            // The file is on disk already: it was synced before raft heard of it.
            self.wal.append_snapshot_record(&snapshot_record(mark)).await.map_err(wal_failed)?;
        }
        if !ready.entries().is_empty() || ready.hs().is_some() {
            self.wal.append(ready.entries(), ready.hs()).await.map_err(wal_failed)?;
        }
        if ready.must_sync() {
            self.sync_wal().await?;
        }
        if let Some(mark) = snapshot {
            self.install_snapshot(mark).await?;
        }
        self.raft.mut_store().append(ready.entries());
        self.send(ready.take_persisted_messages());

        let mut light = self.raft.advance_append(ready);
        self.send(light.take_messages());
        self.apply(light.take_committed_entries())?;
        self.raft.advance_apply();
        Ok(())
    }

    /// The planted bug of etcd #14370: a single voter needs nobody's vote, so the entry counts as committed at once, and
    /// is applied and answered before it is on disk.
    #[cfg(madsim)]
    async fn handle_ready_before_fsync(&mut self, ready: raft::Ready) -> Result<(), Halt> {
        let mut ready = ready;
        self.apply(ready.take_committed_entries())?;
        let (entries, hard_state, must_sync) = (ready.take_entries(), ready.hs().cloned(), ready.must_sync());
        self.raft.mut_store().append(&entries);
        let persisted = ready.take_persisted_messages();
        let mut light = self.raft.advance_append(ready);
        self.apply(light.take_committed_entries())?;
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

    fn send(&mut self, mut messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        for message in messages.extract_if(.., |message| message.get_msg_type() == MessageType::MsgSnapshot) {
            self.send_snapshot(message);
        }
        let dropped = self.hub.send(messages);
        self.unreachable.extend(dropped);
    }

    // Who leads.

    pub(super) fn is_leader(&self) -> bool {
        self.raft.raft.state == StateRole::Leader
    }

    fn observe_role(&mut self) {
        let raft = &self.raft.raft;
        let role = match raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::PreCandidate => Role::PreCandidate,
            StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        };
        let leader = Some(MemberId(raft.leader_id)).filter(|leader| leader.0 != raft::INVALID_ID);
        let term = Term(raft.term);
        let before = self.shared.status();
        if (before.term, before.role, before.leader) == (term, role, leader) {
            return;
        }
        self.env.probe.emit(ProbeEvent::Role { term, role, leader });
        let lost = (before.leader.is_some() && leader.is_none()).then(|| self.env.clock.monotonic());
        self.shared.update_status(|status| {
            (status.term, status.role, status.leader) = (term, role, leader);
            status.leader_lost = lost.or(status.leader_lost);
        });
        if leader.is_some() && leader != before.leader {
            for waiter in self.reads.leader_changed() {
                let _ = waiter.send(Err(Refusal::LeaderChanged));
            }
        }
        if role != Role::Leader {
            for done in self.transfers.drain(..) {
                let _ = done.send(());
            }
        }
    }

    /// Hands the leadership to the member that has been heard longest, as etcd does at a graceful stop.
    fn transfer_leadership(&mut self, done: oneshot::Sender<()>) {
        let own = self.shared.member.0;
        let voters = self.raft.store().applied().conf_state.voters.clone();
        let heard = |id: &u64| self.hub.active_since(MemberId(*id)).map(|since| (since, *id));
        let longest = voters.iter().filter(|id| **id != own).filter_map(heard).min();
        match longest {
            Some((_, id)) if self.is_leader() => {
                self.raft.transfer_leader(id);
                self.transfers.push(done);
            }
            _ => {
                let _ = done.send(());
            }
        }
    }

    fn publish_status(&mut self) {
        let log = &self.raft.raft.raft_log;
        let (last, committed) = (Index(log.last_index()), Index(log.committed));
        let term = Term(self.raft.raft.term);
        self.shared.update_status(|status| {
            (status.last, status.committed, status.term) = (last, committed, term);
        });
    }

    pub(super) fn applied_index(&self) -> u64 {
        self.raft.store().applied().index
    }
}

pub(super) fn wal_failed(error: crate::wal::WalError) -> Halt {
    Halt::Failed(format!("WAL: {error}"))
}

pub(super) fn snapshot_record(mark: &super::Mark) -> SnapshotRecord {
    SnapshotRecord { index: Index(mark.index), term: Term(mark.term), conf_state: mark.conf_state.clone() }
}
