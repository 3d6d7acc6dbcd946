//! Tests the faults of links and connections other than cuts, as a client sees them.

use std::time::Duration;

use super::kit::{call, call_with, linked, ms, round_trip, run, sound};
use crate::world::{LossShows, Modifier, NetSettings, World, WorldConfig};

#[test]
fn a_loss_that_is_late_delays_and_loses_nothing() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let lossy = |seed| Modifier::Loss { from: c1, to: m1, per_mille: 300, shows: LossShows::Late, seed };
        let loss = world.impose(lossy(1));
        let mut times = Vec::new();
        for _ in 0..40 {
            times.push(round_trip(&world, &kit).await);
        }
        let late = times.iter().filter(|took| **took >= ms(200)).count();
        assert!((5..25).contains(&late), "{times:?}");
        assert!(times.iter().any(|took| *took >= ms(600)), "none was lost twice: {times:?}");
        assert_eq!(world.lift(loss), late as u64);
        assert!(round_trip(&world, &kit).await < ms(3));
    }));
}

#[test]
fn a_loss_that_is_a_reset_ends_the_connection() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let loss = world.impose(Modifier::Loss {
            from: m1,
            to: c1,
            per_mille: 1000,
            shows: LossShows::Reset,
            seed: 1,
        });
        call(&kit, "echo", "").await.unwrap_err();
        assert!(world.lift(loss) > 0);
        assert!(world.counters()["net.resets"] > 0);
        call(&kit, "echo", "").await.unwrap();
    }));
}

#[test]
fn a_narrow_link_takes_its_time_and_makes_senders_wait() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let narrow =
            |buffer_bytes| Modifier::Narrow { from: c1, to: m1, bytes_per_second: 10_000, buffer_bytes };
        let link = world.impose(narrow(1 << 20));
        let from = world.now();
        call(&kit, "echo", vec![7; 30_000]).await.unwrap();
        let took = world.now().since(from);
        assert!(took > ms(3_000) && took < ms(3_200), "{took:?}");
        assert!(world.lift(link) > 0);
        // Two calls on one connection: the second waits until the first has left the buffer.
        let link = world.impose(narrow(4_096));
        let (one, other) =
            tokio::join!(call(&kit, "echo", vec![7; 16_000]), call(&kit, "echo", vec![7; 16_000]));
        assert_eq!((one.unwrap().len(), other.unwrap().len()), (16_000, 16_000));
        assert!(world.lift(link) > 0);
        // A sender that is waiting when the fault ends continues.
        let link = world.impose(narrow(1_024));
        let calls =
            async { tokio::join!(call(&kit, "echo", vec![7; 9_000]), call(&kit, "echo", vec![7; 9_000])) };
        let mend = async {
            world.sleep(ms(100)).await;
            world.lift(link)
        };
        let ((one, other), bit) = tokio::join!(calls, mend);
        assert!(one.is_ok() && other.is_ok() && bit > 0);
        assert!(round_trip(&world, &kit).await < ms(3));
    }));
}

#[test]
fn a_flapping_link_lets_through_now_and_then() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let flap = |from, to| Modifier::Flap { from, to, down: ms(300), up: ms(300), seed: 5 };
        let both = [world.impose(flap(c1, m1)), world.impose(flap(m1, c1))];
        let mut fast = 0;
        for _ in 0..60 {
            world.sleep(ms(20)).await;
            fast += usize::from(round_trip(&world, &kit).await < ms(3));
        }
        assert!((5..60).contains(&fast), "{fast}");
        assert!(both.map(|token| world.lift(token)).iter().sum::<u64>() > 5);
        world.sleep(ms(1_000)).await;
        assert!(round_trip(&world, &kit).await < ms(3));
    }));
}

#[test]
fn a_reset_ends_every_connection_at_both_ends() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let never = call(&kit, "never", "");
        let reset = async {
            world.sleep(ms(10)).await;
            world.reset_connections(c1, m1)
        };
        let (ended, count) = tokio::join!(never, reset);
        assert_eq!((ended.unwrap_err().code(), count), (tonic::Code::Unavailable, 1));
        assert_eq!(world.reset_connections(m1, c1), 0, "it is over");
        call(&kit, "echo", "").await.unwrap();
    }));
}

/// How long a call hangs on a forgotten connection, with keep-alives after `keep_alive`. `None` if it never ends.
fn hangs(keep_alive: Option<Duration>) -> Option<Duration> {
    let net = NetSettings { keep_alive, ..NetSettings::default() };
    let config = WorldConfig { net, ..WorldConfig::new(1) };
    let finished = World::run(config, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let from = world.now();
        let never = async { call(&kit, "never", "").await.unwrap_err() };
        let forget = async {
            world.sleep(ms(10)).await;
            assert_eq!(world.forget_connections(c1, m1), 1);
            world.sleep(ms(60_000)).await;
        };
        tokio::select! {
            biased;
            status = never => {
                assert_eq!(status.code(), tonic::Code::Unavailable);
                Some(world.now().since(from))
            }
            () = forget => None,
        }
    });
    sound(finished.unwrap())
}

#[test]
fn who_only_listens_notices_a_dead_connection_by_keep_alives_alone() {
    assert_eq!(hangs(None), None);
    // The keep-alive is sent after two seconds, and the connection is given up five seconds later.
    let noticed = hangs(Some(ms(2_000))).expect("keep-alives notice it");
    assert!(noticed > ms(6_500) && noticed < ms(9_500), "{noticed:?}");
}

#[test]
fn who_sends_notices_a_dead_connection_by_itself() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        assert_eq!(world.forget_connections(m1, c1), 1);
        let from = world.now();
        call(&kit, "echo", "").await.unwrap_err();
        let took = world.now().since(from);
        assert!(took >= ms(5_000) && took < ms(6_000), "{took:?}");
        assert!(round_trip(&world, &kit).await < ms(5));
    }));
}

#[test]
fn a_connection_that_was_idle_for_too_long_is_forgotten() {
    sound(run(1, |world| async move {
        let (m1, c1, kit) = linked(&world).await;
        let idle = world.impose(Modifier::ForgetIdle { from: c1, to: m1, idle: ms(500) });
        for _ in 0..20 {
            world.sleep(ms(300)).await;
            call(&kit, "echo", "").await.unwrap();
        }
        assert_eq!(world.bites(idle), 0, "it carried something in time");
        world.sleep(ms(600)).await;
        call_with(&kit, "echo", "", Some("1S")).await.unwrap_err();
        assert_eq!(world.lift(idle), 1);
        world.sleep(ms(6_000)).await;
        call(&kit, "echo", "").await.unwrap();
    }));
}

/// Dropping a fault does not change the draws of the others.
#[test]
fn a_loss_moves_no_draw_of_its_link() {
    let delays = |lossy: bool| {
        sound(run(1, move |world| async move {
            let (m1, c1, kit) = linked(&world).await;
            let shows = LossShows::Late;
            // With a loss of one in a thousand, none of these few is lost.
            let loss = Modifier::Loss { from: c1, to: m1, per_mille: 1, shows, seed: 9 };
            let token = lossy.then(|| world.impose(loss));
            let mut times = Vec::new();
            for _ in 0..20 {
                times.push(round_trip(&world, &kit).await);
            }
            assert_eq!(token.map_or(0, |token| world.lift(token)), 0);
            times
        }))
    };
    assert_eq!(delays(false), delays(true));
}
