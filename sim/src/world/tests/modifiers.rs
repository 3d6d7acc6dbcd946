//! Tests how long modifiers last, and that a token is lifted once.

use std::path::Path;

use super::kit::{call_with, idle, linked, ms, round_trip, run, sound};
use crate::world::{Modifier, Status, Token, Unsynced, World};

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
