//! Backups that clients take from a member while it installs its leader's snapshot.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use squall_store::proto::etcdserverpb::{
    PutRequest, SnapshotRequest, kv_client::KvClient, maintenance_client::MaintenanceClient,
};

use crate::harness::{Member, Running, folder, squalld, wait_all_ready};

/// More entries than a leader keeps for a member that lags (5,000), so that the member needs a snapshot.
const MISSED: usize = 6_000;
const WRITERS: usize = 32;
/// The install shall take a while.
const VALUE_BYTES: usize = 4_000;

const PATIENCE: Duration = Duration::from_secs(60);

/// A backup: the revision in its header, and the one that its content ends at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    header: u64,
    content: u64,
}

/// Takes one backup. `None` if the member does not serve yet, or the stream breaks.
async fn take(member: &Member, file: &Path) -> Option<Taken> {
    let mut client = MaintenanceClient::new(member.dial());
    let mut stream = client.snapshot(SnapshotRequest {}).await.ok()?.into_inner();
    let (mut headers, mut content) = (Vec::new(), Vec::new());
    while let Some(part) = stream.message().await.ok()? {
        headers.push(part.header.expect("a header").revision as u64);
        content.extend_from_slice(&part.blob);
    }
    headers.dedup();
    assert_eq!(headers.len(), 1, "every part of a backup names one revision");
    fs::write(file, content).expect("the folder takes it");
    let status = squalld(&["snapshot", "status", file.to_str().expect("UTF-8"), "-w", "json"]).output();
    let status = status.expect("it starts");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    Some(Taken { header: headers[0], content: status["revision"].as_u64().expect("a number") })
}

/// Puts a key, and tries again while there is no leader: on a busy machine elections happen. Answers the revision.
async fn put(member: &Member, key: &str) -> u64 {
    let mut client = KvClient::new(member.dial());
    let from = Instant::now();
    loop {
        let value = "v".repeat(VALUE_BYTES).into();
        let put = PutRequest { key: key.to_owned().into(), value, ..Default::default() };
        match client.put(put).await {
            Ok(done) => return done.into_inner().header.expect("a header").revision as u64,
            Err(refused) => assert!(from.elapsed() < PATIENCE, "{refused}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_during_an_install_has_the_header_of_its_content() {
    let folder = folder();
    let members = Member::three(folder.path()).to_vec();
    let all: Vec<&Member> = members.iter().collect();
    let flags = ["--snapshot-count=100"];
    let mut running: Vec<Running> = members.iter().map(|member| member.spawn(&all, &flags)).collect();
    wait_all_ready(&mut running);
    put(&members[2], "first").await;
    // Stopped, not killed: when it continues it serves its old state at once, and the leader's snapshot arrives.
    running[2].signal("STOP");
    let writers = (0..WRITERS).map(|writer| {
        let member = members[0].clone();
        tokio::spawn(async move {
            for n in 0..MISSED / WRITERS + 1 {
                put(&member, &format!("{writer}/{n}")).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
    let newest = put(&members[0], "last").await;

    running[2].signal("CONT");
    let takers = (0..3).map(|taker| {
        let (member, file) = (members[2].clone(), folder.path().join(format!("{taker}.db")));
        tokio::spawn(async move {
            let (from, mut all) = (Instant::now(), Vec::new());
            while all.last().is_none_or(|taken: &Taken| taken.header < newest) {
                assert!(from.elapsed() < PATIENCE, "it does not catch up: {all:?}");
                match take(&member, &file).await {
                    Some(taken) => all.push(taken),
                    None => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
            all
        })
    });
    let mut taken = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        taken.extend(taker.await.expect("a taker"));
    }
    taken.sort();
    assert!(taken.iter().all(|one| one.header == one.content), "{taken:?}");
    assert!(taken.iter().any(|one| one.header == newest), "{taken:?}");
    assert!(taken[0].header < newest, "none was taken before the install: {taken:?}");
    println!("{} backups, from revision {} to {newest}", taken.len(), taken[0].header);
}
