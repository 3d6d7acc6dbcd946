//! The store as a whole, in the simulated world: members found a cluster, serve clients, crash, come back, are
//! replaced, and install snapshots. Scenarios do much more. When a scenario fails, look at these tests first, since
//! nothing here depends on a schedule of faults.
#![cfg(madsim)]

mod far;
mod force;
mod identity;
mod lag;
mod points;
mod restarts;

use std::time::Duration;

use squall::world::{Modifier, NodeId, Process, Status, Unsynced, World, WorldConfig};
use squall_store::{
    Config, InitialClusterState,
    proto::etcdserverpb::{
        HashKvRequest, MemberAddRequest, MemberListRequest, MemberRemoveRequest, PutRequest, RangeRequest,
        RangeResponse, StatusRequest, cluster_client::ClusterClient, kv_client::KvClient,
        maintenance_client::MaintenanceClient,
    },
    seam::{BoxFuture, Channel, DialOptions, Env, ProbeEvent, Role},
    server::{self, Exit},
};

const SECOND: Duration = Duration::from_secs(1);

fn config(name: &str, members: &[&str], state: InitialClusterState) -> Config {
    Config {
        name: name.into(),
        data_dir: "/data".into(),
        listen_client: vec![format!("{name}:2379")],
        advertise_client_urls: vec![format!("http://{name}:2379")],
        listen_peer: vec![format!("{name}:2380")],
        advertise_peer_urls: vec![format!("http://{name}:2380")],
        initial_cluster: members.iter().map(|m| (m.to_string(), format!("http://{m}:2380"))).collect(),
        initial_cluster_state: state,
        snapshot_count: 20,
        snapshot_catchup_entries: 10,
        wal_segment_bytes: 4096,
        ..Config::default()
    }
}

/// Runs a member until it is asked to stop.
fn member(
    config: Config,
) -> impl Fn(Process) -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static {
    move |process| {
        let config = config.clone();
        Box::pin(async move {
            let server =
                server::start(config, process.env.clone()).await.map_err(|error| error.to_string())?;
            tokio::select! { biased;
                () = process.stop_requested() => match server.stop().await {
                    Exit::Requested => Ok(()),
                    exit => Err(format!("{exit:?}")),
                },
                exit = server.stopped() => Err(format!("{exit:?}")),
            }
        })
    }
}

fn found(world: &World, names: &[&str]) -> Vec<NodeId> {
    let start = |name: &&str| {
        let node = world.add_node(name);
        world.start(node, member(config(name, names, InitialClusterState::New)));
        node
    };
    names.iter().map(start).collect()
}

/// A machine for a client.
fn client(world: &World) -> Env {
    let node = world.add_node("client");
    world.start(node, |_| Box::pin(std::future::pending()));
    world.env(node).expect("the process runs")
}

fn dial(env: &Env, name: &str) -> Channel {
    env.net.dial(&format!("{name}:2379"), DialOptions::default())
}

async fn put(env: &Env, name: &str, key: &str, value: &str) -> Result<i64, tonic::Status> {
    let request =
        PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() };
    let response = KvClient::new(dial(env, name)).put(request).await?;
    Ok(response.into_inner().header.expect("a header").revision)
}

async fn get(env: &Env, name: &str, key: &str) -> Result<RangeResponse, tonic::Status> {
    let request = RangeRequest { key: key.to_owned().into(), ..Default::default() };
    Ok(KvClient::new(dial(env, name)).range(request).await?.into_inner())
}

/// Waits until a member serves.
async fn ready(world: &World, env: &Env, name: &str) {
    for _ in 0..200 {
        if get(env, name, "k").await.is_ok() {
            return;
        }
        world.sleep(SECOND / 10).await;
    }
    panic!("{name} does not serve");
}

/// As [`get`], but with a time limit.
async fn get_soon(world: &World, env: &Env, name: &str, key: &str) -> RangeResponse {
    tokio::select! { biased;
        response = get(env, name, key) => response.unwrap_or_else(|status| panic!("{name}: {status}")),
        () = world.sleep(20 * SECOND) => {
            let status = world.status(world.node(name).expect("a node"));
            panic!("{name} ({status:?}) does not answer; last seen: {:#?}", last_roles(world))
        }
    }
}

