//! How the API talks to the loop: propose, read, change the membership. Each call has etcd's time-out.

use std::{
    pin::pin,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use squall_core::{Caller, Member, MemberId, MembershipChange, Refusal, Reply, State, planted::planted};
use tokio::sync::{mpsc, oneshot};

use super::{Input, RaftStatus, Request, Shared, entry, ids::Ids};
use crate::{
    Config,
    metrics::Metrics,
    peer::Hub,
    seam::{Engine, Env, Monotonic, Point, ProbeEvent, first_of, timeout},
    snapshot,
};

/// A healthy connection is one that has lasted this long (etcd's HealthInterval).
const HEALTHY: Duration = Duration::from_secs(5);

/// Sends the API's requests to the loop. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Inner>);

/// A handle that keeps nothing alive.
#[derive(Clone)]
pub(crate) struct WeakHandle(Weak<Inner>);

impl WeakHandle {
    /// The handle, unless the server is gone.
    pub(crate) fn upgrade(&self) -> Option<Handle> {
        self.0.upgrade().map(Handle)
    }
}

struct Inner {
    env: Env,
    config: Arc<Config>,
    shared: Arc<Shared>,
    hub: Arc<Hub>,
    engine: Arc<dyn Engine>,
    inputs: mpsc::Sender<Input>,
    ids: Mutex<Ids>,
}

impl Handle {
    pub(crate) fn new(
        env: Env,
        config: Arc<Config>,
        shared: Arc<Shared>,
        hub: Arc<Hub>,
        engine: Arc<dyn Engine>,
        inputs: mpsc::Sender<Input>,
        ids: Ids,
    ) -> Handle {
        Handle(Arc::new(Inner { env, config, shared, hub, engine, inputs, ids: Mutex::new(ids) }))
    }

    /// A handle that keeps nothing alive.
    pub(crate) fn downgrade(&self) -> WeakHandle {
        WeakHandle(Arc::downgrade(&self.0))
    }

    pub(crate) fn env(&self) -> &Env {
        &self.0.env
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }

    /// Waits until clients may be served.
    ///
    /// # Errors
    /// `Stopped`.
    pub(crate) async fn ready(&self) -> Result<(), Refusal> {
        if self.0.shared.ready.get() {
            return Ok(());
        }
        let mut ready = self.0.shared.ready.subscribe();
        let served = pin!(async {
            match ready.wait_for(|ready| *ready).await {
                Ok(_) => Ok(()),
                Err(_) => Err(Refusal::Stopped),
            }
        });
        let stopped = pin!(async {
            self.0.inputs.closed().await;
            Err(Refusal::Stopped)
        });
        first_of(&*self.0.env.tasks, [served, stopped]).await
    }

    /// Writes the engine's content anew, and waits until the new content is durable.
    ///
    /// # Errors
    /// `Stopped`.
    pub(crate) async fn defragment(&self) -> Result<(), Refusal> {
        let (done, is_done) = oneshot::channel();
        self.input(Input::Defragment(done)).await?;
        is_done.await.map_err(|_| Refusal::Stopped)
    }

    /// Makes durable what the engine holds.
    ///
    /// # Errors
    /// `Stopped`; also if the engine fails, since that stops the member.
    pub(crate) async fn commit_engine(&self) -> Result<(), Refusal> {
        let (done, committed) = oneshot::channel();
        self.input(Input::CommitEngine(done)).await?;
        committed.await.map_err(|_| Refusal::Stopped)
    }

    /// The header of a snapshot of this state.
    pub(crate) fn snapshot_meta(&self, state: &State) -> snapshot::Meta {
        let (index, term) = state.applied();
        snapshot::Meta { index, term, revision: state.revision() }
    }

    pub(crate) fn status(&self) -> RaftStatus {
        self.0.shared.status()
    }

    /// The next id of a proposal.
    pub(crate) fn next_id(&self) -> u64 {
        self.0.ids.lock().expect("no panic happens while the ids are locked").next()
    }

    pub(crate) async fn input(&self, input: Input) -> Result<(), Refusal> {
        self.0.inputs.send(input).await.map_err(|_| Refusal::Stopped)
    }

    /// Proposes a request without a caller; see [`Handle::propose_as`].
    ///
    /// # Errors
    /// As [`Handle::propose_as`].
    pub(crate) async fn propose(&self, request: Request, tag: Option<u64>) -> Result<Reply, Refusal> {
        self.propose_as(Caller::NOBODY, request, tag).await
    }

    /// Proposes a request on the caller's behalf and waits until this member has applied it. If the client gave its
    /// request a number (`tag`), the probe is told the id of its proposal.
    ///
    /// # Errors
    /// `RequestTooLarge`, `TooManyRequests`, and what the state machine refuses. After `Stopped` and the time-outs
    /// the request may or may not take effect.
    pub(crate) async fn propose_as(
        &self,
        caller: Caller,
        request: Request,
        tag: Option<u64>,
    ) -> Result<Reply, Refusal> {
        self.propose_under(self.next_id(), caller, request, tag).await
    }

    /// The same under an id that [`Handle::next_id`] gave.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn propose_under(
        &self,
        id: u64,
        caller: Caller,
        request: Request,
        tag: Option<u64>,
    ) -> Result<Reply, Refusal> {
        let data = entry::encode_as(id, caller, request);
        if data.len() > self.0.config.max_request_bytes {
            return Err(Refusal::RequestTooLarge);
        }
        if let Some(tag) = tag {
            self.0.env.probe.emit(ProbeEvent::Proposed { tag, proposal: id });
        }
        self.0.env.points.reached(Point::ApiBeforePropose).await;
        let pending = Pending::new(&self.0.shared.metrics);
        let reply = self.wait_for_entry(|answer| Input::Propose { id, data, answer }).await;
        pending.answered(&reply);
        self.0.env.points.reached(Point::ApiAfterPropose).await;
        reply
    }

    /// Waits until this member's state is at least as new as the moment of the call.
    ///
    /// # Errors
    /// `LeaderChanged`, `Timeout`, `Stopped`.
    pub(crate) async fn read_index(&self) -> Result<(), Refusal> {
        self.0.env.points.reached(Point::ApiBeforeReadIndex).await;
        let confirmed = self.wait(Input::ReadIndex).await;
        match confirmed {
            Err(Refusal::LeaderChanged) => self.0.shared.metrics.failed_read_indexes.inc(),
            Err(Refusal::Timeout) => self.0.shared.metrics.slow_read_indexes.inc(),
            _ => {}
        }
        self.0.env.points.reached(Point::ApiAfterReadIndex).await;
        confirmed
    }

    async fn wait<T>(
        &self,
        input: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Input,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        let began = self.0.env.clock.monotonic();
        let exchange = async {
            self.input(input(answer)).await?;
            answered.await.unwrap_or(Err(Refusal::Stopped))
        };
        match timeout(&*self.0.env.clock, self.0.config.request_timeout(), exchange).await {
            Ok(result) => result,
            Err(_) if planted!(TimeoutIsDefinite) => Err(Refusal::TooManyRequests),
            Err(_) if planted!(LeaderLossIsDefinite) && self.lost_its_leader(began) => Err(Refusal::NoLeader),
            Err(_) => Err(Refusal::Timeout),
        }
    }

    /// Whether the leader was lost since then, or less than two election time-outs before.
    fn lost_its_leader(&self, began: Monotonic) -> bool {
        let lost = self.status().leader_lost;
        lost.is_some_and(|lost| lost.0 + 2 * self.0.config.election_timeout > began.0)
    }

    /// [`wait`](Handle::wait) for an entry of the log. A time-out says its reason.
    async fn wait_for_entry<T>(
        &self,
        input: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Input,
    ) -> Result<T, Refusal> {
        let began = self.0.env.clock.monotonic();
        let answer = self.wait(input).await;
        self.with_reason(began, answer)
    }

    /// The answer to a request that came at `began`, with the reason for a time-out (`parseProposeCtxErr` in
    /// `server/etcdserver/server.go`).
    fn with_reason<T>(&self, began: Monotonic, answer: Result<T, Refusal>) -> Result<T, Refusal> {
        let Err(Refusal::Timeout) = answer else { return answer };
        let status = self.status();
        // A new leader may not know what the one before it was asked for.
        let latest = began.0 + 2 * self.0.config.election_timeout;
        if status.leader_elected.is_some_and(|elected| began < elected && elected.0 < latest) {
            return Err(Refusal::TimeoutDueToLeaderFail);
        }
        let own = self.0.shared.member;
        let in_touch =
            |id: MemberId| id == own || self.0.hub.active_since(id).is_some_and(|since| since < began);
        let is_connected = match status.leader {
            // Without a leader a proposal waits outside of raft.
            None if status.leader_lost.is_none_or(|lost| lost <= began) => {
                return Err(Refusal::TimeoutWithoutLeader);
            }
            None => true,
            Some(leader) if leader != own => in_touch(leader),
            Some(_) => {
                let members = self.members();
                members.iter().filter(|id| in_touch(**id)).count() >= quorum(members.len())
            }
        };
        Err(if is_connected { Refusal::Timeout } else { Refusal::TimeoutDueToConnectionLost })
    }

    // Membership. A change is decided when it is applied, alike on all members. The strict check comes before that
    // and looks at this member's state. A read index therefore comes first: without it a member that lags could
    // refuse for a reason that no longer holds.

    /// Adds a member. Returns the members after the change.
    ///
    /// # Errors
    /// `MemberExist`, `PeerUrlExist`, `TooManyLearners`, `MemberNotFound` for an id that was removed; with the
    /// strict check `MemberNotEnoughStarted` and `Unhealthy`; and the errors of [`Handle::propose`].
    pub(crate) async fn add_member(&self, member: Member) -> Result<Vec<Member>, Refusal> {
        if self.0.config.strict_reconfig_check {
            self.has_quorum()?;
            self.caught_up().await?;
            if !member.is_learner {
                self.0.shared.state().membership().ready_to_add()?;
            }
            // The new member counts as down until it has started, so the others must be a quorum of the larger
            // cluster.
            let voters = self.voters();
            let active = self.active(&voters);
            let larger = voters.len() + usize::from(!member.is_learner);
            if active < quorum(larger) && voters.len() > 1 {
                return Err(Refusal::Unhealthy);
            }
        }
        self.change(MembershipChange::Add(member)).await
    }

    /// Removes a member. Returns the members after the change.
    ///
    /// # Errors
    /// `MemberNotFound`; `MemberNotEnoughStarted` for the last member; with the strict check
    /// `MemberNotEnoughStarted` and `Unhealthy`; and the errors of [`Handle::propose`].
    pub(crate) async fn remove_member(&self, id: MemberId) -> Result<Vec<Member>, Refusal> {
        if self.0.config.strict_reconfig_check {
            // A learner, or a member that is down, may always be removed: the rest can only form a quorum more
            // easily.
            let down = || {
                let learns = self.0.shared.state().membership().is_learner(id);
                learns || id != self.0.shared.member && self.0.hub.active_since(id).is_none()
            };
            if !down() {
                self.has_quorum()?;
            }
            self.caught_up().await?;
            self.0.shared.state().membership().ready_to_remove(id)?;
            let voters = self.voters();
            if !down() && !survives_removal(voters.len(), self.active(&voters)) {
                return Err(Refusal::Unhealthy);
            }
        }
        self.change(MembershipChange::Remove(id)).await
    }

    /// Changes the URLs at which a member is reached. Returns the members after the change. As in etcd there is no
    /// strict check, since the voters stay the same.
    ///
    /// # Errors
    /// `MemberNotFound`, `PeerUrlExist`; and the errors of [`Handle::propose`].
    pub(crate) async fn update_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Result<Vec<Member>, Refusal> {
        self.change(MembershipChange::Update { id, peer_urls }).await
    }

    /// Hands the leadership to `to`, and waits until this member sees it lead. Does nothing if `to` is this member.
    ///
    /// # Errors
    /// `NotLeader` if this member does not lead; `BadLeaderTransferee` if `to` is a learner or no member. After
    /// `TimeoutLeaderTransfer` and `Stopped` the transfer may still happen. (etcd waits for as long as the client
    /// does.)
    pub(crate) async fn move_leader(&self, to: MemberId) -> Result<(), Refusal> {
        let shared = &self.0.shared;
        if self.status().leader != Some(shared.member) {
            return Err(Refusal::NotLeader);
        }
        if shared.state().membership().get(to).is_none_or(|member| member.is_learner) {
            return Err(Refusal::BadLeaderTransferee);
        }
        let (begun, has_begun) = oneshot::channel();
        self.input(Input::MoveLeader { to, begun }).await?;
        has_begun.await.unwrap_or(Err(Refusal::Stopped))?;
        let clock = &*self.0.env.clock;
        let leads = async {
            while self.status().leader != Some(to) {
                clock.sleep(self.0.config.heartbeat_interval).await;
            }
        };
        let in_time = timeout(clock, self.0.config.request_timeout(), leads).await;
        in_time.map_err(|_| Refusal::TimeoutLeaderTransfer)
    }

    pub(super) async fn change(&self, change: MembershipChange) -> Result<Vec<Member>, Refusal> {
        let id = self.next_id();
        let pending = Pending::new(&self.0.shared.metrics);
        let reply = self.wait_for_entry(|answer| Input::ChangeMembers { id, change, answer }).await;
        pending.answered(&reply);
        match reply? {
            Reply::Members(members) => Ok(members),
            reply => unreachable!("a membership change answered with {reply:?}"),
        }
    }

    fn members(&self) -> Vec<MemberId> {
        self.0.shared.state().membership().members().map(|member| member.id).collect()
    }

    fn voters(&self) -> Vec<MemberId> {
        self.0.shared.state().membership().voters().map(|member| member.id).collect()
    }

    /// A read index before a change of the members. It fails as the change would.
    async fn caught_up(&self) -> Result<(), Refusal> {
        let began = self.0.env.clock.monotonic();
        let confirmed = self.read_index().await;
        self.with_reason(began, confirmed)
    }

    /// Without a quorum no read index comes. As in etcd the strict check then refuses at once.
    ///
    /// # Errors
    /// `Unhealthy`.
    fn has_quorum(&self) -> Result<(), Refusal> {
        let voters = self.voters();
        if voters.len() > 1 && self.active(&voters) < quorum(voters.len()) {
            return Err(Refusal::Unhealthy);
        }
        Ok(())
    }

    /// How many of these voters are active: this member itself, and those it has been in touch with for [`HEALTHY`].
    fn active(&self, voters: &[MemberId]) -> usize {
        let healthy = |id: &&MemberId| **id == self.0.shared.member || self.0.hub.active_for(**id, HEALTHY);
        voters.iter().filter(healthy).count()
    }
}

