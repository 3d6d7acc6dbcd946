//! A member that does not do what it was asked gives a true reason.
//!
//! - *Stopped*: a member that says "server stopped" stops, or was removed. It writes nothing and reads nothing by a quorum
//!   any more before its next start.
//! - *Timed out*: a member says "request timed out", or "context deadline exceeded" without a code, after its request
//!   time-out, which is five seconds and two election time-outs (etcd's `ReqTimeout`), and not before five seconds.
//! - *Too many*: a member refuses with "too many requests" only if five thousand committed entries wait to be applied
//!   (etcd's `maxGapBetweenApplyAndCommitIndex`).
//!
//! To the other checkers a refusal of these kinds is never wrong: the first two leave the outcome open, and the third says
//! that nothing happened. So a member that gives up what it should have done looks like one that was disturbed.
//!
//! Left out are real members. There the request's own deadline may end it with the same words, and the members do not report what
//! they have applied. Only *stopped* is judged there.

use std::collections::BTreeMap;

use super::era::{Eras, Scope};
use super::{Failure, NEAR, answered::needs_quorum, seconds};
use crate::history::{Event, Operation, RaftLine, RunHistory};

const STOPPED: &str = "reasons: who says that it stops serves nothing before its next start";
const TIMED_OUT: &str = "reasons: a request does not time out before its time is over";
const TOO_MANY: &str = "reasons: too many requests are refused only where too many wait";

pub(super) const GUARANTEES: [&str; 3] = [STOPPED, TIMED_OUT, TOO_MANY];

/// The part of the request time-out that does not depend on settings, in nanoseconds.
const REQUEST_TIMEOUT: u64 = 5_000_000_000;
/// How many committed entries may wait to be applied before a member refuses. It is somewhat less than etcd's 5,000, since
/// possibly no member applies the last entries of an era.
const MOST_WAITING: u64 = 4_500;

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let said =
        |words: &'static str| history.operations.iter().filter(move |operation| says(operation, words));
    let mut failures = Vec::new();
    if said("etcdserver: server stopped").next().is_some() {
        let eras = Eras::of(history);
        failures.extend(
            said("etcdserver: server stopped").find_map(|operation| went_on(history, &eras, operation)),
        );
    }
    if history.members_are_silent() {
        return failures;
    }
    let mut late = history.operations.iter().filter(|operation| timed_out(operation));
    failures.extend(late.find_map(|operation| early(history, operation)));
    if said("etcdserver: too many requests").next().is_some() {
        failures.extend(none_waited(history, said("etcdserver: too many requests")));
    }
    failures
}

/// Whether the member gave this reason, or one that begins with it, for a request that needs a quorum.
fn says(operation: &Operation, words: &str) -> bool {
    operation.error.as_ref().is_some_and(|error| error.message.starts_with(words))
        && needs_quorum(&operation.op)
}

/// Whether the member says that a request which needs a quorum took too long. Without a leader etcd says so without a
/// code. The client's own deadline has the same words, and a code.
fn timed_out(operation: &Operation) -> bool {
    let without_code = operation.error.as_ref().is_some_and(|error| error.code == "Unknown");
    says(operation, "etcdserver: request timed out")
        || without_code && says(operation, "context deadline exceeded")
}

fn fails(guarantee: &str, operation: &Operation, what: &str) -> Failure {
    let said = operation.error.as_ref().map_or("", |error| &error.message);
    let message = format!(
        "{} answered {} at {:.3}s with {said:?}, {what}",
        operation.endpoint,
        operation.title(),
        seconds(operation.ret.unwrap_or(operation.call)),
    );
    Failure::new("liveness", guarantee, message).blaming([operation.id])
}

/// The same process did something that was asked for after it had said that it stops.
fn went_on(history: &RunHistory, eras: &Eras<'_>, stopped: &Operation) -> Option<Failure> {
    let endpoint = &*stopped.endpoint;
    let ret = stopped.ret?;
    let life = eras.life_of(endpoint, ret)?;
    // Otherwise the process before it may have answered.
    if eras.life_of(endpoint, stopped.call) != Some(life) {
        return None;
    }
    let later = history.operations.iter().find(|later| {
        *later.endpoint == *endpoint
            && later.is_ok()
            && needs_quorum(&later.op)
            && later.call > ret
            && later.ret.is_some_and(|ret| eras.life_of(endpoint, ret) == Some(life))
    })?;
    let what = format!(
        "and did {}, called at {:.3}s, without a start in between",
        later.title(),
        seconds(later.call)
    );
    Some(fails(STOPPED, stopped, &what).blaming([stopped.id, later.id]))
}

fn early(history: &RunHistory, operation: &Operation) -> Option<Failure> {
    let waited = operation.ret?.saturating_sub(operation.call);
    // The member's clock may be fast, and so may the clock that recorded the instants.
    let drift = REQUEST_TIMEOUT / 1_000_000 * history.drift_ppm();
    let least = REQUEST_TIMEOUT.saturating_sub(2 * drift);
    let what = format!("after {:.3}s", seconds(waited));
    (waited < least).then(|| fails(TIMED_OUT, operation, &what))
}

