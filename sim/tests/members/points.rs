//! The named points of the store. Each is reached. At each a member may die, wait or get an I/O error, and no
//! acknowledged write is lost.

use std::sync::{Arc, Mutex};

use futures_util::stream;
use squall::world::{PointEffect, PointRule, PointSet};
use squall_store::{
    proto::etcdserverpb::{
        CompactionRequest, DefragmentRequest, LeaseGrantRequest, LeaseKeepAliveRequest, WatchCreateRequest,
        WatchRequest, lease_client::LeaseClient, watch_client::WatchClient, watch_request::RequestUnion,
    },
    seam::Point,
};

use super::*;

fn rule(points: PointSet, effect: PointEffect) -> PointRule {
    PointRule { points, effect, live_per_mille: 1_000, visits_per_mille: 1_000, times: 1, seed: 0 }
}

/// The rules for points, each with the index of its member.
type Rules = Vec<(usize, PointRule)>;

/// Runs a cluster through everything that has a point: writes and reads, compactions, a member that needs a snapshot, a
/// leader that stops. Members that die start again. Returns the finished world, and how often each rule took effect.
fn live_through(seed: u64, rules: Rules) -> (squall::world::Finished<()>, Vec<u64>) {
    let bites = Arc::new(Mutex::new(Vec::new()));
    let told = bites.clone();
    let finished = run(seed, move |world| async move {
        let names = ["m1", "m2", "m3"];
        let nodes = found(&world, &names);
        let env = client(&world);
        let tokens: Vec<_> = rules
            .into_iter()
            .map(|(at, rule)| world.impose(Modifier::Points { node: nodes[at], rule }))
            .collect();
        let over = std::cell::Cell::new(false);
        // A member that dies is started again, as by systemd.
        let minder = async {
            while !over.get() {
                world.sleep(SECOND / 5).await;
                for node in &nodes {
                    let down =
                        matches!(world.status(*node), Status::Off | Status::Down | Status::Exited(Some(_)));
                    if down {
                        world.restart(*node);
                    }
                }
            }
        };
        let story = async {
            for name in names {
                // A member that loses power closes no connection, so each try has a time limit.
                let mut tries = 0;
                while soon(&world, get(&env, name, "k")).await.is_none() {
                    tries += 1;
                    assert!(tries < 60, "{name} does not serve");
                    world.sleep(SECOND / 10).await;
                }
            }
            let mut acknowledged = load(&world, &env, &names, 40).await;
            // m3 lags behind the log that the others keep.
            let cut = world.partition(&nodes[..2], &nodes[2..]);
            world.sleep(3 * SECOND).await;
            acknowledged = acknowledged.max(load(&world, &env, &names[..2], 120).await);
            let compact = CompactionRequest { revision: acknowledged, physical: false };
            let _ = soon(&world, KvClient::new(dial(&env, "m1")).compact(compact)).await;
            // Wait until the connections into the cut are dead.
            world.sleep(6 * SECOND).await;
            for token in cut {
                world.lift(token);
            }
            world.sleep(4 * SECOND).await;
            acknowledged = acknowledged.max(load(&world, &env, &names, 40).await);
            // Each member stops in turn; the leader hands over.
            for node in &nodes {
                if world.stop(*node, 3 * SECOND).await {
                    world.restart(*node);
                }
                world.sleep(4 * SECOND).await;
            }
            acknowledged = acknowledged.max(load(&world, &env, &names, 40).await);
            acknowledged
        };
        let story = async {
            let acknowledged = story.await;
            over.set(true);
            acknowledged
        };
        let (acknowledged, ()) = futures_util::join!(story, minder);
        *told.lock().expect("not poisoned") = tokens.iter().map(|token| world.bites(*token)).collect();
        for node in &nodes {
            world.restart(*node);
        }
        world.lift_all();
        world.sleep(8 * SECOND).await;
        let revision = get_soon(&world, &env, "m1", "k").await.header.expect("a header").revision;
        assert!(revision >= acknowledged, "{revision} after {acknowledged}");
        let mut hashes = Vec::new();
        for name in names {
            get_soon(&world, &env, name, "k").await;
            hashes.push(hash(&env, name, revision).await);
        }
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    });
    let bites = std::mem::take(&mut *bites.lock().expect("not poisoned"));
    (finished, bites)
}

/// An answer, if it comes within a second.
async fn soon<T>(world: &World, call: impl Future<Output = Result<T, tonic::Status>>) -> Option<T> {
    tokio::select! { biased;
        answer = call => answer.ok(),
        () = world.sleep(SECOND) => None,
    }
}

/// Makes some writes and reads; returns the highest acknowledged revision.
async fn load(world: &World, env: &Env, names: &[&str], count: usize) -> i64 {
    let mut acknowledged = 0;
    for name in names {
        let _ = soon(world, renew_a_lease(env, name)).await;
        let _ = soon(world, watch_from_the_start(env, name)).await;
        let _ = soon(world, MaintenanceClient::new(dial(env, name)).defragment(DefragmentRequest {})).await;
    }
    for i in 0..count {
        let name = names[i % names.len()];
        if let Some(revision) = soon(world, put(env, name, &format!("k{}", i % 7), &"v".repeat(200))).await {
            acknowledged = acknowledged.max(revision);
        }
        if i.is_multiple_of(5) {
            let _ = soon(world, get(env, name, "k")).await;
        }
    }
    acknowledged
}

