//! Refusals of `squalld`: each is one paragraph that names the place and the remedy, without a panic. The exit status
//! distinguishes a bad command line (64) from a member that cannot start (1).

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use crate::harness::{Member, folder, paragraph, refused, squalld};

#[test]
fn a_locked_data_folder() {
    let folder = folder();
    let first = Member::new(folder.path(), "m1");
    let _running = first.start_alone(&[]);
    let mut second = Member::new(folder.path(), "m1");
    second.data_dir.clone_from(&first.data_dir);
    let (status, said) = refused(second.command(&[&second], &[]));
    let why = paragraph(&said);
    assert_eq!(status, Some(1), "{said}");
    assert!(why.contains("locked") && why.contains(first.data_dir.to_str().unwrap()), "{why}");
}

#[test]
fn a_corrupt_log() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let running = member.start_alone(&[]);
    // There are so many records behind the damage that it cannot be a torn tail.
    running.terminate();
    let wal = only_file(&member.data_dir.join("member/wal"), ".wal");
    let mut bytes = fs::read(&wal).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("a log with content");
    bytes[used / 3] ^= 0x40;
    fs::write(&wal, bytes).unwrap();

    let (status, said) = refused(member.command(&[&member], &[]));
    let why = paragraph(&said);
    assert_eq!(status, Some(1), "{said}");
    assert!(why.contains(wal.to_str().unwrap()), "it does not say which file: {why}");
    assert!(why.to_lowercase().contains("corrupt") || why.contains("damaged"), "{why}");
    let again = refused(member.command(&[&member], &[])).1;
    assert_eq!(paragraph(&again), why, "the refused start changed the folder");
}

#[test]
fn a_corrupt_engine() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    member.start_alone(&[]).terminate();
    let engine = member.data_dir.join("member/snap/db");
    for file in files_below(&engine) {
        let mut bytes = fs::read(&file).unwrap();
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        fs::write(&file, bytes).unwrap();
    }
    let (status, said) = refused(member.command(&[&member], &[]));
    assert_eq!(status, Some(1), "{said}");
    assert!(paragraph(&said).contains(engine.to_str().unwrap()), "it does not say where: {said}");
}

#[test]
fn an_address_in_use() {
    let folder = folder();
    let (first, mut second) = (Member::new(folder.path(), "m1"), Member::new(folder.path(), "m2"));
    let _running = first.start_alone(&[]);
    second.client = first.client;
    let (status, said) = refused(second.command(&[&second], &[]));
    let why = paragraph(&said);
    assert_eq!(status, Some(1), "{said}");
    assert!(why.contains(&first.client_address()), "{why}");
}

/// etcd binds before it makes anything too. A folder that a failed start has founded would keep the cluster of the
/// wrong settings for the corrected start.
#[test]
fn an_address_that_cannot_be_bound_leaves_no_folder() {
    let folder = folder();
    let (member, in_use) = (Member::new(folder.path(), "m1"), TcpListener::bind("127.0.0.1:0").unwrap());
    let in_use = in_use.local_addr().unwrap();
    let (client, peer) = (member.client_url(), member.peer_url());
    let wrong_cluster = "--initial-cluster-token=wrong";
    for address in [
        "http://8.8.8.8:13700".to_owned(),
        "http://no-such-host.invalid:13700".into(),
        "unix:///nope/x".into(),
        format!("http://{in_use}"),
        format!("https://{in_use}"),
    ] {
        for flag in ["--listen-client-urls", "--listen-peer-urls", "--listen-metrics-urls"] {
            let mut command = squalld(&["--name=m1", wrong_cluster, "--auto-tls", "--peer-auto-tls"]);
            let mut listens = vec![("--listen-client-urls", &client), ("--listen-peer-urls", &peer)];
            listens.retain(|(other, _)| *other != flag);
            listens.push((flag, &address));
            let data_dir = member.data_dir.to_str().unwrap();
            let cluster = format!("m1={peer}");
            listens.extend([
                ("--advertise-client-urls", &client),
                ("--initial-advertise-peer-urls", &peer),
                ("--initial-cluster", &cluster),
            ]);
            command.args(listens.iter().map(|(flag, value)| format!("{flag}={value}")));
            command.args(["--data-dir", data_dir]);
            let (status, said) = refused(command);
            let why = paragraph(&said);
            assert_eq!(status, Some(1), "{flag}={address}: {said}");
            let place = address.strip_prefix("http://").unwrap_or(&address);
            assert!(why.contains("listening on") && why.contains(place), "{flag}={address}: {why}");
            assert!(!member.data_dir.exists(), "{flag}={address} left a folder");
        }
    }

    let right = member.start_alone(&["--initial-cluster-token=right"]);
    let founded = |log: &str| log.split("cluster=").nth(1).map(|rest| rest[..8].to_owned());
    let other = Member { data_dir: folder.path().join("other"), ..member };
    let (right, elsewhere) = {
        let log = right.log();
        right.terminate();
        let again = other.start_alone(&["--initial-cluster-token=right"]);
        (founded(&log), founded(&again.log()))
    };
    assert!(right.is_some() && right == elsewhere, "{right:?} is not the cluster {elsewhere:?}");
}

