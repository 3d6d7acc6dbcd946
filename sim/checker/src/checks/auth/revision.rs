//! The auth revision: it counts the changes of users and roles, and never goes back.

use super::{COUNTED, Changes, REVISION};
use crate::checks::Failure;
use crate::history::{Auth, OpId, OpResult, RunHistory};

/// Two answers between which the auth revision rose by less than the changes that were certainly made between them, or by more
/// than those that may have been.
pub(super) fn counted(history: &RunHistory, changes: &Changes<'_>) -> Option<Failure> {
    let told = statuses(history);
    told.iter().zip(told.iter().skip(1)).find_map(|((ret, call, before, id), (later_ret, later_call, after, other))| {
        if later_call <= ret || after < before {
            return None;
        }
        let always_counts = |what: &Auth| {
            !matches!(what, Auth::Enable | Auth::Disable | Auth::GrantRole(_) | Auth::GrantPermission(_))
        };
        let made = changes.all.iter().filter(|change| {
            change.sure && change.call > *ret && change.ret < *later_call && always_counts(change.what)
        });
        let (least, rose) = (made.count() as u64, after - before);
        let most = changes.all.iter().filter(|change| change.call <= *later_ret && change.ret >= *call).count();
        let what = if rose < least {
            format!("{least} changes were made between the two")
        } else if rose > most as u64 {
            format!("{most} changes at most were made between the two")
        } else {
            return None;
        };
        let message = format!(
            "operation {id} told auth revision {before}, and operation {other} after it {after}, and {what}"
        );
        Some(Failure::new("auth", COUNTED, message).blaming([*id, *other]))
    })
}

/// The auth revisions that answers showed, in the order of the answers: return, call, revision and operation.
fn statuses(history: &RunHistory) -> Vec<(u64, u64, u64, OpId)> {
    let told = history.operations.iter().filter_map(|operation| match &operation.result {
        Some(OpResult::AuthStatus(status)) => {
            Some((operation.ret?, operation.call, status.revision, operation.id))
        }
        _ => None,
    });
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    told
}

/// Two answers; the later one shows a lower auth revision.
pub(super) fn went_back(history: &RunHistory) -> Option<Failure> {
    let told = statuses(history);
    for (at, (ret, _, revision, id)) in told.iter().enumerate() {
        let later = told[at + 1..].iter().find(|(_, call, later, _)| call > ret && later < revision);
        if let Some((_, _, later, other)) = later {
            let message = format!(
                "operation {id} told auth revision {revision}, and operation {other} after it {later}"
            );
            return Some(Failure::new("auth", REVISION, message).blaming([*id, *other]));
        }
    }
    None
}
