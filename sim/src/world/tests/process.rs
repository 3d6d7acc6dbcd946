//! Tests kill, restart, pause, stop and panic: what a process leaves behind, and what it must not.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rand::Rng;

use super::kit::{call, channel, idle, idle_node, ms, run, serve_kit, sound, ticking};
use crate::world::{Modifier, Status, Unsynced, Violation, World, WorldConfig, here};

#[test]
fn rand_08_is_the_simulations_own_over_threads() {
    #[allow(clippy::disallowed_methods, reason = "raft-rs uses it")]
    let draw = |seed| {
        sound(run(seed, |_| async {
            (0..100).map(|_| rand::thread_rng().r#gen::<u64>()).collect::<Vec<_>>()
        }))
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn a_stale_handle_is_inert_in_drop_too() {
    sound(run(1, |world| async move {
        let (m1, old) = idle_node(&world, "m1");
        let path = Path::new("lock");
        let old_lock = old.files.lock(path).await.unwrap();
        let router = squall_store::seam::Router::new;
        let old_listener = old.net.listen("m1:1", router()).await.unwrap();
        let old_engine = old.engines.open(Path::new("db")).await.unwrap();
        world.power_off(m1, Unsynced::Drawn);
        world.restart(m1);
        let new = world.env(m1).unwrap();
        let new_lock = new.files.lock(path).await.unwrap();
        let new_listener = new.net.listen("m1:1", router()).await.unwrap();
        let new_engine = new.engines.open(Path::new("db")).await.unwrap();
        drop((old_lock, old_listener, old_engine));
        assert!(new.files.lock(path).await.is_err(), "a stale lock's drop released its successor");
        assert!(
            new.net.listen("m1:1", router()).await.is_err(),
            "a stale listener's drop closed its successor"
        );
        assert!(
            new.engines.open(Path::new("db")).await.is_err(),
            "a stale engine's drop closed its successor"
        );
        drop((new_lock, new_listener, new_engine));
        new.files.lock(path).await.unwrap();
        new.net.listen("m1:1", router()).await.unwrap();
        new.engines.open(Path::new("db")).await.unwrap();
    }));
}

#[test]
fn nothing_of_the_dead_shows() {
    let finished = run(1, |world| async move {
        let (m1, old) = idle_node(&world, "m1");
        let m2 = world.add_node("m2");
        world.start(m2, serve_kit);
        let kit = channel(&old, "m2");
        let ran = Arc::new(AtomicU64::new(0));
        let counter = ran.clone();
        let clock = old.clock.clone();
        old.tasks
            .spawn(
                "ticking",
                Box::pin(async move {
                    loop {
                        clock.sleep(ms(1)).await;
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                }),
            )
            .detach();
        world.sleep(ms(10)).await;
        let so_far = ran.load(Ordering::Relaxed);
        assert!(so_far >= 9);
        world.power_off(m1, Unsynced::Drawn);
        world.restart(m1);
        let before = world.counters();
        let stale = async {
            let never = call(&kit, "echo", "from the dead");
            let nothing = old.files.create(Path::new("f"));
            let spawned = old.tasks.spawn("late", Box::pin(async { panic!("it runs") }));
            drop(spawned);
            old.probe.emit(squall_store::seam::ProbeEvent::Ready);
            tokio::select! {
                biased;
                answer = never => panic!("{answer:?}"),
                _ = nothing => panic!("a file was created"),
                () = old.clock.sleep(ms(1)) => panic!("a dead clock rang"),
                () = world.sleep(ms(100)) => {}
            }
        };
        stale.await;
        assert_eq!(ran.load(Ordering::Relaxed), so_far, "a dead process's task ran on");
        let after = world.counters();
        assert_eq!(before["net.segments"], after["net.segments"]);
        assert!(!world.env(m1).unwrap().files.exists(Path::new("f")).await.unwrap());
    });
    assert_eq!(finished.probes, []);
    sound(finished);
}

/// Determinism-traps: kill then restart at once; the dead futures drop afterwards.
#[test]
fn a_drop_that_runs_after_the_restart_changes_nothing() {
    struct Noisy {
        env: squall_store::seam::Env,
        dropped: Arc<AtomicU64>,
    }
    impl Drop for Noisy {
        fn drop(&mut self) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            // What a careless Drop might do.
            self.env.probe.emit(squall_store::seam::ProbeEvent::Ready);
            self.env.tasks.spawn("from drop", Box::pin(async { panic!("it runs") })).detach();
            drop(self.env.net.dial("m1:1", Default::default()));
        }
    }
    for seed in 0..10 {
        let finished = run(seed, |world| async move {
            let dropped = Arc::new(AtomicU64::new(0));
            let counter = dropped.clone();
            let m1 = world.add_node("m1");
            world.start(m1, move |process| {
                for _ in 0..5 {
                    let noisy = Noisy { env: process.env.clone(), dropped: counter.clone() };
                    let hold = async move {
                        let _noisy = noisy;
                        std::future::pending().await
                    };
                    process.env.tasks.spawn("holder", Box::pin(hold)).detach();
                }
                idle(process)
            });
            for paused in [false, true] {
                world.sleep(ms(5)).await;
                if paused {
                    world.impose(Modifier::Pause(m1));
                    world.sleep(ms(5)).await;
                }
                let before = dropped.load(Ordering::Relaxed);
                world.power_off(m1, Unsynced::Drawn);
                world.restart(m1);
                world.sleep(ms(5)).await;
                assert_eq!(dropped.load(Ordering::Relaxed), before + 5, "paused: {paused}");
            }
            assert_eq!(world.incarnation(m1), 3);
        });
        assert_eq!(finished.probes, []);
        sound(finished);
    }
}

#[test]
fn a_members_panic_is_a_violation_and_the_run_goes_on() {
    let finished = run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, serve_kit);
        let (_, env) = idle_node(&world, "c1");
        let kit = channel(&env, "m1");
        let status = call(&kit, "panic", "").await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(matches!(world.status(m1), Status::Panicked(message) if message.contains("asked to panic")));
        world.restart(m1);
        world.sleep(ms(1)).await;
        assert_eq!(call(&kit, "echo", "again").await.unwrap(), "again");
    });
    match &finished.violations[..] {
        [Violation::Panic { node, incarnation: 1, message, .. }] => {
            assert_eq!(node.name(), "m1");
            assert!(message.contains("asked to panic") && message.contains("kit.rs:"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(finished.output, Some(()));
}

#[test]
fn a_panic_elsewhere_is_the_harnesss_failure() {
    let failure = World::run(WorldConfig::new(1), |world| async move {
        world.sleep(ms(1)).await;
        assert_eq!(1 + 1, 3, "the harness is wrong");
    });
    assert!(failure.unwrap_err().0.contains("the harness is wrong"));
}

#[test]
fn a_run_that_never_rests_is_ended_by_its_budget() {
    let config = WorldConfig { poll_budget: 100_000, ..WorldConfig::new(1) };
    let finished = World::run(config, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, |_| {
            Box::pin(async {
                loop {
                    tokio::task::yield_now().await;
                }
            })
        });
        world.sleep(ms(1_000_000)).await;
    })
    .unwrap();
    assert_eq!(finished.output, None);
    assert!(matches!(finished.violations[..], [Violation::PollBudget { polls: 100_000, .. }]));
}

#[test]
fn a_graceful_stop_lets_the_process_finish_and_keeps_its_page_cache() {
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, |process| {
            Box::pin(async move {
                let mut file = process.env.files.create(Path::new("f")).await.unwrap();
                process.stop_requested().await;
                process.env.clock.sleep(ms(50)).await;
                file.append(Bytes::from_static(b"bye")).await.unwrap();
                Err("as asked".to_owned())
            })
        });
        world.sleep(ms(1)).await;
        assert!(!world.stop(m1, ms(10)).await, "it takes 50 ms");
        let from = world.now();
        assert!(world.stop(m1, ms(1000)).await);
        assert!(world.now().since(from) < ms(50));
        assert_eq!(world.status(m1), Status::Exited(Some("as asked".to_owned())));
        assert_eq!(world.read_file(m1, Path::new("f")).unwrap(), "bye");
        assert!(world.stop(m1, ms(10)).await, "nothing to stop");
    }));
}

