//! Signed tokens: squalld and etcd accept each other's. The keys in `keys/` were made for these tests and protect
//! nothing.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use squall_store::proto::etcdserverpb::{
    AuthRoleAddRequest, AuthUserAddRequest, AuthenticateRequest, PutRequest, RangeRequest,
    auth_client::AuthClient, kv_client::KvClient,
};
use tonic::Code;

use crate::{
    concurrency::client::{Client, refusal},
    harness::{Member, folder, paragraph, refused},
    reference::Subject,
};

fn key(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_server/keys").join(name).display().to_string()
}

async fn put(client: &Client, key: &'static str) -> Result<(), tonic::Status> {
    let request = client.request(PutRequest { key: key.into(), value: "v".into(), ..Default::default() });
    KvClient::new(client.channel.clone()).put(request).await.map(drop)
}

async fn get(client: &Client, key: &'static str) -> Result<(), tonic::Status> {
    let request = client.request(RangeRequest { key: key.into(), ..Default::default() });
    KvClient::new(client.channel.clone()).range(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_token_opens_what_its_user_may_at_both_servers() {
    let (rsa, rsa_public) = (key("rsa.pem"), key("rsa.pub.pem"));
    let (ec, older_ec, ec_public) = (key("ec.pem"), key("ec.sec1.pem"), key("ec.pub.pem"));
    for (method, of_squalld, of_etcd, public) in [
        ("HS256", &ec, &ec, None),
        ("RS256", &rsa, &rsa, Some(&rsa_public)),
        ("PS512", &rsa, &rsa, None),
        // etcd reads EC keys in their older form only (SEC 1).
        ("ES256", &ec, &older_ec, Some(&ec_public)),
    ] {
        let public = public.map_or(String::new(), |path| format!(",pub-key={path}"));
        let flag =
            |private| format!("--auth-token=jwt,sign-method={method},priv-key={private}{public},ttl=10m");
        let subjects = [
            Subject::etcd(&[&flag(of_etcd), "--bcrypt-cost=4"]),
            Some(Subject::squalld(&[&flag(of_squalld), "--bcrypt-cost=4"])),
        ];
        let mut users = Vec::new();
        for subject in subjects.iter().flatten() {
            users.push(Client::of(subject).with_users().await);
        }
        // Both had the same changes of users and roles, so each accepts the other's tokens.
        let tokens: Vec<_> = users.iter().map(|(_, ann)| ann.token.clone().expect("a token")).collect();
        for ((root, ann), subject) in users.iter().zip(subjects.iter().flatten()) {
            for token in &tokens {
                assert_eq!(token.split('.').count(), 3, "{token}");
                let ann = Client { token: Some(token.clone()), ..ann.clone() };
                put(&ann, "a/1").await.unwrap_or_else(|status| panic!("{method}: {status}"));
                get(&ann, "a/1").await.expect("allowed");
                let denied = (Code::PermissionDenied, "etcdserver: permission denied".to_owned());
                assert_eq!(refusal(put(&ann, "b").await), denied, "{method}");
                assert_eq!(refusal(get(&ann, "b").await), denied, "{method}");
                let forged = Client { token: Some(format!("{token}A")), ..ann.clone() };
                let invalid = (Code::Unauthenticated, "etcdserver: invalid auth token".to_owned());
                assert_eq!(refusal(get(&forged, "a/1").await), invalid, "{method}");
            }
            // A change of roles invalidates every token. (etcd 3.5.1 answers without a code; its later patches have
            // this one.)
            let request = root.request(AuthRoleAddRequest { name: "new".into() });
            AuthClient::new(root.channel.clone()).role_add(request).await.expect("root may");
            let expected = [
                (Code::InvalidArgument, "etcdserver: revision of auth store is old".to_owned()),
                (Code::Unknown, "auth: revision in header is old".to_owned()),
            ];
            let expected = &expected[..1 + usize::from(subject.is_etcd())];
            for old in [refusal(put(ann, "a/1").await), refusal(get(ann, "a/1").await)] {
                assert!(expected.contains(&old), "{method} of {}: {old:?}", subject.name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_and_a_public_key_alone_makes_none() {
    let flag = format!("--auth-token=jwt,sign-method=HS256,priv-key={},ttl=2s", key("ec.pem"));
    let verify_only = format!("--auth-token=jwt,sign-method=RS256,pub-key={}", key("rsa.pub.pem"));
    let subjects = |flag: &str| {
        let flags = [flag, "--bcrypt-cost=4"];
        [Subject::etcd(&flags), Some(Subject::squalld(&flags))].into_iter().flatten().collect::<Vec<_>>()
    };
    for subject in subjects(&flag) {
        let (_, ann) = Client::of(&subject).with_users().await;
        get(&ann, "a/1").await.expect("allowed");
        tokio::time::sleep(Duration::from_secs(3)).await;
        let invalid = (Code::Unauthenticated, "etcdserver: invalid auth token".to_owned());
        assert_eq!(refusal(get(&ann, "a/1").await), invalid, "{}", subject.name);
    }
    for subject in subjects(&verify_only) {
        let mut auth = AuthClient::new(subject.channel());
        auth.role_add(AuthRoleAddRequest { name: "root".into() }).await.expect("a role");
        let user = AuthUserAddRequest { name: "root".into(), password: "p".into(), ..Default::default() };
        auth.user_add(user).await.expect("a user");
        let role = squall_store::proto::etcdserverpb::AuthUserGrantRoleRequest {
            user: "root".into(),
            role: "root".into(),
        };
        auth.user_grant_role(role).await.expect("granted");
        auth.auth_enable(squall_store::proto::etcdserverpb::AuthEnableRequest {}).await.expect("enabled");
        let request = AuthenticateRequest { name: "root".into(), password: "p".into() };
        let refused = refusal(auth.authenticate(request).await);
        let expected = (Code::Unknown, "auth: token signing attempted with verify-only key".to_owned());
        assert_eq!(refused, expected, "{}", subject.name);
    }
}

/// Tokens that another program has signed, with times as in RFC 7519.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_within_its_times_as_in_etcd() {
    let flags =
        [&format!("--auth-token=jwt,sign-method=HS256,priv-key={}", key("ec.pem")), "--bcrypt-cost=4"];
    let secret = EncodingKey::from_secret(&fs::read(key("ec.pem")).expect("a key"));
    for subject in [Subject::etcd(&flags), Some(Subject::squalld(&flags))].into_iter().flatten() {
        let (_, ann) = Client::of(&subject).with_users().await;
        let own = ann.token.as_deref().and_then(|token| token.split('.').nth(1)).expect("claims");
        let own: Value =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(own).expect("base64")).expect("JSON");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        for (times, is_valid) in [
            (json!({}), true),
            (json!({"exp": now as f64 + 50.5}), true),
            (json!({"nbf": now - 5, "iat": now as f64 - 4.5}), true),
            (json!({"exp": now - 5}), false),
            (json!({"nbf": now + 50}), false),
            (json!({"iat": now + 50}), false),
        ] {
            let mut claims = own.clone();
            claims.as_object_mut().expect("an object").extend(times.as_object().expect("an object").clone());
            let token = jsonwebtoken::encode(&Header::default(), &claims, &secret).expect("a token");
            let got = get(&Client { token: Some(token), ..ann.clone() }, "a/1").await;
            assert_eq!(got.is_ok(), is_valid, "{} and {times}: {got:?}", subject.name);
        }
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let folder = folder();
    let member = Member::new(folder.path(), "m1");
    let (rsa, ec, other) = (key("rsa.pem"), key("ec.pem"), key("ec.sec1.pem"));
    for (given, expected, said) in [
        ("jwt".to_owned(), 64, "a sign-method and a key are missing"),
        ("paper".to_owned(), 64, "the kinds are simple and jwt"),
        (format!("jwt,sign-method=RS255,priv-key={rsa}"), 1, "sign-method=RS255 is none"),
        (format!("jwt,sign-method=RS256,priv-key={rsa},colour=red"), 64, "is no option"),
        (format!("jwt,sign-method=RS256,priv-key={rsa},ttl=soon"), 64, "its ttl is no duration"),
        ("jwt,sign-method=RS256".to_owned(), 1, "no key is given"),
        (format!("jwt,sign-method=RS256,priv-key={ec}"), 1, "holds no private key for RS256"),
        (format!("jwt,sign-method=ES256,priv-key={other}"), 1, "holds no private key for ES256"),
        (format!("jwt,sign-method=ES384,priv-key={ec}"), 1, "holds no private key for ES384"),
        (format!("jwt,sign-method=RS256,priv-key={rsa}.gone"), 1, "No such file"),
    ] {
        let (status, answer) = refused(member.command(&[&member], &["--auth-token", &given]));
        assert_eq!(status, Some(expected), "{given}: {answer}");
        assert!(paragraph(&answer).contains(said), "{given}: {answer}");
    }
}
