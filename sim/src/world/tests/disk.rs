//! Tests what a process finds on its disk after a crash, and how long disk operations take.

use std::path::Path;

use bytes::Bytes;
use squall_core::Batch;
use squall_store::seam::{EngineError, Env};

use super::kit::{idle_node, ms, run, sound};
use crate::world::{Modifier, NodeId, Unsynced, World};

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// Kills the node and starts it again.
fn crash(world: &World, node: NodeId) -> Env {
    world.power_off(node, Unsynced::Drawn);
    world.restart(node);
    world.env(node).expect("it has just started")
}

fn batch(number: u8) -> Batch {
    let mut batch = Batch::new();
    batch.put(Bytes::from(vec![number]), Bytes::from_static(b"v"));
    batch
}

#[test]
fn a_crash_keeps_what_was_synced_and_plays_dice_with_the_rest() {
    let (mut torn, mut kept, mut dropped) = (0, 0, 0);
    for seed in 0..60 {
        let finished = run(seed, |world| async move {
            let (m1, env) = idle_node(&world, "m1");
            env.files.create_dir_all(path("wal")).await.unwrap();
            let mut file = env.files.create(path("wal/0")).await.unwrap();
            file.append(Bytes::from(vec![1; 1000])).await.unwrap();
            file.sync().await.unwrap();
            env.files.sync_dir(path("wal")).await.unwrap();
            env.files.sync_dir(path("/")).await.unwrap();
            file.append(Bytes::from(vec![2; 3000])).await.unwrap();
            assert_eq!(file.len(), 4000);
            let env = crash(&world, m1);
            let left = env.files.read(path("wal/0")).await.unwrap();
            assert_eq!(left[..1000], [1; 1000]);
            assert!(left[1000..].iter().all(|byte| [0, 2].contains(byte)));
            left.len()
        });
        torn += finished.counters["disk.torn_writes"];
        kept += finished.counters["disk.kept_sectors"];
        dropped += finished.counters["disk.dropped_sectors"];
        let length = sound(finished);
        assert!(length == 1000 || length == 4000, "{length}");
    }
    assert!(torn > 10 && kept > 50 && dropped > 50, "torn {torn}, kept {kept}, dropped {dropped}");
}

#[test]
fn a_sync_that_the_crash_cuts_short_promises_nothing() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..40 {
        lengths.insert(sound(run(seed, |world| async move {
            let (m1, env) = idle_node(&world, "m1");
            let mut file = env.files.create(path("f")).await.unwrap();
            file.sync().await.unwrap();
            env.files.sync_dir(path("/")).await.unwrap();
            file.append(Bytes::from_static(b"data")).await.unwrap();
            tokio::select! {
                biased;
                result = file.sync() => panic!("a sync takes time: {result:?}"),
                () = world.sleep(ms(0)) => {}
            }
            crash(&world, m1).files.read(path("f")).await.unwrap().len()
        })));
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [0, 4]);
}

#[test]
fn entries_are_durable_once_their_directory_is_synced() {
    let mut fates = [0, 0];
    for seed in 0..40 {
        let (synced, unsynced) = sound(run(seed, |world| async move {
            let (m1, env) = idle_node(&world, "m1");
            for name in ["a.tmp", "b.tmp"] {
                let mut file = env.files.create(path(name)).await.unwrap();
                file.append(Bytes::from_static(b"x")).await.unwrap();
                file.sync().await.unwrap();
            }
            env.files.rename(path("a.tmp"), path("a")).await.unwrap();
            env.files.sync_dir(path("/")).await.unwrap();
            env.files.rename(path("b.tmp"), path("b")).await.unwrap();
            let env = crash(&world, m1);
            let names = env.files.list(path("/")).await.unwrap();
            assert_eq!(names.len(), 2, "a rename is atomic: {names:?}");
            (names.contains(&"a".to_owned()), names.contains(&"b".to_owned()))
        }));
        assert!(synced, "seed {seed}: a synced rename was undone");
        fates[usize::from(unsynced)] += 1;
    }
    assert!(fates[0] > 5 && fates[1] > 5, "{fates:?}");
}

#[test]
fn a_stall_holds_every_operation_of_its_node_until_it_ends() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let (_, other) = idle_node(&world, "m2");
        let mut file = env.files.create(path("f")).await.unwrap();
        let mut free = other.files.create(path("f")).await.unwrap();
        // A sync that is under way when the stall begins is held too.
        let stall = async {
            let stall = world.impose(Modifier::StallDisk(m1));
            world.sleep(ms(2000)).await;
            world.lift(stall)
        };
        let from = world.now();
        file.append(Bytes::from_static(b"x")).await.unwrap();
        let held = async {
            file.sync().await.unwrap();
            world.now().since(from)
        };
        let unheld = async {
            free.append(Bytes::from_static(b"x")).await.unwrap();
            free.sync().await.unwrap();
            world.now().since(from)
        };
        let reading = async {
            env.files.exists(path("f")).await.unwrap();
            world.now().since(from)
        };
        let (held, bites, unheld, reading) = futures_util::join!(held, stall, unheld, reading);
        assert!(held >= ms(2000) && held < ms(2001), "{held:?}");
        assert!(reading >= ms(2000) && reading < ms(2001), "{reading:?}");
        assert!(unheld < ms(1), "{unheld:?}");
        assert_eq!(bites, 2, "the sync and the look-up");
    }));
}

