//! How soon a member serves after a restart.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::*;

/// How soon a restarted member must serve: the time of an election, and a margin.
const SOON: Duration = Duration::from_secs(2);

/// Kills one member after the other, or takes its power, and restarts it: followers and leaders, while clients write.
#[test]
fn a_restarted_member_serves_soon() {
    let mut slowest = Duration::ZERO;
    for seed in 70..73 {
        let restarts = Arc::new(Mutex::new(BTreeMap::new()));
        let notes = restarts.clone();
        let finished = run(seed, |world| async move {
            let names = ["m1", "m2", "m3"];
            let nodes = found(&world, &names);
            let env = client(&world);
            for name in names {
                ready(&world, &env, name).await;
            }
            let end = world.now().after(30 * SECOND);
            let load = async {
                let mut writers = Vec::new();
                for _ in 0..4 {
                    writers.push(write_through_any(&world, &env, &names, end));
                }
                futures_util::future::join_all(writers).await;
            };
            let mut chance = world.chance().child("test").stream();
            let kills = async {
                while world.now() < end {
                    let victim = *chance.pick(&nodes).expect("some");
                    // A power cut closes no connections: the other members must notice it by themselves.
                    if chance.happens(0.5) {
                        world.power_off(victim, Unsynced::Drawn);
                    } else {
                        world.kill_process(victim);
                    }
                    world.sleep(Duration::from_millis(chance.within(100..2_500))).await;
                    world.restart(victim);
                    let process = (victim.name(), world.incarnation(victim));
                    notes.lock().expect("not poisoned").insert(process, world.now());
                    world.sleep(4 * SECOND).await;
                }
            };
            futures_util::join!(load, kills);
        });
        let restarts = restarts.lock().expect("not poisoned");
        let mut served = 0;
        for probed in finished.probes.iter().filter(|probed| probed.event == ProbeEvent::Ready) {
            let process = (probed.node.name(), probed.incarnation);
            let Some(from) = restarts.get(&process) else { continue };
            let took = probed.at.since(*from);
            assert!(took < SOON, "seed {seed}: {process:?} served after {took:?}");
            (slowest, served) = (slowest.max(took), served + 1);
        }
        assert_eq!(served, restarts.len(), "seed {seed}: some never served");
    }
    println!("the slowest took {slowest:?}");
}

async fn write_through_any(world: &World, env: &Env, names: &[&str], until: squall::world::At) {
    for i in 0.. {
        if world.now() >= until {
            return;
        }
        tokio::select! { biased;
            _ = put(env, names[i % names.len()], "k", "v") => {}
            () = world.sleep(SECOND / 4) => {}
        }
        world.sleep(SECOND / 200).await;
    }
}
