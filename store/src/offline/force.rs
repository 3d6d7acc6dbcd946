//! A cluster of one from a survivor's log (`etcd --force-new-cluster`).

use std::collections::BTreeSet;

use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, EntryType};
use squall_core::{Member, MemberId, MembershipChange, State};

use super::conf_change;
use crate::wal::{Replayed, Wal, WalError};

/// The peer URL of a survivor that its own log does not know yet (etcd's default).
const DEFAULT_PEER_URL: &str = "http://localhost:2380";

/// Why no cluster can be forced from this log.
#[derive(Debug, thiserror::Error)]
pub enum ForceError {
    /// The member was removed; an id never comes back, so removing the others would leave no voter.
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
    /// A committed entry cannot be read.
    #[error("the committed conf-change entry {index} cannot be read: {what}. Restore a snapshot instead")]
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

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    /// The members for whose removal an entry was appended.
    pub removed: Vec<MemberId>,
    /// How many entries went that were not known to be committed.
    pub dropped_entries: u64,
}

/// Turns the log of one member into that of a cluster of one: everything up to the highest index known to be committed
/// stays, the rest goes, and conf changes follow that remove everyone else. All of it counts as committed, and is
/// durable on return. `replayed` is what opening `wal` gave, and becomes what opening it now would give; `state` is what
/// the engine holds. Ids don't change. Running it again changes nothing.
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
    let others = members(own, replayed, state, commit)?;

    // A log without anything has not seen a term yet.
    replayed.hard_state.term = replayed.hard_state.term.max(1);
    let add = (!others.own_is_there).then(|| {
        let peer_urls = vec![DEFAULT_PEER_URL.to_owned()];
        MembershipChange::Add(Member { id: own, peer_urls, ..Member::default() })
    });
    let changes = add.into_iter().chain(others.ids.iter().map(|id| MembershipChange::Remove(*id)));
    let entries: Vec<_> = changes
        .zip(commit + 1..)
        .map(|(change, index)| conf_change(index, replayed.hard_state.term, &change))
        .collect();

    let dropped_entries = last - commit;
    replayed.entries.retain(|entry| entry.index <= commit);
    replayed.entries.extend(entries.iter().cloned());
    replayed.hard_state.commit = commit + entries.len() as u64;
    wal.append(&entries, Some(&replayed.hard_state)).await?;
    wal.sync().await?;
    Ok(Forced { removed: others.ids.into_iter().collect(), dropped_entries })
}

struct Others {
    /// Everyone but this member.
    ids: BTreeSet<MemberId>,
    own_is_there: bool,
}

/// Whom the committed log has for members. What is applied is certain. What is committed after it may yet be refused
/// when it is applied (a removal of the last member, say), so of those only additions count: to remove one who is no
/// member is refused without harm, to forget one would leave a voter that never answers.
fn members(own: MemberId, replayed: &Replayed, state: &State, commit: u64) -> Result<Others, ForceError> {
    let membership = state.membership();
    let mut ids: BTreeSet<MemberId> = membership.members().map(|member| member.id).collect();
    if let Some(snapshot) = &replayed.snapshot {
        let recorded = snapshot.conf_state.voters.iter().chain(&snapshot.conf_state.learners);
        ids.extend(recorded.map(|id| MemberId(*id)).filter(|id| !membership.was_removed(*id)));
    }
    let mut removed = membership.was_removed(own);
    let ahead =
        replayed.entries.iter().filter(|entry| entry.index > state.applied().0.0 && entry.index <= commit);
    for entry in ahead.filter(|entry| entry.get_entry_type() == EntryType::EntryConfChange) {
        let change = ConfChange::parse_from_bytes(&entry.data)
            .map_err(|error| ForceError::Entry { index: entry.index, what: error.to_string() })?;
        match change.get_change_type() {
            ConfChangeType::AddNode | ConfChangeType::AddLearnerNode => {
                ids.insert(MemberId(change.node_id));
            }
            ConfChangeType::RemoveNode => removed |= change.node_id == own.0,
        }
    }
    if removed {
        return Err(ForceError::Removed { member: own });
    }
    let own_is_there = ids.remove(&own);
    Ok(Others { ids, own_is_there })
}
