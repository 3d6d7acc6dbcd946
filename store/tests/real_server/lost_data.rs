//! A member whose disk was emptied or rolled back refuses to run under its old id: one paragraph, exit status 1, at each
//! start. One that was removed from the cluster ends in peace.

use std::{fs, path::Path, time::Duration};

use squall_store::proto::etcdserverpb::{
    MemberRemoveRequest, PutRequest, StatusRequest, cluster_client::ClusterClient, kv_client::KvClient,
    maintenance_client::MaintenanceClient,
};

use crate::harness::{Member, Running, folder, paragraph, refused, wait_all_ready};

async fn write(member: &Member, count: usize) {
    let mut kv = KvClient::new(member.dial());
    for n in 0..count {
        let put = PutRequest { key: format!("k{n}").into(), value: "v".into(), ..Default::default() };
        kv.put(put).await.expect("a put");
    }
}

/// Three members that run, their processes, and the places of the leader and of a follower.
async fn three(folder: &Path) -> (Vec<Member>, Vec<Option<Running>>, usize, usize) {
    let members: Vec<Member> = ["m1", "m2", "m3"].iter().map(|name| Member::new(folder, name)).collect();
    let all: Vec<&Member> = members.iter().collect();
    let mut running: Vec<Running> = members.iter().map(|member| member.spawn(&all, &[])).collect();
    wait_all_ready(&mut running);
    let mut leader = None;
    for (place, member) in members.iter().enumerate() {
        let status = MaintenanceClient::new(member.dial()).status(StatusRequest {}).await.expect("a status");
        let status = status.into_inner();
        if status.leader == status.header.expect("a header").member_id {
            leader = Some(place);
        }
    }
    let leader = leader.expect("somebody leads");
    (members, running.into_iter().map(Some).collect(), leader, (leader + 1) % 3)
}

/// The paragraph in which a member refuses.
fn refusal(member: &Member, all: &[&Member], more: &[&str]) -> String {
    let (status, said) = refused(member.command(all, more));
    assert_eq!(status, Some(1), "{said}");
    let why = paragraph(&said).to_owned();
    assert!(why.contains(member.data_dir.to_str().unwrap()), "it does not say where: {why}");
    assert!(why.contains("has lost data that it had acknowledged"), "{why}");
    assert!(why.contains("member remove") && why.contains("--initial-cluster-state existing"), "{why}");
    why
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_folder() {
    let folder = folder();
    let (members, mut running, leader, follower) = three(folder.path()).await;
    let all: Vec<&Member> = members.iter().collect();
    write(&members[leader], 20).await;
    running[follower].take().unwrap().kill();
    fs::remove_dir_all(&members[follower].data_dir).unwrap();
    for state in ["new", "existing", "new"] {
        let why = refusal(&members[follower], &all, &[&format!("--initial-cluster-state={state}")]);
        assert!(why.contains("says that it has run before"), "{why}");
    }
    write(&members[leader], 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_folder() {
    let folder = folder();
    let (members, mut running, leader, follower) = three(folder.path()).await;
    let all: Vec<&Member> = members.iter().collect();
    let member = &members[follower];
    write(&members[leader], 20).await;
    running[follower].take().unwrap().terminate();
    let copy = folder.path().join("copy");
    copy_folder(&member.data_dir, &copy);
    let mut again = member.spawn(&all, &[]);
    again.wait_ready();
    write(member, 20).await;
    again.kill();
    fs::remove_dir_all(&member.data_dir).unwrap();
    copy_folder(&copy, &member.data_dir);
    for _ in 0..2 {
        let why = refusal(member, &all, &[]);
        assert!(why.contains("it has acknowledged entr"), "{why}");
    }
    write(&members[leader], 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_member_ends_in_peace() {
    let folder = folder();
    let (members, mut running, leader, follower) = three(folder.path()).await;
    let all: Vec<&Member> = members.iter().collect();
    let status =
        MaintenanceClient::new(members[follower].dial()).status(StatusRequest {}).await.expect("a status");
    let id = status.into_inner().header.expect("a header").member_id;
    let mut cluster = ClusterClient::new(members[leader].dial());
    // The members must have been in touch for a while.
    let mut tries = 0;
    while let Err(refused) = cluster.member_remove(MemberRemoveRequest { id }).await {
        tries += 1;
        assert!(tries < 60 && refused.message() == "etcdserver: unhealthy cluster", "{refused}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let mut removed = running[follower].take().unwrap();
    assert_eq!(removed.wait().code(), Some(0), "{}", removed.log());
    for _ in 0..2 {
        let (status, said) = refused(members[follower].command(&all, &[]));
        assert_eq!(status, Some(0), "{said}");
        let told = said.lines().filter(|line| line.contains("was removed from its cluster")).count();
        assert_eq!(told, 1, "{said}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy_folder(&path, &target) } else { _ = fs::copy(&path, &target).unwrap() }
    }
}
