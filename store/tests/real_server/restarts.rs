//! How soon a member serves again after kill -9, under load, and for how long no write is acknowledged.
//!
//! SQUALL_RESTARTS is the number of kills (12 by default).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use squall_store::proto::etcdserverpb::{PutRequest, kv_client::KvClient};

use crate::harness::{Member, Running, folder, wait_all_ready};

/// How soon a restarted member must serve: the time of an election, and a margin.
const SOON: Duration = Duration::from_secs(2);
const WRITERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_member_serves_soon() {
    let kills: usize = std::env::var("SQUALL_RESTARTS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let folder = folder();
    let members = Member::three(folder.path()).to_vec();
    let all: Vec<&Member> = members.iter().collect();
    let flags = ["--snapshot-count=2000"];
    let mut running: Vec<Running> = members.iter().map(|member| member.spawn(&all, &flags)).collect();
    wait_all_ready(&mut running);

    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(writer, members.clone(), stop.clone(), acknowledged.clone())))
        .collect();
    let mut took = Vec::new();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        // The members are killed one after the other: followers and leaders.
        let victim = kill % members.len();
        running.remove(victim).kill();
        tokio::time::sleep(Duration::from_millis(37 * (kill as u64 % 20))).await;
        let from = Instant::now();
        let mut started = members[victim].spawn(&all, &flags);
        tokio::task::block_in_place(|| started.wait_ready());
        took.push(from.elapsed());
        running.insert(victim, started);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("a writer");
    }

    let mut acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    acknowledged.sort();
    let gap = acknowledged.windows(2).map(|pair| pair[1] - pair[0]).max().expect("two writes");
    took.sort();
    println!(
        "{kills} kills, {} writes: served after {:?} (median), {:?} (slowest); longest time without a write {gap:?}",
        acknowledged.len(),
        took[took.len() / 2],
        took[took.len() - 1],
    );
    assert!(took[took.len() - 1] < SOON, "a restart took {:?}", took[took.len() - 1]);
    assert!(gap < Duration::from_secs(6), "no write was acknowledged for {gap:?}");
}

/// Writes to one member after the other, and notes when a write was acknowledged.
async fn write(
    writer: usize,
    members: Vec<Member>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<Instant>>>,
) {
    let mut clients: Vec<_> = members.iter().map(|member| KvClient::new(member.dial())).collect();
    for n in writer.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let place = n % clients.len();
        let put = PutRequest {
            key: format!("{writer}").into(),
            value: "v".repeat(100).into(),
            ..Default::default()
        };
        match tokio::time::timeout(Duration::from_millis(500), clients[place].put(put)).await {
            Ok(Ok(_)) => acknowledged.lock().unwrap().push(Instant::now()),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