#[test]
fn force_new_cluster_with_nothing_to_force() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let (status, said) = refused(member.command(&[&member], &["--force-new-cluster"]));
    let why = paragraph(&said);
    assert_eq!(status, Some(1), "{said}");
    assert!(why.contains(member.data_dir.to_str().unwrap()), "{why}");
}

#[test]
fn command_lines_that_make_no_sense() {
    // Flags that are valid alone and contradict each other are bad configuration (1), not bad usage (64).
    let cases: [(&[&str], i32, &str); 10] = [
        (&["--listen-client-urls=http://127.0.0.1:1"], 1, "--advertise-client-urls"),
        (&["--listen-peer-urls=127.0.0.1:1"], 64, "--listen-peer-urls"),
        (&["--election-timeout=100"], 1, "--heartbeat-interval"),
        (&["--log-level=a=b=c"], 64, "--log-level"),
        (&["--log-level=wran"], 64, "\"wran\" is no level"),
        (&["--log-level=squall_store=debug,wran"], 64, "\"wran\" is no level"),
        (&["--name=a", "--name=b"], 64, "--name is given twice"),
        (&["snapshot", "restore", "/nowhere/snap.db", "--initial-cluster=x"], 64, "--initial-cluster"),
        (&["--name=m2", "--initial-cluster=m1=http://127.0.0.1:1"], 1, "m2"),
        (
            &["--name=m1", "--initial-cluster=m1=http://localhost:2380,m2=http://localhost:2380"],
            1,
            "http://localhost:2380 twice",
        ),
    ];
    for (flags, expected_status, expected) in cases {
        let (status, said) = refused(squalld(flags));
        assert_eq!(status, Some(expected_status), "{flags:?}: {said}");
        assert!(paragraph(&said).contains(expected), "{flags:?}: {said}");
    }
    for (flags, expected) in [
        (&["--no-such-flag"][..], "unexpected argument '--no-such-flag'"),
        (&["--nam=x"], "a similar argument exists: '--name'"),
        (&["--data-dir"], "a value is required for '--data-dir"),
        (&["snapshot"], "`restore` or `status`"),
        (&["snapshot", "save"], "unrecognized subcommand 'save'"),
        (&["snapshot", "status"], "<SNAPSHOT>"),
        (&["stray"], "unrecognized subcommand 'stray'"),
        (&["--version", "stray"], "unrecognized subcommand 'stray'"),
        (&["--version", "--no-such-flag"], "unexpected argument '--no-such-flag'"),
        (&["--snapshot-count=many"], "invalid value 'many'"),
    ] {
        let (status, said) = refused(squalld(flags));
        assert_eq!(status, Some(64), "{flags:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{flags:?}: one paragraph: {said}");
        let why = paragraph(&said);
        assert!(why.contains(expected) && why.contains("--help"), "{flags:?}: {said}");
    }
    let version = squalld(&["--version"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&version.stdout), format!("squalld {}\n", env!("CARGO_PKG_VERSION")));
    let help = squalld(&["--help"]).output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in [
        "--name",
        "--data-dir",
        "--listen-client-urls",
        "--advertise-client-urls",
        "--listen-peer-urls",
        "--initial-advertise-peer-urls",
        "--initial-cluster",
        "--initial-cluster-token",
        "--initial-cluster-state",
        "--force-new-cluster",
        "--snapshot-count",
        "--heartbeat-interval",
        "--election-timeout",
    ] {
        assert!(
            help.contains(&format!("{flag} <")) || help.contains(&format!("{flag}[")),
            "{flag} is not in the help"
        );
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn only_file(folder: &Path, ending: &str) -> PathBuf {
    let found: Vec<_> =
        files_below(folder).into_iter().filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}