#[test]
fn a_paused_process_gets_no_time_and_no_burst_of_ticks() {
    sound(run(1, |world| async move {
        let (m1, ticks) = ticking(&world, "m1", ms(100));
        world.sleep(ms(1050)).await;
        let before = ticks.load(Ordering::Relaxed);
        assert!((10..=11).contains(&before), "{before}");
        let pause = world.impose(Modifier::Pause(m1));
        assert_eq!(world.status(m1), Status::Paused);
        world.sleep(ms(5000)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), before);
        world.lift(pause);
        world.sleep(ms(1)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), before + 1, "one tick is pending, the rest were dropped");
        world.sleep(ms(1000)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), before + 11);
    }));
}

#[test]
fn a_log_line_can_tell_where_and_when_it_was_written() {
    assert_eq!(here(), None);
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, |process| {
            Box::pin(async move {
                process.env.clock.sleep(ms(7)).await;
                let (at, node) = here().unwrap();
                assert_eq!((at.since_start().as_millis(), node), (7, Some(process.node)));
                Ok(())
            })
        });
        world.ended(m1).await;
        assert_eq!(here().unwrap().1, None);
        assert_eq!(world.status(m1), Status::Exited(None));
    }));
}

#[test]
fn a_jump_moves_the_wall_clock_only() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let (_, other) = idle_node(&world, "m2");
        let apart = |one: Duration, other: Duration| one.as_nanos() as i64 - other.as_nanos() as i64;
        let before = apart(other.clock.wall(), env.clock.wall());
        let (wall, monotonic) = (env.clock.wall(), env.clock.monotonic());
        world.jump_wall_clock(m1, -5_000_000_000);
        assert_eq!(wall - env.clock.wall(), ms(5000));
        assert_eq!(env.clock.monotonic(), monotonic);
        world.power_off(m1, Unsynced::Drawn);
        world.restart(m1);
        let after = apart(other.clock.wall(), world.env(m1).unwrap().clock.wall());
        assert_eq!(after - before, 5_000_000_000, "it is the machine's clock");
    }));
}

