//! The loop: takes what happened, one input after another, and hands it to the part that deals with it.
//!
//! This file has the node's fields and its turn. The parts are in their own files: `proposals` and `reads` (what
//! clients want), `ready` (the persist order), `apply`, `snapshots`, `leadership`.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use raft::{RawNode, eraftpb::Message};
use squall_core::{Index, MemberId, Refusal, Term, planted::planted};
use tokio::sync::{mpsc, oneshot};

#[cfg(madsim)]
use super::defragment;
use super::{
    Halt, Input, Shared, Transport,
    committer::Committer,
    ids::Ids,
    log_bridge, lost_data,
    proposals::{Proposal, Proposals},
    quota,
    raft_log::RaftLog,
    reads::Reads,
};
use crate::{
    Config,
    seam::{BoxFuture, Engine, Env, Monotonic, Point, ProbeEvent, Ticker, first_of},
    wal::Wal,
};

/// The most bytes of entries in one append. A single larger entry is still sent. While a leader does not know how
/// far a follower is, each answer to a heartbeat makes it send the same append again, so appends are small. (etcd's
/// are 1 MiB.)
const APPEND_BYTES: u64 = 64 << 10;
/// How many appends may be in flight to one follower. With [`APPEND_BYTES`] that is 16 MiB, which a link can queue
/// without dropping any (`peer`).
const APPENDS_IN_FLIGHT: usize = 256;
/// The most inputs of one turn. It is bounded so that raft's own work does not wait long.
const INPUTS_PER_TURN: usize = 1024;
/// A ReadIndex that was not confirmed is asked for again after this long.
const READ_RETRY: Duration = Duration::from_millis(500);
/// How often requests whose clients gave up are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// What a node is built from.
pub(crate) struct NodeParts {
    pub env: Env,
    pub config: Arc<Config>,
    pub shared: Arc<Shared>,
    pub transport: Arc<dyn Transport>,
    pub wal: Wal,
    pub engine: Arc<dyn Engine>,
    pub log: RaftLog,
    /// The index of the last snapshot record.
    pub snapshot_index: u64,
    pub inputs: mpsc::Receiver<Input>,
    pub own_inputs: mpsc::Sender<Input>,
    pub ids: Ids,
    /// The width, in ticks, of the range that the election time-out is drawn from. The range begins at the
    /// configured time-out. raft's own default is as wide as the time-out itself; a width of 1 leaves nothing to
    /// chance.
    pub election_spread: usize,
}

/// A running member's loop, and everything that only the loop may touch.
pub(crate) struct Node {
    pub(super) env: Env,
    pub(super) config: Arc<Config>,
    pub(super) shared: Arc<Shared>,
    pub(super) transport: Arc<dyn Transport>,
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
    pub(super) read_asked: Monotonic,
    /// Whether to ask again for the batch of reads under way.
    pub(super) reads_due: bool,
    /// Peers to which a message was dropped. They are kept here because raft must not be told while it waits for a
    /// `Ready` to be handled.
    pub(super) unreachable: Vec<MemberId>,
    forgotten: Monotonic,
    /// The index of the last snapshot record in the WAL.
    pub(super) snapshot_index: u64,
    /// How many snapshots are on their way to peers. Meanwhile the entries after them stay in the log.
    pub(super) snapshots_in_flight: usize,
    /// The pause before the next step of a compaction.
    pub(super) compaction: Option<BoxFuture<'static, ()>>,
    /// When the compaction under way began.
    pub(super) compaction_began: Option<Monotonic>,
    /// When this leader last sent a heartbeat to each member.
    pub(super) heartbeats: BTreeMap<u64, Monotonic>,
    /// The quota's alarm, if it was proposed, and when that was.
    pub(super) raising: Option<quota::Raising>,
    /// What a planted error needs of the last defragmentation.
    #[cfg(madsim)]
    pub(super) copied: defragment::Copied,
    /// Answered once this member no longer leads.
    pub(super) transfers: Vec<oneshot::Sender<()>>,
    /// Acknowledgements that no member has sent. Always empty unless a planted error fills it.
    pub(super) guessed: Vec<Message>,
    /// Term and index of the furthest acknowledgement that the probe was told of.
    pub(super) acknowledged: (Term, Index),
    /// This member was removed ([`super::removal`]).
    pub(super) leaving: bool,
}

/// What ended a wait.
enum Woken {
    Tick,
    /// The pause before the next step of a compaction is over.
    Compaction,
    Input(Option<Input>),
}

