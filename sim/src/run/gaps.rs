//! Revisions that no answered operation is known to have made.

use std::collections::BTreeSet;

use squall_checker::history as h;

use crate::workload::Recorder;

/// So many revisions are asked for at the most.
const MOST: usize = 1_000;

/// The revisions up to `last` that no answered write of the cluster's present line of history made. Behind a break,
/// what was made before it above its revision is another line.
pub(super) fn unexplained(recorder: &Recorder, last: i64) -> Vec<i64> {
    let broken = recorder.last_break();
    let made: BTreeSet<i64> = recorder.with_operations(|operations| {
        let writes = operations.iter().filter(|operation| operation.is_ok() && made_revision(operation));
        let present = writes.filter_map(|operation| {
            let revision = operation.revision()?.0;
            let lost = broken.as_ref().is_some_and(|b| revision > b.revision.0 && operation.call < b.at);
            (!lost).then_some(revision)
        });
        present.collect()
    });
    (2..=last).filter(|revision| !made.contains(revision)).take(MOST).collect()
}

/// Whether an answered operation changed keys.
fn made_revision(operation: &h::Operation) -> bool {
    match &operation.result {
        Some(h::OpResult::Put(_)) => true,
        Some(h::OpResult::DeleteRange(result)) => result.deleted > 0,
        Some(h::OpResult::Txn(result)) => result.responses.iter().any(changes),
        _ => false,
    }
}

fn changes(response: &h::ResponseOp) -> bool {
    match response {
        h::ResponseOp::Range(_) => false,
        h::ResponseOp::Put(_) => true,
        h::ResponseOp::DeleteRange(result) => result.deleted > 0,
        h::ResponseOp::Txn(result) => result.responses.iter().any(changes),
    }
}
