//! Restoring a snapshot on every member, as a new cluster (etcd's guide to disaster recovery).
//!
//! What was acknowledged after the snapshot is lost; the history's break says how much. The break is recorded once every
//! old member has stopped and before the first folder is wiped. From then on no step needs a quorum or a member that
//! runs, so the restore is one critical section: it ends by itself.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::join_all;
use squall_checker::history as h;
use squall_store::{InitialClusterState, offline::RestoreOptions};

use super::{
    Done,
    member::{Cluster, DATA_DIR, Member, peer_url},
    roster::Standing,
    save::SavedSnapshot,
    turns::Kind,
};
use crate::arena::{Restored, ToolFailure};

/// Where the operator puts a snapshot on a member's machine.
const BACKUP: &str = "/backup/snapshot.db";

/// How often in a row the tool may refuse before the operator calls the restore stuck.
const REFUSALS: u32 = 3;

impl Cluster {
    /// Stops every member, wipes every data folder, restores the snapshot that `snapshot` saved on each under a new
    /// token, and starts them all.
    pub(crate) async fn restore_snapshot(
        &self,
        id: &str,
        snapshot: &str,
        token: &str,
        pause: Duration,
    ) -> Done {
        let inner = &self.inner;
        let Some(saved) = inner.saves.get(snapshot).await else {
            // There is nothing to restore. What the restore would have mended is mended all the same.
            self.start();
            return Done::GivenUp(format!("{snapshot} saved no snapshot"));
        };
        inner
            .turns
            .run(id, Kind::Recover, |turn| async move {
                turn.begin_critical();
                inner.roster().forget_configuration();
                let done = self.restore_everywhere(&saved, token, pause).await;
                turn.end_critical();
                done
            })
            .await
    }

    async fn restore_everywhere(&self, saved: &SavedSnapshot, token: &str, pause: Duration) -> Done {
        let inner = &self.inner;
        let in_hand = inner.take_in_hand(self.nodes());
        join_all(self.nodes().into_iter().map(|node| inner.stop(node))).await;
        let (least, most) = (saved.before.min(saved.after), saved.before.max(saved.after));
        inner.recorder.event(h::Event::Break(h::Break {
            kind: h::BreakKind::Restore,
            revision: h::Revision(least),
            at: inner.recorder.now_ns(),
            cluster_id: None,
            continues: Some(saved.at.0),
        }));
        let initial: Vec<(String, String)> =
            inner.members.iter().map(|member| (member.name.to_string(), peer_url(&member.name))).collect();
        for member in &inner.members {
            let restored = match self.restore_one(member, saved, &initial, token).await {
                Ok(restored) => restored,
                Err(why) => return Done::Stuck(why),
            };
            // What the snapshot claims, but no less than the member had shown before it was asked and no more than it
            // showed after it had answered: a snapshot that lacks an acknowledged write must not excuse itself.
            let revision = h::Revision(restored.revision.clamp(least, most));
            inner.recorder.complete_last_break(revision, restored.cluster_id);
            member.configure(|config| {
                config.initial_cluster = initial.clone();
                config.initial_cluster_state = InitialClusterState::New;
                config.initial_cluster_token = token.to_owned();
                config.force_new_cluster = false;
            });
        }
        inner.arena.sleep(pause).await;
        let mut roster = inner.roster();
        for node in self.nodes() {
            roster.set_standing(node, Standing::Intact);
            roster.set_id(node, None);
        }
        roster.set_configuration(self.nodes().into_iter().collect());
        drop(roster);
        drop(in_hand);
        self.start();
        Done::Success
    }

    /// Wipes one member and restores the snapshot on it, again where the tool was killed.
    async fn restore_one(
        &self,
        member: &Member,
        saved: &SavedSnapshot,
        initial: &[(String, String)],
        token: &str,
    ) -> Result<Restored, String> {
        let inner = &self.inner;
        let mut refusals = 0;
        loop {
            inner.roster().set_standing(member.node, Standing::Out);
            inner.arena.wipe(member.node, Path::new(DATA_DIR));
            let copied = inner.arena.write_file(member.node, Path::new(BACKUP), saved.file.clone());
            copied.map_err(|error| format!("copying the snapshot to {}: {error}", member.name))?;
            let options = RestoreOptions {
                snapshot: PathBuf::from(BACKUP),
                data_dir: PathBuf::from(DATA_DIR),
                name: member.name.to_string(),
                initial_cluster: initial.to_vec(),
                initial_cluster_token: token.to_owned(),
                advertise_peer_urls: vec![peer_url(&member.name)],
                skip_hash_check: false,
            };
            match inner.arena.restore_snapshot(member.node, options).await {
                Ok(restored) => return Ok(restored),
                Err(ToolFailure::Killed) => {}
                // A tool on a disk that fails is tried again until the disk is mended.
                Err(ToolFailure::Refused(_)) if inner.arena.disk_fails(member.node) => {}
                Err(ToolFailure::Refused(why)) => {
                    refusals += 1;
                    if refusals >= REFUSALS {
                        return Err(format!("the restore on {} is refused: {why}", member.name));
                    }
                }
            }
            inner.operator.pause().await;
        }
    }
}
