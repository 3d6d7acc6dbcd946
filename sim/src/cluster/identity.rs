//! Which of the listed members is the one on a machine.
//!
//! A member is its id. A URL may have passed to another member: one that was added at the same machine, or that was
//! updated to this URL. But the operator does not know every id. A cluster's founders, and the members that a restore
//! makes, get their ids from the settings, which the operator does not see; the id of an addition is lost with its
//! answer. Only these are found by their URL.

use squall_store::proto::etcdserverpb as pb;

use super::member::Inner;
use crate::arena::NodeId;

impl Inner {
    /// The ids of the listed members that are the member on this machine: one by its id if the operator knows it, else
    /// all with a URL of the machine.
    pub(super) fn ids_of(&self, node: NodeId, known: Option<u64>, members: &[pb::Member]) -> Vec<u64> {
        ids_of(members, known, |url| self.name_at(url) == node.name())
    }
}

fn ids_of(members: &[pb::Member], known: Option<u64>, is_here: impl Fn(&str) -> bool) -> Vec<u64> {
    let is_meant = |member: &&pb::Member| match known {
        Some(id) => member.id == id,
        None => member.peer_urls.iter().any(|url| is_here(url)),
    };
    members.iter().filter(is_meant).map(|member| member.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, url: &str) -> pb::Member {
        pb::Member { id, peer_urls: vec![url.to_owned()], ..pb::Member::default() }
    }

    #[test]
    fn a_known_id_decides_and_a_url_only_without_one() {
        // Member 7 moved away from m1, and 8 has its URL.
        let members = [member(7, "elsewhere"), member(8, "m1"), member(9, "m2"), member(10, "m1")];
        let at_m1 = |known| ids_of(&members, known, |url| url == "m1");
        assert_eq!(at_m1(Some(7)), [7]);
        assert_eq!(at_m1(Some(5)), [0; 0], "the member is gone, and who has its URL is another");
        assert_eq!(at_m1(None), [8, 10]);
    }
}