impl Node {
    /// # Errors
    /// A configuration that raft refuses.
    pub(crate) fn new(parts: NodeParts) -> Result<Node, raft::Error> {
        let NodeParts {
            env,
            config,
            shared,
            transport,
            wal,
            engine,
            log,
            snapshot_index,
            inputs,
            own_inputs,
            ids,
            election_spread,
        } = parts;
        let raft_config = raft::Config {
            id: shared.member.0,
            election_tick: config.election_ticks(),
            max_election_tick: config.election_ticks() + election_spread,
            heartbeat_tick: 1,
            applied: log.applied().index + u64::from(planted!(RestartSkipsEntry) && log.applied().index > 0),
            max_size_per_msg: APPEND_BYTES,
            max_inflight_msgs: APPENDS_IN_FLIGHT,
            check_quorum: true,
            pre_vote: true,
            read_only_option: if planted!(LeaseReads) {
                raft::ReadOnlyOption::LeaseBased
            } else {
                raft::ReadOnlyOption::Safe
            },
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
        let leaving = shared.leaving.get();
        let mut node = Node {
            env,
            config,
            shared,
            transport,
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
            compaction_began: None,
            heartbeats: BTreeMap::new(),
            raising: None,
            #[cfg(madsim)]
            copied: defragment::Copied::default(),
            transfers: Vec::new(),
            guessed: Vec::new(),
            acknowledged: Default::default(),
            leaving,
        };
        node.tell_found();
        node.tell_configuration(Index(node.applied_index()));
        if node.leaving {
            node.env.probe.emit(ProbeEvent::Leaving);
        }
        node.publish_status();
        node.schedule_compaction();
        Ok(node)
    }

    /// Runs until the member stops, and says why it did.
    pub(crate) async fn run(mut self) -> Halt {
        // Connects the members that the data folder lists. If no membership change follows, nothing else would.
        self.connect_members();
        let halt = loop {
            if let Err(halt) = self.turn().await {
                break halt;
            }
        };
        self.transport.close();
        self.inputs.close();
        halt
    }

    /// Tells the probe what raft starts with.
    fn tell_found(&self) {
        let raft = &self.raft.raft;
        self.env.probe.emit(ProbeEvent::Found {
            member: self.shared.member,
            cluster: self.shared.cluster,
            term: Term(raft.term),
            vote: Some(MemberId(raft.vote)).filter(|id| id.0 != raft::INVALID_ID),
            last: Index(raft.raft_log.last_index()),
        });
        self.tell_log_terms();
    }

    /// Tells the probe the terms of the log's entries.
    pub(super) fn tell_log_terms(&self) {
        let runs = self.raft.store().terms();
        let terms = runs.into_iter().map(|(term, last)| (Term(term), Index(last))).collect();
        self.env.probe.emit(ProbeEvent::LogTerms { terms });
    }

    async fn turn(&mut self) -> Result<(), Halt> {
        match self.wait().await {
            Woken::Tick => {
                self.tick();
                self.keep_leases();
            }
            Woken::Compaction => self.compaction_step().await,
            Woken::Input(Some(input)) => self.take(input).await?,
            Woken::Input(None) => return Err(Halt::Requested),
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
            for guess in std::mem::take(&mut self.guessed) {
                self.step(guess)?;
            }
            // After a conf change or with a new leader, waiting proposals may be able to go on.
            self.propose();
            if std::mem::take(&mut self.reads_due) && self.reads.is_asking() {
                self.ask_again();
            }
            self.ask_reads();
        }
        self.publish_status();
        Ok(())
    }

    /// Waits for something to do. If several things are ready, none of them has priority.
    async fn wait(&mut self) -> Woken {
        let Node { env, ticker, compaction, inputs, .. } = self;
        let tick = pin!(async {
            ticker.tick().await;
            Woken::Tick
        });
        let compaction = pin!(async {
            match compaction {
                Some(pause) => pause.await,
                None => std::future::pending().await,
            }
            Woken::Compaction
        });
        let input = pin!(async { Woken::Input(inputs.recv().await) });
        first_of(&*env.tasks, [tick, compaction, input]).await
    }

    /// A single voter needs no other vote, so it campaigns without waiting for an election time-out (etcd advances
    /// the ticks of such a member when it starts). It does so only if its log holds no unapplied membership change:
    /// other members may have joined by such a change, and one of them may lead.
    fn lead_alone(&mut self) {
        let raft = &self.raft.raft;
        let waits = raft.state == raft::StateRole::Follower && raft.leader_id == raft::INVALID_ID;
        if !waits || !raft.promotable() || !raft.prs().conf().voters().ids().iter().eq([self.shared.member.0])
        {
            return;
        }
        let (from, to) = (raft.raft_log.applied + 1, raft.raft_log.last_index() + 1);
        let more = raft.raft_log.slice(from, to, None, raft::GetEntriesContext::empty(false));
        let is_normal =
            |entry: &raft::eraftpb::Entry| entry.get_entry_type() == raft::eraftpb::EntryType::EntryNormal;
        if !more.is_ok_and(|entries| entries.iter().all(is_normal)) {
            return;
        }
        if let Err(error) = self.raft.campaign() {
            tracing::warn!(%error, "no campaign yet; the election time-out will bring one");
        }
    }

    fn tick(&mut self) {
        self.lead_alone();
        self.raft.tick();
        let now = self.env.clock.monotonic();
        if self.reads.is_asking() && now.since(self.read_asked) >= READ_RETRY && !planted!(ReadNotAskedAgain)
        {
            self.ask_again();
        }
        if now.since(self.forgotten) >= FORGET_EVERY {
            self.forgotten = now;
            self.proposals.forget_closed();
            self.shared.tokens().forget_old(now);
            self.reads.retain(|waiter| !waiter.is_closed());
        }
    }

    async fn take(&mut self, input: Input) -> Result<(), Halt> {
        if self.turns_away(&input) {
            return Ok(());
        }
        match input {
            Input::Messages(messages) => {
                for message in messages {
                    self.step(message)?;
                }
            }
            Input::Snapshot(message) => self.step(*message)?,
            Input::Propose { id, data, answer } => self.take_proposal(id, Proposal::Normal(data), answer),
            Input::ChangeMembers { id, change, answer } => {
                self.take_proposal(id, Proposal::Change(change), answer);
            }
            Input::ReadIndex(waiter) => self.reads.push(waiter),
            Input::Unreachable(peer) => self.raft.report_unreachable(peer.0),
            Input::SnapshotReport { to, delivered } => self.snapshot_report(to, delivered),
            Input::EngineCommitted(Ok(mark)) => {
                #[cfg(madsim)]
                self.note_commit();
                self.save_snapshot(mark).await?;
            }
            Input::EngineCommitted(Err(error)) => return Err(Halt::Failed(format!("engine: {error}"))),
            Input::CommitEngine(done) => self.committer.commit_now(done),
            Input::RemovedByPeer(_) if planted!(RemovedGoesOn) => {}
            Input::RemovedByPeer(peer) => {
                tracing::warn!(%peer, "a member says that this one was removed");
                self.leave();
            }
            Input::RemovalKnown if !self.leaving => {}
            Input::RemovalKnown => return Err(Halt::Removed),
            Input::EmptiedByPeer(peer) => {
                let what = format!("{peer} has heard from it before, and the folder was empty at this start");
                return Err(self.refused(&what));
            }
            Input::KnownToHaveServed(peer) => {
                let raft = &self.raft.raft;
                let own = self.shared.member;
                let past = lost_data::Past {
                    term: raft.term,
                    vote: raft.vote,
                    last_term: raft.raft_log.last_term(),
                    named: self.shared.state().membership().get(own).is_some_and(|own| !own.name.is_empty()),
                };
                if past.is_blank() {
                    let what =
                        format!("{peer} knows that it has served before, and its log is that of a beginner");
                    return Err(self.refused(&what));
                }
            }
            Input::TransferLeadership(done) => {
                self.env.points.reached(Point::RaftBeforeTransfer).await;
                self.transfer_leadership(done);
            }
            Input::MoveLeader { to, begun } => {
                self.env.points.reached(Point::RaftBeforeTransfer).await;
                let _ = begun.send(self.move_leader(to));
            }
            Input::LearnerReady { id, answer } => {
                let _ = answer.send(self.learner_ready(id));
            }
            Input::Defragment(done) => self.defragment(done).await?,
            Input::Stop => return Err(Halt::Requested),
        }
        Ok(())
    }

    /// Hands a peer's message to raft. A message that raft refuses is dropped, as if it had been lost. Examples are
    /// an answer from an unknown member, and a message that a member may only send to itself.
    ///
    /// # Errors
    /// [`Halt::Refused`] if the message shows that this member has lost data.
    fn step(&mut self, message: Message) -> Result<(), Halt> {
        let raft = &self.raft.raft;
        let standing = lost_data::Standing { term: raft.term, last_index: raft.raft_log.last_index() };
        if let Some(what) = lost_data::lost(standing, &message) {
            return Err(self.refused(&what));
        }
        let (from, kind) = (message.from, message.get_msg_type());
        if let Err(error) = self.raft.step(message) {
            tracing::debug!(from, ?kind, %error, "raft dropped a message");
        }
        Ok(())
    }

    /// The halt of a member that has lost data. `what` says how that shows.
    fn refused(&self, what: &str) -> Halt {
        Halt::Refused(lost_data::paragraph(&self.config.data_dir, self.shared.member, what))
    }

    pub(super) fn applied_index(&self) -> u64 {
        self.raft.store().applied().index
    }
}
