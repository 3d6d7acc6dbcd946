//! Decides from hashes which member differs. It is a pure function.

use squall_core::{HashKv, MemberId, Revision, planted::planted};

/// A peer's answer: its hash at the revision that it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub member: MemberId,
    pub hash: u32,
    pub compact_revision: Revision,
    /// The newest revision that it had applied.
    pub revision: Revision,
}

/// The first member whose data must be wrong, by the view of the leader `own`. `before` is the leader's hash at the
/// revision for which the peers were asked. `after` is the leader's hash once it had applied everything that the
/// peers had.
pub(super) fn who_differs(
    own: MemberId,
    before: &HashKv,
    after: &HashKv,
    peers: &[Answer],
) -> Option<MemberId> {
    let unchanged = (before.revision, before.compact_revision) == (after.revision, after.compact_revision);
    if unchanged && before.hash != after.hash {
        return Some(own);
    }
    let differs = |peer: &&Answer| {
        peer.revision > after.revision
            || peer.compact_revision > after.compact_revision
            || (peer.compact_revision == before.compact_revision
                || planted!(CorruptComparesAcrossCompactions))
                && peer.hash != before.hash
    };
    peers.iter().find(differs).map(|peer| peer.member)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(hash: u32, revision: i64, compacted: i64) -> HashKv {
        HashKv {
            hash,
            compact_revision: Revision(compacted),
            hash_revision: Revision(revision),
            revision: Revision(revision),
        }
    }

    fn answer(hash: u32, revision: i64, compacted: i64) -> Answer {
        Answer {
            member: MemberId(2),
            hash,
            compact_revision: Revision(compacted),
            revision: Revision(revision),
        }
    }

    #[test]
    fn hashes_over_the_same_history_must_agree() {
        let (before, after) = (hash(7, 10, 3), hash(8, 12, 5));
        let who = |peer: Answer| who_differs(MemberId(1), &before, &after, &[peer]);
        assert_eq!(who(answer(7, 10, 3)), None);
        assert_eq!(who(answer(7, 12, 3)), None, "one that has gone on");
        assert_eq!(who(answer(9, 10, 3)), Some(MemberId(2)));
        assert_eq!(who(answer(9, 10, 2)), None, "one that has not compacted as far hashes more");
        assert_eq!(who(answer(9, 12, 5)), None, "nor can one be compared that has compacted further");
        assert_eq!(
            who(answer(7, 13, 3)),
            Some(MemberId(2)),
            "nobody is ahead of what the leader has applied"
        );
        assert_eq!(who(answer(9, 12, 6)), Some(MemberId(2)));
    }

    #[test]
    fn a_leader_may_be_the_one_that_differs() {
        let who = |after| who_differs(MemberId(1), &hash(7, 10, 3), &after, &[]);
        assert_eq!(who(hash(8, 10, 3)), Some(MemberId(1)));
        assert_eq!(who(hash(8, 11, 3)), None);
        assert_eq!(who(hash(8, 10, 4)), None);
    }
}
