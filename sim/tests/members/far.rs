//! Members that are far apart: a round trip is longer than a heartbeat.

use squall::world::{Latency, NetSettings};

use super::*;

/// The delay in one direction. The heartbeat interval is 20 ms, so four heartbeats are in flight before the first is
/// answered.
const FAR: Duration = Duration::from_millis(40);

/// A member that lacks 3 MB of log catches up within seconds while clients write on, and the leader does not send it
/// much more than it lacks.
#[test]
fn a_member_far_away_catches_up() {
    for seed in 80..82 {
        let latency = Latency { base: FAR, jitter: Duration::ZERO };
        let world_config =
            WorldConfig { net: NetSettings { latency, ..NetSettings::default() }, ..WorldConfig::new(seed) };
        run_in(world_config, move |world| async move {
            let names = ["m1", "m2", "m3"];
            let nodes: Vec<NodeId> = names.iter().map(|name| world.add_node(name)).collect();
            for (node, name) in nodes.iter().zip(names) {
                let config = Config {
                    heartbeat_interval: Duration::from_millis(20),
                    snapshot_count: 100_000,
                    wal_segment_bytes: 64_000_000,
                    ..config(name, &names, InitialClusterState::New)
                };
                world.start(*node, member(config));
            }
            let env = client(&world);
            for name in names {
                ready(&world, &env, name).await;
            }
            world.power_off(nodes[0], Unsynced::Drawn);
            world.sleep(4 * SECOND).await;
            let value = "v".repeat(3_000);
            for i in 0..20 {
                let puts = (0..50).map(|j| {
                    let (env, key) = (&env, format!("{i}/{j}"));
                    let value = &value;
                    async move { put(env, names[1 + j % 2], &key, value).await.expect("put") }
                });
                futures_util::future::join_all(puts).await;
            }
            let sent = world.counters()["net.bytes"];
            world.restart(nodes[0]);
            let back = world.now();
            let end = back.after(6 * SECOND);
            let load = async {
                for i in 0.. {
                    if world.now() >= end {
                        break;
                    }
                    put(&env, names[1 + i % 2], "load", &value).await.expect("put");
                }
            };
            let mut caught_up = None;
            let watch = async {
                while caught_up.is_none() && world.now() < end {
                    world.sleep(SECOND / 10).await;
                    let applied = async |name| {
                        let status = MaintenanceClient::new(dial(&env, name)).status(StatusRequest {}).await;
                        status.map_or(0, |status| status.into_inner().raft_applied_index)
                    };
                    if applied("m1").await + 20 >= applied("m2").await {
                        caught_up = Some(world.now().since(back));
                    }
                }
            };
            futures_util::join!(load, watch);
            let sent = world.counters()["net.bytes"] - sent;
            println!("seed {seed}: caught up after {caught_up:?}, {} kB sent", sent / 1000);
            let caught_up = caught_up.expect("it catches up within 6 s");
            assert!(caught_up < 4 * SECOND, "seed {seed}: caught up after {caught_up:?}");
            assert!(sent < 12_000_000, "seed {seed}: {sent} bytes for 3 MB of log and a little load");
        });
    }
}
