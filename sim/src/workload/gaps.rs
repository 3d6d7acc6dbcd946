//! Revisions that no answered operation is known to have made, and the reads that explain them.
//!
//! The state at such a revision shows which of the ambiguous writes made it, so the judge need not try all of them.
//! etcd's robustness tests read the members' WALs for this. Here a client reads the state, before a compaction removes
//! it and at the end of the run.

use std::{collections::BTreeSet, time::Duration};

use squall_checker::history as h;

use super::{Client, Recorder};

/// The most revisions that are read.
const MOST: usize = 1_000;

/// How long revisions are read at most, in simulated time. If every client times out, because a round trip takes
/// longer than the requests' timeout, each write is a gap and each read takes as long: a thousand of them took
/// minutes. An unexplained gap costs the judge a search at worst, and nothing if the members' logs show the order.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads every key through `client` at each unexplained revision up to `last`. Gives up after three failed reads in a
/// row, and when [`PATIENCE`] is over. Answers the first revision that is still unexplained, or `last`: earlier
/// revisions may be compacted.
pub(crate) async fn explain(recorder: &Recorder, client: &mut Client, last: i64, is_final: bool) -> i64 {
    let mut failed = 0;
    let began = client.monotonic();
    for revision in unexplained(recorder, last) {
        let range = h::Range { revision: h::Revision(revision), ..everything() };
        match client.perform(&h::Op::Range(range), is_final).await {
            Some(_) => failed = 0,
            None => failed += 1,
        }
        if failed == 3 || client.monotonic().since(began) >= PATIENCE {
            break;
        }
    }
    unexplained(recorder, last).first().copied().unwrap_or(last)
}

/// A read of every key.
pub(crate) fn everything() -> h::Range {
    h::Range { key: h::Bytes::from("\0"), range_end: h::Bytes::from("\0"), ..h::Range::default() }
}

/// The revisions up to `last` that no answered write made in the present era. After a break, earlier writes above the
/// break's revision belong to another era.
fn unexplained(recorder: &Recorder, last: i64) -> Vec<i64> {
    let broken = recorder.last_break();
    let (mut known, mut compacted) = (BTreeSet::new(), 1);
    recorder.with_operations(|operations| {
        for operation in operations.iter().filter(|operation| operation.is_ok()) {
            let revision = match (&operation.op, operation.revision()) {
                // A read that was made already.
                (h::Op::Range(range), _)
                    if *range == (h::Range { revision: range.revision, ..everything() }) =>
                {
                    range.revision.0
                }
                (h::Op::Compact(compact), _) => {
                    compacted = compacted.max(compact.revision.0);
                    continue;
                }
                (_, Some(revision)) if operation.made_revision() => revision.0,
                _ => continue,
            };
            let lost = broken.as_ref().is_some_and(|b| revision > b.revision.0 && operation.call < b.at);
            if !lost {
                known.insert(revision);
            }
        }
    });
    (compacted.max(2)..=last).filter(|revision| !known.contains(revision)).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        report::{RunOptions, Verdict},
        run::run,
        scenario::parse,
    };

    /// A write takes two round trips of 120 ms, and clients wait 150 ms: every write is a gap.
    const ALL_TIME_OUT: &str = "apiVersion: squall/v1
kind: Scenario
metadata: {name: all-time-out}
spec:
  network: {latency: 60ms, jitter: 5ms}
  workloads: [{type: kv, clients: 8, inFlight: 4, rate: 250, requestTimeout: 150ms}]
  timeLimit: 10s
  expect: {minOperationsBefore: 0, minOperationsAfter: 0}
";

    #[test]
    fn where_every_client_times_out_the_reads_have_an_end() {
        let scenario = parse(Path::new("all-time-out.yaml"), ALL_TIME_OUT).expect("it is good");
        let result = run(&scenario, 1, &RunOptions::default());
        assert_eq!(
            (result.verdict, &result.harness_error),
            (Verdict::Valid, &None),
            "{:#?}",
            result.failures
        );
        assert!(result.operations.info > 800, "{:?}", result.operations);
        let longest = scenario.spec.longest() + 2 * PATIENCE;
        assert!(result.simulated < longest, "{:?} of simulated time", result.simulated);
    }
}
