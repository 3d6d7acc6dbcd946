//! etcd's own client on watches: puts and deletes, from the present and from old revisions, until those are compacted.

use std::{
    io::{BufRead, BufReader},
    sync::mpsc,
    thread,
    time::Duration,
};

use futures_util::stream;
use squall_store::proto::etcdserverpb::{
    PutRequest, WatchCreateRequest, WatchRequest, kv_client::KvClient, watch_client::WatchClient,
    watch_request::RequestUnion,
};

use crate::{
    harness::{Etcdctl, Member, Watching, folder, wait_all_ready},
    reference::{PATIENCE, Subject},
    web::client::get,
};

/// The lines of a watch, as they come.
struct Lines {
    lines: mpsc::Receiver<String>,
    _watching: Watching,
}

impl Lines {
    fn of(etcdctl: &Etcdctl, arguments: &[&str]) -> Lines {
        let mut watching = etcdctl.watch(arguments);
        let stdout = watching.stdout();
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Lines { lines, _watching: watching }
    }

    /// The next `count` lines.
    fn next(&self, count: usize) -> Vec<String> {
        let line = |_| self.lines.recv_timeout(Duration::from_secs(30)).expect("a line in time");
        (0..count).map(line).collect()
    }
}

#[test]
fn puts_deletes_prefixes_and_old_revisions() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let running = member.start_alone(&[]);
    etcdctl.ok(&["put", "a", "1"]);
    etcdctl.ok(&["put", "dir/x", "1"]);
    etcdctl.ok(&["put", "a", "2"]);
    etcdctl.ok(&["del", "a"]);

    // The watch begins at an old revision, and goes on with new events.
    let watch = Lines::of(&etcdctl, &["a", "--rev=2", "--prev-kv"]);
    assert_eq!(watch.next(3), ["PUT", "a", "1"]);
    assert_eq!(watch.next(5), ["PUT", "a", "1", "a", "2"]);
    assert_eq!(watch.next(4), ["DELETE", "a", "2", "a"]);
    assert_eq!(watch.next(1), [""]);
    let prefix = Lines::of(&etcdctl, &["dir/", "--prefix", "--rev=1"]);
    assert_eq!(prefix.next(3), ["PUT", "dir/x", "1"]);
    etcdctl.ok(&["put", "a", "3"]);
    assert_eq!(watch.next(3), ["PUT", "a", "3"]);
    let txn = "\nput dir/x 2\nput dir/y 1\nput a 4\n\n\n\n";
    etcdctl.ok_with(&["txn"], txn);
    assert_eq!(prefix.next(6), ["PUT", "dir/x", "2", "PUT", "dir/y", "1"]);

    // When a lease ends, its key's deletion is an event like any other.
    let lease = etcdctl.ok(&["lease", "grant", "2"]);
    let lease = lease.split(' ').nth(1).expect("its id");
    etcdctl.ok(&["put", "--lease", lease, "dir/z", "1"]);
    assert_eq!(prefix.next(3), ["PUT", "dir/z", "1"]);
    assert_eq!(prefix.next(3), ["DELETE", "dir/z", ""]);

    // A restart keeps the history, and the client renews its watch by itself.
    running.kill();
    let _running = member.start_alone(&[]);
    let again = Lines::of(&etcdctl, &["dir/", "--prefix", "--rev=3"]);
    assert_eq!(again.next(3), ["PUT", "dir/x", "1"]);
    assert_eq!(again.next(6), ["PUT", "dir/x", "2", "PUT", "dir/y", "1"]);
    etcdctl.ok(&["put", "dir/new", "1"]);
    assert_eq!(prefix.next(3), ["PUT", "dir/new", "1"], "the watch of before the restart goes on");

    etcdctl.ok(&["compaction", "6"]);
    let said = etcdctl.fails(&["watch", "a", "--rev=3"]);
    assert!(
        said.contains("watch was canceled (etcdserver: mvcc: required revision has been compacted)"),
        "{said}"
    );
}

#[test]
fn a_member_that_lags_tells_its_watchers_everything() {
    let folder = folder();
    let members = Member::three(folder.path());
    let all: Vec<&Member> = members.iter().collect();
    let Some(etcdctl) = Etcdctl::find(&all[..2]) else { return };
    let mut running: Vec<_> = members.iter().map(|member| member.spawn(&all, &[])).collect();
    wait_all_ready(&mut running);
    let third = Etcdctl::find(&all[2..]).expect("found before");
    let watch = Lines::of(&third, &["k", "--prefix"]);
    // The watch has been made once it receives an event.
    etcdctl.ok(&["put", "k", "0"]);
    while watch.lines.recv_timeout(Duration::from_secs(1)).is_err() {
        etcdctl.ok(&["put", "k", "0"]);
    }
    for n in 1..20 {
        etcdctl.ok(&["put", &format!("k{n}"), &n.to_string()]);
    }
    let mut seen = Vec::new();
    while seen.last().is_none_or(|line| line != "19") {
        seen.extend(watch.next(1));
    }
    let keys: Vec<&String> = seen.iter().filter(|line| line.starts_with('k') && line.len() > 1).collect();
    assert_eq!(keys.len(), 19, "{seen:?}");
}

/// A client that will send no more requests goes on watching. Its watchers go with the call or with the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_closed_stream_goes_on_until_its_client_goes() {
    for subject in Subject::both() {
        let name = subject.name;
        let watchers = || {
            let metrics = get(&subject.member.client_address(), "/metrics").body;
            let line = metrics.lines().find(|line| line.starts_with("etcd_debugging_mvcc_watcher_total "));
            line.expect("the metric").rsplit_once(' ').expect("a value").1.to_owned()
        };
        let put = async |value: &'static str| {
            let put = PutRequest { key: "k".into(), value: value.into(), ..Default::default() };
            KvClient::new(subject.channel()).put(put).await.expect("put");
        };
        let create = WatchCreateRequest { key: "k".into(), ..Default::default() };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let open = async || {
            let channel = subject.channel();
            let watched = WatchClient::new(channel.clone()).watch(stream::iter([create.clone()])).await;
            let mut watched = watched.expect("a stream").into_inner();
            assert!(watched.message().await.expect("no error").expect("not the end").created, "{name}");
            (channel, watched)
        };
        let (first_connection, mut first) = open().await;
        let (second_connection, mut second) = open().await;
        for value in ["1", "2"] {
            put(value).await;
            for watched in [&mut first, &mut second] {
                let told = tokio::time::timeout(PATIENCE, watched.message()).await.expect("in time");
                let told = told.expect("no error").unwrap_or_else(|| panic!("{name}: the stream has ended"));
                assert_eq!(told.events[0].kv.as_ref().expect("a key").value, value, "{name}");
            }
        }
        assert_eq!(watchers(), "2", "{name}");
        // The call alone, with its connection kept; then the connection.
        drop(first);
        wait_for(|| watchers() == "1", name).await;
        drop((second, second_connection));
        wait_for(|| watchers() == "0", name).await;
        drop(first_connection);
    }
}

async fn wait_for(is_so: impl Fn() -> bool, name: &str) {
    let from = std::time::Instant::now();
    while !is_so() {
        assert!(from.elapsed() < PATIENCE, "{name}: a watcher stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
