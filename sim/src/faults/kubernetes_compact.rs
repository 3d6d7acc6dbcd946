//! `kubernetesCompact`: the history is compacted as Kubernetes' API servers do it (`k8s.io/apiserver`,
//! `etcd3/compact.go`).
//!
//! At each interval every server tries to take the turn: its transaction writes `compact_rev_key` if the key still has
//! the version that the server saw last. The winner compacts to the revision that it saw last time, so a revision is
//! kept for at least one interval. A loser learns the key's version, and waits.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_checker::history as h;
use squall_store::seam::BoxFuture;

use super::{Aim, Check, Cost, Drawing, Effect, Lasts, Room, Strike, Struck};
use crate::text::{Refusal, Step, go};

/// Settings of compactions as Kubernetes does them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KubernetesCompact {
    /// The time between two attempts. Default 1s. (Kubernetes' is 5m.)
    #[serde(with = "go")]
    pub interval: Duration,
}

impl Default for KubernetesCompact {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1) }
    }
}

impl Room for KubernetesCompact {
    const ACTION: &'static str = "kubernetesCompact";
    const ABOUT: &'static str = "compacts every so often, as Kubernetes' API servers do";
    const AIM: Aim = Aim::Cluster;
    const LASTS: Lasts = Lasts::UntilHealed;
    const COST: Cost = Cost::Nothing;
    const EFFECTS: &'static [Effect] = &[Effect::Disturbs, Effect::Hinders];

    fn draw(drawing: &mut Drawing<'_>) -> Option<Self> {
        Some(Self { interval: drawing.time(Duration::from_millis(50), Duration::from_secs(3)) })
    }

    fn check(&self, check: &Check<'_>) -> Result<(), Refusal> {
        check.at_least_a_millisecond(&[Step::Key("kubernetesCompact"), Step::Key("interval")], self.interval)
    }

    fn strike<'a>(&'a self, strike: Strike<'a>) -> BoxFuture<'a, Struck> {
        Box::pin(async move {
            let arena = &strike.stage.arena;
            let end = strike.lasts.map(|lasts| arena.now().after(lasts));
            let (mut version, mut seen, mut bit) = (0, 0, 0);
            while strike.wait(self.interval).await && end.is_none_or(|end| arena.now() < end) {
                // Another compaction is under way: this server tries again at the next interval.
                let Ok(mut client) = strike.stage.client.try_lock() else { continue };
                let id = strike.stage.recorder.next_id();
                let Some((result, header)) = client.perform(&take_turn(version, id), false).await else {
                    continue;
                };
                let h::OpResult::Txn(txn) = result else { continue };
                if !txn.succeeded {
                    version = version_in(&txn).unwrap_or(0);
                    seen = header.revision.0;
                    continue;
                }
                version += 1;
                if seen > 0 {
                    let compact = h::Compact { revision: h::Revision(seen), physical: false };
                    bit += u64::from(client.perform(&h::Op::Compact(compact), false).await.is_some());
                }
                seen = header.revision.0;
            }
            Struck { bit, ..Struck::default() }
        })
    }
}

fn key() -> h::Bytes {
    h::Bytes::from("compact_rev_key")
}

/// The transaction with which a server takes the turn.
fn take_turn(version: i64, id: u64) -> h::Op {
    // Values are unique, as all clients' are.
    let put = h::Put { key: key(), value: h::Bytes::from(format!("v{id}")), ..h::Put::default() };
    h::Op::Txn(h::Txn {
        compares: vec![h::Compare {
            key: key(),
            range_end: h::Bytes::default(),
            result: h::CompareResult::Equal,
            target: h::CompareTarget::Version(version),
        }],
        success: vec![h::RequestOp::Put(put)],
        failure: vec![h::RequestOp::Range(h::Range { key: key(), ..h::Range::default() })],
    })
}

/// The key's version, as a losing transaction has read it.
fn version_in(txn: &h::TxnResult) -> Option<i64> {
    match txn.responses.first()? {
        h::ResponseOp::Range(range) => range.kvs.first().map(|kv| kv.version),
        _ => None,
    }
}