/// The last role that each node reported.
fn last_roles(world: &World) -> std::collections::BTreeMap<NodeId, squall::world::Probed> {
    let roles = world.take_probes().into_iter().filter(|p| matches!(p.event, ProbeEvent::Role { .. }));
    roles.map(|probed| (probed.node, probed)).collect()
}

async fn value(env: &Env, name: &str, key: &str) -> String {
    let response = get(env, name, key).await.unwrap_or_else(|status| panic!("{name}: {status}"));
    String::from_utf8(response.kvs.first().expect("the key").value.to_vec()).expect("text")
}

async fn hash(env: &Env, name: &str, revision: i64) -> u32 {
    let mut maintenance = MaintenanceClient::new(dial(env, name));
    let response = maintenance.hash_kv(HashKvRequest { revision }).await;
    response.unwrap_or_else(|status| panic!("{name}: {status}")).into_inner().hash
}

fn run<F, Fut>(seed: u64, body: F) -> squall::world::Finished<()>
where
    F: FnOnce(World) -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    if std::env::var("LOG").is_ok() {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(std::env::var("LOG").unwrap())
            .with_ansi(false)
            .try_init();
    }
    run_in(WorldConfig::new(seed), body)
}

fn run_in<F, Fut>(config: WorldConfig, body: F) -> squall::world::Finished<()>
where
    F: FnOnce(World) -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    let seed = config.seed;
    let finished = World::run(config, body).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
    assert!(finished.violations.is_empty(), "seed {seed}: {:?}", finished.violations);
    finished
}

#[test]
fn one_member_serves_and_remembers() {
    run(1, |world| async move {
        let nodes = found(&world, &["m1"]);
        let env = client(&world);
        ready(&world, &env, "m1").await;
        for i in 0..50 {
            put(&env, "m1", "k", &i.to_string()).await.expect("put");
        }
        assert_eq!(value(&env, "m1", "k").await, "49");
        world.power_off(nodes[0], Unsynced::Drawn);
        world.restart(nodes[0]);
        ready(&world, &env, "m1").await;
        assert_eq!(value(&env, "m1", "k").await, "49");
        assert!(world.stop(nodes[0], 5 * SECOND).await);
        world.restart(nodes[0]);
        ready(&world, &env, "m1").await;
        assert_eq!(value(&env, "m1", "k").await, "49");
        let status = MaintenanceClient::new(dial(&env, "m1")).status(StatusRequest {}).await.expect("status");
        assert!(status.into_inner().raft_applied_index > 50);
    });
}

#[test]
fn three_members_survive_the_loss_of_one() {
    let finished = run(2, |world| async move {
        let names = ["m1", "m2", "m3"];
        let nodes = found(&world, &names);
        let env = client(&world);
        world.sleep(3 * SECOND).await;
        for i in 0..30 {
            put(&env, names[i % 3], "k", &i.to_string()).await.expect("put");
        }
        world.power_off(nodes[0], Unsynced::Drawn);
        world.sleep(4 * SECOND).await;
        for i in 30..120 {
            put(&env, names[1 + i % 2], "k", &i.to_string()).await.expect("put");
        }
        // By now the member needs a snapshot.
        world.restart(nodes[0]);
        ready(&world, &env, "m1").await;
        for name in names {
            assert_eq!(value(&env, name, "k").await, "119");
        }
        let revision = get(&env, "m2", "k").await.expect("get").header.expect("a header").revision;
        let hashes = [
            hash(&env, "m1", revision).await,
            hash(&env, "m2", revision).await,
            hash(&env, "m3", revision).await,
        ];
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    });
    let saw = |what: fn(&ProbeEvent) -> bool| finished.probes.iter().any(|probed| what(&probed.event));
    assert!(saw(|event| matches!(event, ProbeEvent::SnapshotInstalled { .. })), "{:?}", finished.counters);
    assert!(saw(|event| matches!(event, ProbeEvent::SegmentCut)));
    assert!(saw(|event| matches!(event, ProbeEvent::SnapshotSaved { .. })));
}

