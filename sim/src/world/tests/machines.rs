//! Tests the faults of disks, processors and clocks, as a process sees them.

use std::{io, path::Path, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use squall_store::seam::Env;

use super::kit::{idle_node, ms, run, sound, ticking};
use crate::world::{Damage, DiskWork, Modifier, NodeId, Unsynced, World};

const FILE: &str = "f";

async fn append(env: &Env, bytes: &'static str) -> io::Result<()> {
    env.files.open(Path::new(FILE)).await?.append(Bytes::from_static(bytes.as_bytes())).await
}

async fn sync(env: &Env) -> io::Result<()> {
    env.files.open(Path::new(FILE)).await?.sync().await
}

/// A node with an empty file whose name is durable.
async fn with_file(world: &World) -> (NodeId, Env) {
    let (m1, env) = idle_node(world, "m1");
    env.files.create(Path::new(FILE)).await.unwrap();
    env.files.sync_dir(Path::new("/")).await.unwrap();
    (m1, env)
}

#[test]
fn operations_of_the_kind_that_fails_fail_and_no_others() {
    sound(run(1, |world| async move {
        let (m1, env) = with_file(&world).await;
        let failing = |on| Modifier::FailingDisk { node: m1, on, per_mille: 1000, seed: 3 };
        let writes = world.impose(failing(DiskWork::Write));
        assert!(world.disk_fails(m1));
        assert_eq!(append(&env, "abc").await.unwrap_err().raw_os_error(), Some(libc::EIO));
        sync(&env).await.unwrap();
        assert_eq!(world.lift(writes), 1);
        let syncs = world.impose(failing(DiskWork::Fsync));
        append(&env, "def").await.unwrap();
        assert_eq!(sync(&env).await.unwrap_err().raw_os_error(), Some(libc::EIO));
        assert_eq!(world.lift(syncs), 1);
        let reads = world.impose(failing(DiskWork::Read));
        env.files.read(Path::new(FILE)).await.unwrap_err();
        env.engines.open(Path::new("db")).await.map(|_| ()).unwrap_err();
        assert_eq!(world.lift(reads), 2);
        assert!(!world.disk_fails(m1));
        append(&env, "ghi").await.unwrap();
        sync(&env).await.unwrap();
    }));
}

#[test]
fn a_full_disk_takes_what_there_is_room_for() {
    sound(run(1, |world| async move {
        let (m1, env) = with_file(&world).await;
        append(&env, "12345").await.unwrap();
        let full = world.impose(Modifier::FullDisk { node: m1, free_bytes: 4 });
        append(&env, "678").await.unwrap();
        assert_eq!(append(&env, "9abc").await.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(world.read_file(m1, Path::new(FILE)).unwrap(), "123456789", "a part of it is there");
        env.files.create(Path::new("g")).await.map(|_| ()).unwrap_err();
        sync(&env).await.unwrap();
        assert_eq!(world.lift(full), 2);
        append(&env, "9abc").await.unwrap();
    }));
}

/// What is left of a synced file after a power cut. `lifted`: the disk stopped lying before the cut.
fn left(lies: bool, lifted: bool) -> (usize, u64) {
    sound(run(1, move |world| async move {
        let (m1, env) = with_file(&world).await;
        let lie = lies.then(|| world.impose(Modifier::LyingSync(m1)));
        append(&env, "acknowledged").await.unwrap();
        sync(&env).await.unwrap();
        if let Some(lie) = lie.filter(|_| lifted) {
            assert_eq!(world.lift(lie), 1);
        }
        world.power_off(m1, Unsynced::Lost);
        (world.read_file(m1, Path::new(FILE)).unwrap().len(), world.broken_promises(m1))
    }))
}

#[test]
fn a_sync_that_lies_breaks_its_promise_at_a_power_cut_alone() {
    assert_eq!(left(false, false), (12, 0));
    assert_eq!(left(true, false), (0, 1));
    assert_eq!(left(true, true), (12, 0));
}

#[test]
fn a_slow_disk_lets_a_crash_land_within_an_append() {
    sound(run(1, |world| async move {
        let (m1, env) = with_file(&world).await;
        let slow = world.impose(Modifier::SlowWork { node: m1, delay: ms(10), jitter: ms(0) });
        let from = world.now();
        append(&env, "whole").await.unwrap();
        assert_eq!(world.now().since(from), ms(20), "an open and an append");
        let begun = append(&env, "never");
        tokio::select! {
            biased;
            _ = begun => panic!("it takes twenty milliseconds"),
            () = world.sleep(ms(15)) => {}
        }
        world.kill_process(m1);
        assert_eq!(world.read_file(m1, Path::new(FILE)).unwrap(), "whole");
        assert_eq!(world.lift(slow), 4);
    }));
}

#[test]
fn damage_is_where_it_says() {
    sound(run(1, |world| async move {
        let (m1, env) = with_file(&world).await;
        append(&env, "abcdefgh").await.unwrap();
        world.kill_process(m1);
        assert_eq!(world.damage(m1, Path::new("/nowhere"), Damage::FlipBit, 1), None);
        let told = world.damage(m1, Path::new("/"), Damage::FlipBit, 1).unwrap();
        let after = world.read_file(m1, Path::new(FILE)).unwrap();
        let flipped: u32 = after.iter().zip(b"abcdefgh").map(|(one, other)| (one ^ other).count_ones()).sum();
        assert_eq!((after.len(), flipped), (8, 1), "{told}");
        let told = world.damage(m1, Path::new("/"), Damage::Truncate, 1).unwrap();
        let left = world.read_file(m1, Path::new(FILE)).unwrap().len();
        assert!(left < 8 && told.ends_with(&format!("was cut from 8 to {left} bytes")), "{told}");
    }));
}

#[test]
fn a_slow_processor_takes_its_time_for_each_step() {
    sound(run(1, |world| async move {
        let (m1, ticks) = ticking(&world, "m1", ms(10));
        world.sleep(ms(1000)).await;
        let before = ticks.load(Ordering::Relaxed);
        assert!((99..=101).contains(&before), "{before}");
        let slow = world.impose(Modifier::SlowCpu { node: m1, poll: ms(50) });
        world.sleep(ms(1000)).await;
        let during = ticks.load(Ordering::Relaxed) - before;
        assert!((19..=21).contains(&during), "{during}");
        let bites = world.lift(slow);
        assert!((19..=21).contains(&bites), "{bites}");
        world.sleep(ms(1000)).await;
        assert!(ticks.load(Ordering::Relaxed) - before - during >= 95);
    }));
}

#[test]
fn a_slow_start_is_late_by_as_much() {
    sound(run(1, |world| async move {
        let (m1, ticks) = ticking(&world, "m1", ms(10));
        world.kill_process(m1);
        let slow = world.impose(Modifier::SlowStart { node: m1, delay: ms(500) });
        world.restart(m1);
        world.sleep(ms(500)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 0);
        world.sleep(ms(100)).await;
        assert!(ticks.load(Ordering::Relaxed) >= 9);
        assert_eq!(world.lift(slow), 1);
    }));
}

#[test]
fn timers_go_by_the_nodes_own_clock() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let sleep = async |duration: Duration| {
            let from = world.now();
            env.clock.sleep(duration).await;
            world.now().since(from)
        };
        assert_eq!(sleep(ms(100)).await, ms(100));
        let fast = world.impose(Modifier::Drift { node: m1, ppm: 1_000_000 });
        assert_eq!(sleep(ms(100)).await, ms(50));
        let shown = env.clock.monotonic();
        assert!(world.lift(fast) > 0);
        assert_eq!(env.clock.monotonic(), shown, "it never jumps");
        let slow = world.impose(Modifier::Drift { node: m1, ppm: -500_000 });
        assert_eq!(sleep(ms(100)).await, ms(200));
        // If the clock becomes slower meanwhile, the sleep ends later.
        let (took, ()) = tokio::join!(sleep(ms(100)), async {
            world.lift(slow);
            world.sleep(ms(50)).await;
            world.impose(Modifier::Drift { node: m1, ppm: -500_000 });
        });
        assert!(took >= ms(100) && took <= ms(200), "{took:?}");
    }));
}

#[test]
fn a_skew_ends_with_its_token() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let before = env.clock.wall();
        let skew = world.impose(Modifier::Skew { node: m1, nanoseconds: -3_000_000_000 });
        assert_eq!(before - env.clock.wall(), ms(3000));
        assert_eq!(world.lift(skew), 1);
        assert_eq!(env.clock.wall(), before);
    }));
}
