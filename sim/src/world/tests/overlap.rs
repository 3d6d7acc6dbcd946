//! Tests that after the first of two overlapping faults of one kind ends, the second still has its effect. Every kind
//! of modifier has a test here: the list at the top does not compile without a line for each.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use squall_store::seam::{Channel, Env, Point};

use super::kit::{call, call_with, idle_node, linked, ms, round_trip, run, sound, ticking};
use crate::world::{
    DiskWork, Distribution, Latency, LossShows, Modifier, NodeId, PointEffect, PointRule, PointSet, Status,
    Unsynced, World,
};

macro_rules! tested_by {
    ($($Kind:ident: $test:ident),+ $(,)?) => {
        const _: fn(&Modifier) -> fn() = |modifier| match modifier {
            $(Modifier::$Kind { .. } => $test),+
        };
    };
}

tested_by! {
    Pause: of_two_pauses_the_second_still_withholds,
    Cut: of_two_cuts_the_second_still_swallows,
    Slow: of_two_slow_links_the_second_still_delays,
    Flap: of_two_flapping_links_the_second_still_swallows,
    Loss: of_two_losses_the_second_still_loses,
    Narrow: of_two_narrow_links_the_second_is_still_narrow,
    ForgetIdle: of_two_forgetful_devices_the_second_still_forgets,
    StallDisk: of_two_stalls_the_second_still_holds,
    SlowSync: of_two_slow_syncs_the_second_still_delays,
    Points: of_two_rules_for_a_point_the_second_is_still_armed,
    SlowWork: of_two_slow_disks_the_second_still_delays,
    FailingDisk: of_two_failing_disks_the_second_still_fails,
    FullDisk: of_two_full_disks_the_second_is_still_full,
    SlowCpu: of_two_slow_processors_the_second_is_still_slow,
    SlowStart: of_two_slow_starts_the_second_is_still_late,
    Skew: of_two_skews_the_second_still_shifts,
    Drift: of_two_drifts_the_second_still_stretches,
    LyingSync: of_two_lies_the_second_still_lies,
}

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
fn of_two_flapping_links_the_second_still_swallows() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        // Both are down for as long as this test needs.
        let flap = |seed| Modifier::Flap { from: c1, to: m1, down: ms(60_000), up: ms(60_000), seed };
        let (first, second) = (world.impose(flap(1)), world.impose(flap(2)));
        call_with(&kit, "echo", "", Some("500m")).await.unwrap_err();
        assert!(world.lift(first) > 0);
        let before = world.bites(second);
        call_with(&kit, "echo", "", Some("500m")).await.unwrap_err();
        assert!(world.lift(second) > before, "the second swallowed nothing more");
        world.sleep(ms(2_000)).await;
        assert!(round_trip(&world, &kit).await < ms(3));
    }));
}

#[test]
fn of_two_losses_the_second_still_loses() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let loss = |seed| Modifier::Loss { from: c1, to: m1, per_mille: 1000, shows: LossShows::Reset, seed };
        let (first, second) = (world.impose(loss(1)), world.impose(loss(2)));
        call(&kit, "echo", "").await.unwrap_err();
        assert!(world.lift(first) > 0);
        let before = world.bites(second);
        call(&kit, "echo", "").await.unwrap_err();
        assert!(world.lift(second) > before, "the second lost nothing more");
        call(&kit, "echo", "").await.unwrap();
    }));
}

#[test]
fn of_two_narrow_links_the_second_is_still_narrow() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let narrow =
            |bytes_per_second| Modifier::Narrow { from: c1, to: m1, bytes_per_second, buffer_bytes: 1 << 20 };
        let (first, second) = (world.impose(narrow(10_000)), world.impose(narrow(20_000)));
        let took = send(&world, &kit).await;
        assert!(took > ms(1_000) && took < ms(1_100), "the narrower decides: {took:?}");
        assert!(world.lift(first) > 0);
        let before = world.bites(second);
        let took = send(&world, &kit).await;
        assert!(took > ms(500) && took < ms(600), "{took:?}");
        assert!(world.lift(second) > before);
        assert!(send(&world, &kit).await < ms(10));
    }));
}

/// How long it takes to send ten thousand bytes.
async fn send(world: &World, kit: &Channel) -> Duration {
    let from = world.now();
    call(kit, "echo", vec![7; 10_000]).await.unwrap();
    world.now().since(from)
}

