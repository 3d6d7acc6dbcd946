//! Members in the wrong place: one of another cluster, and one that was started over another member's data folder.

use std::time::{Duration, Instant};

use squall_store::{
    proto::etcdserverpb::{PutRequest, RangeRequest, kv_client::KvClient},
    seam::Channel,
};

use crate::{
    harness::{Member, Running, folder, resident_bytes, wait_all_ready},
    reference::PATIENCE,
};

fn client(member: &Member) -> KvClient<Channel> {
    KvClient::new(member.dial())
}

async fn put(member: &Member, key: &str) -> bool {
    let put = PutRequest { key: key.to_owned().into(), value: "v".into(), ..Default::default() };
    let answer = tokio::time::timeout(Duration::from_secs(2), client(member).put(put)).await;
    matches!(answer, Ok(Ok(_)))
}

async fn put_until_done(member: &Member, key: &str) {
    let from = Instant::now();
    while !put(member, key).await {
        assert!(from.elapsed() < PATIENCE, "{key} is not taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster() {
    let folder = folder();
    let ours = Member::new(folder.path(), "ours");
    let running = ours.start_alone(&["--initial-cluster-token=ours"]);
    let before = resident_bytes(running.id());
    // The second of these two members has the address of our member.
    let theirs = Member::new(folder.path(), "theirs");
    let second = Member { name: "second".into(), ..ours.clone() };
    let mut stranger = theirs.spawn(&[&theirs, &second], &["--initial-cluster-token=theirs"]);
    // It finds another cluster at that address before it has founded its own, and says so.
    assert_eq!(stranger.wait().code(), Some(1));
    let said = stranger.log();
    assert!(
        said.contains("belongs to cluster") && said.contains(theirs.data_dir.to_str().expect("UTF-8")),
        "{said}"
    );
    assert!(put(&ours, "a").await, "ours serves nobody");
    for log in [running.log(), said] {
        assert!(!log.contains("panic"), "{log}");
    }
    let grown = resident_bytes(running.id()).saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for a stranger");
}

/// The member's id in its log.
fn id_of(log: &str) -> String {
    let from = log.find("started member=").unwrap_or_else(|| panic!("it has not started:\n{log}"));
    log[from..].split_whitespace().nth(1).expect("its id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_members_folder() {
    let folder = folder();
    let members = Member::three(folder.path()).to_vec();
    let all: Vec<&Member> = members.iter().collect();
    let mut running: Vec<Running> = members.iter().map(|member| member.spawn(&all, &[])).collect();
    wait_all_ready(&mut running);
    let mut acknowledged = Vec::new();
    for n in 0..50 {
        let key = format!("{n:03}");
        if put(&members[n % 3], &key).await {
            acknowledged.push(key);
        }
    }
    assert!(acknowledged.len() > 20);

    let first = id_of(&running[0].log());
    // m1 and m2 stop, and m2 is started over m1's folder.
    running.remove(0).kill();
    running.remove(0).kill();
    let mistaken = Member { data_dir: members[0].data_dir.clone(), ..members[1].clone() };
    let wrong = mistaken.spawn(&all, &[]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    // The folder determines a member's id: this is m1 at another address, and not a second m2.
    let log = wrong.log();
    assert!(!log.contains("panic"), "{log}");
    assert_eq!(id_of(&log), first, "{log}");
    if put(&members[2], "meanwhile").await {
        acknowledged.push("meanwhile".into());
    }
    wrong.kill();

    let mut again: Vec<Running> = members[..2].iter().map(|member| member.spawn(&all, &[])).collect();
    wait_all_ready(&mut again);
    put_until_done(&members[1], "after").await;
    acknowledged.push("after".into());
    acknowledged.sort();
    for member in &members {
        let range = RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
        let found = client(member).range(range).await.expect("everything").into_inner();
        let found: Vec<String> =
            found.kvs.iter().map(|kv| String::from_utf8(kv.key.to_vec()).expect("UTF-8")).collect();
        assert!(acknowledged.iter().all(|key| found.contains(key)), "{}: {found:?}", member.name);
    }
}
