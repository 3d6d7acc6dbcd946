//! Unknown methods, bytes that are not a message, unknown fields, and health checks.

use prost::Message;
use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use squall_store::proto::etcdserverpb::{AuthUserGetRequest, RangeRequest};

use super::numbers::{key, percent};
use crate::operation::Call;

/// These methods only read, so that a request that is served changes nothing.
const READS: [&str; 4] = [
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.Lease/LeaseTimeToLive",
    "/etcdserverpb.Maintenance/HashKV",
    "/etcdserverpb.Auth/UserGet",
];
const NOT_THERE: [&str; 5] = [
    "/etcdserverpb.KV/Nothing",
    "/etcdserverpb.Nothing/Range",
    "/nothing",
    "/",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];
/// Bytes that a decoder must refuse: a length beyond the end, a number that does not end, an unknown wire type, field
/// 0, a wire type other than the field's, the end of a group without its beginning.
const BROKEN: [&[u8]; 8] = [
    b"\x0a\x7f",
    b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x0a",
    b"\x80",
    b"\x0f\x00",
    b"\x00\x00",
    b"\x0d\x00\x00\x00\x00",
    b"\x0c",
];
/// Fields that no message has, of each wire type; and a group, which is deprecated but valid.
const UNKNOWN: [&[u8]; 5] = [
    b"\xc0\x3e\x01",
    b"\xc2\x3e\x03abc",
    b"\xc1\x3e\x00\x00\x00\x00\x00\x00\x00\x00",
    b"\xc5\x3e\x00\x00\x00\x00",
    b"\xc3\x3e\xc0\x3e\x01\xc4\x3e",
];

pub fn draw(rng: &mut ChaCha8Rng) -> Call {
    let message = RangeRequest { key: key(rng).into(), limit: rng.gen_range(0..3), ..Default::default() };
    let message = message.encode_to_vec();
    let one_of = |rng: &mut ChaCha8Rng, all: &[&[u8]]| all.choose(rng).expect("some").to_vec();
    match rng.gen_range(0..100) {
        0..20 => Call::Health(["", "etcdserverpb.KV", "nothing"].choose(rng).expect("names").to_string()),
        20..35 => Call::Wire { path: NOT_THERE.choose(rng).expect("paths"), bytes: message },
        35..60 => {
            let broken = one_of(rng, &BROKEN);
            let bytes = if percent(rng, 50) { broken } else { [message, broken].concat() };
            Call::Wire { path: READS[0], bytes }
        }
        60..65 => Call::Wire { path: READS.choose(rng).expect("paths"), bytes: one_of(rng, &BROKEN[..4]) },
        65..70 => {
            // A text that is not UTF-8.
            let mut bytes = AuthUserGetRequest { name: "xx".into() }.encode_to_vec();
            bytes.truncate(2);
            Call::Wire { path: READS[3], bytes: [&bytes[..], b"\xff\xfe"].concat() }
        }
        // The same field twice: the last counts.
        70..80 => Call::Wire { path: READS[0], bytes: [&message[..], &message].concat() },
        _ => {
            let unknown = one_of(rng, &UNKNOWN);
            Call::Wire { path: READS[0], bytes: [unknown, message].concat() }
        }
    }
}
