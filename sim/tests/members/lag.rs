//! A member that lags must not refuse a request for an outdated reason, nor pair an old revision with new content.

use std::sync::{Arc, Mutex};

use squall_core::State;
use squall_store::{
    proto::etcdserverpb::SnapshotRequest,
    snapshot::{self, Backup},
};

use super::*;

/// Five members. `m1` is cut off from the others, but clients reach it. Meanwhile `m2` has removed `m5` and added a
/// member at another URL. Returns the id of the added member.
async fn with_one_behind(world: &World) -> (Env, u64) {
    let names = ["m1", "m2", "m3", "m4", "m5"];
    let nodes = found(world, &names);
    let env = client(world);
    for name in names {
        ready(world, &env, name).await;
    }
    world.sleep(8 * SECOND).await;
    let _cut = world.partition(&nodes[..1], &nodes[1..]);
    world.power_off(nodes[4], Unsynced::Drawn);
    world.sleep(8 * SECOND).await;
    let mut cluster = ClusterClient::new(dial(&env, "m2"));
    let list = cluster.member_list(MemberListRequest { linearizable: true }).await.expect("list");
    let members = list.into_inner().members;
    let id = members.iter().find(|member| member.name == "m5").expect("m5").id;
    cluster.member_remove(MemberRemoveRequest { id }).await.expect("remove");
    let peer_urls = vec!["http://m6:2380".to_owned()];
    let added = cluster.member_add(MemberAddRequest { peer_urls, is_learner: false }).await.expect("add");
    (env, added.into_inner().member.expect("a member").id)
}

#[test]
fn changes_of_the_membership_are_not_refused_from_stale_state() {
    run(41, |world| async move {
        let (env, added) = with_one_behind(&world).await;
        let mut cluster = ClusterClient::new(dial(&env, "m1"));
        // In m1's outdated state there is no such member, and m5's URL is taken.
        let removed = cluster.member_remove(MemberRemoveRequest { id: added }).await.expect_err("cut off");
        assert_eq!(removed.message(), "context deadline exceeded");
        let peer_urls = vec!["http://m5:2380".to_owned()];
        let again = MemberAddRequest { peer_urls, is_learner: false };
        let refused = cluster.member_add(again.clone()).await.expect_err("cut off");
        assert_eq!(refused.message(), "etcdserver: unhealthy cluster");
        // Once m1 is connected again, it decides as the others do.
        world.lift_all();
        world.sleep(8 * SECOND).await;
        cluster.member_remove(MemberRemoveRequest { id: added }).await.expect("removed");
        let gone = cluster.member_remove(MemberRemoveRequest { id: added }).await.expect_err("gone");
        assert_eq!(gone.code(), tonic::Code::NotFound, "{gone}");
        cluster.member_add(again.clone()).await.expect("added");
        // In the same second a new member would get the same id, and be refused for that.
        world.sleep(2 * SECOND).await;
        let twice = cluster.member_add(again).await.expect_err("its URL is taken");
        assert_eq!(twice.message(), "etcdserver: Peer URLs already exists");
    });
}

/// The whole snapshot of a member: the revision in its header, and the state that it holds.
async fn snapshot_of(env: &Env, name: &str) -> Option<(i64, State)> {
    let call = MaintenanceClient::new(dial(env, name)).snapshot(SnapshotRequest {}).await;
    let mut stream = call.ok()?.into_inner();
    let (mut revision, mut content) = (0, Vec::new());
    while let Some(response) = stream.message().await.ok()? {
        revision = response.header.expect("a header").revision;
        content.extend_from_slice(&response.blob);
    }
    let backup = snapshot::parse_backup(name, &content.into(), snapshot::Check::Checksum);
    let Backup::Buckets(buckets, _) = backup.expect("a whole snapshot") else {
        panic!("it is etcd's format")
    };
    let rows = squall_core::from_buckets(buckets).expect("rows of the store");
    Some((revision, State::restore(rows).expect("a state")))
}

#[test]
fn a_snapshot_call_during_an_install_pairs_what_belongs_together() {
    for seed in 50..52 {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let calls = asked.clone();
        let finished = run(seed, |world| async move {
            let names = ["m1", "m2", "m3"];
            let nodes = found(&world, &names);
            let env = client(&world);
            for name in names {
                ready(&world, &env, name).await;
            }
            for round in 0..3 {
                let _cut = world.partition(&nodes[..1], &nodes[1..]);
                // A cut-off leader notices after an election time-out, and the others need one to elect another leader.
                world.sleep(3 * SECOND).await;
                for i in 0..80 {
                    put(&env, names[1 + i % 2], &format!("{round}/{i}"), &"v".repeat(200))
                        .await
                        .expect("put");
                }
                // By then the others have released the part of the log that m1 lacks, and the connections into the cut
                // are dead. So m1 needs a snapshot, and its slow disk makes the install take long.
                world.sleep(7 * SECOND).await;
                world.lift_all();
                let delay = SECOND / 10;
                world.impose(Modifier::SlowSync { node: nodes[0], delay, jitter: Duration::ZERO });
                let until = world.now().after(5 * SECOND);
                while world.now() < until {
                    let from = world.now();
                    let asked = tokio::select! { biased;
                        asked = snapshot_of(&env, "m1") => asked,
                        () = world.sleep(SECOND) => None,
                    };
                    if let Some((revision, state)) = asked {
                        calls.lock().expect("not poisoned").push((from, world.now()));
                        assert_eq!(state.revision().0, revision);
                    }
                    world.sleep(SECOND / 200).await;
                }
            }
        });
        let asked = asked.lock().expect("not poisoned");
        let installed =
            |probed: &&squall::world::Probed| matches!(probed.event, ProbeEvent::SnapshotInstalled { .. });
        let installs: Vec<_> = finished.probes.iter().filter(installed).map(|probed| probed.at).collect();
        assert!(installs.len() >= 3, "seed {seed}: {} installs in three rounds", installs.len());
        let met = installs.iter().filter(|at| asked.iter().any(|(from, to)| from < at && *at <= to)).count();
        assert!(met >= 2, "seed {seed}: {met} of {} installs fell into a call", installs.len());
    }
}

#[test]
fn a_request_that_is_too_large_is_refused_as_by_etcd() {
    run(61, |world| async move {
        found(&world, &["m1"]);
        let env = client(&world);
        ready(&world, &env, "m1").await;
        let refused = put(&env, "m1", "k", &"v".repeat(1_600_000)).await.expect_err("over 1.5 MiB");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert_eq!(refused.message(), "etcdserver: request is too large");
        let refused = put(&env, "m1", "k", &"v".repeat(2_200_000)).await.expect_err("over 2 MiB");
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().starts_with("grpc: received message larger than max (22"), "{refused}");
        assert!(refused.message().ends_with(" vs. 2097152)"), "{refused}");
    });
}
