//! Tests of the order in which the nemesis heals, and of what it waits for. The members are no servers: they note when they
//! start and answer nothing. So an operator's procedure that asks them never ends.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use super::*;
use crate::{
    arena::{Arena, Simulated},
    cluster::Cluster,
    plan::Plan,
    scenario::parse,
    workload::{Client, Observer, Recorder},
    world::{World, WorldConfig},
};

struct Clock(World);

impl Observer for Clock {
    fn now_ns(&self) -> u64 {
        self.0.now().0
    }

    fn note(&self, _node: &str, _text: String) {}
}

/// What became of a plan.
struct Outcome {
    /// `second: member` for each start, in order.
    starts: Vec<String>,
    report: Report,
    /// The faults and heals of the history: `second: strikes action` and `second: ends action`; at the end
    /// `second: all heals`.
    lines: Vec<String>,
}

const SECOND: u64 = 1_000_000_000;

/// Applies faults to three members for five seconds, with a patience of three. A member named in `deaf` does not stop when it
/// is asked to, and is killed five seconds later.
fn applied(faults: &str, deaf: &'static str) -> Outcome {
    let text = format!(
        "apiVersion: squall/v1\nkind: Scenario\nmetadata: {{name: x, description: x}}\nspec:\n  seeds: [1]\n  \
         cluster: {{members: 3}}\n  workloads:\n    - {{type: kv, clients: 1, rate: 1, keys: 1}}\n  timeLimit: 5s\n  \
         faults:\n{faults}  final: {{settle: 5s}}\n  expect: {{outcome: valid}}\n"
    );
    let scenario = parse(Path::new("x"), &text).unwrap_or_else(|refusal| panic!("{refusal}\n{text}"));
    let plan = Plan::draw(&scenario, 1);
    let finished = World::run(WorldConfig::new(1), move |world| async move {
        let recorder = Arc::new(Recorder::default());
        recorder.attach(Arc::new(Clock(world.clone())));
        let starts = Arc::new(Mutex::new(Vec::new()));
        let (diary, watch) = (starts.clone(), world.clone());
        let members = Simulated::with_members(
            world.clone(),
            Arc::new(move |_, process, node| {
                let line = format!("{}: {node}", watch.now().0 / SECOND);
                diary.lock().expect("not poisoned").push(line);
                Box::pin(async move {
                    process.stop_requested().await;
                    if node.name() == deaf {
                        std::future::pending::<()>().await;
                    }
                    Ok(())
                })
            }),
        );
        let arena: Arc<dyn Arena> = Arc::new(members);
        let cluster = Cluster::new(arena.clone(), &plan.spec, recorder.clone(), None);
        cluster.start();
        let endpoints: crate::workload::Endpoints =
            cluster.endpoints().into_iter().map(|endpoint| (endpoint.name, endpoint.address)).collect();
        let patience = Duration::from_secs(3);
        let client =
            Client::new(h::Client(1), cluster.add_client("c1"), recorder.clone(), endpoints, 0, patience);
        let client = tokio::sync::Mutex::new(client);
        let nemesis = Nemesis::new(Stage { arena, cluster, recorder: recorder.clone(), client });
        let end = world.now().after(plan.spec.time_limit);
        let report = nemesis.apply(&plan.faults, world.now(), end, Healing::All, patience).await;
        drop(nemesis);
        // What was started in the last instant runs now.
        world.sleep(Duration::from_millis(100)).await;
        let starts = std::mem::take(&mut *starts.lock().expect("not poisoned"));
        let events = recorder.finish().events.into_iter();
        let lines = events.filter_map(|event| match event {
            h::Event::Fault(fault) => Some(format!("{}: {} strikes", fault.at / SECOND, fault.action)),
            h::Event::Heal(heal) if heal.action.is_empty() => {
                Some(format!("{}: all heals", heal.at / SECOND))
            }
            h::Event::Heal(heal) => Some(format!("{}: {} ends", heal.at / SECOND, heal.action)),
            _ => None,
        });
        Outcome { starts, report, lines: lines.collect() }
    });
    finished.expect("the world runs").output.expect("the body ends")
}

#[test]
fn a_crash_without_an_end_heals_while_a_procedure_goes_on() {
    // The procedure holds m3 until the seventh second.
    let outcome = applied(
        "    - {name: gone, at: 1s, action: crash, selector: {names: [m1]}, crash: {unsynced: keep}}\n    \
         - {name: work, at: 2s, action: restart, selector: {names: [m3]}}\n",
        "m3",
    );
    assert_eq!(outcome.starts[3..], ["5: m1", "7: m3"]);
    assert_eq!(
        outcome.lines,
        ["1: crash strikes", "2: restart strikes", "5: crash ends", "7: restart ends", "7: all heals"]
    );
    assert_eq!(outcome.report.stuck, [""; 0], "it ended in time");
}

#[test]
fn what_a_procedure_holds_stays_down_and_nothing_heals_before_it_has_ended_or_was_given_up() {
    // Its survivor never answers, and it holds every member.
    let outcome = applied(
        "    - {name: gone, at: 1s, action: crash, selector: {names: [m2]}, crash: {unsynced: keep}}\n    \
         - {name: force, at: 4s, action: forceNewCluster, selector: {names: [m1]}}\n",
        "",
    );
    assert_eq!(outcome.starts[3..], ["4: m1"], "the old cluster's members never run beside the new one");
    assert_eq!(
        outcome.lines[..3],
        ["1: crash strikes", "4: forceNewCluster strikes", "5: crash ends"],
        "the crash is over, though m2 stays down"
    );
    // The patience of three seconds is over.
    assert_eq!(outcome.lines.last().expect("something happened"), "8: all heals");
    assert_eq!(outcome.lines.iter().filter(|line| line.ends_with("all heals")).count(), 1);
    assert_eq!(outcome.report.stuck.len(), 1, "{:?}", outcome.report.stuck);
    assert!(outcome.report.stuck[0].contains("the operator's work (force) is not done"));
}

#[test]
fn a_fault_waits_for_a_step_of_a_procedure_from_its_very_first() {
    // A restart's steps: it asks m3 to stop, m3 has stopped, m3 is started.
    let at_step = |count: u64| {
        applied(
            &format!(
                "    - {{name: work, at: 1s, action: restart, selector: {{names: [m3]}}}}\n    \
                 - {{name: at-step, at: 0s, after: {{fault: work, event: operatorStep, count: {count}}}, \
                 action: crash, selector: {{names: [m1]}}, crash: {{unsynced: keep}}, duration: 100ms}}\n"
            ),
            "",
        )
    };
    for count in 1..=3 {
        let outcome = at_step(count);
        assert!(outcome.lines.contains(&"1: crash strikes".to_owned()), "step {count}: {:?}", outcome.lines);
    }
    assert_eq!(at_step(4).report.bit_nothing, ["at-step"], "there is no fourth");
    // m3 is deaf: its first step is at once, the other two after it was killed.
    let deaf = |count: u64| {
        applied(
            &format!(
                "    - {{name: work, at: 1s, action: restart, selector: {{names: [m3]}}}}\n    \
                 - {{name: at-step, at: 0s, after: {{fault: work, event: operatorStep, count: {count}}}, \
                 action: partition, selector: {{names: [m1]}}, duration: 100ms}}\n"
            ),
            "m3",
        )
    };
    assert!(deaf(1).lines.contains(&"1: partition strikes".to_owned()));
    assert!(!deaf(2).lines.iter().any(|line| line.contains("partition strikes")), "the time was over");
}