#[test]
fn a_slow_disk_takes_longer_for_each_sync_and_they_queue() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let mut one = env.files.create(path("1")).await.unwrap();
        let mut other = env.files.create(path("2")).await.unwrap();
        let from = world.now();
        one.sync().await.unwrap();
        assert!(world.now().since(from) >= std::time::Duration::from_micros(200));
        assert!(world.now().since(from) < ms(1));
        let slow = world.impose(Modifier::SlowSync { node: m1, delay: ms(100), jitter: ms(0) });
        let from = world.now();
        let (a, b) = futures_util::join!(one.sync(), other.sync());
        a.and(b).unwrap();
        let took = world.now().since(from);
        assert!(took >= ms(200) && took < ms(202), "{took:?}");
        assert_eq!(world.lift(slow), 2);
        let from = world.now();
        one.sync().await.unwrap();
        assert!(world.now().since(from) < ms(1));
        // Size counts: 8 MiB at 2 ms each.
        one.append(Bytes::from(vec![0; 8 << 20])).await.unwrap();
        let from = world.now();
        one.sync().await.unwrap();
        assert!(world.now().since(from) >= ms(16));
    }));
}

#[test]
fn an_engine_keeps_a_prefix_of_its_batches_that_holds_every_commit() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let length = sound(run(seed, |world| async move {
            let (m1, env) = idle_node(&world, "m1");
            let engine = env.engines.open(path("member/snap/db")).await.unwrap();
            for dir in ["member/snap", "member", "/"] {
                env.files.sync_dir(path(dir)).await.unwrap();
            }
            for number in 0..6 {
                engine.write(&batch(number));
                if number == 2 {
                    engine.commit().await.unwrap();
                }
            }
            assert_eq!(engine.view().unwrap().0.len(), 6);
            let env = crash(&world, m1);
            let engine = env.engines.open(path("member/snap/db")).await.unwrap();
            let view = engine.view().unwrap();
            for (number, (key, _)) in view.0.iter().enumerate() {
                assert_eq!(key[..], [number as u8], "no prefix: {view:?}");
            }
            view.0.len()
        }));
        lengths.insert(length);
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
}

#[test]
fn an_engine_has_one_owner_and_goes_where_its_folder_goes() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        let engine = env.engines.open(path("d/db")).await.unwrap();
        engine.write(&batch(1));
        engine.commit().await.unwrap();
        assert!(matches!(env.engines.open(path("d/db")).await, Err(EngineError::Locked(_))));
        engine.close().await;
        assert!(engine.view().is_err(), "it was closed");
        env.files.rename(path("d"), path("e")).await.unwrap();
        let engine = env.engines.open(path("e/db")).await.unwrap();
        assert_eq!(engine.view().unwrap().0.len(), 1);
        engine.replace(vec![(Bytes::from_static(b"n"), Bytes::from_static(b"w"))]).await.unwrap();
        assert_eq!(engine.view().unwrap().get(b"n").unwrap(), "w");
        world.power_off(m1, Unsynced::Drawn);
        assert!(world.wipe(m1, path("e")) || world.wipe(m1, path("d")));
        world.restart(m1);
        let env = world.env(m1).unwrap();
        assert!(!env.files.exists(path("e")).await.unwrap());
        env.files.create_dir_all(path("e/db")).await.unwrap();
        let engine = env.engines.open(path("e/db")).await.unwrap();
        assert_eq!(engine.view().unwrap().0, []);
        let mut file = env.files.create(path("file")).await.unwrap();
        file.append(Bytes::from_static(b"x")).await.unwrap();
        assert!(matches!(env.engines.open(path("file")).await, Err(EngineError::Io { .. })));
    }));
}

#[test]
fn an_operators_files_are_durable_and_copied_whole() {
    for seed in 0..10 {
        sound(run(seed, |world| async move {
            let (m1, env) = idle_node(&world, "m1");
            world.write_file(m1, path("/backup/s.db"), Bytes::from_static(b"snapshot")).unwrap();
            world.write_file(m1, path("/backup/s.db"), Bytes::from_static(b"newer")).unwrap();
            assert_eq!(env.files.read(path("backup/s.db")).await.unwrap(), "newer");
            let env = crash(&world, m1);
            assert_eq!(env.files.read(path("/backup/s.db")).await.unwrap(), "newer");
            assert_eq!(world.read_file(m1, path("/backup/s.db")).unwrap(), "newer");
            assert_eq!(world.read_file(m1, path("/backup/none")), None);
        }));
    }
}

#[test]
fn a_disk_that_is_rolled_back_is_as_a_reader_saw_it() {
    sound(run(1, |world| async move {
        let (m1, env) = idle_node(&world, "m1");
        env.files.create_dir_all(path("d")).await.unwrap();
        let mut file = env.files.create(path("d/f")).await.unwrap();
        file.append(Bytes::from_static(b"old")).await.unwrap();
        let engine = env.engines.open(path("d/db")).await.unwrap();
        engine.write(&batch(1));
        // Nothing is synced, but the copy has it all the same.
        let image = world.copy_disk(m1);
        file.append(Bytes::from_static(b"new")).await.unwrap();
        engine.write(&batch(2));
        env.files.create(path("d/later")).await.unwrap();
        for _ in 0..2 {
            world.power_off(m1, Unsynced::Lost);
            world.put_disk(m1, &image);
            world.power_off(m1, Unsynced::Lost);
            world.restart(m1);
            let env = world.env(m1).unwrap();
            assert_eq!(env.files.list(path("d")).await.unwrap(), ["db", "f"]);
            assert_eq!(env.files.read(path("d/f")).await.unwrap(), "old");
            let engine = env.engines.open(path("d/db")).await.unwrap();
            assert_eq!(engine.view().unwrap().0.len(), 1);
            // Writes after a rollback do not change the image.
            env.files.open(path("d/f")).await.unwrap().append(Bytes::from_static(b"other")).await.unwrap();
            engine.write(&batch(3));
        }
    }));
}
