//! A cluster of one from a survivor's log (`etcd --force-new-cluster`).
//!
//! The survivor keeps its whole log, as a newly elected leader does, and not only the part that it knows to be
//! committed. An acknowledged entry may lie above the commit index that the survivor knows: the leader tells the
//! followers of a commit one message later, and a commit index alone is never synced, so a power cut may set it back
//! (on the leader too). A survivor that cut its log there would throw away acknowledged data that it holds. etcd
//! does: it drops everything above the commit index (`bootstrap.go`, `commit := max(HardState.Commit,
//! consistentIndex)`).
//!
//! The price: unacknowledged writes may take effect. A survivor that had led a minority brings back its
//! unacknowledged writes in place of what the majority wrote since. The clients of those writes were told "timed
//! out", which leaves the outcome open. The majority's writes are not in this log in any case.
//!
//! One kind of entry is not kept without a commit: the removal of the survivor itself, which would leave no voter. The
//! log ends before it.

use std::collections::BTreeSet;

use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, Entry, EntryType};
use squall_core::{Member, MemberId, MembershipChange, State, planted::planted};

use super::conf_change;
use crate::wal::{Replayed, Wal, WalError};

/// The peer URL of a survivor that its own log does not contain yet (etcd's default).
const DEFAULT_PEER_URL: &str = "http://localhost:2380";

/// Why no cluster can be forced from this log.
#[derive(Debug, thiserror::Error)]
pub enum ForceError {
    /// The member was removed. A removed id never comes back, so removing the others would leave no voter.
    #[error(
        "no new cluster can be forced from this data folder: its member {member} was removed from the cluster, and \
         removing the others would remove all voters. Use the folder of a member that was not removed, or restore a \
         snapshot"
    )]
    Removed {
        /// The member.
        member: MemberId,
    },
    /// The engine holds more than the log.
    #[error(
        "no new cluster can be forced from this data folder: its engine has applied entry {applied}, and its log ends at \
         entry {last}, so the two are not of one member. Put back a whole copy of the folder, or restore a snapshot"
    )]
    EngineAhead {
        /// The engine's applied index.
        applied: u64,
        /// The log's last index.
        last: u64,
    },
    /// An entry cannot be read.
    #[error("the conf-change entry {index} cannot be read: {what}. Restore a snapshot instead")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        what: String,
    },
    /// The log could not be written.
    #[error(transparent)]
    Wal(#[from] WalError),
}

/// The result of forcing a new cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    /// The members for whose removal an entry was appended.
    pub removed: Vec<MemberId>,
    /// How many entries now count as committed that were not known to be committed.
    pub adopted_entries: u64,
    /// How many entries were dropped: an uncommitted removal of this member, and the entries after it.
    pub dropped_entries: u64,
}

/// Turns the log of one member into that of a cluster of one: the log stays, and conf changes are appended that
/// remove all other members. Everything then counts as committed, and is durable on return. `replayed` is the result
/// of opening `wal`, and is updated to what opening it now would give. `state` is the engine's state. Ids don't
/// change. Running it again changes nothing.
///
/// # Errors
/// See [`ForceError`]; nothing was written then, except with `Wal`.
pub async fn force_new_cluster(
    wal: &mut Wal,
    replayed: &mut Replayed,
    state: &State,
) -> Result<Forced, ForceError> {
    let own = replayed.metadata.member_id;
    let applied = state.applied().0.0;
    let last = replayed.last_index().0;
    // The stored commit index may lag what was applied: a change of it alone is not synced.
    let commit = replayed.hard_state.commit.max(applied);
    if commit > last {
        return Err(ForceError::EngineAhead { applied, last });
    }
    // If the stored commit index lags, this is below the applied index.
    let cut = planted!(ForceDropsApplied).then(|| replayed.hard_state.commit.min(last));
    let end = uncommitted_removal(own, replayed, state, commit)?.map_or(last, |index| index - 1);
    let end = cut.unwrap_or(if planted!(ForceCutsAtCommit) { end.min(commit) } else { end });
    let others = members(own, replayed, state, end)?;

    // An empty log has no term yet.
    replayed.hard_state.term = replayed.hard_state.term.max(1);
    let add = (!others.own_is_there).then(|| {
        let peer_urls = vec![DEFAULT_PEER_URL.to_owned()];
        MembershipChange::Add(Member { id: own, peer_urls, ..Member::default() })
    });
    // A single learner could never lead.
    let votes = state.membership().voters().any(|voter| voter.id == own);
    let promote =
        (others.own_is_there && !votes && others.own_learns).then_some(MembershipChange::Promote(own));
    let changes =
        add.into_iter().chain(promote).chain(others.ids.iter().map(|id| MembershipChange::Remove(*id)));
    let entries: Vec<_> = changes
        .zip(end + 1..)
        .map(|(change, index)| conf_change(index, replayed.hard_state.term, &change))
        .collect();

    replayed.entries.retain(|entry| entry.index <= end);
    replayed.entries.extend(entries.iter().cloned());
    replayed.hard_state.commit = end + entries.len() as u64;
    wal.append(&entries, Some(&replayed.hard_state)).await?;
    wal.sync().await?;
    Ok(Forced {
        removed: others.ids.into_iter().collect(),
        adopted_entries: end.saturating_sub(commit),
        dropped_entries: last - end,
    })
}

