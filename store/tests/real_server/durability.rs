//! Every acknowledged write is there after repeated kill -9, on the real disk.

use std::time::Duration;

use futures_util::future::join_all;
use squall_store::{
    proto::etcdserverpb::{PutRequest, RangeRequest, kv_client::KvClient},
    seam::Channel,
};

use crate::harness::{Member, folder};

/// How many writers run at once, each with a key prefix of its own.
const WRITERS: usize = 4;

fn client(member: &Member) -> KvClient<Channel> {
    KvClient::new(member.dial())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kill_9() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    // (revision, key) of every acknowledged write, of all rounds.
    let mut acknowledged: Vec<(i64, String)> = Vec::new();
    // Small enough that the engine's commits and the log's release fall between the kills.
    let flags = ["--snapshot-count=200"];
    for (round, milliseconds) in [40, 350, 120, 700].into_iter().enumerate() {
        let running = member.start_alone(&flags);
        let writers = (0..WRITERS).map(async |writer| {
            let mut kv = client(&member);
            let mut written = Vec::new();
            for n in 0.. {
                let key = format!("{round}/{writer}/{n:06}");
                let put =
                    PutRequest { key: key.clone().into(), value: key.clone().into(), ..Default::default() };
                match kv.put(put).await {
                    Ok(response) => written.push((response.into_inner().header.unwrap().revision, key)),
                    // The server is dead. This write is ambiguous, and so demands nothing.
                    Err(_) => break,
                }
            }
            written
        });
        let killer = async {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            running.kill();
        };
        let (written, ()) = tokio::join!(join_all(writers), killer);
        acknowledged.extend(written.into_iter().flatten());

        let running = member.start_alone(&flags);
        let all = RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
        let found = client(&member).range(all).await.unwrap().into_inner();
        for (revision, key) in &acknowledged {
            let at = found.kvs.binary_search_by(|kv| kv.key.as_ref().cmp(key.as_bytes()));
            let kv = &found.kvs
                [at.unwrap_or_else(|_| panic!("round {round}: {key} was acknowledged and is gone"))];
            assert_eq!((kv.mod_revision, &kv.value[..]), (*revision, key.as_bytes()), "round {round}: {key}");
        }
        // Beside acknowledged writes only one ambiguous write for each writer and round may be there.
        let unknown = found.kvs.len() - acknowledged.len();
        assert!(unknown <= WRITERS * (round + 1), "round {round}: {unknown} keys that nobody wrote");
        // Each write makes one revision, and an empty store has revision 1.
        assert_eq!(found.header.unwrap().revision as usize, found.kvs.len() + 1, "round {round}");
        // It is killed again while idle: nothing may depend on a graceful end.
        running.kill();
    }
    assert!(acknowledged.len() > 100, "only {} writes: nothing was shown", acknowledged.len());
}
