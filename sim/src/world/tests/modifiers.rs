//! Tests that after the first of two overlapping faults of one kind ends, the second still has its effect.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use squall_store::seam::Env;

use super::kit::{call_with, idle, idle_node, linked, ms, round_trip, run, sound, ticking};
use crate::world::{Distribution, Latency, Modifier, Status, Token, Unsynced, World};

#[test]
fn of_two_cuts_the_second_still_swallows() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let first = world.impose(Modifier::Cut { from: c1, to: m1 });
        let second = world.impose(Modifier::Cut { from: c1, to: m1 });
        let other_way = world.impose(Modifier::Cut { from: m1, to: c1 });
        assert_eq!(world.lift(other_way), 0, "nothing came that way");
        call_with(&kit, "echo", "", Some("10m")).await.unwrap_err();
        // The request, and the reset that its deadline sent after it, in one direction that is stalled by then.
        assert_eq!(world.lift(first), 1);
        assert_eq!(world.bites(second), 1, "each of the two has the bite");
        call_with(&kit, "echo", "", Some("500m")).await.unwrap_err();
        assert!(world.lift(second) > 1, "the first was lifted, and the second swallowed nothing more");
        world.sleep(ms(2000)).await;
        assert!(round_trip(&world, &kit).await < ms(3));
    }));
}

#[test]
fn of_two_slow_links_the_second_still_delays() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let slow = |milliseconds| Latency { base: ms(milliseconds), jitter: Duration::ZERO };
        let first = world.impose(Modifier::Slow {
            from: c1,
            to: m1,
            latency: slow(100),
            distribution: Distribution::Uniform,
        });
        let second = world.impose(Modifier::Slow {
            from: c1,
            to: m1,
            latency: slow(20),
            distribution: Distribution::Uniform,
        });
        let took = round_trip(&world, &kit).await;
        assert!(took > ms(120) && took < ms(123), "{took:?}");
        assert!(world.lift(first) >= 1);
        let before = world.bites(second);
        let took = round_trip(&world, &kit).await;
        assert!(took > ms(20) && took < ms(23), "{took:?}");
        assert!(world.lift(second) > before);
        assert!(round_trip(&world, &kit).await < ms(3));
        assert_eq!(world.bites(second), before + 1, "a modifier that was lifted bites no more");
    }));
}

#[test]
fn of_two_pauses_the_second_still_withholds() {
    sound(run(1, |world| async move {
        let (m1, ticks) = ticking(&world, "m1", ms(10));
        let first = world.impose(Modifier::Pause(m1));
        world.sleep(ms(25)).await;
        let second = world.impose(Modifier::Pause(m1));
        let first_bites = world.lift(first);
        assert_eq!(first_bites, 1, "its first poll was withheld");
        assert_eq!(world.bites(second), 1, "what waits already waits for both");
        world.sleep(ms(1000)).await;
        assert_eq!((ticks.load(Ordering::Relaxed), world.status(m1)), (0, Status::Paused));
        world.lift(second);
        assert_eq!(world.status(m1), Status::Up);
        world.sleep(ms(100)).await;
        assert!(ticks.load(Ordering::Relaxed) >= 10);
    }));
}

#[test]
fn of_two_stalls_the_second_still_holds() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let mut file = env.files.create(Path::new("f")).await.unwrap();
        let first = world.impose(Modifier::StallDisk(m1));
        let nothing = world.impose(Modifier::StallDisk(world.add_node("m2")));
        let from = world.now();
        let held = async {
            file.append(Bytes::from_static(b"x")).await.unwrap();
            world.now().since(from)
        };
        let faults = async {
            world.sleep(ms(100)).await;
            let second = world.impose(Modifier::StallDisk(m1));
            assert_eq!(world.bites(second), 1, "what waits already waits for both");
            assert_eq!(world.lift(first), 1);
            world.sleep(ms(100)).await;
            assert_eq!(world.lift(second), 1);
        };
        let (took, ()) = futures_util::join!(held, faults);
        assert!(took >= ms(200) && took < ms(201), "{took:?}");
        assert_eq!(world.lift(nothing), 0);
    }));
}

#[test]
fn of_two_slow_syncs_the_second_still_delays() {
    async fn sync(world: &World, env: &Env) -> Duration {
        let from = world.now();
        env.files.sync_dir(Path::new("/")).await.unwrap();
        world.now().since(from)
    }
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let first = world.impose(Modifier::SlowSync { node: m1, delay: ms(100), jitter: ms(0) });
        let second = world.impose(Modifier::SlowSync { node: m1, delay: ms(10), jitter: ms(10) });
        let took = sync(&world, &env).await;
        assert!(took >= ms(110) && took < ms(122), "{took:?}");
        assert_eq!(world.lift(first), 1);
        let times: Vec<Duration> = [sync(&world, &env).await, sync(&world, &env).await].into();
        assert!(times.iter().all(|took| *took >= ms(10) && *took < ms(22)), "{times:?}");
        assert_ne!(times[0], times[1], "the jitter is drawn for each sync");
        assert_eq!(world.lift(second), 3);
        assert!(sync(&world, &env).await < ms(1));
    }));
}

#[test]
fn a_pause_ends_with_its_process_and_the_rest_belongs_to_the_hardware() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let pause = world.impose(Modifier::Pause(m1));
        let stall = world.impose(Modifier::StallDisk(m1));
        let cut = world.impose(Modifier::Cut { from: c1, to: m1 });
        world.power_off(m1, Unsynced::Drawn);
        let on_nothing = world.impose(Modifier::Pause(m1));
        world.restart(m1);
        assert_eq!(world.status(m1), Status::Up);
        world.lift(pause);
        assert_eq!(world.lift(on_nothing), 0);
        let env = world.env(m1).unwrap();
        tokio::select! {
            biased;
            _ = env.files.exists(Path::new("f")) => panic!("the stall ended with the process"),
            () = world.sleep(ms(100)) => {}
        }
        call_with(&kit, "echo", "", Some("100m")).await.unwrap_err();
        assert!(world.lift(stall) > 0 && world.lift(cut) > 0);
        assert!(!env.files.exists(Path::new("f")).await.unwrap());
    }));
}

#[test]
fn lift_all_lifts_everything() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let mut tokens = world.partition(&[m1], &[c1]);
        assert_eq!(tokens.len(), 2);
        tokens.push(world.impose(Modifier::Pause(m1)));
        tokens.push(world.impose(Modifier::StallDisk(m1)));
        world.lift_all();
        assert!(round_trip(&world, &kit).await < ms(3));
        assert!(tokens.iter().all(|token| world.bites(*token) == 0));
    }));
}

#[test]
fn a_token_that_is_lifted_twice_is_the_harnesss_mistake() {
    let twice = |lift: fn(&World, Token)| {
        let failure = World::run(crate::world::WorldConfig::new(1), move |world| async move {
            let m1 = world.add_node("m1");
            world.start(m1, idle);
            let token = world.impose(Modifier::Pause(m1));
            lift(&world, token);
            world.lift(token);
        });
        failure.unwrap_err().0
    };
    assert!(
        twice(|world, token| {
            world.lift(token);
        })
        .contains("does not hold: Some((Pause(m1)")
    );
    assert!(twice(|world, _| world.lift_all()).contains("does not hold: Some((Pause(m1)"));
}
