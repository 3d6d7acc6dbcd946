//! Alarms and space: what `etcdctl alarm` and `etcdctl defrag` do. Every answer about alarms is recorded, and so is
//! every request that may disarm one.

use std::time::Duration;

use squall_store::proto::etcdserverpb::{self as pb, AlarmType, alarm_request::AlarmAction};

use super::{Done, Endpoint, member::Cluster};
use crate::arena::{NodeId, Status};

/// How often a step is tried.
const TRIES: usize = 20;
/// How long the other members may take to delete the rows that a compaction has made obsolete.
const DELETION: Duration = Duration::from_millis(500);

/// How long a member may take to say how large it is.
const ANSWER: Duration = Duration::from_millis(500);
/// What a store may take up beyond twice its rows, in bytes: pages that are not full.
const PAGES: i64 = 64 << 10;

/// The size of a member's engine.
struct Size {
    bytes: i64,
    needed_bytes: i64,
}

/// The requests that a cluster takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// No alarm is active.
    Everything,
    /// Under NOSPACE: no puts, and no leases.
    Deletes,
    /// Under CORRUPT: no changes of data.
    Reads,
}

impl Cluster {
    /// Has a member defragment: rewrite its engine's content.
    pub(crate) async fn defragment(&self, node: NodeId) -> Result<(), String> {
        self.inner.operator.try_defragment(&self.inner.member(node).endpoint()).await
    }

    /// The active alarms. Asks until a member answers.
    pub(crate) async fn list_alarms(&self) -> Result<Vec<pb::AlarmMember>, String> {
        let list = pb::AlarmRequest { action: AlarmAction::Get as i32, ..Default::default() };
        self.try_everywhere(list).await
    }

    /// Which requests the active alarms let through.
    pub(crate) async fn takes(&self) -> Result<Takes, String> {
        let alarms = self.list_alarms().await?;
        let is_active = |kind| alarms.iter().any(|alarm| alarm.alarm() == kind);
        Ok(match (is_active(AlarmType::Corrupt), is_active(AlarmType::Nospace)) {
            (true, _) => Takes::Reads,
            (false, true) => Takes::Deletes,
            (false, false) => Takes::Everything,
        })
    }

    /// Raises NOSPACE, as a member does when it has used up its quota.
    pub(crate) async fn raise_no_space(&self, draw: u64) -> Result<(), String> {
        let raise = pb::AlarmRequest {
            action: AlarmAction::Activate as i32,
            member_id: draw | 1,
            alarm: AlarmType::Nospace as i32,
        };
        self.try_everywhere(raise).await.map(|_| ())
    }

    /// Raises NOSPACE and CORRUPT for one member.
    pub(crate) async fn raise_both(&self, draw: u64) -> Result<(), String> {
        self.raise_no_space(draw).await?;
        let raise = pb::AlarmRequest {
            action: AlarmAction::Activate as i32,
            member_id: draw | 1,
            alarm: AlarmType::Corrupt as i32,
        };
        self.try_everywhere(raise).await.map(|_| ())
    }

    /// Disarms every active alarm.
    pub(crate) async fn disarm(&self) -> Result<(), String> {
        for alarm in self.list_alarms().await? {
            self.disarm_one(alarm).await?;
        }
        Ok(())
    }

    /// Disarms the alarm that is listed first, and lists the others.
    pub(crate) async fn disarm_the_first(&self) -> Result<(), String> {
        if let Some(first) = self.list_alarms().await?.into_iter().next() {
            self.disarm_one(first).await?;
        }
        self.list_alarms().await.map(|_| ())
    }

    async fn disarm_one(&self, alarm: pb::AlarmMember) -> Result<(), String> {
        let drop = pb::AlarmRequest {
            action: AlarmAction::Deactivate as i32,
            member_id: alarm.member_id,
            alarm: alarm.alarm,
        };
        self.try_everywhere(drop).await.map(|_| ())
    }

    /// Defragments every running member, and disarms the alarms.
    pub(crate) async fn defragment_all_and_disarm(&self) -> Result<(), String> {
        let inner = &self.inner;
        inner.operator.wait(DELETION).await;
        for node in self.nodes() {
            if inner.arena.status(node) == Status::Up {
                let before = self.size(node).await;
                // A member that does not answer keeps its alarm, and raises it again.
                let done = self.defragment(node).await.is_ok();
                if let Some(before) = before.filter(|_| done) {
                    self.note_where_nothing_is_given_back(node, before).await;
                }
                // Each member that does not answer takes seconds.
                inner.roster().note_progress();
            }
        }
        self.disarm().await
    }

    /// How large a member's engine is on its disk, and how much of that its rows need; `None` if it does not answer.
    async fn size(&self, node: NodeId) -> Option<Size> {
        let endpoint = self.inner.member(node).endpoint();
        let status = self.inner.operator.try_status(&endpoint, ANSWER).await.ok()?;
        Some(Size { bytes: status.db_size, needed_bytes: status.db_size_in_use })
    }

    /// A defragmentation gives back what the rows do not need. If an engine was more than twice as large as its rows need, and
    /// is exactly as large afterwards, this is recorded against the member.
    async fn note_where_nothing_is_given_back(&self, node: NodeId, before: Size) {
        let Some(after) = self.size(node).await else { return };
        let Size { bytes, needed_bytes } = before;
        if bytes > 2 * needed_bytes + PAGES && after.bytes == bytes {
            self.inner.recorder.stuck(format!(
                "{node} took up {bytes} bytes for {needed_bytes}, and its defragmentation gave nothing back"
            ));
        }
    }

    /// Asks one member after the other until one answers.
    async fn try_everywhere(&self, request: pb::AlarmRequest) -> Result<Vec<pb::AlarmMember>, String> {
        let mut why = String::new();
        for turn in 0..TRIES {
            let endpoints: Vec<Endpoint> = self.counted_endpoints();
            if let Some(endpoint) = endpoints.get(turn % endpoints.len().max(1)) {
                match self.inner.operator.try_alarm(request, endpoint).await {
                    Ok(alarms) => return Ok(alarms),
                    Err(said) => why = said,
                }
            }
            self.inner.operator.pause().await;
        }
        Err(why)
    }
}

impl From<Result<(), String>> for Done {
    fn from(result: Result<(), String>) -> Done {
        match result {
            Ok(()) => Done::Success,
            Err(why) => Done::GivenUp(why),
        }
    }
}
