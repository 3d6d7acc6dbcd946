//! A member whose disk was emptied or rolled back refuses to run under its old id: one paragraph, exit status 1, at
//! each start. A member that was removed from the cluster ends with status 0.

use std::{fs, path::Path, process::Command, time::Duration};

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

/// Three running members, their processes, and the indexes of the leader and of a follower.
async fn three(folder: &Path) -> (Vec<Member>, Vec<Option<Running>>, usize, usize) {
    let members = Member::three(folder).to_vec();
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
    remove(&members[leader], id_of(&members[follower]).await).await;
    let mut removed = running[follower].take().unwrap();
    assert_eq!(removed.wait().code(), Some(0), "{}", removed.log());
    for _ in 0..2 {
        let (status, said) = refused(members[follower].command(&all, &[]));
        assert_eq!(status, Some(0), "{said}");
        let told = said.lines().filter(|line| line.contains("was removed from its cluster")).count();
        assert_eq!(told, 1, "{said}");
    }
}

/// The leader and the removed member know of the removal, and the third member is stopped. The removed member keeps
/// running, also after a restart, until the third member knows too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_member_stays_until_a_majority_of_the_others_knows() {
    let folder = folder();
    let (members, mut running, leader, follower) = three(folder.path()).await;
    let all: Vec<&Member> = members.iter().collect();
    let still = running[3 - leader - follower].take().unwrap();
    let id = id_of(&members[follower]).await;
    // The member that will be stopped must have been connected for a while, or the removal is refused.
    tokio::time::sleep(Duration::from_secs(6)).await;
    signal("STOP", &still);
    remove(&members[leader], id).await;
    let removed = running[follower].take().unwrap();
    removed.wait_log("event=Leaving");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(!removed.log().contains("has stopped"), "{}", removed.log());
    assert!(std::net::TcpStream::connect(members[follower].client_address()).is_err(), "it serves clients");
    removed.kill();
    let mut again = members[follower].spawn(&all, &[]);
    again.wait_log("event=Leaving");
    signal("CONT", &still);
    assert_eq!(again.wait().code(), Some(0), "{}", again.log());
    assert!(again.log().contains("has stopped"), "{}", again.log());
    let (status, said) = refused(members[follower].command(&all, &[]));
    assert!(status == Some(0) && said.contains("a removed id is never used again"), "{said}");
}

async fn id_of(member: &Member) -> u64 {
    let status = MaintenanceClient::new(member.dial()).status(StatusRequest {}).await.expect("a status");
    status.into_inner().header.expect("a header").member_id
}

/// Asks `at` to remove a member, and retries: the members must have been connected for a while.
async fn remove(at: &Member, id: u64) {
    let mut cluster = ClusterClient::new(at.dial());
    let mut tries = 0;
    while let Err(refused) = cluster.member_remove(MemberRemoveRequest { id }).await {
        tries += 1;
        assert!(tries < 60 && refused.message() == "etcdserver: unhealthy cluster", "{refused}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn signal(name: &str, to: &Running) {
    let sent = Command::new("kill").args(["-s", name, &to.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy_folder(&path, &target) } else { _ = fs::copy(&path, &target).unwrap() }
    }
}
