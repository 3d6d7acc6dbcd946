//! A disk without space: the member stops and says why. What it acknowledged is there once there is space again.
//!
//! The disk is a small tmpfs, so the test needs the right to mount one; without that right, it says so and checks
//! nothing.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use squall_store::{
    proto::etcdserverpb::{PutRequest, RangeRequest, kv_client::KvClient},
    seam::Channel,
};

use crate::harness::{Member, folder};

/// A tmpfs, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<SmallDisk> {
        std::fs::create_dir(at).expect("a folder");
        run("mount", &["-t", "tmpfs", "-o", "size=96m", "squall"], at).then(|| SmallDisk(at.to_owned()))
    }

    fn enlarge(&self) {
        assert!(run("mount", &["-o", "remount,size=256m"], &self.0), "it cannot be enlarged");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], &self.0);
    }
}

fn run(program: &str, arguments: &[&str], at: &Path) -> bool {
    let ended = Command::new(program).args(arguments).arg(at).output();
    ended.is_ok_and(|ended| ended.status.success())
}

fn client(member: &Member) -> KvClient<Channel> {
    KvClient::new(member.dial()).max_decoding_message_size(usize::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk() {
    let folder = folder();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk")) else {
        _ = writeln!(std::io::stderr(), "\n*** SKIPPED a_full_disk: no right to mount a tmpfs ***\n");
        return;
    };
    let mut member = Member::new(&disk.0, "m1");
    // The log file must have enough space, so it lies on another disk.
    member.log = folder.path().join("m1.log");
    let mut running = member.start_alone(&["--snapshot-count=100"]);
    let mut kv = client(&member);
    let mut acknowledged = Vec::new();
    let refused = loop {
        let key = format!("{:04}", acknowledged.len());
        let put =
            PutRequest { key: key.clone().into(), value: vec![7; 500_000].into(), ..Default::default() };
        match kv.put(put).await {
            Ok(_) => acknowledged.push(key),
            Err(status) => break status,
        }
        assert!(acknowledged.len() < 400, "200 MB on a disk of 96");
    };
    assert!(acknowledged.len() > 20, "{} writes: {refused}", acknowledged.len());
    let status = running.wait();
    let log = running.log();
    assert!(!status.success(), "it has ended as if nothing were wrong:\n{log}");
    assert!(log.contains("No space left on device"), "it does not say why:\n{log}");
    assert!(!log.contains("panic"), "{log}");

    disk.enlarge();
    let _running = member.start_alone(&["--snapshot-count=100"]);
    let range = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        keys_only: true,
        ..Default::default()
    };
    let found = client(&member).range(range).await.expect("everything").into_inner();
    let found: Vec<String> =
        found.kvs.iter().map(|kv| String::from_utf8(kv.key.to_vec()).expect("digits")).collect();
    assert!(found.starts_with(&acknowledged), "{} acknowledged, and {found:?}", acknowledged.len());
    assert!(found.len() <= acknowledged.len() + 1, "what nobody wrote is there");
    client(&member)
        .put(PutRequest { key: "after".into(), ..Default::default() })
        .await
        .expect("it writes again");
}