fn none_waited<'a>(
    history: &'a RunHistory,
    mut refused: impl Iterator<Item = &'a Operation>,
) -> Option<Failure> {
    let eras = Eras::of(history);
    let mut last: BTreeMap<Scope, u64> = BTreeMap::new();
    let mut applied: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for event in &history.events {
        if let Event::Raft(RaftLine::Applied(line)) = event {
            let last = last.entry(eras.scope(&line.member, line.at)).or_default();
            *last = (*last).max(line.index);
            applied.entry(&line.member).or_default().push((line.at, line.index));
        }
    }
    refused.find_map(|operation| {
        let endpoint = &*operation.endpoint;
        eras.of_operation(operation)?;
        let before = applied.get(endpoint)?.iter().filter(|(at, _)| at + NEAR < operation.call);
        let (at, applied) = before.max()?;
        let one_life = eras.in_one_life(endpoint, *at, operation.ret?);
        let scope = eras.scope(endpoint, operation.call);
        let same = one_life && eras.scope(endpoint, *at) == scope && !eras.is_outdated(endpoint, *at);
        let committed = last.get(&scope)?;
        (same && committed.saturating_sub(*applied) < MOST_WAITING).then(|| {
            let what = format!(
                "where it had applied entry {applied} of {committed} that were ever committed in its cluster"
            );
            fails(TOO_MANY, operation, &what)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::checks::locks::tests::read_with;

    const MS: u64 = 1_000_000;

    fn put(id: u64, (call, ret): (u64, u64), answer: &str) -> String {
        let answer = match answer {
            "" => "\"ok\",\"header\":{\"cluster_id\":1,\"member_id\":1,\"revision\":3,\"raft_term\":2},\"result\":{\"put\":{}}"
                .to_owned(),
            said => format!("\"info\",\"error\":{{\"kind\":\"other\",\"code\":\"Unavailable\",\"message\":\"{said}\"}}"),
        };
        let (call, ret) = (call * MS, ret * MS);
        format!(
            "{{\"id\":{id},\"client\":{id},\"endpoint\":\"m1\",\"call\":{call},\"return\":{ret},\
             \"op\":{{\"put\":{{\"key\":\"a\",\"value\":\"{id}\"}}}},\"outcome\":{answer}}}\n"
        )
    }

    fn life(at: u64) -> String {
        format!("{{\"life\":{{\"at\":{},\"member\":\"m1\",\"incarnation\":1}}}}\n", at * MS)
    }

    fn applied(at: u64, member: &str, index: u64) -> String {
        format!(
            "{{\"raft\":{{\"at\":{},\"member\":\"{member}\",\"term\":2,\"index\":{index},\"digest\":\"a\"}}}}\n",
            at * MS
        )
    }

    /// The guarantees that a run breaks. `meta` is a part of its first line.
    fn broken_where(meta: &str, lines: &[String]) -> Vec<String> {
        check(&read_with(meta, lines)).into_iter().map(|failure| failure.guarantee).collect()
    }

    fn broken(lines: &[String]) -> Vec<String> {
        broken_where("", lines)
    }

    #[test]
    fn who_stops_serves_nothing_before_its_next_start() {
        let stopped = put(1, (10, 20), "etcdserver: server stopped");
        let later = put(2, (30, 40), "");
        assert_eq!(broken(&[life(1), stopped.clone(), later.clone()]), [super::STOPPED]);
        assert!(
            broken(&[life(1), stopped.clone(), life(25), later.clone()]).is_empty(),
            "it has started again"
        );
        assert!(broken(&[life(1), life(15), stopped.clone(), later]).is_empty(), "the one before said so");
        assert!(broken(&[life(1), stopped.clone(), put(2, (15, 40), "")]).is_empty(), "it was asked before");
        assert!(broken(&[life(1), stopped, put(2, (30, 40), "etcdserver: server stopped")]).is_empty());
    }

    #[test]
    fn a_request_times_out_when_its_time_is_over() {
        let message = "etcdserver: request timed out, possibly due to previous leader failure";
        assert_eq!(broken(&[put(1, (10, 3_000), message)]), [super::TIMED_OUT]);
        assert!(broken(&[put(1, (10, 5_010), message)]).is_empty());
        let leaderless = put(1, (10, 3_000), "context deadline exceeded");
        assert_eq!(broken(&[leaderless.replace("Unavailable", "Unknown")]), [super::TIMED_OUT]);
        let deadline = leaderless.replace("Unavailable", "DeadlineExceeded");
        assert!(broken(&[deadline]).is_empty(), "the client's own deadline");
        let early = [put(1, (10, 3_000), message)];
        assert!(broken_where(",\"max_clock_drift_ppm\":300000", &early).is_empty(), "its clock is fast");
        assert!(
            broken_where(",\"members_untold\":true", &early).is_empty(),
            "its client's deadline may be over"
        );
    }

    #[test]
    fn too_many_are_refused_where_too_many_wait() {
        let refused = put(1, (100, 110), "etcdserver: too many requests");
        let few = [life(1), applied(50, "m1", 10), refused.clone(), applied(200, "m2", 400)];
        assert_eq!(broken(&few), [super::TOO_MANY]);
        let many = [life(1), applied(50, "m1", 10), refused.clone(), applied(200, "m2", 6_000)];
        assert!(broken(&many).is_empty());
        let restarted = [life(1), applied(50, "m1", 10), life(60), refused, applied(200, "m2", 400)];
        assert!(broken(&restarted).is_empty(), "it may be behind by as much as it likes");
    }
}