#[test]
fn of_two_forgetful_devices_the_second_still_forgets() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let forgets = |idle| Modifier::ForgetIdle { from: c1, to: m1, idle };
        let (first, second) = (world.impose(forgets(ms(300))), world.impose(forgets(ms(800))));
        world.sleep(ms(500)).await;
        call_with(&kit, "echo", "", Some("1S")).await.unwrap_err();
        assert_eq!(
            (world.lift(first), world.bites(second)),
            (1, 0),
            "idle for long enough for the first alone"
        );
        // By then the client has given the connection up, and makes another.
        world.sleep(ms(6_000)).await;
        call(&kit, "echo", "").await.unwrap();
        world.sleep(ms(500)).await;
        call(&kit, "echo", "").await.unwrap();
        world.sleep(ms(1_000)).await;
        call_with(&kit, "echo", "", Some("1S")).await.unwrap_err();
        assert_eq!(world.lift(second), 1);
    }));
}

#[test]
fn of_two_rules_for_a_point_the_second_is_still_armed() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let stalls = |milliseconds| Modifier::Points {
            node: m1,
            rule: PointRule {
                points: PointSet::all(),
                effect: PointEffect::Stall(ms(milliseconds)),
                live_per_mille: 1_000,
                visits_per_mille: 1_000,
                times: 10,
                seed: milliseconds,
            },
        };
        let visit = async || {
            let from = world.now();
            env.points.reached(Point::ApplyBeforeEntries).await;
            world.now().since(from)
        };
        let (first, second) = (world.impose(stalls(100)), world.impose(stalls(30)));
        assert_eq!(visit().await, ms(100), "at a point one thing happens: what was imposed first");
        assert_eq!((world.lift(first), world.bites(second)), (1, 0));
        assert_eq!(visit().await, ms(30));
        assert_eq!(world.lift(second), 1);
        assert_eq!(visit().await, ms(0));
    }));
}

/// A node with an empty file whose name is durable.
async fn with_file(world: &World) -> (NodeId, Env) {
    let (m1, env) = idle_node(world, "m1");
    env.files.create(Path::new("f")).await.unwrap();
    env.files.sync_dir(Path::new("/")).await.unwrap();
    (m1, env)
}

async fn append(env: &Env, bytes: &'static str) -> Result<(), Option<i32>> {
    let written =
        async { env.files.open(Path::new("f")).await?.append(Bytes::from_static(bytes.as_bytes())).await };
    written.await.map_err(|error: std::io::Error| error.raw_os_error())
}

#[test]
fn of_two_slow_disks_the_second_still_delays() {
    sound(run(1, |world| async move {
        let (m1, env) = with_file(&world).await;
        let slow = |delay| Modifier::SlowWork { node: m1, delay, jitter: ms(0) };
        let takes = async || {
            let from = world.now();
            append(&env, "x").await.unwrap();
            world.now().since(from)
        };
        let (first, second) = (world.impose(slow(ms(20))), world.impose(slow(ms(5))));
        assert_eq!(takes().await, ms(50), "an open and an append");
        assert_eq!(world.lift(first), 2);
        assert_eq!(takes().await, ms(10));
        assert_eq!(world.lift(second), 4);
        assert_eq!(takes().await, ms(0));
    }));
}

#[test]
fn of_two_failing_disks_the_second_still_fails() {
    sound(run(1, |world| async move {
        let (m1, env) = with_file(&world).await;
        let failing = |seed| Modifier::FailingDisk { node: m1, on: DiskWork::Write, per_mille: 1000, seed };
        let (first, second) = (world.impose(failing(1)), world.impose(failing(2)));
        assert_eq!(append(&env, "x").await, Err(Some(libc::EIO)));
        assert_eq!(world.lift(first), 1);
        assert!(world.disk_fails(m1));
        assert_eq!(append(&env, "x").await, Err(Some(libc::EIO)));
        assert_eq!(world.lift(second), 2);
        append(&env, "x").await.unwrap();
    }));
}

#[test]
fn of_two_full_disks_the_second_is_still_full() {
    sound(run(1, |world| async move {
        let (m1, env) = with_file(&world).await;
        let full = |free_bytes| Modifier::FullDisk { node: m1, free_bytes };
        let (first, second) = (world.impose(full(4)), world.impose(full(8)));
        assert_eq!(append(&env, "12345").await, Err(Some(libc::ENOSPC)));
        assert_eq!((world.lift(first), world.bites(second)), (1, 0), "the second has room for more");
        append(&env, "567").await.unwrap();
        assert_eq!(append(&env, "89").await, Err(Some(libc::ENOSPC)));
        assert_eq!(world.lift(second), 1);
        append(&env, "9").await.unwrap();
        assert_eq!(world.read_file(m1, Path::new("f")).unwrap(), "123456789");
    }));
}

