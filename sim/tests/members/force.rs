//! A forced new cluster after all members lost power: everything that the survivor had acknowledged is there.

use super::*;

#[test]
fn a_survivor_keeps_what_it_acknowledged_though_the_power_went() {
    for seed in 80..90 {
        run(seed, move |world| async move {
            let names = ["m1", "m2", "m3"];
            let nodes = found(&world, &names);
            let env = client(&world);
            for name in names {
                ready(&world, &env, name).await;
            }
            for node in &nodes {
                world.impose(Modifier::SlowSync { node: *node, delay: SECOND / 50, jitter: SECOND / 50 });
            }
            let mut acknowledged = 0;
            let end = world.now().after(2 * SECOND);
            while world.now() < end {
                acknowledged = put(&env, "m1", "k", &"v".repeat(600)).await.expect("put");
            }
            // No disk keeps un-synced data.
            for node in &nodes {
                world.power_off(*node, Unsynced::Lost);
            }
            let forced =
                Config { force_new_cluster: true, ..config("m1", &["m1"], InitialClusterState::New) };
            world.start(nodes[0], member(forced));
            ready(&world, &env, "m1").await;
            let kv = get(&env, "m1", "k").await.expect("get").kvs.remove(0);
            assert!(
                kv.mod_revision >= acknowledged,
                "seed {seed}: revision {acknowledged} was acknowledged, and {} is the last",
                kv.mod_revision
            );
        });
    }
}
