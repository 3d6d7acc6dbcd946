//! Tests the watchdog. It ends its process, so the tests run it in another process.

use std::{process::Command, time::Duration};

use super::kit::ms;
use crate::world::{HARNESS_FAILED, Watchdog, World, WorldConfig};

const CHILD: &str = "SQUALL_TEST_LOOP";

/// Run by [`what_loops_is_ended_from_outside`] in a separate process.
#[test]
fn loop_for_ever() {
    if std::env::var_os(CHILD).is_some() {
        let watchdog = Watchdog { limit: ms(200), reproduce: "squall run x.yaml --seed 5".to_owned() };
        let config = WorldConfig { watchdog: Some(watchdog), ..WorldConfig::new(5) };
        let finished = World::run(config, |world| async move {
            let m1 = world.add_node("m1");
            world.start(m1, |_| {
                Box::pin(async {
                    loop {
                        std::hint::spin_loop();
                    }
                })
            });
            world.sleep(ms(1)).await;
        });
        panic!("it ended: {finished:?}");
    }
}

/// The same for work after a run, such as its judge.
#[test]
fn judge_for_ever() {
    if std::env::var_os(CHILD).is_some() {
        let watchdog = Watchdog { limit: ms(200), reproduce: "squall run x.yaml --seed 5".to_owned() };
        let judged: Result<(), String> = watchdog.watch("judge", || {
            loop {
                std::hint::spin_loop();
            }
        });
        panic!("it ended: {judged:?}");
    }
}

#[test]
fn what_loops_is_ended_from_outside() {
    for child in ["loop_for_ever", "judge_for_ever"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([&format!("world::tests::watchdog::{child}"), "--exact", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(HARNESS_FAILED), "{child}: {said}");
        assert!(said.contains("squall run x.yaml --seed 5"), "{child}: {said}");
    }
}

#[test]
fn a_panic_under_watch_is_told() {
    let watchdog = Watchdog { limit: Duration::from_secs(60), reproduce: String::new() };
    let judged = watchdog.watch("judge", || -> u32 { panic!("what it saw") });
    assert_eq!(judged.unwrap_err(), "what it saw");
    assert_eq!(watchdog.watch("judge", || 7), Ok(7));
}

#[test]
fn a_run_within_its_limit_is_left_alone() {
    let watchdog = Watchdog { limit: Duration::from_secs(60), reproduce: String::new() };
    let config = WorldConfig { watchdog: Some(watchdog), ..WorldConfig::new(5) };
    let finished = World::run(config, |world| async move { world.sleep(ms(1)).await }).unwrap();
    assert_eq!(finished.output, Some(()));
}