/// Makes a lease and renews it once.
async fn renew_a_lease(env: &Env, name: &str) -> Result<(), tonic::Status> {
    let mut client = LeaseClient::new(dial(env, name));
    let lease = client.lease_grant(LeaseGrantRequest { ttl: 60, id: 0 }).await?.into_inner();
    let renewals = stream::iter([LeaseKeepAliveRequest { id: lease.id }]);
    client.lease_keep_alive(renewals).await?.into_inner().message().await?;
    Ok(())
}

/// Watches a key that was written long ago, until the first events come.
async fn watch_from_the_start(env: &Env, name: &str) -> Result<(), tonic::Status> {
    let create = WatchCreateRequest { key: "k0".into(), start_revision: 1, ..Default::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = stream::StreamExt::chain(stream::iter([create]), stream::pending());
    let mut responses = WatchClient::new(dial(env, name)).watch(requests).await?.into_inner();
    while responses.message().await?.is_some_and(|response| response.created) {}
    Ok(())
}

/// The additional rules without which a point is never reached.
fn leading_there(point: Point) -> Rules {
    match point {
        // A start finishes an install that a crash cut short.
        Point::StartBeforeInstall => {
            vec![(2, rule([Point::InstallBeforeReplace].into_iter().collect(), PointEffect::Kill))]
        }
        _ => Vec::new(),
    }
}

/// The points that only a joining member reaches (`a_member_is_replaced`).
const ELSEWHERE: &[Point] = &[Point::PeerBeforeMembers];

#[test]
fn every_point_is_reached() {
    let (mut reached, _) = live_through(90, Vec::new());
    let (finished, _) = live_through(90, leading_there(Point::StartBeforeInstall));
    reached.counters.extend(finished.counters);
    let never: Vec<&str> = Point::ALL
        .iter()
        .filter(|point| !ELSEWHERE.contains(point))
        .map(|point| point.name())
        .filter(|name| !reached.counters.contains_key(&format!("point.{name}")))
        .collect();
    assert!(never.is_empty(), "never reached: {never:?}");
}

/// How many points share a run.
const POINTS_A_RUN: usize = 5;

/// Lets `effect` happen once at each of the points on each member, with several points in a run, and demands that each
/// takes effect somewhere. Neighbouring points are in different runs: a member that dies at one may never reach the
/// other.
fn strike_at_each(seed: u64, points: Vec<Point>, effect: impl Fn(usize) -> PointEffect) {
    // A point with additional rules has a run of its own, since these rules may keep members from other points.
    let (alone, points): (Vec<Point>, Vec<Point>) =
        points.into_iter().partition(|point| !leading_there(*point).is_empty());
    let runs = points.len().div_ceil(POINTS_A_RUN);
    let groups = (0..runs).map(|first| points.iter().copied().skip(first).step_by(runs).collect());
    let groups = groups.chain(alone.into_iter().map(|point| vec![point]));
    for (first, group) in groups.enumerate() {
        let group: Vec<Point> = group;
        let mut rules: Rules = group.iter().flat_map(|point| leading_there(*point)).collect();
        let before = rules.len();
        for (number, point) in group.iter().enumerate() {
            let rule = rule([*point].into_iter().collect(), effect(first + number));
            rules.extend((0..3).map(|member| (member, rule)));
        }
        let (_, bites) = live_through(seed + first as u64, rules);
        for (point, bites) in group.iter().zip(bites[before..].chunks(3)) {
            assert!(
                bites.iter().sum::<u64>() > 0,
                "run {first} of {group:?}: nothing happened at {}",
                point.name()
            );
        }
    }
}

/// A crash at each point, alternately by a kill and by a power cut.
#[test]
fn a_crash_at_any_point_is_survived() {
    let points = Point::ALL.iter().copied().filter(|point| !ELSEWHERE.contains(point)).collect();
    strike_at_each(100, points, |number| match number % 3 {
        0 => PointEffect::Kill,
        1 => PointEffect::PowerOff(Unsynced::Drawn),
        _ => PointEffect::PowerOff(Unsynced::Lost),
    });
}

/// An I/O error at each point that stands for I/O: the member stops, or the transfer fails and is tried again.
#[test]
fn an_error_at_any_io_is_survived() {
    let points = Point::ALL.iter().copied().filter(|point| point.can_fail()).collect();
    strike_at_each(200, points, |_| PointEffect::Fail);
}

/// A quarter of the points are active, and each visit to one waits with a probability of a quarter.
#[test]
fn waits_at_many_points_are_survived() {
    let stall = |seed| PointRule {
        points: PointSet::all(),
        effect: PointEffect::Stall(SECOND / 50),
        live_per_mille: 250,
        visits_per_mille: 250,
        times: u64::MAX,
        seed,
    };
    for seed in 300..302 {
        let (_, bites) = live_through(seed, (0..3).map(|member| (member, stall(seed))).collect());
        assert!(bites.iter().all(|bites| *bites > 0), "seed {seed}: {bites:?}");
    }
}
