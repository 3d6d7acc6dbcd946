//! Questions of users, and tokens from before auth was turned off.

use super::check;
use crate::checks::locks::tests::read;

/// An operation that takes 5 ms from `at`, in milliseconds. `rest`: the rest of its line.
pub(super) fn line(id: u64, at: u64, op: &str, revision: u64, rest: &str) -> String {
    let (call, ret) = (at * 1_000_000, (at + 5) * 1_000_000);
    format!(
        "{{\"id\":{id},\"client\":{id},\"endpoint\":\"m1\",\"call\":{call},\"return\":{ret},\"op\":{op},\"outcome\":\"ok\",\
         \"header\":{{\"cluster_id\":1,\"member_id\":1,\"revision\":{revision},\"raft_term\":2}}{rest}}}\n"
    )
}

pub(super) fn auth(id: u64, at: u64, what: &str) -> String {
    line(id, at, &format!("{{\"auth\":{what}}}"), 1, ",\"result\":{\"empty\":{}}")
}

const OF_USER: &str = ",\"result\":{\"asked\":\"allowed\"},\"caller\":{\"user\":\"u\",\"token\":6}";

/// A user that may read `c`, with a token of operation 6; auth is on since 55 ms, and somebody wrote after that.
fn on() -> Vec<String> {
    let by_root = ",\"result\":{\"put\":{}},\"caller\":{\"user\":\"root\",\"token\":8}";
    vec![
        auth(1, 10, "{\"role_add\":\"r\"}"),
        auth(2, 20, "{\"grant_permission\":{\"role\":\"r\",\"key\":\"c\",\"read\":true}}"),
        auth(3, 30, "{\"user_add\":{\"user\":\"u\",\"password\":\"p\"}}"),
        auth(4, 40, "{\"grant_role\":{\"user\":\"u\",\"role\":\"r\"}}"),
        auth(11, 42, "{\"user_add\":{\"user\":\"root\",\"password\":\"q\"}}"),
        auth(12, 44, "{\"grant_role\":{\"user\":\"root\",\"role\":\"root\"}}"),
        auth(5, 50, "\"enable\""),
        auth(6, 60, "{\"authenticate\":{\"user\":\"u\",\"password\":\"p\"}}"),
        auth(8, 62, "{\"authenticate\":{\"user\":\"root\",\"password\":\"q\"}}"),
        line(7, 70, "{\"put\":{\"key\":\"c\",\"value\":\"1\"}}", 2, by_root),
    ]
}

fn with(more: &[String]) -> Vec<String> {
    let lines: Vec<String> = on().into_iter().chain(more.iter().cloned()).collect();
    check(&read(&lines)).into_iter().map(|failure| failure.guarantee).collect()
}

#[test]
fn users_ask_for_what_they_may() {
    let asks = |ask: &str, revision| with(&[line(9, 100, &format!("{{\"ask\":{ask}}}"), revision, OF_USER)]);
    assert_eq!(asks("{\"watch\":{\"key\":\"c\"}}", 2), [""; 0]);
    assert_eq!(asks("{\"watch\":{\"key\":\"d\"}}", 2), [super::DENIED]);
    assert_eq!(asks("{\"watch\":{\"key\":\"c\",\"range_end\":\"e\"}}", 2), [super::DENIED]);
    // A range that ends before it begins holds no key: whether it is allowed is etcd's own affair.
    assert_eq!(asks("{\"watch\":{\"key\":\"d\",\"range_end\":\"b\"}}", 2), [""; 0]);
    assert_eq!(asks("{\"watch\":{\"key\":\"d\",\"range_end\":\"d\"}}", 2), [""; 0]);
    assert_eq!(asks("\"hash_kv\"", 2), [super::DENIED]);
    // A member that had not applied the write may not know that auth is on.
    assert_eq!(asks("\"hash_kv\"", 1), [""; 0]);
    assert_eq!(asks("{\"status\":{}}", 2), [""; 0], "that is open to everybody");
}

#[test]
fn tokens_end_where_auth_is_turned_off() {
    let reads = line(
        30,
        200,
        "{\"range\":{\"key\":\"c\"}}",
        2,
        ",\"result\":{\"range\":{}},\"caller\":{\"user\":\"u\",\"token\":6}",
    );
    let off = auth(20, 100, "\"disable\"");
    let again = auth(21, 120, "\"enable\"");
    assert_eq!(with(std::slice::from_ref(&reads)), [""; 0]);
    assert_eq!(with(&[off.clone(), reads.clone()]), [""; 0], "auth is off");
    assert_eq!(with(&[off.clone(), again.clone(), reads.clone()]), [super::TOKENS]);
    // Perhaps it was never turned off.
    let perhaps =
        off.replace("\"outcome\":\"ok\"", "\"outcome\":\"info\"").replace(",\"result\":{\"empty\":{}}", "");
    assert_eq!(with(&[perhaps, again, reads]), [""; 0]);
}
