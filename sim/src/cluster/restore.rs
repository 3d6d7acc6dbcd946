//! Restoring a snapshot as a new cluster (etcd's guide to disaster recovery): on every member; on one member, to which
//! the others are added again, empty; or, as an operator's mistake, on each member as a separate cluster.
//!
//! Writes that were acknowledged after the snapshot are lost; the history's break says how many. The break is recorded
//! after every old member has stopped and before the first folder is wiped. From then on no step needs a quorum or a
//! running member, so the restore is one critical section: it always ends.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::join_all;
use squall_checker::history as h;
use squall_store::{InitialClusterState, offline::RestoreOptions};

use super::{
    Done,
    member::{Cluster, DATA_DIR, Member},
    roster::Standing,
    save::SavedSnapshot,
    turns::Kind,
};
use crate::arena::{NodeId, Restored, ToolFailure};

/// The snapshot's path on a member's machine.
const BACKUP: &str = "/backup/snapshot.db";

/// How often in a row the tool may refuse before the operator calls the restore stuck.
const REFUSALS: u32 = 3;

/// Which members a snapshot is restored on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onto {
    /// Every member, as one cluster.
    All,
    /// This one. The others are added to it, empty.
    One(NodeId),
    /// Every member, each as a separate cluster.
    Each,
}

/// How a snapshot is restored.
#[derive(Debug, Clone)]
pub(crate) struct RestorePlan<'a> {
    /// The name of the fault that saved it.
    pub(crate) snapshot: &'a str,
    pub(crate) onto: Onto,
    /// The new cluster's token. `None` keeps the members' present token.
    pub(crate) token: Option<&'a str>,
    /// How long the operator waits between stopping the old cluster and starting the new one, and before each
    /// addition.
    pub(crate) pause: Duration,
}

impl Cluster {
    /// Stops every member, wipes every data folder, restores a saved snapshot, and starts the members.
    pub(crate) async fn restore_snapshot(&self, id: &str, plan: RestorePlan<'_>) -> Done {
        let snapshot = plan.snapshot;
        let inner = &self.inner;
        // It may wait for the save. Meanwhile no core may be chosen that leaves out the member it restores onto.
        let _expected = inner.turns.expect();
        let Some(saved) = inner.saves.get(snapshot).await else {
            // There is nothing to restore. Members that the restore would have started are started all the same.
            self.start();
            return Done::GivenUp(format!("{snapshot} saved no snapshot"));
        };
        inner
            .turns
            .run(id, Kind::Recover, |turn| async move {
                turn.begin_critical();
                inner.roster().forget_configuration();
                let done = self.restore(&saved, &plan).await;
                turn.end_critical();
                if let (Done::Success, Onto::One(node)) = (&done, plan.onto) {
                    self.rejoin_others(node, plan.pause).await;
                }
                done
            })
            .await
    }

    async fn restore(&self, saved: &SavedSnapshot, plan: &RestorePlan<'_>) -> Done {
        let inner = &self.inner;
        let restored_on = |node: NodeId| match plan.onto {
            Onto::All | Onto::Each => true,
            Onto::One(one) => node == one,
        };
        let in_hand = inner.take_in_hand(self.nodes());
        join_all(self.nodes().into_iter().map(|node| inner.stop(node))).await;
        inner.recorder.event(h::Event::Break(h::Break {
            kind: h::BreakKind::Restore,
            revision: h::Revision(saved.least()),
            most: None,
            at: inner.recorder.now_ns(),
            cluster_id: None,
            continues: Some(saved.at.0),
        }));
        for left in self.nodes().into_iter().filter(|node| !restored_on(*node)) {
            // Its old data must never run again beside the new cluster.
            inner.roster().set_standing(left, Standing::Out);
            inner.roster().set_id(left, None);
        }
        let line = |member: &Member| (member.name.to_string(), member.peer_url());
        let members: Vec<&Member> = inner.members.iter().filter(|member| restored_on(member.node)).collect();
        let together: Vec<(String, String)> = members.iter().map(|member| line(member)).collect();
        for member in members {
            let initial = if plan.onto == Onto::Each { vec![line(member)] } else { together.clone() };
            let token = plan.token.map_or_else(|| member.token(), str::to_owned);
            let restored = match self.restore_one(member, saved, &initial, &token).await {
                Ok(restored) => restored,
                Err(why) => return Done::Stuck(why),
            };
            let revision = h::Revision(saved.brings_back(restored.revision));
            inner.recorder.complete_last_break(revision, restored.cluster_id);
            member.configure(|config| {
                config.initial_cluster = initial;
                config.initial_cluster_state = InitialClusterState::New;
                config.initial_cluster_token = token;
                config.force_new_cluster = false;
            });
        }
        inner.arena.sleep(plan.pause).await;
        let mut roster = inner.roster();
        let serving: BTreeSet<NodeId> = self.nodes().into_iter().filter(|node| restored_on(*node)).collect();
        for node in &serving {
            roster.set_standing(*node, Standing::Intact);
            roster.set_id(*node, None);
        }
        roster.set_configuration(serving);
        drop(roster);
        drop(in_hand);
        self.start();
        inner.note_step();
        Done::Success
    }

    /// Wipes one member and restores the snapshot on it. Tries again if the tool was killed.
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
            inner.note_step();
            let copied = inner.arena.write_file(member.node, Path::new(BACKUP), saved.file.clone());
            copied.map_err(|error| format!("copying the snapshot to {}: {error}", member.name))?;
            let options = RestoreOptions {
                snapshot: PathBuf::from(BACKUP),
                data_dir: PathBuf::from(DATA_DIR),
                name: member.name.to_string(),
                initial_cluster: initial.to_vec(),
                initial_cluster_token: token.to_owned(),
                advertise_peer_urls: vec![member.peer_url()],
                skip_hash_check: false,
            };
            let result = inner.arena.restore_snapshot(member.node, options).await;
            inner.note_step();
            match result {
                Ok(restored) => return Ok(restored),
                Err(ToolFailure::Killed) => {}
                // On a failing disk the tool is run again until the disk is healed.
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
