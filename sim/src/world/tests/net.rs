//! Tests what a process sees of the network when links are cut and processes die.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use tonic::Code;

use super::kit::{call, call_with, channel, idle_node, ms, run, serve_kit, sound};
use crate::world::{Latency, Modifier, NeverSent};

#[test]
fn a_dialler_hangs_until_its_time_out_and_is_told_nothing() {
    for one_way in [None, Some(true), Some(false)] {
        sound(run(1, move |world| async move {
            let m1 = world.add_node("m1");
            world.start(m1, serve_kit);
            let (c1, env) = idle_node(&world, "c1");
            match one_way {
                None => drop(world.partition(&[m1], &[c1])),
                Some(true) => {
                    world.impose(Modifier::Cut { from: c1, to: m1 });
                }
                Some(false) => {
                    world.impose(Modifier::Cut { from: m1, to: c1 });
                }
            }
            let from = world.now();
            let status = call(&channel(&env, "m1"), "echo", "x").await.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable);
            assert!(status.source().is_some_and(|source| source.is::<NeverSent>()), "{status:?}");
            let took = world.now().since(from);
            assert!(took >= ms(2000) && took < ms(2001), "the dialler hung for {took:?}");
        }));
    }
}

#[test]
fn a_dial_that_began_in_a_partition_gets_through_after_it() {
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, serve_kit);
        let (c1, env) = idle_node(&world, "c1");
        world.partition(&[m1], &[c1]);
        let heal = async {
            world.sleep(ms(500)).await;
            world.lift_all();
        };
        let kit = channel(&env, "m1");
        let from = world.now();
        let (answer, ()) = futures_util::join!(call(&kit, "echo", "x"), heal);
        assert_eq!(answer.unwrap(), "x");
        let took = world.now().since(from);
        assert!(took > ms(1000) && took < ms(1010), "the second request leaves after 1 s: {took:?}");
    }));
}

#[test]
fn nobody_listening_is_refused_at_once() {
    sound(run(1, |world| async move {
        world.add_node("m1");
        let (_, env) = idle_node(&world, "c1");
        let from = world.now();
        let status = call(&channel(&env, "m1"), "echo", "x").await.unwrap_err();
        assert!(status.message().contains("refused"), "{status}");
        assert!(status.source().is_some_and(|source| source.is::<NeverSent>()));
        assert!(world.now().since(from) < ms(3));
        let status = call(&channel(&env, "nowhere"), "echo", "x").await.unwrap_err();
        assert!(status.message().contains("no such host"), "{status}");
    }));
}

#[test]
fn a_cut_swallows_and_a_heal_resumes_the_stream_without_a_hole() {
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, serve_kit);
        let (c1, env) = idle_node(&world, "c1");
        let kit = channel(&env, "m1");
        assert_eq!(call(&kit, "echo", "a").await.unwrap(), "a");
        let cut = world.impose(Modifier::Cut { from: c1, to: m1 });
        let body = Bytes::from(vec![7; 300_000]);
        let from = world.now();
        let heal = async {
            world.sleep(ms(1000)).await;
            assert!(world.counters()["net.lost"] > 0);
            world.lift(cut);
        };
        let (answer, ()) = futures_util::join!(call(&kit, "echo", body.clone()), heal);
        assert_eq!(answer.unwrap(), body);
        let took = world.now().since(from);
        // Retransmissions at 0.2, 0.6 and 1.4 s. At the last one the link is healed.
        assert!(took > ms(1400) && took < ms(1500), "resumed after {took:?}");
        let counters = world.counters();
        assert!(counters["net.resent"] > 0 && counters["net.timed_out"] == 0, "{counters:?}");
    }));
}

#[test]
fn a_connection_that_stays_cut_is_given_up_by_its_sender_alone() {
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, serve_kit);
        let (c1, env) = idle_node(&world, "c1");
        let kit = channel(&env, "m1");
        call(&kit, "echo", "a").await.unwrap();
        world.partition(&[c1], &[m1]);
        let from = world.now();
        let status = call(&kit, "echo", "b").await.unwrap_err();
        let took = world.now().since(from);
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.source().is_none(), "it may have arrived: {status:?}");
        assert!(took >= ms(5000) && took < ms(5010), "given up after {took:?}");
        world.lift_all();
        assert_eq!(call(&kit, "echo", "c").await.unwrap(), "c");
    }));
}

#[test]
fn a_one_way_cut_lets_bytes_through_and_still_ends_the_connection() {
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, serve_kit);
        let (c1, env) = idle_node(&world, "c1");
        let kit = channel(&env, "m1");
        call(&kit, "echo", "a").await.unwrap();
        // Requests arrive, answers and acknowledgements do not.
        world.impose(Modifier::Cut { from: m1, to: c1 });
        let before = world.counters()["net.lost"];
        let status = call(&kit, "echo", "b").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(world.counters()["net.lost"] > before, "the server answered into the cut");
    }));
}

