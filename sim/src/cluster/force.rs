//! A forced new cluster: the survivor of a lost majority becomes a cluster of one; the others are added again, empty.
//!
//! The survivor is stopped gracefully first. Clients are kept away from it until its revision is known, as an operator
//! would take it out of the load balancer. So the break lies between the old cluster's answers and the new one's.
//!
//! If the survivor's removal was committed (its replacement was under way), it refuses to become a cluster. Everything
//! so far can still be undone: the others start again with their data, and the replacement is finished.

use std::{collections::BTreeSet, time::Duration};

use squall_checker::history as h;

use super::{Done, member::Cluster, roster::Standing, turns::Kind};
use crate::{
    arena::{NodeId, Status},
    workload::Recorder,
};

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
                let configuration = self.inner.roster().forget_configuration();
                let made = self.make_cluster_of_one(survivor).await;
                turn.end_critical();
                match made {
                    Made::Cluster => {}
                    Made::Stuck(why) => return Done::Stuck(why),
                    Made::SurvivorRemoved => {
                        self.finish_replacement(survivor, configuration).await;
                        return Done::GivenUp(format!("{survivor} had been removed from the cluster"));
                    }
                }
                self.inner.roster().set_configuration(BTreeSet::from([survivor]));
                if rejoin {
                    self.rejoin_others(survivor, pause).await;
                }
                Done::Success
            })
            .await
    }

    /// Finishes the replacement of a member that is removed already.
    async fn finish_replacement(&self, removed: NodeId, configuration: Option<BTreeSet<NodeId>>) {
        let mut in_hand = self.inner.take_in_hand([removed]);
        self.inner.roster().set_standing(removed, Standing::Out);
        self.start();
        self.remove(removed).await;
        self.put_in(removed, &mut in_hand, configuration).await;
    }

    async fn make_cluster_of_one(&self, survivor: NodeId) -> Made {
        let inner = &self.inner;
        let member = inner.member(survivor);
        let in_hand = inner.take_in_hand(self.nodes());
        let mut before = Vec::new();
        for other in self.nodes().into_iter().filter(|node| *node != survivor) {
            inner.arena.kill(other);
            inner.note_step();
            let mut roster = inner.roster();
            before.push((other, roster.standing(other), roster.outdated(other)));
            // Its old data must never run again beside the new cluster.
            roster.set_standing(other, Standing::Out);
        }
        let cut_off = inner.cut_clients(survivor);
        inner.stop(survivor).await;
        let at = inner.recorder.now_ns();
        // Never below the revision that the survivor had answered in this era: everything up to it must have survived.
        // After a restore every member holds the snapshot, even one that has answered nothing yet.
        let restored = inner.recorder.last_break().filter(|line| line.kind == h::BreakKind::Restore);
        let restored = restored.map_or(0, |line| line.revision.0);
        let shown = inner.recorder.newest_answer_of(survivor.name()).max(restored);
        let mut line = PendingBreak::foreseen(
            &inner.recorder,
            h::Break {
                kind: h::BreakKind::ForceNewCluster,
                revision: h::Revision(shown),
                most: None,
                at,
                cluster_id: None,
                continues: None,
            },
        );
        member.configure(|config| config.force_new_cluster = true);
        let (mut started, mut refusals) = (false, 0);
        loop {
            if !inner.arena.running(survivor) {
                let status = inner.arena.status(survivor);
                if started && was_removed(&status) {
                    member.configure(|config| config.force_new_cluster = false);
                    line.withdraw();
                    for (other, standing, outdated) in before {
                        match standing {
                            Standing::Ruined => inner.roster().set_ruined(other, outdated),
                            standing => inner.roster().set_standing(other, standing),
                        }
                    }
                    return Made::SurvivorRemoved;
                }
                if let Status::Exited(Some(reason)) = status
                    && !inner.arena.disk_fails(survivor)
                {
                    refusals += 1;
                    if refusals > REFUSALS {
                        member.configure(|config| config.force_new_cluster = false);
                        return Made::Stuck(format!("{survivor} does not start as a new cluster: {reason}"));
                    }
                }
                inner.start(survivor);
                started = true;
                inner.note_step();
            }
            // A read that a quorum confirms: the survivor has applied its whole log.
            if let Ok(revision) = inner.operator.try_read_revision(&member.endpoint()).await {
                // If members report no events, only these bounds are known.
                line.ends_by((!inner.arena.reports_events()).then_some(revision));
                break;
            }
            inner.operator.pause().await;
        }
        member.configure(|config| config.force_new_cluster = false);
        for (other, ..) in before {
            inner.roster().set_id(other, None);
        }
        // A survivor that missed its own move lists its old URL, where it no longer listens.
        let url = member.peer_url();
        if let Err(why) = self.update(survivor, &url).await {
            return Made::Stuck(why);
        }
        // Its data may be more than the old cluster had committed. Once the run is over, the break is raised to that
        // (`run::agreed`).
        drop(line);
        drop(cut_off);
        drop(in_hand);
        Made::Cluster
    }

    /// Adds the others to a cluster of one, empty, one after the other.
    pub(super) async fn rejoin_others(&self, survivor: NodeId, pause: Duration) {
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

/// The result of the attempt to make a cluster of one.
enum Made {
    /// The survivor is now a cluster of one.
    Cluster,
    /// It refused, because its own removal had been committed. Nothing has changed.
    SurvivorRemoved,
    /// It does not start.
    Stuck(String),
}

/// Whether a process ended because its member was removed from the cluster: by itself and without a failure, or with a
/// refusal that says so.
fn was_removed(status: &Status) -> bool {
    match status {
        Status::Exited(None) => true,
        Status::Exited(Some(reason)) => reason.contains("was removed from the cluster"),
        _ => false,
    }
}

/// A break that is added to the history when this is dropped, unless it is withdrawn. Its instant is before its first step.
/// The journal has it from the beginning, because the survivor cuts its log while it starts, and the harness may die before
/// the survivor answers.
struct PendingBreak<'a> {
    recorder: &'a Recorder,
    line: Option<h::Break>,
}

impl<'a> PendingBreak<'a> {
    fn foreseen(recorder: &'a Recorder, line: h::Break) -> Self {
        recorder.foresee_break(&line);
        Self { recorder, line: Some(line) }
    }

    /// The break lies at this revision or before it.
    fn ends_by(&mut self, most: Option<i64>) {
        if let Some(line) = &mut self.line {
            line.most = most.map(h::Revision);
        }
    }

    /// Nothing was broken.
    fn withdraw(&mut self) {
        if let Some(line) = self.line.take() {
            self.recorder.withdraw_break(line.at);
        }
    }
}

impl Drop for PendingBreak<'_> {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            self.recorder.event(h::Event::Break(line));
        }
    }
}
