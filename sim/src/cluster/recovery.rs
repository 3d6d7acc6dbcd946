//! Whether the cluster has come to rest after the heal, and if not, what is stuck.

use std::time::Duration;

use squall_checker::history as h;

use super::member::Cluster;
use crate::arena::{NodeId, Status};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long one member may take to say how it is.
const ASK: Duration = Duration::from_secs(1);

impl Cluster {
    /// Waits until every member that counts runs, follows one leader in one term, and has applied what that leader has.
    /// After `patience`: what is stuck.
    pub async fn recovered(&self, patience: Duration) -> Result<(), String> {
        let deadline = self.inner.arena.now().after(patience);
        loop {
            let stuck = match self.look().await {
                Ok(()) => return Ok(()),
                Err(stuck) => stuck,
            };
            if self.inner.arena.now() >= deadline {
                let all = self.all_as_they_are().await;
                return Err(format!("{patience:?} after the heal {stuck}; the members: {all}"));
            }
            self.inner.arena.sleep(LOOK).await;
        }
    }

    /// Every member in a few words: what it is, whom it follows, and how far it has come.
    async fn all_as_they_are(&self) -> String {
        let mut all = Vec::new();
        for node in self.nodes() {
            let inner = &self.inner;
            let text = match inner.arena.status(node) {
                Status::Up => match inner.operator.try_status(&inner.member(node).endpoint(), ASK).await {
                    Ok(status) => format!(
                        "{node} follows {:x} in term {}, has {} entries and has applied {}",
                        status.leader, status.raft_term, status.raft_index, status.raft_applied_index
                    ),
                    Err(why) => format!("{node} runs and does not say how it is ({why})"),
                },
                Status::Exited(Some(reason)) => format!("{node} has ended ({reason})"),
                status => format!("{node} is {status:?}"),
            };
            let counts = inner.roster().counts(node);
            all.push(if counts { text } else { format!("{text}, and does not count") });
        }
        all.join("; ")
    }

    fn counted(&self) -> Vec<NodeId> {
        let roster = self.inner.roster();
        self.nodes().into_iter().filter(|node| roster.counts(*node)).collect()
    }

    async fn look(&self) -> Result<(), String> {
        let mut statuses = Vec::new();
        for node in self.counted() {
            self.restart_joiner(node);
            match self.inner.arena.status(node) {
                Status::Up => {}
                Status::Exited(Some(reason)) => return Err(format!("{node} is down: {reason}")),
                Status::Panicked(message) => return Err(format!("{node} is down: it panicked: {message}")),
                status => return Err(format!("{node} is {status:?}")),
            }
            let endpoint = self.inner.member(node).endpoint();
            let asked = self.inner.operator.try_status(&endpoint, ASK).await;
            let status = asked.map_err(|why| format!("{node} does not say how it is: {why}"))?;
            if status.leader == 0 {
                return Err(format!("{node} knows no leader in term {}", status.raft_term));
            }
            self.note_if_joined(node).await;
            statuses.push((node, status));
        }
        let Some((first, reference)) = statuses.first() else { return Ok(()) };
        for (name, status) in &statuses {
            if (status.leader, status.raft_term) != (reference.leader, reference.raft_term) {
                return Err(format!(
                    "{name} follows {:x} in term {}, {first} follows {:x} in term {}",
                    status.leader, status.raft_term, reference.leader, reference.raft_term
                ));
            }
        }
        let newest = statuses.iter().map(|(_, status)| status.raft_index).max().unwrap_or(0);
        match statuses.iter().find(|(_, status)| status.raft_applied_index < newest) {
            Some((name, status)) => {
                Err(format!("{name} has applied {} of {newest} entries", status.raft_applied_index))
            }
            None => Ok(()),
        }
    }

    /// Asks every member that counts for its hash at `revision` and for its view of the cluster, and records both.
    pub async fn record_views(&self, revision: i64, patience: Duration) -> Result<(), String> {
        let inner = &self.inner;
        let deadline = inner.arena.now().after(patience);
        for node in self.counted() {
            let endpoint = inner.member(node).endpoint();
            let (hash, view) = loop {
                let hash = inner.operator.try_hash_kv(&endpoint, revision).await;
                let view = inner.operator.try_own_members(&endpoint).await;
                match (hash, view) {
                    (Ok(hash), Ok(view)) => break (hash, view),
                    (Err(why), _) | (_, Err(why)) if inner.arena.now() >= deadline => {
                        return Err(format!("{node}: {why}"));
                    }
                    _ => inner.operator.pause().await,
                }
            };
            let at = inner.recorder.now_ns();
            inner.recorder.event(h::Event::Hash(h::HashLine {
                member: node.name().to_owned(),
                revision: h::Revision(hash.hash_revision),
                compact_revision: h::Revision(hash.compact_revision),
                hash: u64::from(hash.hash),
                at,
            }));
            let mut members: Vec<u64> = view.members.iter().map(|member| member.id).collect();
            members.sort_unstable();
            let header = view.header.unwrap_or_default();
            inner.recorder.event(h::Event::MemberView(h::MemberView {
                at,
                member: node.name().to_owned(),
                cluster_id: header.cluster_id,
                members,
                compact_revision: h::Revision(hash.compact_revision),
                revision: h::Revision(hash.header.unwrap_or_default().revision),
            }));
        }
        Ok(())
    }
}
