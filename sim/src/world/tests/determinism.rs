//! Tests determinism: one seed gives one run.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the store must not use is what would differ"
)]

use std::{collections::BTreeSet, process::Command};

use bytes::Bytes;
use rand::Rng;

use super::kit::{call, channel, ms, serve_kit};
use crate::world::{AuditHash, Finished, Modifier, Traced, Unsynced, World, WorldConfig};

/// A busy little world: servers, clients, faults. Draws from everything that could differ.
fn busy(seed: u64, trace: bool) -> Finished<u64> {
    let config = WorldConfig { trace, ..WorldConfig::new(seed) };
    World::run(config, |world| async move {
        let servers: Vec<_> = (1..=3).map(|number| world.add_node(&format!("m{number}"))).collect();
        for server in &servers {
            world.start(*server, serve_kit);
        }
        let clients: Vec<_> = (1..=3).map(|number| world.add_node(&format!("c{number}"))).collect();
        for client in &clients {
            world.start(*client, |process| {
                Box::pin(async move {
                    let env = process.env.clone();
                    loop {
                        // Without the interposition both of these would differ between processes.
                        let to = rand::thread_rng().gen_range(1..=3);
                        let keys: std::collections::HashMap<_, _> = (0..5).map(|key| (key, ())).collect();
                        let body = format!("{:?}", keys.keys().collect::<Vec<_>>());
                        let kit = channel(&env, &format!("m{to}"));
                        let answer = call(&kit, "echo", Bytes::from(body)).await;
                        let pause = if answer.is_ok() { 5 } else { 50 };
                        env.clock.sleep(ms(pause)).await;
                    }
                })
            });
        }
        let mut chance = world.chance().child("test").stream();
        for _ in 0..20 {
            let victim = *chance.pick(&servers).unwrap();
            match chance.within(0..4) {
                0 => {
                    if chance.happens(0.5) {
                        world.power_off(victim, Unsynced::Drawn);
                    } else {
                        world.kill_process(victim);
                    }
                    world.sleep(ms(chance.within(0..100))).await;
                    world.restart(victim);
                }
                1 => {
                    world.impose(Modifier::Cut { from: victim, to: clients[0] });
                }
                2 => world.lift_all(),
                _ => {
                    let pause = world.impose(Modifier::Pause(victim));
                    world.sleep(ms(chance.within(0..300))).await;
                    world.lift(pause);
                }
            }
            world.sleep(ms(chance.within(0..200))).await;
        }
        world.counters()["net.segments"]
    })
    .unwrap_or_else(|failure| panic!("{failure}"))
}

/// The first difference of two traces, for people.
fn first_difference(one: &[Traced], other: &[Traced]) -> String {
    let at = one.iter().zip(other).position(|(a, b)| a != b).unwrap_or(one.len().min(other.len()));
    format!("event {at}: {:#?} against {:#?}", one.get(at), other.get(at))
}

#[test]
fn one_seed_is_one_run_traced_or_not_on_any_thread() {
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| busy(7, true));
        (busy(7, true), other.join().unwrap())
    });
    let (one, other) = (a.trace.as_ref().unwrap(), b.trace.as_ref().unwrap());
    assert_eq!(a.audit_hash, b.audit_hash, "{}", first_difference(one, other));
    assert_eq!((a.output, a.simulated, &a.counters), (b.output, b.simulated, &b.counters));
    assert!(a.output.unwrap() > 500, "the world was not busy: {:?}", a.counters);

    let untraced = busy(7, false);
    assert_eq!(untraced.audit_hash, a.audit_hash);
    assert_eq!(untraced.trace, None);
}

#[test]
fn seeds_differ() {
    let hashes: BTreeSet<AuditHash> = (0..4).map(|seed| busy(seed, false).audit_hash).collect();
    assert_eq!(hashes.len(), 4);
}

const CHILD: &str = "SQUALL_TEST_PRINT_HASH";

/// Run by [`another_process_has_the_same_run`] in a separate process.
#[test]
fn print_hash() {
    if std::env::var_os(CHILD).is_some() {
        println!("hash={}", busy(11, false).audit_hash);
    }
}

#[test]
fn another_process_has_the_same_run() {
    let here = busy(11, false).audit_hash.to_string();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["world::tests::determinism::print_hash", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains(&format!("hash={here}")), "here {here}, there: {printed}");
}

#[test]
fn the_hash_covers_every_kind_of_event() {
    let finished = busy(3, true);
    let kinds: BTreeSet<String> = finished
        .trace
        .unwrap()
        .iter()
        .map(|line| serde_json::to_value(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    for kind in ["started", "fault", "sent", "net", "crash"] {
        assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
    }
}