/// Counts a proposal as pending while it waits for its entry. If it is dropped without an answer, for instance
/// because its client has gone, it counts as failed, though its entry may still be applied.
struct Pending<'a> {
    metrics: &'a Metrics,
    failed: bool,
}

impl<'a> Pending<'a> {
    fn new(metrics: &'a Metrics) -> Pending<'a> {
        metrics.proposals_pending.add(1);
        Pending { metrics, failed: true }
    }

    fn answered<T>(mut self, reply: &Result<T, Refusal>) {
        self.failed = matches!(
            reply,
            Err(Refusal::Timeout
                | Refusal::TimeoutDueToLeaderFail
                | Refusal::TimeoutDueToConnectionLost
                | Refusal::TimeoutWithoutLeader)
        );
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.metrics.proposals_pending.add(-1);
        if self.failed {
            self.metrics.proposals_failed.inc();
        }
    }
}

/// A majority of `voters`.
fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// Whether `voters`, of which `active` are active, can lose an active one. `active` may be 0: a member that was
/// itself removed is no longer a voter, and still answers until it has stopped.
fn survives_removal(voters: usize, active: usize) -> bool {
    active > quorum(voters - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_leaves_a_quorum_of_active_members() {
        for (voters, active, survives) in [
            (5, 5, true),
            (5, 4, true),
            (5, 3, false),
            (3, 3, true),
            (3, 2, false),
            (2, 2, true),
            (2, 1, false),
            (1, 1, false),
            // A subtraction once went below zero here. Runs with replacements, crashes and partitions found it.
            (4, 0, false),
            (1, 0, false),
        ] {
            assert_eq!(survives_removal(voters, active), survives, "{active} of {voters}");
        }
    }
}
