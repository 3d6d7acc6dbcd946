//! Moving the leadership, as `etcdctl move-leader` does it: find the leader, find the member's id, ask the leader once.

use std::time::Duration;

use super::{Done, member::Cluster};
use crate::arena::NodeId;

/// How long a member may take to say its id.
const PATIENCE: Duration = Duration::from_secs(1);

impl Cluster {
    /// Has the leadership handed to a member.
    pub(crate) async fn move_leader(&self, to: NodeId) -> Done {
        let inner = &self.inner;
        let Some(leader) = self.leader().await else {
            return Done::GivenUp("no member says that it leads".into());
        };
        if leader == to {
            return Done::GivenUp(format!("{to} leads already"));
        }
        let status = inner.operator.try_status(&inner.member(to).endpoint(), PATIENCE).await;
        let id = match status.map(|status| status.header.unwrap_or_default().member_id) {
            Ok(id) => id,
            Err(why) => return Done::GivenUp(why),
        };
        match inner.operator.try_move_leader(id, &inner.member(leader).endpoint()).await {
            Ok(()) => Done::Success,
            Err(why) => Done::GivenUp(why),
        }
    }
}