/// How much of a synced file is left after a power cut, if so many of two lies were lifted before it.
fn left(lifted: usize) -> usize {
    sound(run(1, move |world| async move {
        let (m1, env) = with_file(&world).await;
        let lies = [world.impose(Modifier::LyingSync(m1)), world.impose(Modifier::LyingSync(m1))];
        append(&env, "first").await.unwrap();
        env.files.open(Path::new("f")).await.unwrap().sync().await.unwrap();
        for lie in &lies[..lifted] {
            assert_eq!(world.lift(*lie), 1);
        }
        append(&env, "second").await.unwrap();
        env.files.open(Path::new("f")).await.unwrap().sync().await.unwrap();
        lies[lifted..].iter().for_each(|lie| assert_eq!(world.bites(*lie), 2));
        world.power_off(m1, Unsynced::Lost);
        world.read_file(m1, Path::new("f")).unwrap().len()
    }))
}

#[test]
fn of_two_lies_the_second_still_lies() {
    assert_eq!(left(0), 0);
    assert_eq!(left(1), 0, "the second's syncs are durable, or the first's promises kept");
    assert_eq!(left(2), "firstsecond".len());
}

#[test]
fn of_two_slow_processors_the_second_is_still_slow() {
    sound(run(1, |world| async move {
        let (m1, ticks) = ticking(&world, "m1", ms(10));
        let during_a_second = async || {
            let before = ticks.load(Ordering::Relaxed);
            world.sleep(ms(1000)).await;
            ticks.load(Ordering::Relaxed) - before
        };
        let slow = |poll| Modifier::SlowCpu { node: m1, poll };
        let (first, second) = (world.impose(slow(ms(60))), world.impose(slow(ms(40))));
        let both = during_a_second().await;
        assert!((9..=11).contains(&both), "{both}");
        assert!(world.lift(first) > 0);
        let before = world.bites(second);
        let one = during_a_second().await;
        assert!((23..=26).contains(&one), "{one}");
        assert!(world.lift(second) > before);
        let none = during_a_second().await;
        assert!(none >= 95, "{none}");
    }));
}

#[test]
fn of_two_slow_starts_the_second_is_still_late() {
    sound(run(1, |world| async move {
        let (m1, ticks) = ticking(&world, "m1", ms(10));
        let slow = |delay| Modifier::SlowStart { node: m1, delay };
        let (first, second) = (world.impose(slow(ms(500))), world.impose(slow(ms(200))));
        let ticks_after = async |wait| {
            world.kill_process(m1);
            let before = ticks.load(Ordering::Relaxed);
            world.restart(m1);
            world.sleep(wait).await;
            ticks.load(Ordering::Relaxed) - before
        };
        assert_eq!(ticks_after(ms(700)).await, 0);
        assert_eq!(world.lift(first), 1);
        assert_eq!(ticks_after(ms(200)).await, 0);
        assert!(ticks_after(ms(300)).await >= 9);
        assert_eq!(world.lift(second), 3);
        assert!(ticks_after(ms(100)).await >= 9);
    }));
}

#[test]
fn of_two_skews_the_second_still_shifts() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let before = env.clock.wall();
        let skew = |seconds: i64| Modifier::Skew { node: m1, nanoseconds: seconds * 1_000_000_000 };
        let (first, second) = (world.impose(skew(-3)), world.impose(skew(1)));
        assert_eq!(env.clock.wall(), before - ms(2000));
        assert_eq!(world.lift(first), 1);
        assert_eq!(env.clock.wall(), before + ms(1000));
        assert_eq!(world.lift(second), 2);
        assert_eq!(env.clock.wall(), before);
    }));
}

/// Else a timer that was set on a clock at a hundredth of its rate would end a hundred times too late.
#[test]
fn a_sleep_on_a_slow_clock_ends_in_time_once_the_drift_is_lifted() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let (from, slow) = (world.now(), world.impose(Modifier::Drift { node: m1, ppm: -990_000 }));
        let sleeps = async {
            env.clock.sleep(ms(150)).await;
            world.now().since(from)
        };
        let lifts = async {
            world.sleep(ms(100)).await;
            world.lift(slow)
        };
        let (slept, bites) = futures_util::join!(sleeps, lifts);
        assert!(bites > 0 && slept >= ms(249) && slept <= ms(251), "{slept:?}");
    }));
}

#[test]
fn of_two_drifts_the_second_still_stretches() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let takes = async || {
            let from = world.now();
            env.clock.sleep(ms(150)).await;
            world.now().since(from)
        };
        let drift = |ppm| Modifier::Drift { node: m1, ppm };
        let (first, second) = (world.impose(drift(1_000_000)), world.impose(drift(-500_000)));
        assert_eq!(takes().await, ms(100));
        assert!(world.lift(first) > 0);
        let before = world.bites(second);
        assert_eq!(takes().await, ms(300));
        assert!(world.lift(second) > before);
        assert_eq!(takes().await, ms(150));
    }));
}