/// The first entry above `commit` that removes this member. The removal of the last member does not count, since it
/// is refused when it is applied.
fn uncommitted_removal(
    own: MemberId,
    replayed: &Replayed,
    state: &State,
    commit: u64,
) -> Result<Option<u64>, ForceError> {
    for entry in replayed.entries.iter().filter(|entry| entry.index > commit) {
        if let Some(change) = change_of(entry)?
            && change.get_change_type() == ConfChangeType::RemoveNode
            && change.node_id == own.0
            && !ids_in(replayed, state, entry.index)?.iter().all(|id| *id == own)
        {
            return Ok(Some(entry.index));
        }
    }
    Ok(None)
}

/// The conf change that an entry holds, if it holds one.
fn change_of(entry: &Entry) -> Result<Option<ConfChange>, ForceError> {
    if entry.get_entry_type() != EntryType::EntryConfChange {
        return Ok(None);
    }
    ConfChange::parse_from_bytes(&entry.data)
        .map(Some)
        .map_err(|error| ForceError::Entry { index: entry.index, what: error.to_string() })
}

struct Others {
    /// The ids of all other members.
    ids: BTreeSet<MemberId>,
    own_is_there: bool,
    /// Whether this member may be a learner.
    own_learns: bool,
}

/// The members by the log up to `end`.
fn members(own: MemberId, replayed: &Replayed, state: &State, end: u64) -> Result<Others, ForceError> {
    let mut ids = ids_in(replayed, state, end)?;
    let own_is_there = ids.remove(&own);
    let mut removed = state.membership().was_removed(own);
    for entry in unapplied(replayed, state, end) {
        let change = change_of(entry)?.filter(|_| !ids.is_empty());
        removed |= change.is_some_and(|change| {
            change.get_change_type() == ConfChangeType::RemoveNode && change.node_id == own.0
        });
    }
    if removed {
        return Err(ForceError::Removed { member: own });
    }
    let mut own_learns = state.membership().is_learner(own);
    if let Some(snapshot) = &replayed.snapshot {
        own_learns |= snapshot.conf_state.learners.contains(&own.0);
    }
    for entry in unapplied(replayed, state, end) {
        own_learns |= change_of(entry)?.is_some_and(|change| {
            change.get_change_type() == ConfChangeType::AddLearnerNode && change.node_id == own.0
        });
    }
    Ok(Others { ids, own_is_there, own_learns })
}

/// The ids that may be members once everything up to `end` is applied. Applied changes are certain. Later changes
/// may still be refused, so only their additions count. Removing an id that is no member is refused without harm,
/// but a forgotten member would remain as a voter that never answers.
fn ids_in(replayed: &Replayed, state: &State, end: u64) -> Result<BTreeSet<MemberId>, ForceError> {
    let membership = state.membership();
    let kept = |member: &&Member| !(planted!(ForceKeepsLearners) && member.is_learner);
    let mut ids: BTreeSet<MemberId> = membership.members().filter(kept).map(|member| member.id).collect();
    if let Some(snapshot) = &replayed.snapshot {
        let recorded = snapshot.conf_state.voters.iter().chain(&snapshot.conf_state.learners);
        ids.extend(recorded.map(|id| MemberId(*id)).filter(|id| !membership.was_removed(*id)));
    }
    for entry in unapplied(replayed, state, end) {
        if let Some(change) = change_of(entry)?
            && change.get_change_type() != ConfChangeType::RemoveNode
            // An update of a member's URLs, which for raft is a change of node 0.
            && change.node_id != 0
        {
            if planted!(ForceIgnoresUnapplied) {
                continue;
            }
            let learner = change.get_change_type() == ConfChangeType::AddLearnerNode;
            assert!(!(learner && planted!(ForcePanicsOnLearner)), "unknown conf change {change:?}");
            ids.insert(MemberId(change.node_id));
        }
    }
    Ok(ids)
}

fn unapplied<'a>(replayed: &'a Replayed, state: &State, end: u64) -> impl Iterator<Item = &'a Entry> {
    let applied = state.applied().0.0;
    replayed.entries.iter().filter(move |entry| entry.index > applied && entry.index <= end)
}
