//! The corruption check: members compare the hashes of their keys, and a member that differs is reported (etcd's
//! `corrupt.go`).
//!
//! - **Before a member serves** (`--experimental-initial-corrupt-check`): it compares its data on disk with the
//!   others' data at the same revision, and does not start if they differ ([`before_start`]).
//! - **From time to time** (`--experimental-corrupt-check-time`): the leader compares every member's hash with its
//!   own, and raises the alarm CORRUPT for the member that differs ([`watch_over`]). As in etcd it reports one
//!   member at a time.
//!
//! A member that cannot be asked, or that has compacted the revision, is skipped. A hash covers what a compaction
//! has left, so only hashes with the same compact revision are compared.

mod ask;
mod compare;

use squall_core::{AlarmKind, Revision};

use crate::{
    node::{Handle, activate},
    seam::Role,
};

pub(crate) use ask::before_start;

/// Compares from time to time while this member leads, until it stops.
pub(crate) async fn watch_over(node: Handle) {
    let (clock, interval) = (node.env().clock.clone(), node.config().corrupt_check_interval);
    if node.ready().await.is_err() {
        return;
    }
    loop {
        clock.sleep(interval).await;
        if node.status().role == Role::Leader {
            check(&node).await;
        }
    }
}

/// Makes one comparison. If it cannot be made now, the next one comes later.
async fn check(node: &Handle) {
    let own_hash = || node.shared().state().hash_kv(Revision(0));
    let Ok(before) = own_hash() else { return };
    let peers = ask::peers(node.env(), node.hub(), node.shared(), before.revision).await;
    // After this read index, this member has applied everything that a peer had applied when it answered.
    if node.read_index().await.is_err() {
        return;
    }
    let Ok(after) = own_hash() else { return };
    if let Some(corrupt) = compare::who_differs(node.shared().member, &before, &after, &peers) {
        tracing::error!(member = %corrupt, "its data differ: raising the alarm");
        if let Err(refusal) = node.propose(activate(corrupt, AlarmKind::Corrupt), None).await {
            tracing::warn!(%refusal, "the alarm could not be raised");
        }
    }
}
