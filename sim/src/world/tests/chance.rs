//! Tests that random streams are independent: events in one place do not change draws in another.

#![allow(clippy::disallowed_methods, reason = "thread_rng is what raft-rs draws from")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::Rng;
use squall_store::seam::{BoxFuture, Env};

use super::kit::{call, channel, idle_node, ms, run, serve_kit, sound};
use crate::world::{Event, Modifier, Process, Unsynced, World, WorldConfig};

/// The draws of each place.
type Drawn = Arc<Mutex<BTreeMap<&'static str, Vec<u64>>>>;

fn note(drawn: &Drawn, place: &'static str, value: u64) {
    drawn.lock().unwrap().entry(place).or_default().push(value);
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// m1 calls m2 every 10 ms, m2 syncs its disk every 10 ms, and m3 draws as raft does, spawns tasks that are ready
/// together, and ticks.
fn start(world: &World, drawn: &Drawn) {
    let m1 = world.add_node("m1");
    let m2 = world.add_node("m2");
    let m3 = world.add_node("m3");
    let sink = drawn.clone();
    world.start(m1, move |process| {
        let drawn = sink.clone();
        Box::pin(async move {
            let (env, kit) = (&process.env, channel(&process.env, "m2"));
            loop {
                let from = env.clock.monotonic();
                call(&kit, "echo", "x").await.ok();
                note(&drawn, "round trips of m1 and m2", nanos(env.clock.monotonic().since(from)));
                env.clock.sleep(ms(10)).await;
            }
        })
    });
    let sink = drawn.clone();
    world.start(m2, move |process| {
        let drawn = sink.clone();
        let env = process.env.clone();
        process.env.tasks.spawn("syncs", syncs(env, drawn)).detach();
        serve_kit(process)
    });
    let sink = drawn.clone();
    world.start(m3, move |process| ticks(process, sink.clone()));
}

fn syncs(env: Env, drawn: Drawn) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        loop {
            let from = env.clock.monotonic();
            env.files.sync_dir(Path::new("/")).await.unwrap();
            note(&drawn, "syncs of m2", nanos(env.clock.monotonic().since(from)));
            env.clock.sleep(ms(10)).await;
        }
    })
}

fn ticks(process: Process, drawn: Drawn) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(async move {
        let env = process.env;
        let mut ticker = env.clock.ticker(ms(10));
        loop {
            ticker.tick().await;
            note(&drawn, "ticks of m3", nanos(env.clock.monotonic().0));
            note(&drawn, "elections of m3", rand::thread_rng().gen_range(10..20));
            note(&drawn, "wall clock of m3", nanos(env.clock.wall()));
            for task in 0..4 {
                let drawn = drawn.clone();
                env.tasks.spawn("t", Box::pin(async move { note(&drawn, "tasks of m3", task) })).detach();
            }
        }
    })
}

/// Runs the three nodes for a second together with what `more` does, and answers their draws.
fn beside<F, Fut>(more: F) -> BTreeMap<&'static str, Vec<u64>>
where
    F: FnOnce(World) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let drawn = Drawn::default();
    let sink = drawn.clone();
    sound(run(5, move |world| async move {
        start(&world, &sink);
        let until = world.now().after(ms(1000));
        more(world.clone()).await;
        world.sleep_until(until).await;
    }));
    Arc::into_inner(drawn).unwrap().into_inner().unwrap()
}

#[test]
fn a_client_or_a_fault_elsewhere_moves_no_draw() {
    let alone = beside(|_| async {});
    assert!(alone.values().all(|values| values.len() > 50), "{alone:?}");

    // A client that keeps two of them busy, and draws itself.
    let with_client = beside(|world| async move {
        let c9 = world.add_node("c9");
        world.start(c9, |process| {
            Box::pin(async move {
                loop {
                    let to = if rand::thread_rng().r#gen() { "m2" } else { "m3" };
                    call(&channel(&process.env, to), "echo", "x").await.ok();
                    process.env.clock.sleep(ms(1)).await;
                }
            })
        });
    });
    assert_eq!(alone, with_client);

    // Faults on a machine that none of them meets.
    let with_faults = beside(|world| async move {
        let (m4, _) = idle_node(&world, "m4");
        let m2 = world.node("m2").unwrap();
        for _ in 0..5 {
            let cut = world.impose(Modifier::Cut { from: m4, to: m2 });
            world.power_off(m4, Unsynced::Drawn);
            world.sleep(ms(50)).await;
            world.lift(cut);
            world.restart(m4);
        }
    });
    assert_eq!(alone, with_faults);
}

#[test]
fn a_fault_moves_what_it_causes_and_no_draw() {
    let alone = beside(|_| async {});
    let paused = beside(|world| async move {
        world.sleep(ms(500)).await;
        let pause = world.impose(Modifier::Pause(world.node("m1").unwrap()));
        world.sleep(ms(300)).await;
        world.lift(pause);
    });
    let (calls, fewer) = (&alone["round trips of m1 and m2"], &paused["round trips of m1 and m2"]);
    assert!(fewer.len() + 20 < calls.len(), "the pause bit");
    // Each segment takes as long as the one with the same number without the pause, except the one under way.
    let differ = fewer.iter().zip(calls).filter(|(one, other)| one != other).count();
    assert!(differ <= 1, "{differ} round trips differ");
    for place in ["syncs of m2", "ticks of m3", "elections of m3", "tasks of m3"] {
        assert_eq!(alone[place], paused[place], "{place}");
    }

    // A slow link or disk takes longer by exactly the added time, and its draws do not change.
    let slow = crate::world::Latency { base: ms(1), jitter: Duration::ZERO };
    let slowed = beside(move |world| async move {
        let [m1, m2] = ["m1", "m2"].map(|name| world.node(name).unwrap());
        world.sleep(ms(500)).await;
        let link = world.impose(Modifier::Slow {
            from: m1,
            to: m2,
            latency: slow,
            distribution: crate::world::Distribution::Uniform,
        });
        let disk = world.impose(Modifier::SlowSync { node: m2, delay: ms(1), jitter: ms(0) });
        world.sleep(ms(200)).await;
        assert!(world.lift(link) > 5 && world.lift(disk) > 5);
    });
    for place in ["round trips of m1 and m2", "syncs of m2"] {
        let pairs = alone[place].iter().zip(&slowed[place]);
        let more: Vec<u64> = pairs.map(|(one, other)| other - one).collect();
        assert!(more.iter().all(|more| [0, 1_000_000].contains(more)), "{place}: {more:?}");
        assert!(more.iter().filter(|more| **more > 0).count() > 5, "{place}");
        assert_eq!(more.last(), Some(&0), "{place}");
    }
}

