//! A forced new cluster: the survivor of a lost majority becomes a cluster of one; the others are added again, empty.
//!
//! The survivor is stopped gracefully first, and clients are kept away from it until its revision is known, as an operator
//! takes it out of the load balancer: the break lies between the old cluster's answers and the new one's.

use std::{collections::BTreeSet, time::Duration};

use squall_checker::history as h;

use super::{Done, member::Cluster, roster::Standing, turns::Kind};
use crate::arena::{NodeId, Status};

/// How often in a row the survivor may refuse to start before the operator calls it stuck.
const REFUSALS: u32 = 10;

impl Cluster {
    /// Makes a cluster of one out of `survivor`. With `rejoin` the others are added again, with `pause` before each.
    pub(crate) async fn force_new_cluster(
        &self,
        id: &str,
        survivor: NodeId,
        rejoin: bool,
        pause: Duration,
    ) -> Done {
        self.inner
            .turns
            .run(id, Kind::Recover, |turn| async move {
                if self.inner.roster().standing(survivor) != Standing::Intact {
                    return Done::GivenUp(format!("{survivor} has no data to make a cluster of"));
                }
                turn.begin_critical();
                self.inner.roster().forget_configuration();
                let done = self.make_cluster_of_one(survivor).await;
                turn.end_critical();
                if done != Done::Success {
                    return done;
                }
                self.inner.roster().set_configuration(BTreeSet::from([survivor]));
                if rejoin {
                    self.rejoin_others(survivor, pause).await;
                }
                Done::Success
            })
            .await
    }

    async fn make_cluster_of_one(&self, survivor: NodeId) -> Done {
        let inner = &self.inner;
        let member = inner.member(survivor);
        let in_hand = inner.take_in_hand(self.nodes());
        for other in self.nodes().into_iter().filter(|node| *node != survivor) {
            inner.arena.kill(other);
            let mut roster = inner.roster();
            // Its old data must never run again beside the new cluster.
            roster.set_standing(other, Standing::Out);
            roster.set_id(other, None);
        }
        let cut_off = inner.cut_clients(survivor);
        inner.stop(survivor).await;
        let at = inner.recorder.now_ns();
        // Never below what the survivor had answered in this era: that much must have survived.
        // After a restore every member holds the snapshot, even one that has answered nothing yet.
        let restored = inner.recorder.last_break().filter(|line| line.kind == h::BreakKind::Restore);
        let restored = restored.map_or(0, |line| line.revision.0);
        let shown = inner.recorder.newest_answer_of(survivor.name()).max(restored);
        inner.recorder.event(h::Event::Break(h::Break {
            kind: h::BreakKind::ForceNewCluster,
            revision: h::Revision(shown),
            at,
            cluster_id: None,
            continues: None,
        }));
        member.configure(|config| config.force_new_cluster = true);
        let mut refusals = 0;
        loop {
            if !inner.arena.running(survivor) {
                if let Status::Exited(Some(reason)) = inner.arena.status(survivor) {
                    refusals += 1;
                    if refusals > REFUSALS {
                        member.configure(|config| config.force_new_cluster = false);
                        return Done::Stuck(format!("{survivor} does not start as a new cluster: {reason}"));
                    }
                }
                inner.start(survivor);
            }
            // A read that a quorum confirms: all that the survivor's log held has been applied.
            if inner.operator.try_read_revision(&member.endpoint()).await.is_ok() {
                break;
            }
            inner.operator.pause().await;
        }
        member.configure(|config| config.force_new_cluster = false);
        // What it has now may be more than the old cluster agreed on; the break is raised to that once the run is over
        // (`run::agreed`).
        drop(cut_off);
        drop(in_hand);
        Done::Success
    }

    async fn rejoin_others(&self, survivor: NodeId, pause: Duration) {
        let inner = &self.inner;
        let others: Vec<NodeId> = self.nodes().into_iter().filter(|node| *node != survivor).collect();
        let mut members = BTreeSet::from([survivor]);
        for other in others {
            inner.arena.sleep(pause).await;
            let mut in_hand = inner.take_in_hand([other]);
            inner.roster().forget_configuration();
            self.join_empty(other, &mut in_hand).await;
            members.insert(other);
            inner.roster().set_configuration(members.clone());
            self.wait_until_joined(other).await;
        }
    }
}