const CHILD: &str = "SQUALL_TEST_MEMORY";

/// Run by [`memory_is_flat_over_many_runs`] in a separate process, because other tests would grow this one.
#[test]
fn live_many_lives() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let resident = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap();
        status.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let life = |seed| {
        sound(run(seed, |world| async move {
            let m1 = world.add_node("m1");
            world.start(m1, |process| {
                let ballast = vec![1u8; 100_000];
                Box::pin(async move {
                    let result = serve_kit(process).await;
                    drop(ballast);
                    result
                })
            });
            let (_, env) = idle_node(&world, "c1");
            let kit = channel(&env, "m1");
            for round in 0..3 {
                call(&kit, "echo", "x").await.ok();
                let hanging = call(&kit, "never", "x");
                tokio::select! {
                    biased;
                    _ = hanging => panic!("it answered"),
                    () = world.sleep(ms(5)) => {}
                }
                if round == 1 {
                    world.power_off(m1, Unsynced::Drawn);
                    world.restart(m1);
                }
            }
        }));
    };
    (0..100).for_each(life);
    let before = resident();
    (100..600).for_each(life);
    println!("grown={}", resident().saturating_sub(before));
}

#[test]
fn memory_is_flat_over_many_runs() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["world::tests::process::live_many_lives", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let grown = printed.split("grown=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let grown: u64 = grown.and_then(|grown| grown.parse().ok()).unwrap_or_else(|| panic!("{printed}"));
    // One world that leaked would leave its ballast of 200 kB: 100 MB over these runs.
    assert!(grown < 4_000_000, "500 runs grew the process by {grown} bytes");
}
