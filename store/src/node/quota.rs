//! The quota: how much a member's store may take up, and the alarm that it raises (etcd's `quotaApplierV3` and the quota
//! servers of `api/v3rpc`).
//!
//! Members differ in how much their stores take up, so no member may refuse a committed entry because of its quota.
//! The quota is checked twice:
//!
//! - **Before a request is proposed** (`api`): a request that would not fit raises the alarm and is refused. It has
//!   no effect.
//! - **When its entry is applied**: there may be no room by then. The entry is applied all the same, as on every
//!   member; the client is answered `NoSpace`, and the alarm is raised. So `NoSpace` does not tell whether the write
//!   took effect.
//!
//! Once the alarm itself is applied, every member refuses the same entries (`squall_core::Alarms`).

use squall_core::{AlarmKind, Command, MemberId, Refusal, Reply, State, quota};
use tokio::sync::oneshot;

use super::{Request, driver::Node, entry, handle::Handle, proposals::Proposal};
use crate::{
    proto::etcdserverpb::{AlarmRequest, alarm_request::AlarmAction},
    seam::Monotonic,
};

/// An alarm that was proposed: when that was, and where its outcome arrives.
#[derive(Debug)]
pub(crate) struct Raising {
    since: Monotonic,
    outcome: oneshot::Receiver<Result<Reply, Refusal>>,
}

/// The request that raises a member's alarm.
pub(crate) fn activate(member: MemberId, kind: AlarmKind) -> Request {
    Request::Alarm(AlarmRequest {
        action: AlarmAction::Activate as i32,
        member_id: member.0,
        alarm: kind as i32,
    })
}

/// Whether a command would make a store take up more than the quota.
fn exceeds(quota_bytes: u64, state: &State, command: &Command) -> bool {
    let cost = quota::cost(command);
    cost > 0 && state.allocated_bytes() + cost >= quota_bytes
}

impl Handle {
    /// Checks whether a command fits. If it does not, the alarm is raised before this returns.
    ///
    /// # Errors
    /// `NoSpace`. Only the alarm was proposed.
    pub(crate) async fn check_quota(&self, command: &Command) -> Result<(), Refusal> {
        if !exceeds(self.config().quota_bytes, &self.shared().state(), command) {
            return Ok(());
        }
        let alarm = activate(self.shared().member, AlarmKind::NoSpace);
        if let Err(refusal) = self.propose(alarm, None).await {
            tracing::warn!(%refusal, "the quota is used up, and the alarm could not be raised");
        }
        Err(Refusal::NoSpace)
    }
}

impl Node {
    pub(super) fn exceeds_quota(&self, state: &State, command: &Command) -> bool {
        exceeds(self.config.quota_bytes, state, command)
    }

    /// Proposes this member's alarm, unless that proposal is already under way.
    pub(super) fn raise_no_space(&mut self) {
        let now = self.env.clock.monotonic();
        if let Some(raising) = &mut self.raising
            && now.since(raising.since) < self.config.request_timeout()
            && raising.outcome.try_recv() == Err(oneshot::error::TryRecvError::Empty)
        {
            return;
        }
        tracing::warn!("an applied entry exceeds the quota: raising the alarm");
        let (answer, outcome) = oneshot::channel();
        let id = self.ids.next();
        let data = entry::encode(id, activate(self.shared.member, AlarmKind::NoSpace));
        self.take_proposal(id, Proposal::Normal(data), answer);
        self.raising = Some(Raising { since: now, outcome });
    }
}