#[test]
fn a_member_is_replaced() {
    let finished = run(3, |world| async move {
        let names = ["m1", "m2", "m3"];
        let nodes = found(&world, &names);
        let env = client(&world);
        world.sleep(8 * SECOND).await;
        for i in 0..60 {
            put(&env, "m1", "k", &i.to_string()).await.expect("put");
        }
        world.power_off(nodes[2], Unsynced::Drawn);
        world.sleep(6 * SECOND).await;
        let mut cluster = ClusterClient::new(dial(&env, "m1"));
        let list =
            cluster.member_list(MemberListRequest { linearizable: true }).await.expect("list").into_inner();
        assert_eq!(list.members.len(), 3);
        let lost = list.members.iter().find(|member| member.name == "m3").expect("m3").id;
        let removed =
            cluster.member_remove(MemberRemoveRequest { id: lost }).await.expect("remove").into_inner();
        assert_eq!(removed.members.len(), 2);
        let added = cluster
            .member_add(MemberAddRequest { peer_urls: vec!["http://m3:2380".into()], is_learner: false })
            .await
            .expect("add")
            .into_inner();
        assert_ne!(added.member.expect("a member").id, lost);
        put(&env, "m2", "k", "after").await.expect("put");
        assert!(world.wipe(nodes[2], std::path::Path::new("/data")));
        world.start(nodes[2], member(config("m3", &names, InitialClusterState::Existing)));
        world.sleep(3 * SECOND).await;
        assert_eq!(value(&env, "m3", "k").await, "after");
        // The new member votes: with another member down, the cluster goes on.
        world.power_off(nodes[0], Unsynced::Drawn);
        world.sleep(4 * SECOND).await;
        put(&env, "m3", "k", "last").await.expect("put");
        assert_eq!(value(&env, "m2", "k").await, "last");
    });
    assert!(finished.counters.contains_key("point.peerBeforeMembers"), "a joiner asks the others");
}

/// Keeps writing a counter, to one member after the other. Returns the last acknowledged revision, and how many writes
/// were acknowledged.
async fn write_through(world: &World, env: &Env, names: &[&str], until: squall::world::At) -> (i64, usize) {
    let (mut acknowledged, mut count) = (0, 0);
    for i in 0.. {
        if world.now() >= until {
            break;
        }
        let name = names[i % names.len()];
        let value = i.to_string();
        let request = put(env, name, "k", &value);
        tokio::select! { biased;
            response = request => if let Ok(revision) = response {
                assert!(revision > acknowledged, "revision {revision} after {acknowledged}");
                (acknowledged, count) = (revision, count + 1);
            },
            () = world.sleep(SECOND) => {}
        }
        world.sleep(SECOND / 100).await;
    }
    (acknowledged, count)
}

/// Crashes, cuts and stalls at random; afterwards the members agree, and no acknowledged write is lost.
#[test]
fn five_members_agree_after_chaos() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(5);
    let first = std::env::var("FIRST").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        run(seed, move |world| async move {
            let names = ["m1", "m2", "m3", "m4", "m5"];
            let nodes = found(&world, &names);
            let env = client(&world);
            let end = world.now().after(25 * SECOND);
            let writer = write_through(&world, &env, &names, end);
            let mut chance = world.chance().child("test").stream();
            let nemesis = async {
                world.sleep(3 * SECOND).await;
                for _ in 0..12 {
                    let victim = *chance.pick(&nodes).expect("some");
                    let other = *chance.pick(&nodes).expect("some");
                    match chance.within(0..5) {
                        0 => drop(world.power_off(victim, Unsynced::Drawn)),
                        1 if victim != other => drop(world.impose(Modifier::Cut { from: victim, to: other })),
                        2 => drop(world.impose(Modifier::Pause(victim))),
                        3 => drop(world.impose(Modifier::StallDisk(victim))),
                        _ => {
                            world.stop(victim, 2 * SECOND).await;
                            world.power_off(victim, Unsynced::Drawn);
                        }
                    }
                    world.sleep(Duration::from_millis(chance.within(0..2000))).await;
                    world.lift_all();
                    world.restart(victim);
                }
            };
            let ((acknowledged, count), ()) = futures_util::join!(writer, nemesis);
            assert!(count > 100, "seed {seed}: only {count} writes");
            world.sleep(10 * SECOND).await;
            let revision = get_soon(&world, &env, "m1", "k").await.header.expect("a header").revision;
            assert!(revision >= acknowledged, "seed {seed}: {revision} after {acknowledged}");
            let mut hashes = Vec::new();
            for name in names {
                get_soon(&world, &env, name, "k").await;
                hashes.push(hash(&env, name, revision).await);
            }
            assert!(hashes.iter().all(|hash| *hash == hashes[0]), "seed {seed}: {hashes:?}");
        });
    }
}

