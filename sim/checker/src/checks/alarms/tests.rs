//! Alarms across a restore, and beside each other.

use super::{RESTORED, STAYS, check};
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

/// A list of alarms: kinds and members.
fn list(at: u64, alarms: &[(&str, u64)]) -> String {
    let kinds: Vec<String> = alarms.iter().map(|(kind, _)| format!("\"{kind}\"")).collect();
    let ids: Vec<u64> = alarms.iter().map(|(_, id)| *id).collect();
    alarm(at, "get", &kinds.join(",")).replace("]}}", &format!("],\"ids\":{ids:?}}}}}"))
}

fn drop(at: u64, kind: &str, id: u64) -> String {
    alarm(at, "deactivate", "").replace("]}}", &format!("],\"asked\":[\"{kind}\",{id}]}}}}"))
}

#[test]
fn each_alarm_stays_until_it_is_taken_back() {
    let judged = |lines: &[String]| -> Vec<String> {
        check(&read(lines)).into_iter().map(|failure| failure.guarantee).collect()
    };
    let both = list(1_000, &[("NOSPACE", 7), ("NOSPACE", 9)]);
    let one = list(3_000, &[("NOSPACE", 9)]);
    assert_eq!(judged(&[both.clone(), drop(2_000, "NOSPACE", 7), one.clone()]), [""; 0]);
    assert_eq!(judged(&[both.clone(), one.clone()]), [STAYS]);
    // Another one was taken back: the other member's, or the other kind.
    assert_eq!(judged(&[both.clone(), drop(2_000, "NOSPACE", 9), one.clone()]), [STAYS]);
    assert_eq!(judged(&[both.clone(), drop(2_000, "CORRUPT", 7), one.clone()]), [STAYS]);
    // It was taken back before it was listed: raised again since, or listed late.
    assert_eq!(judged(&[drop(500, "NOSPACE", 7), both.clone(), one.clone()]), [STAYS]);
    assert_eq!(judged(&[drop(998, "NOSPACE", 7), both.clone(), one.clone()]), [""; 0]);
    // Which one was taken back is not known.
    assert_eq!(judged(&[both.clone(), alarm(2_000, "deactivate", ""), one]), [""; 0]);
    // Two lists at a time say nothing of each other.
    assert_eq!(judged(&[both, list(1_003, &[("NOSPACE", 9)])]), [""; 0]);
}
