//! The corruption check: members compare the hashes of their keys, and who differs is told (etcd's `corrupt.go`).
//!
//! - **Before a member serves** (`--experimental-initial-corrupt-check`): it compares its data, as they are on its disk, with
//!   the others' at the same revision, and does not start where they differ ([`before_start`]).
//! - **From time to time** (`--experimental-corrupt-check-time`): the leader compares everybody's with its own, and raises the
//!   alarm CORRUPT of the one that differs ([`watch_over`]). One at a time, as in etcd.
//!
//! A member that cannot be asked, or that has compacted what it is asked for, is passed over. A hash at a revision covers
//! what a compaction leaves, so only hashes over the same compact revision are compared.

mod ask;
mod compare;

use squall_core::{AlarmKind, Revision};

use crate::{
    node::{Handle, activate},
    seam::Role,
};

pub(crate) use ask::before_start;

/// Compares, whenever this member leads, until it stops.
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

/// One comparison. What cannot be done now is done next time.
async fn check(node: &Handle) {
    let own_hash = || node.shared().state().hash_kv(Revision(0));
    let Ok(before) = own_hash() else { return };
    let peers = ask::peers(node.env(), node.hub(), node.shared(), before.revision).await;
    // Everything that a peer had applied when it answered is applied here after this.
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
