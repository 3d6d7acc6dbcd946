//! Members' ids: a member that has lost its disk refuses to start under its old id, and a joining member takes no
//! removed id.

use std::path::Path;

use super::*;

/// Three members, `m1` to `m3`, that have run for a while.
async fn three(world: &World) -> (Vec<NodeId>, Env) {
    let names = ["m1", "m2", "m3"];
    let nodes = found(world, &names);
    let env = client(world);
    for name in names {
        ready(world, &env, name).await;
    }
    for i in 0..30 {
        put(&env, names[i % 3], "k", &i.to_string()).await.expect("put");
    }
    (nodes, env)
}

/// The member loses its disk while it is down.
fn wipe(world: &World, node: NodeId) {
    world.power_off(node, Unsynced::Drawn);
    assert!(world.wipe(node, Path::new("/data")));
}

fn assert_lost(error: &str, why: &str) {
    assert!(error.contains("has lost data that it had acknowledged") && error.contains(why), "{error}");
    assert!(error.contains("member remove") && !error.contains('\n'), "{error}");
}

#[test]
fn a_founder_that_lost_its_disk_is_refused_time_and_again() {
    run(11, |world| async move {
        let (nodes, env) = three(&world).await;
        wipe(&world, nodes[2]);
        for state in [InitialClusterState::New, InitialClusterState::Existing, InitialClusterState::New] {
            world.start(nodes[2], member(config("m3", &["m1", "m2", "m3"], state)));
            assert_lost(&refusal(&world, nodes[2]).await, "says that it has run before");
        }
        put_in_the_end(&world, &env, "m1", "k", "on").await;
        assert_eq!(value(&env, "m2", "k").await, "on");
    });
}

/// Puts, and retries: if the member that lost its disk had led, the others must first elect another leader.
async fn put_in_the_end(world: &World, env: &Env, name: &str, key: &str, value: &str) {
    for _ in 0..5 {
        if put(env, name, key, value).await.is_ok() {
            return;
        }
        world.sleep(SECOND).await;
    }
    panic!("{name} takes no put");
}

/// No member answers at the start, so the member starts like a founder. Later the others hear from it.
#[test]
fn a_member_that_lost_its_disk_stops_once_it_reaches_the_others() {
    for seed in 20..24 {
        run(seed, |world| async move {
            let (nodes, env) = three(&world).await;
            wipe(&world, nodes[2]);
            let _cut = world.partition(&nodes[..2], &nodes[2..]);
            world.start(nodes[2], member(config("m3", &["m1", "m2", "m3"], InitialClusterState::New)));
            world.sleep(5 * SECOND).await;
            assert_eq!(world.status(nodes[2]), Status::Up);
            world.lift_all();
            assert_lost(&refusal(&world, nodes[2]).await, "");
            put_in_the_end(&world, &env, "m1", "k", "on").await;
        });
    }
}

/// An old image of the disk is put back. The leader knows what the member has acknowledged since then.
#[test]
fn a_member_whose_disk_was_rolled_back_stops() {
    for seed in 40..44 {
        run(seed, |world| async move {
            let (nodes, env) = three(&world).await;
            let leader = world.take_probes().into_iter().rev().find_map(|probed| match probed.event {
                ProbeEvent::Role { role: Role::Leader, .. } => Some(probed.node),
                _ => None,
            });
            let victim = *nodes.iter().find(|node| Some(**node) != leader).expect("a follower");
            let image = world.copy_disk(victim);
            for i in 0..20 {
                put(&env, victim.name(), "k", &i.to_string()).await.expect("put");
            }
            for _ in 0..2 {
                world.power_off(victim, Unsynced::Lost);
                world.put_disk(victim, &image);
                world.restart(victim);
                assert_lost(&refusal(&world, victim).await, "it has acknowledged entr");
            }
            put(&env, leader.expect("somebody leads").name(), "k", "on").await.expect("put");
        });
    }
}

/// `m1` lags: it still lists the old, removed `m5` at the URL of the new one.
#[test]
fn a_joiner_does_not_take_a_removed_id_from_a_member_that_lags() {
    for seed in 30..33 {
        run(seed, |world| async move {
            let names = ["m1", "m2", "m3", "m4", "m5"];
            let nodes = found(&world, &names);
            let env = client(&world);
            for name in names {
                ready(&world, &env, name).await;
            }
            world.sleep(8 * SECOND).await;
            let _cut = world.partition(&nodes[..1], &nodes[1..4]);
            world.sleep(3 * SECOND).await;
            wipe(&world, nodes[4]);
            world.sleep(6 * SECOND).await;
            let mut cluster = ClusterClient::new(dial(&env, "m2"));
            let list = cluster.member_list(MemberListRequest { linearizable: true }).await.expect("list");
            let members = list.into_inner().members;
            let id = members.iter().find(|member| member.name == "m5").expect("m5").id;
            cluster.member_remove(MemberRemoveRequest { id }).await.expect("remove");
            let url = "http://m5:2380".to_owned();
            let added =
                cluster.member_add(MemberAddRequest { peer_urls: vec![url], is_learner: false }).await;
            let added = added.expect("add").into_inner().member.expect("a member").id;
            world.start(nodes[4], member(config("m5", &names, InitialClusterState::Existing)));
            world.sleep(3 * SECOND).await;
            world.lift_all();
            ready(&world, &env, "m5").await;
            let header = get(&env, "m5", "k").await.expect("get").header.expect("a header");
            assert_eq!(header.member_id, added, "it is not who was added");
        });
    }
}
