//! How a member begins: the first entries of a new cluster's log, and what a restart makes of WAL and engine.

use protobuf::Message as _;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState};
use squall_core::{Member, MembershipChange, State, planted::planted};

use super::{
    entry,
    raft_log::{Mark, RaftLog},
};
use crate::wal::Replayed;

/// The first entries of a cluster: one conf change for each founder, ordered by id, all of term 1 and committed.
/// Every founder writes the same entries without having talked to the others. Since their logs are equal, raft can
/// elect a leader.
pub(crate) fn bootstrap_entries(founders: &[Member]) -> (Vec<Entry>, HardState) {
    let mut founders = founders.to_vec();
    founders.sort_by_key(|member| member.id);
    let entries = founders.iter().zip(1..).map(|(member, index)| {
        let change = entry::encode_change(0, &MembershipChange::Add(member.clone()));
        let mut entry = Entry { index, term: 1, ..Default::default() };
        entry.set_entry_type(EntryType::EntryConfChange);
        entry.data = change.write_to_bytes().expect("a conf change has no required fields").into();
        entry
    });
    let hard_state = HardState { term: 1, commit: founders.len() as u64, ..Default::default() };
    (entries.collect(), hard_state)
}

/// What a restart found in WAL and engine.
pub(crate) struct Bootstrap {
    /// The log for raft.
    pub log: RaftLog,
    /// The last snapshot record's index; 0 if there is none.
    pub snapshot_index: u64,
    /// The term to begin in.
    pub term: u64,
}

impl Bootstrap {
    /// Puts together what the WAL and the engine hold. The engine must not be behind the last snapshot record.
    ///
    /// The commit index on disk may be lower than the applied index, because a change of the commit index alone is
    /// not synced. It is then raised to the applied index.
    ///
    /// # Errors
    /// The engine is ahead of the WAL: one of the two belongs to another member, or has lost what it had synced.
    pub(crate) fn new(replayed: Replayed, state: &State) -> Result<Bootstrap, String> {
        let (applied, applied_term) = state.applied();
        let before = replayed.snapshot.as_ref().map_or((0, 0), |record| (record.index.0, record.term.0));
        let mut mark = Mark { index: applied.0, term: applied_term.0, conf_state: conf_state(state) };
        if planted!(RestartTakesSnapshotVoters)
            && let Some(record) = &replayed.snapshot
        {
            mark.conf_state = record.conf_state.clone();
        }
        let mut hard_state = replayed.hard_state;
        if planted!(VoteForgottenAtRestart) {
            hard_state.vote = 0;
        }
        hard_state.commit = hard_state.commit.max(applied.0);
        let log = RaftLog::new(before, replayed.entries, hard_state.clone(), mark);
        match log.term_at(applied.0) {
            Some(term) if term == applied_term.0 || applied.0 == 0 => {}
            Some(term) => {
                return Err(format!(
                    "the engine has applied entry {applied} of term {applied_term}, and in the WAL that entry is of term {term}"
                ));
            }
            None => {
                return Err(format!(
                    "the engine has applied entry {applied}, and the WAL holds entries {} to {} only",
                    before.0 + 1,
                    log.last()
                ));
            }
        }
        if hard_state.commit > log.last() {
            return Err(format!(
                "entry {} is committed, and the WAL's last is {}",
                hard_state.commit,
                log.last()
            ));
        }
        Ok(Bootstrap { log, snapshot_index: before.0, term: hard_state.term })
    }
}

/// The voters and the learners, as of the last entry applied.
pub(super) fn conf_state(state: &State) -> ConfState {
    let voters: Vec<u64> = state.membership().voters().map(|member| member.id.0).collect();
    let learners: Vec<u64> = state.membership().learners().map(|member| member.id.0).collect();
    ConfState::from((voters, learners))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::input::Decoded;

    #[test]
    fn founders_agree_on_the_first_entries_whatever_order_they_were_listed_in() {
        let member = |name: &str| Member::new(vec![format!("http://{name}:2380")], "token", None);
        let (a, hard_state) = bootstrap_entries(&[member("m1"), member("m2"), member("m3")]);
        let (b, _) = bootstrap_entries(&[member("m3"), member("m1"), member("m2")]);
        assert_eq!(a, b);
        assert_eq!((hard_state.term, hard_state.vote, hard_state.commit), (1, 0, 3));
        assert_eq!(
            a.iter().map(|entry| (entry.index, entry.term)).collect::<Vec<_>>(),
            [(1, 1), (2, 1), (3, 1)]
        );
        let ids: Vec<u64> = a
            .iter()
            .map(|entry| match entry::decode(entry) {
                Decoded::Membership { id: 0, change: MembershipChange::Add(member), raft } => {
                    assert_eq!(raft.node_id, member.id.0);
                    member.id.0
                }
                _ => panic!("not an addition"),
            })
            .collect();
        assert!(ids.is_sorted());
    }
}
