//! What is known of users and roles after a restore: those of the snapshot, and what was changed since.
//!
//! The member that saved the snapshot may have lagged behind. So a change from before the restore is certainly in the snapshot
//! only where a write was called after it that the snapshot holds. It is certainly not in it where it was called after a write
//! that the snapshot does not hold. All others may be in it or not.

use crate::checks::era::Eras;
use crate::history::{Break, Op, Operation, Outcome, RunHistory};

/// The history since a restore, and before it the changes of users and roles that the snapshot holds, or may hold.
pub(super) fn since(history: &RunHistory, restore: &Break) -> RunHistory {
    let eras = Eras::of(history);
    let writes =
        || history.operations.iter().filter(|write| write.call <= restore.at && write.made_revision());
    let held = |change: &Operation| {
        change.is_ok()
            && writes().any(|write| {
                write.revision().is_some_and(|made| made <= restore.revision)
                    && change.ret.is_some_and(|ret| ret < write.call)
            })
    };
    let missing = |change: &Operation| {
        writes().any(|write| {
            write.revision().is_some_and(|made| made > restore.revision)
                && write.ret.is_some_and(|ret| ret < change.call)
        })
    };
    let operations = history.operations.iter().filter_map(|operation| {
        if operation.call > restore.at {
            // A member with a disk of the old cluster knows the old users.
            let at = operation.ret.unwrap_or(u64::MAX);
            let outdated = eras.is_outdated(&operation.endpoint, operation.call)
                || eras.is_outdated(&operation.endpoint, at);
            return (!outdated).then(|| operation.clone());
        }
        let Op::Auth(change) = &operation.op else { return None };
        if !change.changes() || operation.outcome == Outcome::Fail {
            return None;
        }
        if held(operation) {
            return Some(operation.clone());
        }
        (!missing(operation)).then(|| Operation {
            outcome: Outcome::Info,
            ret: None,
            header: None,
            result: None,
            ..operation.clone()
        })
    });
    RunHistory { operations: operations.collect(), ..history.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::{
        DENIED, check,
        tests::{auth, line},
    };
    use crate::checks::locks::tests::read;

    fn put(id: u64, at: u64, key: &str, revision: u64, caller: &str) -> String {
        let op = format!("{{\"put\":{{\"key\":\"{key}\",\"value\":\"1\"}}}}");
        line(id, at, &op, revision, &format!(",\"result\":{{\"put\":{{}}}}{caller}"))
    }

    /// A user may write `c`, auth goes on at 50 ms, and root writes at 70 ms; a snapshot with that is restored at 200 ms.
    fn with(revision: u64, more: &[String]) -> Vec<String> {
        let mut lines = vec![
            auth(1, 10, "{\"role_add\":\"r\"}"),
            auth(2, 20, "{\"grant_permission\":{\"role\":\"r\",\"key\":\"c\",\"read\":true,\"write\":true}}"),
            auth(3, 30, "{\"user_add\":{\"user\":\"u\",\"password\":\"p\"}}"),
            auth(4, 40, "{\"grant_role\":{\"user\":\"u\",\"role\":\"r\"}}"),
            auth(5, 50, "\"enable\""),
            put(6, 70, "x", 5, ",\"caller\":{\"user\":\"root\",\"token\":99}"),
            format!("{{\"break\":{{\"kind\":\"restore\",\"revision\":{revision},\"at\":200000000}}}}\n"),
        ];
        lines.extend_from_slice(more);
        check(&read(&lines)).into_iter().map(|failure| failure.guarantee).collect()
    }

    #[test]
    fn a_restored_snapshot_brings_its_users_and_roles_back() {
        let of_user = ",\"caller\":{\"user\":\"u\",\"token\":98}";
        assert_eq!(with(5, &[put(9, 300, "c", 6, of_user)]), [""; 0]);
        assert_eq!(with(5, &[put(9, 300, "d", 6, of_user)]), [DENIED]);
        assert_eq!(with(5, &[put(9, 300, "c", 6, "")]), [DENIED], "auth is on");
        // The snapshot does not hold the write, and perhaps not that auth was turned on.
        assert_eq!(with(4, &[put(9, 300, "c", 6, "")]), [""; 0]);
        // Nor what came after a write that it does not hold.
        let on = auth(7, 85, "{\"grant_permission\":{\"role\":\"r\",\"key\":\"d\",\"write\":true}}");
        let later = put(8, 75, "x", 6, ",\"caller\":{\"user\":\"root\",\"token\":99}");
        let written = put(9, 300, "d", 6, of_user);
        assert_eq!(with(5, &[on.clone(), written.clone()]), [""; 0]);
        assert_eq!(with(5, &[later, on, written]), [DENIED]);
    }
}
