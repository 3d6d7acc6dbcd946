//! Tests a machine's loss of power and a process's end: what the disk keeps, and what peers notice.

use std::path::Path;

use bytes::Bytes;
use squall_store::seam::Channel;
use tonic::Code;

use super::kit::{call, call_with, channel, idle_node, ms, run, serve_kit, sound};
use crate::world::{NodeId, PowerLoss, Status, Unsynced, Violation, World};

/// A server with an un-synced file, and a client that is connected to it.
async fn serving(world: &World) -> (NodeId, Channel) {
    let m1 = world.add_node("m1");
    world.start(m1, serve_kit);
    let (_, env) = idle_node(world, "c1");
    let kit = channel(&env, "m1");
    call(&kit, "echo", "").await.unwrap();
    let files = world.env(m1).unwrap().files;
    let mut file = files.create(Path::new("f")).await.unwrap();
    files.sync_dir(Path::new("/")).await.unwrap();
    file.append(Bytes::from(vec![7; 2000])).await.unwrap();
    (m1, kit)
}

fn page_cache(world: &World, node: NodeId) -> usize {
    world.read_file(node, Path::new("f")).unwrap().len()
}

async fn dial(world: &World) -> Result<Bytes, tonic::Status> {
    let number = world.counters()["net.dials"];
    let (_, env) = idle_node(world, &format!("dialler{number}"));
    call(&channel(&env, "m1"), "echo", "").await
}

#[test]
fn a_machine_without_power_loses_what_was_not_synced() {
    let mut losses = Vec::new();
    for seed in 0..20 {
        losses.push(sound(run(seed, |world| async move {
            let (m1, _) = serving(&world).await;
            let loss = world.power_off(m1, Unsynced::Drawn);
            assert_eq!((world.status(m1), world.env(m1).is_none()), (Status::Off, true));
            assert_eq!(world.power_off(m1, Unsynced::Drawn), PowerLoss::default(), "it is off");
            loss
        })));
    }
    assert!(losses.iter().any(|loss| loss.lost == 0) && losses.iter().any(|loss| loss.lost == 4));
    assert!(losses.iter().any(|loss| loss.torn_writes == 1 && (1..4).contains(&loss.lost)));
    // The page cache belongs to the machine: it is lost with the power, whether or not a process runs.
    sound(run(1, |world| async move {
        let (m1, _) = serving(&world).await;
        world.kill_process(m1);
        assert_eq!(page_cache(&world, m1), 2000);
        assert_eq!(world.power_off(m1, Unsynced::Lost).dropped_sectors, 4);
        assert_eq!(page_cache(&world, m1), 0);
    }));
}

#[test]
fn peers_of_a_machine_without_power_hear_nothing() {
    sound(run(1, |world| async move {
        let (m1, kit) = serving(&world).await;
        let off = async {
            world.sleep(ms(100)).await;
            world.power_off(m1, Unsynced::Drawn);
        };
        let from = world.now();
        // Nothing is in flight, so no timeout expires: the connection stays half-open.
        let (answer, ()) = futures_util::join!(call_with(&kit, "never", "", Some("60S")), off);
        assert_eq!(answer.unwrap_err().code(), Code::DeadlineExceeded);
        assert!(world.now().since(from) >= ms(60_000));
        assert_eq!(world.counters()["net.resets"], 0);
    }));
}

#[test]
fn a_half_open_connection_ends_at_the_senders_own_time_out() {
    sound(run(1, |world| async move {
        let (m1, kit) = serving(&world).await;
        world.power_off(m1, Unsynced::Drawn);
        let from = world.now();
        let status = call(&kit, "echo", "late").await.unwrap_err();
        assert!(status.message().contains("timed out"), "{status}");
        let took = world.now().since(from);
        assert!(took >= ms(5000) && took < ms(5010), "{took:?}");
        assert_eq!(world.counters()["net.resets"], 0);
    }));
}

#[test]
fn a_machine_that_is_on_again_answers_a_late_segment_with_a_reset() {
    sound(run(1, |world| async move {
        let (m1, kit) = serving(&world).await;
        world.power_off(m1, Unsynced::Drawn);
        let on = async {
            world.sleep(ms(500)).await;
            world.restart(m1);
        };
        let from = world.now();
        let (answer, ()) = futures_util::join!(call(&kit, "echo", "late"), on);
        let status = answer.unwrap_err();
        assert!(status.message().contains("reset"), "{status}");
        let took = world.now().since(from);
        // The segment is sent again at 0.2, 0.6 and 1.4 s.
        assert!(took > ms(600) && took < ms(605), "{took:?}");
        assert_eq!(call(&kit, "echo", "anew").await.unwrap(), "anew");
    }));
}

#[test]
fn a_dial_to_a_machine_without_power_hangs() {
    sound(run(1, |world| async move {
        let (m1, _) = serving(&world).await;
        world.power_off(m1, Unsynced::Drawn);
        let from = world.now();
        let status = dial(&world).await.unwrap_err();
        assert!(status.message().contains("timed out"), "{status}");
        let took = world.now().since(from);
        assert!(took >= ms(2000) && took < ms(2001), "{took:?}");
        // A start turns the machine on, and the retransmitted request is answered.
        let on = async {
            world.sleep(ms(500)).await;
            world.start(m1, serve_kit);
            assert_eq!(world.status(m1), Status::Up);
        };
        let from = world.now();
        let (answer, ()) = futures_util::join!(dial(&world), on);
        answer.unwrap();
        let took = world.now().since(from);
        assert!(took > ms(1000) && took < ms(1005), "{took:?}");
    }));
}

/// Kill, exit and panic: in each the machine stays on.
#[test]
fn a_process_that_ends_leaves_its_page_cache_tells_its_peers_and_refuses_dials() {
    for how in ["kill", "exit", "panic"] {
        let finished = run(1, move |world| async move {
            let (m1, kit) = serving(&world).await;
            let waiting = async {
                let status = call_with(&kit, "never", "", Some("9S")).await.unwrap_err();
                assert_eq!(status.code(), Code::Unavailable);
                assert!(
                    status.message().contains(if how == "exit" { "closed" } else { "reset" }),
                    "{status}"
                );
            };
            let end = async {
                world.sleep(ms(100)).await;
                match how {
                    "kill" => assert!(world.kill_process(m1) && !world.kill_process(m1)),
                    "exit" => assert!(world.stop(m1, ms(100)).await),
                    _ => {
                        call(&kit, "panic", "").await.unwrap_err();
                    }
                }
                world.now()
            };
            let ((), ended) = futures_util::join!(waiting, end);
            assert!(world.now().since(ended) < ms(2), "{how}: peers learn of it at once");
            match (how, world.status(m1)) {
                ("kill", Status::Down) | ("exit", Status::Exited(None)) | ("panic", Status::Panicked(_)) => {}
                (_, status) => panic!("{how}: {status:?}"),
            }
            assert_eq!(page_cache(&world, m1), 2000, "{how}");
            let from = world.now();
            let status = dial(&world).await.unwrap_err();
            assert!(status.message().contains("refused"), "{how}: {status}");
            assert!(world.now().since(from) < ms(3));
            world.restart(m1);
            assert_eq!(world.env(m1).unwrap().files.read(Path::new("f")).await.unwrap().len(), 2000);
        });
        match &finished.violations[..] {
            [] if how != "panic" => {}
            [Violation::Panic { .. }] if how == "panic" => {}
            other => panic!("{how}: {other:?}"),
        }
        finished.output.unwrap();
    }
}