#[test]
fn a_process_starts_anew_with_each_incarnation_whatever_was_drawn_before() {
    let second_life = |first_life: u64| {
        beside(move |world| async move {
            let m3 = world.node("m3").unwrap();
            world.sleep(ms(first_life)).await;
            world.kill_process(m3);
            world.restart(m3);
        })
    };
    let (early, late) = (second_life(105), second_life(405));
    let life =
        |drawn: &BTreeMap<&str, Vec<u64>>, skip: usize| drawn["elections of m3"][skip..][..40].to_vec();
    let ticks_before = |drawn: &BTreeMap<&str, Vec<u64>>, until: u64| {
        drawn["ticks of m3"].iter().filter(|at| **at <= until * 1_000_000).count()
    };
    assert_eq!(life(&early, ticks_before(&early, 105)), life(&late, ticks_before(&late, 405)));
    assert_ne!(life(&early, 0), life(&early, ticks_before(&early, 105)));
}

#[test]
fn members_tick_out_of_phase_and_their_wall_clocks_differ_a_little() {
    let mut phases = Vec::new();
    for seed in 0..10 {
        phases.push(sound(run(seed, |world| async move {
            let envs = ["m1", "m2", "m3"].map(|name| idle_node(&world, name).1);
            let walls = envs.each_ref().map(|env| env.clock.wall());
            let apart = walls.iter().max().unwrap().saturating_sub(*walls.iter().min().unwrap());
            assert!(apart > Duration::ZERO && apart <= ms(10), "{apart:?}");
            let from = world.now();
            let firsts = envs.each_ref().map(|env| async {
                env.clock.ticker(ms(100)).tick().await;
                world.now().since(from)
            });
            let firsts = futures_util::future::join_all(firsts).await;
            assert!(firsts.iter().all(|first| !first.is_zero() && *first <= ms(100)), "{firsts:?}");
            assert!(firsts[0] != firsts[1] && firsts[1] != firsts[2]);
            firsts[0]
        })));
    }
    phases.sort_unstable();
    assert!(phases[0] < ms(40) && phases[9] > ms(60), "{phases:?}");
}

#[test]
fn each_process_draws_from_a_generator_of_its_own() {
    let draws = |names: &'static [&'static str]| {
        sound(run(3, move |world| async move {
            let drawn = Drawn::default();
            for name in names {
                let (node, drawn) = (world.add_node(name), drawn.clone());
                world.start(node, move |process| {
                    let (name, drawn) = (process.node.name(), drawn.clone());
                    Box::pin(async move {
                        for _ in 0..20_000 {
                            note(&drawn, name, rand::thread_rng().r#gen());
                        }
                        // The source from which rand 0.8 seeds itself, without a thread's generator.
                        note(&drawn, name, rand::rngs::OsRng.r#gen());
                        Ok(())
                    })
                });
            }
            world.sleep(ms(1)).await;
            // The body also has a generator, which is no process's.
            note(&drawn, "body", rand::thread_rng().r#gen());
            std::mem::take(&mut *drawn.lock().unwrap())
        }))
    };
    let (one, both) = (draws(&["m1"]), draws(&["m2", "m1"]));
    assert_eq!(one["m1"], both["m1"], "another process moved its draws");
    assert_ne!(both["m1"], both["m2"]);
    assert_eq!(one["body"], both["body"]);
    assert!(!one["m1"].contains(&one["body"][0]));
}

/// Unrelated nodes change nothing for the others: not an event, not a nanosecond.
#[test]
fn what_nobody_meets_leaves_every_event_as_it_was() {
    let events = |strangers: bool| {
        let config = WorldConfig { trace: true, ..WorldConfig::new(9) };
        let finished = World::run(config, move |world| async move {
            start(&world, &Drawn::default());
            if strangers {
                let m9 = world.add_node("m9");
                world.start(m9, serve_kit);
                let c9 = world.add_node("c9");
                world.start(c9, |process| {
                    Box::pin(async move {
                        loop {
                            call(&channel(&process.env, "m9"), "echo", "x").await.unwrap();
                        }
                    })
                });
            }
            world.sleep(ms(1000)).await;
        });
        let trace = finished.unwrap().trace.unwrap();
        let lines = trace.into_iter().filter_map(|mut line| {
            let node = match &mut line.event {
                // Connections are numbered in the order of the dials of the whole world.
                Event::Sent { conn, from, .. } | Event::Net { conn, from, .. } => {
                    *conn = 0;
                    *from
                }
                Event::Started { node, .. } | Event::Disk { node, .. } => *node,
                other => panic!("{other:?}"),
            };
            ["m1", "m2", "m3"].contains(&node.name()).then_some(line)
        });
        lines.collect::<Vec<_>>()
    };
    let alone = events(false);
    assert!(alone.len() > 200, "{}", alone.len());
    assert_eq!(alone, events(true));
}
