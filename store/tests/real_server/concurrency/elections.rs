//! The Election service.

use bytes::Bytes;
use squall_store::proto::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ResignRequest,
};
use tonic::{Code, Status, Streaming};

use super::client::{Client, answer_of, key, refusal, still_waits};
use crate::reference::{PATIENCE, Subject};

async fn leader(client: &Client, name: &'static str) -> Result<LeaderResponse, Status> {
    let request = client.request(LeaderRequest { name: name.into() });
    client.elections().leader(request).await.map(tonic::Response::into_inner)
}

async fn proclaim(client: &Client, leader: Option<LeaderKey>, value: &'static str) -> Result<i64, Status> {
    let request = client.request(ProclaimRequest { leader, value: value.into() });
    let said = client.elections().proclaim(request).await?;
    Ok(said.into_inner().header.expect("a header").revision)
}

async fn resign(client: &Client, leader: Option<LeaderKey>) -> Result<i64, Status> {
    let request = client.request(ResignRequest { leader });
    let resigned = client.elections().resign(request).await?;
    Ok(resigned.into_inner().header.expect("a header").revision)
}

async fn observe(client: &Client, name: &'static str) -> Streaming<LeaderResponse> {
    let request = client.request(LeaderRequest { name: name.into() });
    client.elections().observe(request).await.expect("a stream").into_inner()
}

/// The next response of an observer: the leader's key and value.
async fn heard(observed: &mut Streaming<LeaderResponse>) -> (Bytes, Bytes) {
    let next = tokio::time::timeout(PATIENCE, observed.message()).await.expect("in time");
    let response = next.expect("no error").expect("not the end");
    let header = response.header.expect("a header");
    let kv = response.kv.expect("a key");
    assert!(header.revision >= kv.mod_revision && header.cluster_id != 0, "{header:?} {kv:?}");
    (kv.key, kv.value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_lead_in_their_order_and_observers_hear_them() {
    for subject in Subject::both() {
        let client = Client::of(&subject);
        let mut leases = Vec::new();
        for _ in 0..3 {
            leases.push(client.grant(60).await);
        }
        let refused = refusal(leader(&client, "e").await);
        assert_eq!(refused, (Code::Unknown, "election: no leader".into()), "{}", subject.name);
        // etcd answers an observer only once there is a first leader.
        let early = tokio::spawn({
            let client = client.clone();
            async move { observe(&client, "e").await }
        });

        let won = client.campaign("e", leases[0], "one").await.expect("nobody else");
        let mut early = answer_of(early).await;
        let first = won.leader.expect("a key");
        let revision = won.header.expect("a header").revision;
        let expected =
            LeaderKey { name: "e".into(), key: key("e", leases[0]), rev: revision, lease: leases[0] };
        assert_eq!(first, expected, "{}", subject.name);
        assert_eq!(heard(&mut early).await, (first.key.clone(), "one".into()));
        let second = client.campaigning("e", leases[1], "two");
        client.await_below("e", 2).await;
        let third = client.campaigning("e", leases[2], "three");
        client.await_below("e", 3).await;
        still_waits(&second).await;

        assert_eq!(proclaim(&client, Some(first.clone()), "uno").await.expect("it leads"), revision + 3);
        assert_eq!(heard(&mut early).await, (first.key.clone(), "uno".into()));
        let mut late = observe(&client, "e").await;
        assert_eq!(heard(&mut late).await, (first.key.clone(), "uno".into()));
        let found = leader(&client, "e").await.expect("somebody").kv.expect("a key");
        assert_eq!((found.key, &found.value[..], found.version), (first.key.clone(), &b"uno"[..], 2));

        assert_eq!(resign(&client, Some(first.clone())).await.expect("done"), revision + 4);
        let second = answer_of(second).await.expect("its turn").leader.expect("a key");
        assert_eq!((&second.key, second.rev), (&key("e", leases[1]), revision + 1));
        for observed in [&mut early, &mut late] {
            assert_eq!(heard(observed).await, (second.key.clone(), "two".into()), "{}", subject.name);
        }
        // A candidate that has resigned does not lead any more, and may resign again.
        let refused = refusal(proclaim(&client, Some(first.clone()), "again").await);
        assert_eq!(refused, (Code::Unknown, "election: not leader".into()), "{}", subject.name);
        assert_eq!(resign(&client, Some(first)).await.expect("no error"), revision + 4);
        still_waits(&third).await;

        client.revoke(leases[1]).await;
        let third = answer_of(third).await.expect("its turn").leader.expect("a key");
        assert_eq!(third.key, key("e", leases[2]));
        assert_eq!(heard(&mut late).await, (third.key.clone(), "three".into()));
        // A campaign of the present leader changes its value; its key stays the same.
        let again = client.campaign("e", leases[2], "drei").await.expect("it leads").leader.expect("a key");
        assert_eq!((&again.key, again.rev), (&third.key, third.rev), "{}", subject.name);
        assert_eq!(heard(&mut late).await, (third.key.clone(), "drei".into()));
        client.revoke(leases[2]).await;
        assert_eq!(refusal(leader(&client, "e").await).1, "election: no leader");
        // The observer also reports the next election.
        let own = client.campaign("e", 0, "four").await.expect("nobody else").leader.expect("a key");
        assert_eq!(client.granted_ttl(own.lease).await, 60);
        assert_eq!(heard(&mut late).await, (own.key, "four".into()), "{}", subject.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_candidates_that_give_up() {
    for subject in Subject::both() {
        let client = Client::of(&subject);
        for refused in [refusal(proclaim(&client, None, "v").await), refusal(resign(&client, None).await)] {
            let expected = (Code::Unknown, "\"leader\" field must be provided".into());
            assert_eq!(refused, expected, "{}", subject.name);
        }
        let refused = refusal(client.campaign("e", 77, "v").await);
        assert_eq!(
            refused,
            (Code::Unknown, "etcdserver: requested lease not found".into()),
            "{}",
            subject.name
        );
        let (leads, waits) = (client.grant(60).await, client.grant(60).await);
        client.campaign("e", leads, "v").await.expect("nobody else");

        let gone = Client::of(&subject).campaigning("e", waits, "v");
        client.await_below("e", 2).await;
        gone.abort();
        client.await_below("e", 1).await;
        let mut request =
            client.request(CampaignRequest { name: "e".into(), lease: waits, value: "v".into() });
        request.set_timeout(super::client::A_WHILE);
        let late = client.elections().campaign(request).await;
        // The client's deadline and the server's are at the same moment, and either may end the call first.
        let late = refusal(late);
        let by_server = (Code::Unknown, "context deadline exceeded".to_owned());
        assert!(late.0 == Code::DeadlineExceeded || late == by_server, "{}: {late:?}", subject.name);
        client.await_below("e", 1).await;
        assert_eq!(client.below("e").await[0].lease, leads, "{}", subject.name);

        // A candidate whose lease has ended cannot lead. etcd answers that it leads.
        let waiter = client.campaigning("e", waits, "v");
        client.await_below("e", 2).await;
        client.revoke(waits).await;
        client.revoke(leads).await;
        let answer = answer_of(waiter).await;
        assert!(client.below("e").await.is_empty());
        if subject.is_etcd() {
            assert_eq!(answer.expect("so it says").leader.expect("a key").key, key("e", waits));
        } else {
            assert_eq!(refusal(answer), (Code::Unknown, "election: session is expired".into()));
        }
    }
}
