//! Whether the cluster has come to rest after the heal, and if not, what is stuck.

use std::time::Duration;

use squall_checker::history as h;

use super::member::Cluster;
use crate::world::Status;

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long one member may take to say how it is.
const ASK: Duration = Duration::from_secs(1);

impl Cluster {
    /// Waits until every member runs, follows one leader in one term, and has applied what that leader has. After
    /// `patience`: what is stuck.
    pub async fn recovered(&self, patience: Duration) -> Result<(), String> {
        let deadline = self.inner.world.now().after(patience);
        loop {
            let stuck = match self.look().await {
                Ok(()) => return Ok(()),
                Err(stuck) => stuck,
            };
            if self.inner.world.now() >= deadline {
                return Err(format!("{patience:?} after the heal {stuck}"));
            }
            self.inner.world.sleep(LOOK).await;
        }
    }

    async fn look(&self) -> Result<(), String> {
        let mut statuses = Vec::new();
        for member in self.inner.in_service() {
            let name = &member.name;
            match self.inner.world.status(member.node) {
                Status::Up => {}
                Status::Exited(Some(reason)) => return Err(format!("{name} is down: {reason}")),
                Status::Panicked(message) => return Err(format!("{name} is down: it panicked: {message}")),
                status => return Err(format!("{name} is {status:?}")),
            }
            let asked = self.inner.operator.status(&member.endpoint(), ASK).await;
            let status = asked.map_err(|why| format!("{name} does not say how it is: {why}"))?;
            if status.leader == 0 {
                return Err(format!("{name} knows no leader in term {}", status.raft_term));
            }
            statuses.push((name, status));
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

    /// Asks every member for its hash at `revision` and records it.
    pub async fn record_hashes(&self, revision: i64, patience: Duration) -> Result<(), String> {
        for member in self.inner.in_service() {
            let hash = self.inner.operator.hash_kv(&member.endpoint(), revision, patience).await;
            let hash = hash.map_err(|why| format!("{}: {why}", member.name))?;
            self.inner.recorder.event(h::Event::Hash(h::HashLine {
                member: member.name.to_string(),
                revision: h::Revision(hash.hash_revision),
                compact_revision: h::Revision(hash.compact_revision),
                hash: u64::from(hash.hash),
                at: self.inner.recorder.now_ns(),
            }));
        }
        Ok(())
    }
}
