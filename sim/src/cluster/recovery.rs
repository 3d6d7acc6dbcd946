//! Whether the cluster has come to rest after the heal, and if not, what is stuck.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use squall_checker::history as h;
use squall_store::AutoCompaction;

use super::{Endpoint, member::Cluster};
use crate::{
    arena::{NodeId, Status},
    world::At,
};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long the members' engines may take to reach the same entry without a compaction under way.
const ROWS_PATIENCE: Duration = Duration::from_secs(2);
/// How long one member may take to answer its status.
const ASK: Duration = Duration::from_secs(1);

impl Cluster {
    /// Waits until every member that counts runs, follows one leader in one term, and has applied what that leader has
    /// applied. An error after `patience`: what is stuck.
    pub async fn recovered(&self, patience: Duration) -> Result<(), String> {
        let deadline = self.inner.arena.now().after(patience);
        // A leader with automatic compaction keeps writing entries: those of the last look must be applied.
        let mut wanted = None;
        loop {
            // The procedure that added one may have ended before it could join.
            self.restart_joiners();
            let stuck = match self.look(&mut wanted).await {
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

    /// Describes every member briefly: its state, its leader, and its applied index.
    async fn all_as_they_are(&self) -> String {
        let mut all = Vec::new();
        for node in self.nodes() {
            let inner = &self.inner;
            // Read before the member is asked, because its answer would count as a step.
            let step = self.last_step(node);
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
            let counted = if counts { "" } else { ", and does not count" };
            all.push(format!("{text}{counted}{step}"));
        }
        all.join("; ")
    }

    /// Where each member was last seen at work. It has waited there since.
    pub fn last_steps(&self) -> String {
        let steps: Vec<String> =
            self.nodes().into_iter().map(|node| format!("{node}{}", self.last_step(node))).collect();
        steps.join("; ")
    }

    fn last_step(&self, node: NodeId) -> String {
        match self.inner.arena.last_step(node) {
            Some((step, at)) => {
                let ago = self.inner.arena.now().since(at).as_secs_f64();
                format!(" (last seen {ago:.3} s ago: {step})")
            }
            None => String::new(),
        }
    }

    /// The members that count.
    pub(super) fn counted(&self) -> Vec<NodeId> {
        let roster = self.inner.roster();
        self.nodes().into_iter().filter(|node| roster.counts(*node)).collect()
    }

    /// The client endpoints of the members that count.
    pub(super) fn counted_endpoints(&self) -> Vec<Endpoint> {
        self.counted().into_iter().map(|node| self.inner.member(node).endpoint()).collect()
    }

    /// One look at all members that count. `wanted` is the newest entry of the last look, which all must have applied.
    async fn look(&self, wanted: &mut Option<u64>) -> Result<(), String> {
        let before = wanted.take();
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
        *wanted = Some(newest);
        match statuses.iter().find(|(_, status)| status.raft_applied_index < before.unwrap_or(newest)) {
            Some((name, status)) => {
                Err(format!("{name} has applied {} of {newest} entries", status.raft_applied_index))
            }
            None => Ok(()),
        }
    }

    /// The engine contents of all members that count, once they have applied the same index and no compaction is under
    /// way, or after [`ROWS_PATIENCE`]. Members that still compact then are left out.
    async fn settled_rows(&self) -> BTreeMap<NodeId, EngineView> {
        let deadline = self.inner.arena.now().after(ROWS_PATIENCE);
        loop {
            let views: BTreeMap<NodeId, Option<EngineView>> =
                self.counted().into_iter().map(|node| (node, self.engine_view(node))).collect();
            let applied: BTreeSet<Option<u64>> =
                views.values().map(|view| view.as_ref().map(|view| view.applied)).collect();
            let settled = applied.len() <= 1 && !applied.contains(&None);
            if settled || self.inner.arena.now() >= deadline {
                return views.into_iter().filter_map(|(node, view)| Some((node, view?))).collect();
            }
            self.inner.arena.sleep(LOOK).await;
        }
    }

    /// The content of the member's engine; `None` while a compaction still has rows to remove.
    fn engine_view(&self, node: NodeId) -> Option<EngineView> {
        EngineView::of(&self.inner.arena.engine_rows(node)?)
    }

    /// Asks every member that counts for its hash at `revision` and for its view of the cluster, and records both.
    pub async fn record_views(&self, revision: i64, patience: Duration) -> Result<(), String> {
        let inner = &self.inner;
        let deadline = inner.arena.now().after(patience);
        let mut revision = revision;
        let views = loop {
            if let Some(views) = self.views(revision, deadline).await? {
                let compacted: BTreeSet<h::Revision> =
                    views.iter().map(|(_, hash, _)| hash.compact_revision).collect();
                // A leader with automatic compaction may have compacted in between.
                if compacted.len() <= 1 || !self.compacts_by_itself() || inner.arena.now() >= deadline {
                    break views;
                }
            }
            inner.operator.pause().await;
            // Leases that end make revisions, and the one that was asked for may be compacted by now.
            if let Some(endpoint) = self.counted_endpoints().first()
                && let Ok(newest) = inner.operator.try_read_revision(endpoint).await
            {
                revision = revision.max(newest);
            }
        };
        for (_, hash, _) in &views {
            inner.recorder.event(h::Event::Hash(hash.clone()));
        }
        // Only after the hashes, which must also agree while compactions are under way.
        let mut rows = self.settled_rows().await;
        for (node, _, view) in views {
            let EngineView { applied, digest } = rows.remove(&node).unwrap_or_default();
            inner.recorder.event(h::Event::MemberView(h::MemberView { applied, rows: digest, ..view }));
        }
        Ok(())
    }

    /// Each member's hash at `revision`, and its view of the cluster. `None` if one does not answer and leaders compact by
    /// themselves: the revision may be compacted.
    async fn views(
        &self,
        revision: i64,
        deadline: At,
    ) -> Result<Option<Vec<(NodeId, h::HashLine, h::MemberView)>>, String> {
        let inner = &self.inner;
        let mut views = Vec::new();
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
                    _ if self.compacts_by_itself() => return Ok(None),
                    _ => inner.operator.pause().await,
                }
            };
            let at = inner.recorder.now_ns();
            let line = h::HashLine {
                member: node.name().to_owned(),
                revision: h::Revision(revision),
                compact_revision: h::Revision(hash.compact_revision),
                hash: u64::from(hash.hash),
                at,
            };
            let mut members: Vec<u64> = view.members.iter().map(|member| member.id).collect();
            members.sort_unstable();
            let addresses = view.members.iter().map(|member| {
                let (peers, clients) = (member.peer_urls.join(","), member.client_urls.join(","));
                format!("{} {peers} {clients}", member.name)
            });
            let mut addresses: Vec<String> = addresses.collect();
            addresses.sort_unstable();
            let header = view.header.unwrap_or_default();
            let view = h::MemberView {
                at,
                member: node.name().to_owned(),
                cluster_id: header.cluster_id,
                members,
                addresses,
                compact_revision: h::Revision(hash.compact_revision),
                revision: h::Revision(hash.header.unwrap_or_default().revision),
                ..h::MemberView::default()
            };
            views.push((node, line, view));
        }
        Ok(Some(views))
    }

