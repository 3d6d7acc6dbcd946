//! Recognises a member that has lost what it once acknowledged: its disk was emptied, or an older copy was put back.
//!
//! Raft relies on an acknowledged entry and a vote staying on disk. A member that has lost them and goes on can help
//! to elect a leader that lacks what the cluster has acknowledged. raft-rs notices this in one place only, and
//! panics there (`to_commit … is out of range`). This module looks at each heartbeat before raft does.
//!
//! A leader's heartbeat carries the lower of its commit index and the highest index that this very member has
//! acknowledged to it in the present term. A member acknowledges only what is on its disk. So its disk has lost
//! something if the index lies beyond the end of its log; and also if the index is not 0 and the term is above its
//! own, since a member stores a term before it acknowledges anything in it.
//!
//! A second sign needs no leader. Each peer that calls this member says whether the membership holds a name for it.
//! A member publishes its name through the leader, and has the leader's term on disk by then. So a member that has a
//! name in the membership, but whose log is that of a new member ([`Past::is_blank`]), has lost its disk. This stays
//! true over further restarts.
//!
//! What this cannot see: after an election no member remembers what was acknowledged to the previous leader. A
//! member that was rolled back meanwhile catches up unnoticed. Nothing tells it from a member that was merely slow.

use std::path::Path;

use raft::eraftpb::{Message, MessageType};
use squall_core::MemberId;

/// Where the member's log stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub term: u64,
    pub last_index: u64,
}

/// What this member has lost, as far as `message` shows it: a clause for the error message. `None` if the message
/// shows no loss.
pub(crate) fn lost(standing: Standing, message: &Message) -> Option<String> {
    let Standing { term, last_index } = standing;
    if message.get_msg_type() != MessageType::MsgHeartbeat || message.term < term {
        return None;
    }
    if message.commit > last_index {
        return Some(format!(
            "it has acknowledged entry {} to the leader {:x}, and its log ends at entry {last_index}",
            message.commit, message.from
        ));
    }
    (message.term > term && message.commit > 0).then(|| {
        format!(
            "it has acknowledged entries in term {} to the leader {:x}, and its log knows no term above {term}",
            message.term, message.from
        )
    })
}

/// What a member's disk says of its past.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    pub term: u64,
    /// The member that it voted for in that term; 0 for none.
    pub vote: u64,
    /// The term of the last entry, or of the snapshot record that the log begins after; 0 if there is neither.
    pub last_term: u64,
    /// Whether its own state holds its name. A restored snapshot gives every member a name; founding a cluster does
    /// not.
    pub named: bool,
}

impl Past {
    /// Whether the disk is that of a new member: no vote, no name, and no entry and no term beyond those that
    /// founders write before they have talked to any other member. A snapshot record proves nothing, since a founder
    /// writes one as soon as there are enough founders.
    pub(crate) fn is_blank(&self) -> bool {
        self.term <= 1 && self.vote == 0 && self.last_term <= 1 && !self.named
    }
}

/// The paragraph for the operator: what has happened, and what to do.
pub(crate) fn paragraph(dir: &Path, member: MemberId, what: &str) -> String {
    format!(
        "data folder {}: member {member} has lost data that it had acknowledged: {what}. Its disk was emptied, or an older \
         copy was put back. It must not go on, since the cluster counts on what it acknowledged. Remove it from the \
         cluster (`member remove {member}`), empty the folder, add it again (`member add`), and start it with \
         --initial-cluster-state existing.",
        dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: MessageType, term: u64, commit: u64) -> Message {
        let mut message = Message { term, commit, from: 0xa, ..Default::default() };
        message.set_msg_type(kind);
        message
    }

    #[test]
    fn a_new_members_log_is_blank() {
        for (what, term, vote, last_term, named, blank) in [
            ("a joiner", 0, 0, 0, false, true),
            ("a founder", 1, 0, 1, false, true),
            ("it has heard of a leader", 2, 0, 1, false, false),
            ("it has voted", 1, 7, 1, false, false),
            ("it was restored from a snapshot", 1, 0, 1, true, false),
            ("it has entries of a leader", 2, 0, 2, false, false),
        ] {
            assert_eq!(Past { term, vote, last_term, named }.is_blank(), blank, "{what}");
        }
    }

    #[test]
    fn a_heartbeat_tells_what_was_acknowledged() {
        use MessageType::{MsgAppend, MsgHeartbeat};
        let standing = Standing { term: 5, last_index: 10 };
        for (what, kind, term, commit, found) in [
            ("all is there", MsgHeartbeat, 5, 10, false),
            ("the log is too short", MsgHeartbeat, 5, 11, true),
            ("the log is too short, and the term too low", MsgHeartbeat, 6, 11, true),
            ("the term is too low", MsgHeartbeat, 6, 1, true),
            ("a new leader, to which nothing was acknowledged", MsgHeartbeat, 6, 0, false),
            ("an old leader's word does not count", MsgHeartbeat, 4, 11, false),
            ("an append carries the leader's own commit index", MsgAppend, 6, 99, false),
        ] {
            assert_eq!(lost(standing, &message(kind, term, commit)).is_some(), found, "{what}");
        }
    }
}
