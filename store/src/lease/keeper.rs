//! Renewals of leases, and questions for their remaining time. Only the leader can answer them. Another member
//! forwards them to the leader, over the connection that carries raft's messages.

use std::time::Duration;

use bytes::Bytes;
use squall_core::{LeaseCheckpoint, LeaseId, MemberId, Refusal, Term, planted::planted};
use tonic::{Response, Status};

use super::Renewal;
use crate::{
    node::{Handle, lease_checkpoint},
    proto::squall::peer::{LeaseRenewRequest, LeaseTimeToLiveRequest, peer_client::PeerClient},
    seam::{BoxFuture, Channel, Monotonic, Point, Role, timeout},
};

/// The pause before a question is asked again, here or of another leader (as long as etcd's).
const PAUSE: Duration = Duration::from_millis(50);

/// The remaining time of a lease, and what else is asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeToLive {
    /// The remaining time, in whole seconds.
    pub ttl_secs: i64,
    /// The granted time to live, in seconds.
    pub granted_secs: i64,
    /// The lease's keys, if they were asked for.
    pub keys: Vec<Bytes>,
}

/// Renews leases and tells their remaining time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keeper {
    node: Handle,
}

/// Why this member gives no answer.
enum Elsewhere {
    /// It does not lead, or cannot prove now that it leads.
    NotLeader,
    /// It has stopped.
    Stopped,
}

impl Keeper {
    pub(crate) fn new(node: Handle) -> Keeper {
        Keeper { node }
    }

    pub(crate) fn node(&self) -> &Handle {
        &self.node
    }

    /// Renews a lease on whichever member leads. Returns its new time to live in seconds; `None` if there is no such
    /// lease.
    ///
    /// # Errors
    /// `Timeout`, `Stopped`. The lease may still have been renewed.
    pub(crate) async fn renew(&self, id: LeaseId) -> Result<Option<i64>, Refusal> {
        self.until_answered(|| Box::pin(self.try_to_renew(id))).await
    }

    /// The remaining time of a lease, from whichever member leads; `None` if there is no such lease.
    ///
    /// # Errors
    /// `Timeout`, `Stopped`.
    pub(crate) async fn time_to_live(&self, id: LeaseId, keys: bool) -> Result<Option<TimeToLive>, Refusal> {
        self.until_answered(|| Box::pin(self.try_time_to_live(id, keys))).await
    }

    async fn try_to_renew(&self, id: LeaseId) -> Result<Option<i64>, Elsewhere> {
        if self.leads() {
            return self.renew_here(id).await;
        }
        let (leader, mut client) = self.leader()?;
        let request = self.node.hub().question(leader, LeaseRenewRequest { id: id.0 });
        let answer = self.within(client.lease_renew(request)).await?;
        Ok((answer.ttl_secs > 0).then_some(answer.ttl_secs))
    }

    async fn try_time_to_live(&self, id: LeaseId, keys: bool) -> Result<Option<TimeToLive>, Elsewhere> {
        if self.leads() {
            return self.time_to_live_here(id, keys).await;
        }
        let (leader, mut client) = self.leader()?;
        let request = self.node.hub().question(leader, LeaseTimeToLiveRequest { id: id.0, keys });
        let answer = self.within(client.lease_time_to_live(request)).await?;
        Ok((answer.granted_secs > 0).then_some(TimeToLive {
            ttl_secs: answer.ttl_secs,
            granted_secs: answer.granted_secs,
            keys: answer.keys,
        }))
    }

    /// Renews a lease for another member. This member must lead.
    ///
    /// # Errors
    /// `NotLeader`, `Stopped`.
    pub(crate) async fn renew_for_peer(&self, id: LeaseId) -> Result<Option<i64>, Refusal> {
        self.renew_here(id).await.map_err(Elsewhere::refusal)
    }

    /// Tells another member the remaining time of a lease. This member must lead.
    ///
    /// # Errors
    /// `NotLeader`, `Stopped`.
    pub(crate) async fn time_to_live_for_peer(
        &self,
        id: LeaseId,
        keys: bool,
    ) -> Result<Option<TimeToLive>, Refusal> {
        self.time_to_live_here(id, keys).await.map_err(Elsewhere::refusal)
    }

