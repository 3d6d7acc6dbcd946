//! `squalld` under load, killed with `kill -9` again and again. The judge of `squall check` judges what the clients
//! have recorded, as in a simulated run.
//!
//! Clients read, write, compare, compact and hold leases, watchers follow the changes, each pinned to a member (`load`,
//! `watching`); meanwhile members are killed and started again (`killing`). All requests and answers go into a history
//! (`recorder`), whose instants come from one clock, the machine's. The simulation's checkers read it. A request that a
//! killed server leaves without an answer counts as ambiguous.
//!
//! SQUALL_KILLS is the number of kills on three members, and on one (6 each by default). SQUALL_KILLS_SEED is the seed
//! of all draws. SQUALL_KILLS_KEEP is a folder in which the histories are kept. A cluster lives for fifty kills, then a
//! new one takes its place, because a person must be able to read the history of a finding.
//!
//! Power loss is not tested here: the kernel's page cache outlives a killed process. The simulation loses that cache
//! too.
#![cfg(real_server)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "processes, files, sockets and real time are what is tested"
)]

#[path = "../harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of the real server use the rest")]
mod harness;
mod hints;
mod killing;
mod leasing;
mod load;
mod recorder;
mod watching;
#[path = "../../../sim/src/workload/wire.rs"]
#[expect(unreachable_pub, reason = "it is a module of the harness, which gives it to others")]
mod wire;

use std::time::Duration;

use killing::{Figures, Settings, round};

/// How soon a restarted member must serve if the others are a quorum.
const SOON: Duration = Duration::from_secs(2);
/// How soon it must serve if it has to wait for another member, or for its own election.
const LATER: Duration = Duration::from_secs(6);
/// How many kills one cluster lives through.
const ROUND: usize = 50;

async fn kill(members: usize) {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}={text:?}: {error}")),
        Err(_) => default,
    };
    let (kills, seed): (usize, u64) = (number("SQUALL_KILLS", 6), number("SQUALL_KILLS_SEED", 1) as u64);
    let mut figures = Figures::default();
    for at in 0..kills.div_ceil(ROUND) {
        let kills = (kills - at * ROUND).min(ROUND);
        let settings = Settings { members, kills, seed: seed.wrapping_mul(1_000) + at as u64 };
        println!("{settings:?}");
        figures.add(round(settings).await);
        println!("{members} members: {figures}");
    }
    assert!(figures.operations > 20 * kills as u64, "too little happened: {figures}");
    assert!(figures.slowest(true) < SOON, "{figures}");
    assert!(figures.slowest(false) < LATER, "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_lose_nothing() {
    kill(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_loses_nothing() {
    kill(1).await;
}