    fn compacts_by_itself(&self) -> bool {
        let compacts = |node: &NodeId| {
            let config = self.inner.member(*node).config.lock().expect("not poisoned").auto_compaction;
            config != AutoCompaction::Off
        };
        self.nodes().iter().any(compacts)
    }
}

/// An engine's content at one applied index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct EngineView {
    applied: u64,
    /// The digest of all rows except two, which may differ between members: the mark of the last finished compaction
    /// (a snapshot carries the sender's), and the store's size at the last removal of rows (each member removes rows
    /// at its own pace).
    digest: String,
}

impl EngineView {
    /// `None` while a compaction still has rows to remove. The store defines the layout of rows (`squall_core::rows`).
    fn of(rows: &[(Bytes, Bytes)]) -> Option<EngineView> {
        const FINISHED: &[u8] = b"mfinishedCompactRev";
        const ALLOCATED: &[u8] = b"mallocated";
        let row = |name: &[u8]| rows.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let applied = row(b"mapplied")?.get(1..9)?.try_into().map(u64::from_be_bytes).ok()?;
        if row(b"mscheduledCompactRev") != row(FINISHED) {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        for (key, value) in rows.iter().filter(|(key, _)| key != FINISHED && key != ALLOCATED) {
            for part in [key, value] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        Some(EngineView { applied, digest: hasher.finalize().to_hex()[..16].to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_seen_at_its_index_once_its_compactions_are_done() {
        let rows = |finished: &'static [u8], value: &'static [u8]| -> Vec<(Bytes, Bytes)> {
            let applied = [&[1][..], &7_u64.to_be_bytes(), &[0; 16]].concat();
            [
                (&b"k1"[..], Bytes::from_static(value)),
                (b"mapplied", Bytes::from(applied)),
                (b"mfinishedCompactRev", Bytes::from_static(finished)),
                (b"mscheduledCompactRev", Bytes::from_static(b"2")),
            ]
            .map(|(key, value)| (Bytes::from_static(key), value))
            .to_vec()
        };
        assert_eq!(EngineView::of(&rows(b"1", b"v")), None);
        let view = EngineView::of(&rows(b"2", b"v")).expect("it is settled");
        assert_eq!(view.applied, 7);
        assert_ne!(Some(view), EngineView::of(&rows(b"2", b"w")));
        assert_eq!(EngineView::of(&[]), None);
    }
}
