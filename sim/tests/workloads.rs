//! The behaviour of clients in whole runs: how many requests they keep in flight, which members they ask, and that each
//! draws from its own stream.
#![cfg(madsim)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use squall::{
    report::{RunOptions, RunResult, Verdict},
    run::run,
    scenario::parse,
};
use squall_checker::history as h;

/// A quiet run of three members with these workloads and faults.
fn quiet(workloads: &str, rest: &str) -> RunResult {
    let text = format!(
        "apiVersion: squall/v1
kind: Scenario
metadata: {{name: workloads}}
spec:
  workloads: {workloads}
  timeLimit: 3s
  final: {{settle: 1s}}
  expect: {{minOperationsBefore: 0, minOperationsAfter: 0}}
{rest}"
    );
    let scenario = parse(Path::new("workloads.yaml"), &text).unwrap_or_else(|refusal| panic!("{refusal}"));
    let result = run(&scenario, 1, &RunOptions::default());
    assert_eq!(result.harness_error, None);
    assert_eq!(result.verdict, Verdict::Valid, "{:?}", result.failures);
    result
}

/// The operations of each client of a workload, in the order of their calls, without the operator's.
fn by_client(result: &RunResult) -> BTreeMap<u64, Vec<&h::Operation>> {
    let mut clients: BTreeMap<u64, Vec<&h::Operation>> = BTreeMap::new();
    for operation in result.history.operations.iter().filter(|operation| operation.client.0 >= 2) {
        clients.entry(operation.client.0).or_default().push(operation);
    }
    clients
}

fn open_at_once(operations: &[h::Operation]) -> usize {
    let mut ends = operations
        .iter()
        .filter(|operation| operation.client.0 >= 2)
        .flat_map(|operation| [(operation.call, 1), (operation.ret.unwrap_or(u64::MAX), -1)])
        .collect::<Vec<(u64, i32)>>();
    ends.sort_unstable();
    let mut open = 0;
    let most = ends.into_iter().map(|(_, change)| {
        open += change;
        open
    });
    usize::try_from(most.max().unwrap_or(0)).expect("not negative")
}

#[test]
fn a_client_keeps_as_many_requests_in_flight_as_it_may() {
    let many = quiet("[{type: kv, clients: 1, inFlight: 5, rate: 3000}]", "");
    assert_eq!(by_client(&many).len(), 5, "each process is a client of the history");
    for operations in by_client(&many).values() {
        assert!(
            operations.windows(2).all(|pair| pair[0].ret.unwrap() <= pair[1].call),
            "a process is sequential"
        );
    }
    assert_eq!(open_at_once(&many.history.operations), 5);
}

fn endpoints(choice: &str) -> Vec<BTreeSet<String>> {
    // The first member's machine is paused for a while, so that calls to it fail.
    let faults = "  faults: [{at: 500ms, action: pause, selector: {names: [m1]}, duration: 1500ms}]";
    let workload = format!(
        "[{{type: register, clients: 3, rate: 100, requestTimeout: 200ms, endpoints: {choice}, mix: {{put: 1}}}}]"
    );
    let result = quiet(&workload, faults);
    assert!(result.operations.info > 0, "calls to the member that stood still had no answer");
    by_client(&result)
        .values()
        .map(|operations| operations.iter().map(|operation| operation.endpoint.to_string()).collect())
        .collect()
}

#[test]
fn a_pinned_client_stays_where_it_is() {
    let all: BTreeSet<String> = ["m1", "m2", "m3"].map(str::to_owned).into();
    let pinned = endpoints("pinned");
    assert!(pinned.iter().all(|endpoints| endpoints.len() == 1), "{pinned:?}");
    assert_eq!(pinned.into_iter().flatten().collect::<BTreeSet<_>>(), all);
    let roaming = endpoints("roaming");
    assert!(roaming.iter().all(|endpoints| *endpoints == all), "{roaming:?}");
    let failover = endpoints("failover");
    assert!(failover.iter().any(|endpoints| endpoints.len() > 1), "{failover:?}");
}

/// The lock service removes a place that is given up. The members' logs show this step too, under its own operation
/// number, after the step that made the place. Also, a lease may have places in several queues.
#[test]
fn each_step_of_a_lock_service_stands_in_the_log() {
    let workload = "[{type: lock, clients: 8, rate: 200, keys: 2, requestTimeout: 100ms}]";
    let result = quiet(workload, "");
    let operations: BTreeMap<u64, &h::Operation> =
        result.history.operations.iter().map(|operation| (operation.id.0, operation)).collect();
    let indexes: BTreeMap<u64, u64> =
        result.history.hints().map(|hint| (hint.op.0, hint.index)).filter(|(id, _)| *id > 0).collect();
    let removals = indexes.iter().filter(|(id, _)| matches!(operations[id].op, h::Op::DeleteRange(_)));
    let mut given_up = 0;
    for (id, index) in removals {
        if let Some(h::Op::Txn(makes)) = operations.get(&(id - 1)).map(|operation| &operation.op)
            && let [h::RequestOp::Put(put)] = &makes.success[..]
            && let h::Op::DeleteRange(delete) = &operations[id].op
            && put.key == delete.key
        {
            given_up += 1;
            assert!(indexes.get(&(id - 1)).is_some_and(|made| made < index), "operation {id}");
        }
    }
    assert!(given_up > 0, "no place was given up");
    let mut queues: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for operation in operations.values() {
        if let h::Op::Lock(h::Lock::Lock(claim) | h::Lock::Campaign(claim)) = &operation.op {
            queues.entry(claim.lease.0).or_default().insert(claim.name.to_string());
        }
    }
    assert!(queues.values().any(|names| names.len() > 1), "every lease stood in one queue alone");
}

/// The kinds and keys of each client's operations, without values that depend on earlier answers.
fn asked(result: &RunResult, prefix: &str) -> Vec<Vec<String>> {
    let key = |op: &h::Op| match op {
        h::Op::Range(range) => range.key.to_string(),
        h::Op::Put(put) => put.key.to_string(),
        h::Op::DeleteRange(delete) => delete.key.to_string(),
        h::Op::Txn(txn) => format!("{:?}", txn.compares.iter().map(|c| &c.key).collect::<Vec<_>>()),
        other => other.name().to_owned(),
    };
    by_client(result)
        .values()
        .map(|operations| operations.iter().map(|o| format!("{} {}", o.op.name(), key(&o.op))).collect())
        .filter(|asked: &Vec<String>| asked.iter().any(|line| line.contains(prefix)))
        .collect()
}

#[test]
fn without_a_workload_or_a_client_the_others_ask_the_same() {
    let both = quiet(
        "[{type: register, clients: 2, rate: 100}, {type: register, name: other, clients: 3, rate: 300, keys: 9}]",
        "",
    );
    let alone = quiet("[{type: register, name: other, clients: 3, rate: 300, keys: 9}]", "");
    let fewer = quiet("[{type: register, name: other, clients: 2, rate: 200, keys: 9}]", "");
    let same = |left: &[Vec<String>], right: &[Vec<String>]| {
        assert!(!left.is_empty() && left.len() == right.len());
        for (left, right) in left.iter().zip(right) {
            // The delays of the networks differ between the runs, so one client may make more operations than the
            // other.
            let common = left.len().min(right.len());
            assert!(common > 100);
            assert_eq!(left[..common], right[..common]);
        }
    };
    let (both, alone, fewer) =
        (asked(&both, "register"), asked(&alone, "register"), asked(&fewer, "register"));
    same(&both[2..], &alone);
    same(&alone[..2], &fewer);
}
