//! Alarms across a restore.

use super::{RESTORED, check};
use crate::checks::locks::tests::read;

fn alarm(at: u64, action: &str, alarms: &str) -> String {
    let (call, ret) = (at * 1_000_000, (at + 5) * 1_000_000);
    format!(
        "{{\"alarm\":{{\"call\":{call},\"return\":{ret},\"member\":\"m1\",\"action\":\"{action}\",\"answered\":true,\
         \"alarms\":[{alarms}]}}}}\n"
    )
}

fn delete(at: u64, revision: u64) -> String {
    let (call, ret) = (at * 1_000_000, (at + 5) * 1_000_000);
    format!(
        "{{\"id\":{at},\"client\":1,\"endpoint\":\"m1\",\"call\":{call},\"return\":{ret},\
         \"op\":{{\"delete_range\":{{\"key\":\"a\"}}}},\"outcome\":\"ok\",\
         \"header\":{{\"cluster_id\":1,\"member_id\":1,\"revision\":{revision},\"raft_term\":2}},\
         \"result\":{{\"delete_range\":{{\"deleted\":1}}}}}}\n"
    )
}

/// The first list of alarms after a restore of what was saved at 2 s, at revision 5.
fn first_after(more: &[String], listed: &str) -> Vec<String> {
    let restore = "{\"break\":{\"kind\":\"restore\",\"revision\":5,\"at\":9000000000,\"cluster_id\":2,\"continues\":2000000000}}\n";
    let lines: Vec<String> =
        more.iter().cloned().chain([restore.to_owned(), alarm(9_500, "get", listed)]).collect();
    check(&read(&lines)).into_iter().map(|failure| failure.guarantee).collect()
}

#[test]
fn a_restored_snapshot_brings_its_alarms_back() {
    let raised = alarm(1_000, "activate", "\"NOSPACE\"");
    let held = [raised.clone(), delete(1_100, 5), alarm(6_000, "deactivate", "\"NOSPACE\"")];
    assert_eq!(first_after(&held, "\"NOSPACE\""), [""; 0]);
    assert_eq!(first_after(&held, ""), [RESTORED]);
    // The snapshot may be of a member that did not know of the alarm yet.
    assert_eq!(first_after(&[raised.clone(), delete(1_100, 6)], ""), [""; 0]);
    assert_eq!(first_after(&[delete(900, 5), raised.clone()], ""), [""; 0]);
    // Somebody had asked for its end while the snapshot was saved, or asks for it after the restore.
    for at in [1_500, 2_100, 9_200] {
        let ended = alarm(at, "deactivate", "\"NOSPACE\"");
        assert_eq!(first_after(&[raised.clone(), delete(1_100, 5), ended], ""), [""; 0], "{at}");
    }
}