    async fn renew_here(&self, id: LeaseId) -> Result<Option<i64>, Elsewhere> {
        loop {
            let there_before = self.node.shared().state().leases().get(id).map(|lease| lease.ttl_secs);
            let (term, asked) = self.prove().await?;
            self.node.env().points.reached(Point::LeaseBeforeRenew).await;
            if planted!(LeaseRenewChecksFirst) {
                // Planted: the lease was looked up before the wait, and is not looked up again.
                return Ok(there_before);
            }
            let now = self.now();
            let renewal = {
                let state = self.node.shared().state();
                let mut lessor = self.node.shared().lessor();
                if lessor.primary() != Some(term) && !planted!(LeaseDemotionMissed) {
                    return Err(Elsewhere::NotLeader);
                }
                // The proof is too old: a new leader may have started the lease's time before this moment, and it
                // adds only one election time-out.
                if now.since(asked) > self.node.config().election_timeout {
                    drop(lessor);
                    drop(state);
                    continue;
                }
                lessor.renew(id, state.leases().get(id), now)
            };
            match renewal {
                Renewal::Renewed { ttl_secs } => {
                    self.node.shared().metrics.leases_renewed.inc();
                    return Ok(Some(ttl_secs));
                }
                Renewal::NotFound => return Ok(None),
                Renewal::NotPrimary => return Err(Elsewhere::NotLeader),
                // The lease can no longer be renewed. The answer waits until it is revoked, or until another member
                // leads.
                Renewal::Expired => self.node.env().clock.sleep(PAUSE).await,
                Renewal::Checkpointed => {
                    let whole = [LeaseCheckpoint { id, remaining_secs: 0 }];
                    match self.node.propose(lease_checkpoint(&whole), None).await {
                        Ok(_) => {}
                        Err(Refusal::Stopped) => return Err(Elsewhere::Stopped),
                        Err(_) => self.node.env().clock.sleep(PAUSE).await,
                    }
                }
            }
        }
    }

    async fn time_to_live_here(&self, id: LeaseId, keys: bool) -> Result<Option<TimeToLive>, Elsewhere> {
        let term = match planted!(TimeToLiveUnproven) {
            true => self.node.shared().lessor().primary().ok_or(Elsewhere::NotLeader)?,
            false => self.prove().await?.0,
        };
        let now = self.now();
        let state = self.node.shared().state();
        let lessor = self.node.shared().lessor();
        if lessor.primary() != Some(term) {
            return Err(Elsewhere::NotLeader);
        }
        let Some(lease) = state.leases().get(id) else { return Ok(None) };
        let left = lessor.remaining(id, now).unwrap_or_default();
        Ok(Some(TimeToLive {
            ttl_secs: match planted!(TimeToLiveIsGranted) {
                true => lease.ttl_secs,
                false => i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            },
            granted_secs: lease.ttl_secs,
            keys: if keys { lease.keys.iter().cloned().collect() } else { Vec::new() },
        }))
    }

    /// Proves that this member leads and has applied everything that was committed when this call began. Returns the
    /// term, and the time at which the call began.
    async fn prove(&self) -> Result<(Term, Monotonic), Elsewhere> {
        let asked = self.now();
        let Some(term) = self.node.shared().lessor().primary() else { return Err(Elsewhere::NotLeader) };
        if planted!(LeaseRenewUnproven) {
            return Ok((term, asked));
        }
        match self.node.read_index().await {
            Ok(()) if self.leads() => Ok((term, asked)),
            Err(Refusal::Stopped) => Err(Elsewhere::Stopped),
            _ => Err(Elsewhere::NotLeader),
        }
    }

    /// Asks until there is an answer, or until the request times out.
    async fn until_answered<'a, T>(
        &'a self,
        mut ask: impl FnMut() -> BoxFuture<'a, Result<T, Elsewhere>>,
    ) -> Result<T, Refusal> {
        let (clock, patience) = (&*self.node.env().clock, self.node.config().request_timeout());
        let asking = async {
            loop {
                match ask().await {
                    Ok(answer) => return Ok(answer),
                    Err(Elsewhere::Stopped) => return Err(Refusal::Stopped),
                    Err(Elsewhere::NotLeader) => clock.sleep(PAUSE).await,
                }
            }
        };
        timeout(clock, patience, asking).await.unwrap_or(Err(Refusal::Timeout))
    }

    /// Asks a leader one question. If it does not answer within an election time-out, the caller asks again, perhaps
    /// another leader.
    async fn within<T>(
        &self,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Elsewhere> {
        let (clock, patience) = (&*self.node.env().clock, self.node.config().election_timeout);
        match timeout(clock, patience, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => {
                tracing::debug!(%status, "the leader did not answer for a lease");
                Err(Elsewhere::NotLeader)
            }
            Err(_) => Err(Elsewhere::NotLeader),
        }
    }

    fn leads(&self) -> bool {
        self.node.status().role == Role::Leader
    }

    /// The leader, and a client to ask it.
    fn leader(&self) -> Result<(MemberId, PeerClient<Channel>), Elsewhere> {
        let leader = self.node.status().leader.ok_or(Elsewhere::NotLeader)?;
        let client = self.node.hub().client(leader).map_err(|_| Elsewhere::NotLeader)?;
        Ok((leader, client))
    }

    fn now(&self) -> Monotonic {
        self.node.env().clock.monotonic()
    }
}

impl Elsewhere {
    fn refusal(self) -> Refusal {
        match self {
            Elsewhere::NotLeader => Refusal::NotLeader,
            Elsewhere::Stopped => Refusal::Stopped,
        }
    }
}