#[test]
fn a_killed_process_resets_its_peers_if_the_link_is_up() {
    let took = |cut: bool| {
        sound(run(1, move |world| async move {
            let m1 = world.add_node("m1");
            world.start(m1, serve_kit);
            let (c1, env) = idle_node(&world, "c1");
            let kit = channel(&env, "m1");
            call(&kit, "echo", "a").await.unwrap();
            let kill = async {
                world.sleep(ms(100)).await;
                if cut {
                    world.impose(Modifier::Cut { from: m1, to: c1 });
                }
                world.kill_process(m1);
                world.lift_all();
            };
            let from = world.now();
            let waiting = async {
                let timeout = call_with(&kit, "never", "", Some("9S"));
                let status = timeout.await.unwrap_err();
                (status, world.now().since(from))
            };
            let ((status, took), ()) = futures_util::join!(waiting, kill);
            // A sender to the dead end gets a reset, once the link is up.
            let again = call(&kit, "echo", "b").await.unwrap_err();
            assert_eq!(again.code(), Code::Unavailable);
            (status.code(), took)
        }))
    };
    let (code, linked) = took(false);
    assert_eq!(code, Code::Unavailable);
    assert!(linked > ms(100) && linked < ms(102), "the reset took {linked:?}");
    // The reset is on its way when the link heals in the same instant, so cut and heal must not be one instant:
    let (code, unlinked) = took_with_lost_reset();
    assert_eq!(code, Code::DeadlineExceeded, "nobody was told");
    assert!(unlinked >= ms(9000), "{unlinked:?}");
}

fn took_with_lost_reset() -> (Code, Duration) {
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, serve_kit);
        let (c1, env) = idle_node(&world, "c1");
        let kit = channel(&env, "m1");
        call(&kit, "echo", "a").await.unwrap();
        let kill = async {
            world.sleep(ms(100)).await;
            world.impose(Modifier::Cut { from: m1, to: c1 });
            world.kill_process(m1);
            world.sleep(ms(100)).await;
            world.lift_all();
            world.restart(m1);
        };
        let from = world.now();
        let (result, ()) = futures_util::join!(call_with(&kit, "never", "", Some("9S")), kill);
        let took = world.now().since(from);
        // The cancellation of that call met the dead end, whose kernel answered with a reset: the next call dials.
        world.sleep(ms(10)).await;
        assert_eq!(call(&kit, "echo", "b").await.unwrap(), "b");
        (result.unwrap_err().code(), took)
    }))
}

#[test]
fn a_paused_process_accepts_and_acknowledges_and_reads_nothing() {
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, serve_kit);
        let (_, env) = idle_node(&world, "c1");
        world.sleep(ms(10)).await;
        let pause = world.impose(Modifier::Pause(m1));
        let kit = channel(&env, "m1");
        let resume = async {
            world.sleep(ms(20_000)).await;
            assert_eq!(world.counters()["net.timed_out"], 0, "the kernel acknowledges");
            world.lift(pause);
        };
        let from = world.now();
        let (answer, ()) = futures_util::join!(call(&kit, "echo", "x"), resume);
        assert_eq!(answer.unwrap(), "x");
        assert!(world.now().since(from) >= ms(20_000));
        assert_eq!(world.counters()["net.dials"], 1);
    }));
}

#[test]
fn one_stuck_client_holds_nobody_up() {
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, serve_kit);
        let (stuck, stuck_env) = idle_node(&world, "c1");
        let (_, env) = idle_node(&world, "c2");
        let stuck_kit = channel(&stuck_env, "m1");
        call(&stuck_kit, "echo", "x").await.unwrap();
        world.impose(Modifier::Pause(stuck));
        world.partition(&[stuck], &[m1]);
        let hanging = channel(&stuck_env, "m1");
        let others = async {
            let kit = channel(&env, "m1");
            for _ in 0..100 {
                assert_eq!(call(&kit, "echo", "y").await.unwrap(), "y");
            }
        };
        let from = world.now();
        let hang = call(&hanging, "echo", "z");
        let (_, ()) = futures_util::join!(async { drop(hang) }, others);
        assert!(world.now().since(from) < ms(200));
    }));
}

#[test]
fn latency_is_per_link_and_arrivals_keep_their_order() {
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, serve_kit);
        let (c1, env) = idle_node(&world, "c1");
        let (_, other) = idle_node(&world, "c2");
        let far = Latency { base: ms(100), jitter: ms(50) };
        let slow = world.impose(Modifier::Slow {
            from: c1,
            to: m1,
            latency: far,
            distribution: crate::world::Distribution::Uniform,
        });
        let (kit, near) = (channel(&env, "m1"), channel(&other, "m1"));
        call(&kit, "echo", "").await.unwrap();
        call(&near, "echo", "").await.unwrap();
        for _ in 0..20 {
            let from = world.now();
            call(&kit, "echo", "").await.unwrap();
            let took = world.now().since(from);
            assert!(took >= ms(100) && took < ms(153), "{took:?}");
            let from = world.now();
            call(&near, "echo", "").await.unwrap();
            assert!(world.now().since(from) < ms(2));
        }
        world.lift(slow);
        let from = world.now();
        call(&kit, "echo", "").await.unwrap();
        assert!(world.now().since(from) < ms(2));
    }));
}

#[test]
fn requests_on_different_connections_overtake_one_another() {
    sound(run(1, |world| async move {
        let m1 = world.add_node("m1");
        world.start(m1, serve_kit);
        let (_, env) = idle_node(&world, "c1");
        let kits = [channel(&env, "m1"), channel(&env, "m1")];
        for kit in &kits {
            call(kit, "echo", "").await.unwrap();
        }
        let mut overtaken = 0;
        for _ in 0..100 {
            let [first, second] = kits.each_ref().map(async |kit| {
                call(kit, "echo", "").await.unwrap();
                world.now()
            });
            let (first, second) = futures_util::join!(first, second);
            overtaken += u32::from(second < first);
        }
        assert!((20..80).contains(&overtaken), "{overtaken} of 100");
    }));
}
