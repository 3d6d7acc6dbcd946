//! The Lock service.

use std::time::{Duration, Instant};

use squall_store::proto::v3lockpb::{LockRequest, lock_client::LockClient};
use tonic::Code;

use super::client::{Client, answer_of, key, refusal, still_waits};
use crate::reference::Subject;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_get_the_lock_in_their_order() {
    for subject in Subject::both() {
        let client = Client::of(&subject);
        let mut leases = Vec::new();
        for _ in 0..4 {
            leases.push(client.grant(60).await);
        }
        let first = client.lock("l", leases[0]).await.expect("free");
        assert_eq!(first.key, key("l", leases[0]), "{}", subject.name);
        let header = first.header.expect("a header");
        assert!(header.cluster_id != 0 && header.member_id != 0 && header.raft_term != 0, "{header:?}");
        let held = &client.below("l").await[0];
        assert_eq!(
            (held.create_revision, held.lease, &held.value[..]),
            (header.revision, leases[0], &b""[..])
        );

        // Locking again with the lease that holds the lock returns at once, with the same key.
        let again = client.lock("l", leases[0]).await.expect("held already");
        assert_eq!((&again.key, again.header.expect("a header").revision), (&first.key, header.revision));

        let mut waiters = Vec::new();
        for (place, lease) in leases.iter().enumerate().skip(1) {
            waiters.push(client.locking("l", *lease));
            client.await_below("l", place + 1).await;
        }
        still_waits(&waiters[0]).await;

        // An unlock, the end of a lease and the deletion of a key each hand over to the next in the queue.
        let before = waiters.remove(0);
        let unlocked = client.unlock(first.key).await.expect("unlocked").header.expect("a header");
        let second = answer_of(before).await.expect("its turn");
        assert_eq!(second.key, key("l", leases[1]));
        assert_eq!(second.header.expect("a header").revision, unlocked.revision, "{}", subject.name);
        still_waits(&waiters[0]).await;
        let before = waiters.remove(0);
        client.revoke(leases[1]).await;
        assert_eq!(answer_of(before).await.expect("its turn").key, key("l", leases[2]));
        still_waits(&waiters[0]).await;
        client.delete(&key("l", leases[2])).await;
        assert_eq!(answer_of(waiters.remove(0)).await.expect("its turn").key, key("l", leases[3]));
        assert_eq!(client.below("l").await.len(), 1);

        // A lock with another name is independent, even below the first one's name.
        let other = client.lock("l/l", leases[0]).await.expect("free");
        assert_eq!(other.key, key("l/l", leases[0]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_whose_lease_expires_hands_over() {
    for subject in Subject::both() {
        let client = Client::of(&subject);
        let (short, long) = (client.grant(2).await, client.grant(60).await);
        client.lock("l", short).await.expect("free");
        let began = Instant::now();
        client.lock("l", long).await.expect("its turn");
        let waited = began.elapsed();
        assert!(waited > Duration::from_secs(1), "{}: after {waited:?} of 2 s", subject.name);
        assert_eq!(client.below("l").await.len(), 1);

        // A call without a lease gets a lease of a minute.
        let own = client.lock("own", 0).await.expect("free");
        let held = &client.below("own").await[0];
        assert_eq!((&held.key, &held.key), (&own.key, &key("own", held.lease)));
        assert_eq!(client.granted_ttl(held.lease).await, 60, "{}", subject.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_what_is_none() {
    for subject in Subject::both() {
        let client = Client::of(&subject);
        let refused = refusal(client.lock("l", 77).await);
        assert_eq!(
            refused,
            (Code::Unknown, "etcdserver: requested lease not found".into()),
            "{}",
            subject.name
        );
        let refused = refusal(client.unlock("".into()).await);
        assert_eq!(refused, (Code::Unknown, "etcdserver: key is not provided".into()), "{}", subject.name);
        let unlocked = client.unlock("never/held".into()).await.expect("no error");
        assert_eq!(unlocked.header.expect("a header").revision, 1, "{}: nothing changed", subject.name);
        // An empty name is valid.
        let lease = client.grant(60).await;
        assert_eq!(client.lock("", lease).await.expect("free").key, key("", lease));

        // If a waiter's lease ends, the waiter is refused when its turn comes.
        let (holds, ends) = (client.grant(60).await, client.grant(60).await);
        let held = client.lock("l", holds).await.expect("free");
        let waiter = client.locking("l", ends);
        client.await_below("l", 2).await;
        client.revoke(ends).await;
        client.unlock(held.key).await.expect("unlocked");
        let refused = refusal(answer_of(waiter).await);
        assert_eq!(refused, (Code::Unknown, "mutex: session is expired".into()), "{}", subject.name);
        assert!(client.below("l").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_that_gives_up_leaves_no_key() {
    for subject in Subject::both() {
        let client = Client::of(&subject);
        let mut leases = Vec::new();
        for _ in 0..4 {
            leases.push(client.grant(60).await);
        }
        let held = client.lock("l", leases[0]).await.expect("free");
        // One waiter goes away and one has a deadline; the waiter behind them gets the lock.
        let gone = Client::of(&subject).locking("l", leases[1]);
        client.await_below("l", 2).await;
        let mut request = client.request(LockRequest { name: "l".into(), lease: leases[2] });
        request.set_timeout(Duration::from_millis(500));
        let mut locks = LockClient::new(client.channel.clone());
        let late = tokio::spawn(async move { locks.lock(request).await });
        client.await_below("l", 3).await;
        let last = client.locking("l", leases[3]);
        client.await_below("l", 4).await;
        gone.abort();
        // If etcd's own timer fires first, its service passes on the context's error, which has no code.
        let (code, text) = refusal(answer_of(late).await);
        let is_over = code == Code::DeadlineExceeded || text == "context deadline exceeded";
        assert!(is_over, "{}: {code:?} {text:?}", subject.name);
        client.await_below("l", 2).await;
        let there: Vec<_> = client.below("l").await.into_iter().map(|kv| kv.lease).collect();
        assert!(there.contains(&leases[0]) && there.contains(&leases[3]), "{}: {there:?}", subject.name);
        still_waits(&last).await;
        client.unlock(held.key).await.expect("unlocked");
        assert_eq!(answer_of(last).await.expect("its turn").key, key("l", leases[3]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_lock_what_they_may_write() {
    for subject in Subject::both() {
        let nobody = Client::of(&subject);
        let (root, ann) = nobody.with_users().await;
        let lease = root.grant(60).await;
        let refused = refusal(nobody.lock("a", lease).await);
        assert_eq!(refused, (Code::Unknown, "etcdserver: user name is empty".into()), "{}", subject.name);
        let refused = refusal(ann.lock("b", lease).await);
        assert_eq!(refused, (Code::Unknown, "etcdserver: permission denied".into()), "{}", subject.name);
        let refused = refusal(ann.unlock("b/1".into()).await);
        assert_eq!(refused, (Code::Unknown, "etcdserver: permission denied".into()), "{}", subject.name);
        let stranger = Client { token: Some("no.token".into()), ..nobody.clone() };
        let refused = refusal(stranger.lock("a", lease).await);
        assert_eq!(refused, (Code::Unknown, "etcdserver: invalid auth token".into()), "{}", subject.name);
        ann.lock("a", lease).await.expect("free, and allowed");
        let waiting = ann.grant(60).await;
        let waiter = ann.locking("a", waiting);
        root.await_below("a", 2).await;
        waiter.abort();
        // etcd tries to remove the key without a user, is refused, and so leaves the key.
        if !subject.is_etcd() {
            root.await_below("a", 1).await;
        }
    }
}