/// Waits until the process on a node has ended, and returns its error.
async fn refusal(world: &World, node: NodeId) -> String {
    tokio::select! { biased;
        () = world.ended(node) => {}
        () = world.sleep(30 * SECOND) => panic!("{node} goes on"),
    }
    match world.status(node) {
        Status::Exited(Some(error)) => error,
        status => panic!("{node}: {status:?}"),
    }
}

#[test]
fn what_cannot_be_started_is_refused_with_place_and_remedy() {
    run(4, |world| async move {
        let alone = |name: &str| config(name, &[name], InitialClusterState::New);
        for (name, config, place, remedy) in [
            (
                "m1",
                Config { election_timeout: SECOND / 5, ..alone("m1") },
                "the election time-out (200ms)",
                "Raise --election-timeout",
            ),
            ("m2", Config { force_new_cluster: true, ..alone("m2") }, "/data", "folder of a survivor"),
            ("m3", config("m3", &["m1"], InitialClusterState::New), "\"m3\"", "--initial-cluster"),
            (
                "m4",
                config("m4", &["m4", "m9"], InitialClusterState::Existing),
                "no member answered",
                "member add",
            ),
        ] {
            let node = world.add_node(name);
            world.start(node, member(config));
            let error = refusal(&world, node).await;
            assert!(error.contains(place) && error.contains(remedy), "{name}: {error}");
            assert!(!error.contains('\n'), "{name}: one paragraph, not {error}");
        }
    });
}

#[test]
fn a_damaged_log_is_refused() {
    run(5, |world| async move {
        let nodes = found(&world, &["m1"]);
        let env = client(&world);
        ready(&world, &env, "m1").await;
        for i in 0..5 {
            put(&env, "m1", "k", &i.to_string()).await.expect("put");
        }
        assert!(world.stop(nodes[0], 5 * SECOND).await);
        let segment = std::path::Path::new("/data/member/wal/0000000000000000-0000000000000001.wal");
        let mut bytes = world.read_file(nodes[0], segment).expect("the first segment").to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        world.write_file(nodes[0], segment, bytes.into()).expect("written");
        world.restart(nodes[0]);
        let error = refusal(&world, nodes[0]).await;
        assert!(error.contains(segment.to_str().expect("text")), "{error}");
    });
}

#[test]
fn a_removed_member_stops_and_does_not_come_back() {
    run(6, |world| async move {
        let names = ["m1", "m2", "m3"];
        let nodes = found(&world, &names);
        let env = client(&world);
        ready(&world, &env, "m1").await;
        world.sleep(8 * SECOND).await;
        let mut cluster = ClusterClient::new(dial(&env, "m1"));
        let list = cluster.member_list(MemberListRequest { linearizable: true }).await.expect("list");
        let members = list.into_inner().members;
        let id = members.iter().find(|member| member.name == "m3").expect("m3").id;
        cluster.member_remove(MemberRemoveRequest { id }).await.expect("remove");
        assert_eq!(refusal(&world, nodes[2]).await, "Removed");
        world.restart(nodes[2]);
        let error = refusal(&world, nodes[2]).await;
        assert!(error.contains("removed") || error == "Removed", "{error}");
        // It may have been the leader: messages that the others send to it before they notice are lost.
        world.sleep(3 * SECOND).await;
        put(&env, "m2", "k", "on").await.expect("put");
        assert_eq!(value(&env, "m1", "k").await, "on");
    });
}
