//! The state as rows of a sorted key space: what the engine stores, and what a snapshot carries.
//!
//! A row's key is one byte for the table, followed by the table's own key. So one flat key space holds all tables,
//! and each table is a contiguous part of it:
//!
//! | table | key after the prefix | value |
//! |---|---|---|
//! | `a` | an alarm's kind, 1 byte (1 NOSPACE, 2 CORRUPT), and its member's id, 8 bytes big-endian | empty |
//! | `k` | the revision: main, 8 bytes big-endian, `_`, sub, 8 bytes big-endian; a tombstone has `t` after it | protobuf `mvccpb.KeyValue`; a tombstone's has the key alone |
//! | `l` | a lease's id, 8 bytes big-endian | its time to live and what was left of it at the last checkpoint, in seconds, each 8 bytes big-endian |
//! | `m` | `allocated` | what the store took up when rows last became fewer, in bytes, 8 bytes big-endian; absent if they did not since it was last defragmented |
//! | `m` | `auth` | whether auth is on (1 byte), the auth revision (8 bytes big-endian) |
//! | `m` | `applied` | format version (1 byte, now 1), index, term, digest, each 8 bytes big-endian |
//! | `m` | `scheduledCompactRev`, `finishedCompactRev` | main revision, 8 bytes big-endian |
//! | `n` | a member's id, 8 bytes big-endian | name, count of peer URLs, the URLs, count of client URLs, the URLs; each count and each text's length 4 bytes big-endian; a learner's has the byte 1 after it |
//! | `p` | a role's name | count of permissions; of each its kind (1 byte: read 0, write 1, both 2), its key, its end |
//! | `r` | a removed member's id, 8 bytes big-endian | empty |
//! | `u` | a user's name | whether it has no password (1 byte), the password's hash, count of roles, the roles |
//!
//! Table `k` is byte for byte etcd's `key` bucket, since HashKV hashes exactly these bytes. The other tables have
//! our own layout, whose version is in `applied`. A build refuses a version other than its own.
//!
//! Decoding trusts nothing: lengths are checked, fields must come once and in order, nothing may be left over. An
//! invalid row gives [`Corrupt`], which names the row. Flipped bits within a value are not detected here, but by the
//! checksums of the engine and of the snapshot stream.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::auth::rows::{self as auth, AuthRow};
use crate::mvcc::Record;
use crate::{
    Alarm, AlarmKind, Digest, Index, Lease, LeaseId, MAX_LEASE_TTL_SECS, Member, MemberId, Rev, Revision,
    Term,
};

/// A row that cannot be what the store wrote. The data folder or the snapshot is damaged, or was written by another
/// program.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("corrupt row {row}: {what}")]
pub struct Corrupt {
    /// The row's key in printable form.
    pub row: String,
    /// What is wrong with it.
    pub what: String,
}

impl Corrupt {
    pub(crate) fn new(key: &[u8], what: impl fmt::Display) -> Corrupt {
        Corrupt { row: format!("\"{}\"", key.escape_ascii()), what: what.to_string() }
    }
}

/// The version of the row format.
const FORMAT: u8 = 1;

const ALARM_TABLE: u8 = b'a';
pub(crate) const RECORD_TABLE: u8 = b'k';
pub(crate) const LEASE_TABLE: u8 = b'l';
pub(crate) const META_TABLE: u8 = b'm';
const MEMBER_TABLE: u8 = b'n';
const REMOVED_TABLE: u8 = b'r';

const ALLOCATED: &[u8] = b"mallocated";
const APPLIED: &[u8] = b"mapplied";
const SCHEDULED: &[u8] = b"mscheduledCompactRev";
const FINISHED: &[u8] = b"mfinishedCompactRev";

/// The last byte of a learner's row.
const LEARNER: u8 = 1;

/// More revisions than any store can reach. A higher one is damage, and could soon overflow.
const MAX_REVISION: i64 = i64::MAX / 2;

/// The bytes of a tombstone's revision. Any other record's revision has one byte less.
pub(crate) const REV_BYTES_MAX: usize = 18;

/// A decoded row.
#[derive(Debug)]
pub(crate) enum Row {
    Alarm(Alarm),
    Record(Rev, Record),
    Lease { id: LeaseId, ttl_secs: i64, remaining_secs: i64 },
    Allocated(u64),
    Applied { index: Index, term: Term, digest: Digest },
    ScheduledCompaction(Revision),
    FinishedCompaction(Revision),
    Member(Member),
    Removed(MemberId),
    Auth(AuthRow),
}

/// Decode any row.
pub(crate) fn decode(key: &Bytes, value: Bytes) -> Result<Row, Corrupt> {
    let corrupt = |what: &str| Corrupt::new(key, what);
    match key.first() {
        Some(&ALARM_TABLE) => {
            if !value.is_empty() {
                return Err(corrupt("an alarm's row has no value"));
            }
            Ok(Row::Alarm(decode_alarm(&key[1..]).map_err(corrupt)?))
        }
        Some(&RECORD_TABLE) => {
            let (rev, tombstone) = decode_rev(&key[1..]).map_err(corrupt)?;
            Ok(Row::Record(rev, Record::decode(value, rev, tombstone).map_err(corrupt)?))
        }
        Some(&LEASE_TABLE) => decode_lease(&key[1..], &value).map_err(corrupt),
        Some(&META_TABLE) => match key.as_ref() {
            ALLOCATED => Ok(Row::Allocated(decode_allocated(&value).map_err(corrupt)?)),
            auth::MARK => Ok(Row::Auth(auth::decode_mark(&value).map_err(corrupt)?)),
            APPLIED => decode_applied(&value).map_err(|what| Corrupt::new(key, what)),
            SCHEDULED => Ok(Row::ScheduledCompaction(decode_revision(&value).map_err(corrupt)?)),
            FINISHED => Ok(Row::FinishedCompaction(decode_revision(&value).map_err(corrupt)?)),
            _ => Err(corrupt("no such row in the table of marks")),
        },
        Some(&MEMBER_TABLE) => {
            let id = decode_id(&key[1..]).map_err(corrupt)?;
            Ok(Row::Member(decode_member(id, &value).map_err(corrupt)?))
        }
        Some(&REMOVED_TABLE) => {
            if !value.is_empty() {
                return Err(corrupt("a removed member's row has no value"));
            }
            Ok(Row::Removed(decode_id(&key[1..]).map_err(corrupt)?))
        }
        Some(&auth::ROLE_TABLE) => Ok(Row::Auth(auth::decode_role(&key[1..], &value).map_err(corrupt)?)),
        Some(&auth::USER_TABLE) => Ok(Row::Auth(auth::decode_user(&key[1..], &value).map_err(corrupt)?)),
        _ => Err(corrupt("no such table")),
    }
}

/// The error if the row `applied` is missing, which any state has that has applied an entry.
pub(crate) fn missing_applied() -> Corrupt {
    Corrupt::new(APPLIED, "missing, though there are other rows")
}

// --- table a: alarms ----------------------------------------------------------------------------------------------

/// The key of an alarm's row.
pub(crate) fn alarm_key(alarm: Alarm) -> Bytes {
    let mut key = vec![ALARM_TABLE, alarm.kind as u8];
    key.extend_from_slice(&alarm.member.0.to_be_bytes());
    key.into()
}

fn decode_alarm(key: &[u8]) -> Result<Alarm, &'static str> {
    let Some((kind, member)) = key.split_first().filter(|(_, member)| member.len() == 8) else {
        return Err("an alarm has 1 byte for its kind and 8 for its member");
    };
    let kind = AlarmKind::from_number(i32::from(*kind)).ok_or("no such kind of alarm")?;
    Ok(Alarm { kind, member: MemberId(read_u64(member)) })
}

// --- table k: records ---------------------------------------------------------------------------------------------

/// A revision's bytes, as the key table and the hash have them.
pub(crate) fn rev_bytes(rev: Rev, tombstone: bool, buffer: &mut [u8; REV_BYTES_MAX]) -> &[u8] {
    buffer[..8].copy_from_slice(&rev.main.to_be_bytes());
    buffer[8] = b'_';
    buffer[9..17].copy_from_slice(&rev.sub.to_be_bytes());
    buffer[17] = b't';
    &buffer[..if tombstone { 18 } else { 17 }]
}

/// The key of a record's row.
pub(crate) fn record_key(rev: Rev, tombstone: bool) -> Bytes {
    let mut buffer = [0; REV_BYTES_MAX];
    let rev = rev_bytes(rev, tombstone, &mut buffer);
    let mut key = Vec::with_capacity(1 + rev.len());
    key.push(RECORD_TABLE);
    key.extend_from_slice(rev);
    key.into()
}

/// The bytes of a record's row, key and value.
pub(crate) fn record_bytes(record: &Record) -> u64 {
    (1 + if record.is_tombstone() { 18 } else { 17 } + record.row().len()) as u64
}

fn decode_rev(bytes: &[u8]) -> Result<(Rev, bool), &'static str> {
    let tombstone = match bytes.len() {
        17 => false,
        18 if bytes[17] == b't' => true,
        _ => return Err("a revision has 17 bytes, and a tombstone's a `t` after them"),
    };
    if bytes[8] != b'_' {
        return Err("a revision has `_` between main and sub");
    }
    let rev = Rev { main: read_i64(&bytes[..8]), sub: read_i64(&bytes[9..17]) };
    // The first change of a store is revision 2.
    if rev.main < 2 || rev.main > MAX_REVISION || rev.sub < 0 || rev.sub > MAX_REVISION {
        return Err("no such revision");
    }
    Ok((rev, tombstone))
}

// --- table l: leases ----------------------------------------------------------------------------------------------

/// The key of a lease's row.
pub(crate) fn lease_key(id: LeaseId) -> Bytes {
    let mut key = vec![LEASE_TABLE];
    key.extend_from_slice(&id.0.to_be_bytes());
    key.into()
}

pub(crate) fn encode_lease(lease: &Lease) -> Bytes {
    let mut value = Vec::with_capacity(16);
    value.extend_from_slice(&lease.ttl_secs.to_be_bytes());
    value.extend_from_slice(&lease.remaining_secs.to_be_bytes());
    value.into()
}

fn decode_lease(id: &[u8], value: &[u8]) -> Result<Row, &'static str> {
    if id.len() != 8 {
        return Err("a lease's id has 8 bytes");
    }
    let id = LeaseId(read_i64(id));
    if id == LeaseId::NONE {
        return Err("a lease's id is not 0");
    }
    if value.len() != 16 {
        return Err("a lease's row has 16 bytes");
    }
    let (ttl_secs, remaining_secs) = (read_i64(&value[..8]), read_i64(&value[8..]));
    if !(1..=MAX_LEASE_TTL_SECS).contains(&ttl_secs) || !(0..=ttl_secs).contains(&remaining_secs) {
        return Err("no lease has such a time to live");
    }
    Ok(Row::Lease { id, ttl_secs, remaining_secs })
}

/// The error for a key that is attached to a lease that does not exist.
pub(crate) fn dangling_lease(key: &[u8], id: LeaseId) -> Corrupt {
    Corrupt::new(&lease_key(id), format_args!("missing, though key \"{}\" hangs on it", key.escape_ascii()))
}

// --- table m: marks -----------------------------------------------------------------------------------------------

/// The key of the row with the bytes that the store takes up.
pub(crate) fn allocated_key() -> Bytes {
    Bytes::from_static(ALLOCATED)
}

pub(crate) fn encode_allocated(bytes: u64) -> Bytes {
    Bytes::copy_from_slice(&bytes.to_be_bytes())
}

fn decode_allocated(value: &[u8]) -> Result<u64, &'static str> {
    match value.len() {
        8 => Ok(read_u64(value)),
        _ => Err("a number of bytes has 8 bytes"),
    }
}

/// The key of the row with the applied index.
pub(crate) fn applied_key() -> Bytes {
    Bytes::from_static(APPLIED)
}

/// The key of the mark that a compaction has begun.
pub(crate) fn scheduled_compaction_key() -> Bytes {
    Bytes::from_static(SCHEDULED)
}

/// The key of the mark that a compaction is done.
pub(crate) fn finished_compaction_key() -> Bytes {
    Bytes::from_static(FINISHED)
}

pub(crate) fn encode_applied(index: Index, term: Term, digest: Digest) -> Bytes {
    let mut value = Vec::with_capacity(25);
    value.push(FORMAT);
    value.extend_from_slice(&index.0.to_be_bytes());
    value.extend_from_slice(&term.0.to_be_bytes());
    value.extend_from_slice(&digest.0.to_be_bytes());
    value.into()
}

fn decode_applied(value: &[u8]) -> Result<Row, String> {
    match value.first() {
        Some(&FORMAT) => {}
        Some(other) => return Err(format!("row format {other}; this build reads format {FORMAT}")),
        None => return Err("empty".into()),
    }
    if value.len() != 25 {
        return Err(format!("{} bytes where 25 belong", value.len()));
    }
    Ok(Row::Applied {
        index: Index(read_u64(&value[1..9])),
        term: Term(read_u64(&value[9..17])),
        digest: Digest(read_u64(&value[17..25])),
    })
}

pub(crate) fn encode_revision(revision: Revision) -> Bytes {
    Bytes::copy_from_slice(&revision.0.to_be_bytes())
}

fn decode_revision(value: &[u8]) -> Result<Revision, &'static str> {
    if value.len() != 8 {
        return Err("a revision has 8 bytes");
    }
    match read_i64(value) {
        revision @ 0..=MAX_REVISION => Ok(Revision(revision)),
        _ => Err("no such revision"),
    }
}

// --- tables n and r: members --------------------------------------------------------------------------------------

/// The key of a member's row.
pub(crate) fn member_key(id: MemberId) -> Bytes {
    id_key(MEMBER_TABLE, id)
}

/// The key of a removed member's row.
pub(crate) fn removed_key(id: MemberId) -> Bytes {
    id_key(REMOVED_TABLE, id)
}

fn id_key(table: u8, id: MemberId) -> Bytes {
    let mut key = vec![table];
    key.extend_from_slice(&id.0.to_be_bytes());
    key.into()
}

pub(crate) fn encode_member(member: &Member) -> Bytes {
    let mut value = Vec::new();
    put_text(&mut value, &member.name);
    for urls in [&member.peer_urls, &member.client_urls] {
        put_len(&mut value, urls.len());
        for url in urls {
            put_text(&mut value, url);
        }
    }
    if member.is_learner {
        value.push(LEARNER);
    }
    value.into()
}

fn put_text(value: &mut Vec<u8>, text: &str) {
    put_len(value, text.len());
    value.extend_from_slice(text.as_bytes());
}

fn put_len(value: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("no request is 4 GiB long");
    value.extend_from_slice(&len.to_be_bytes());
}

fn decode_id(bytes: &[u8]) -> Result<MemberId, &'static str> {
    if bytes.len() != 8 {
        return Err("a member's id has 8 bytes");
    }
    match read_u64(bytes) {
        0 => Err("a member's id is not 0"),
        id => Ok(MemberId(id)),
    }
}

fn decode_member(id: MemberId, mut value: &[u8]) -> Result<Member, &'static str> {
    let name = take_text(&mut value)?;
    let peer_urls = take_texts(&mut value)?;
    let client_urls = take_texts(&mut value)?;
    let is_learner = match value {
        [] => false,
        [LEARNER] => true,
        _ => return Err("the member's row has bytes left over"),
    };
    Ok(Member { id, name, peer_urls, client_urls, is_learner })
}

fn take_texts(value: &mut &[u8]) -> Result<Vec<String>, &'static str> {
    // No memory is reserved for the count, which may be wrong: the texts are read one by one, and each must be
    // there.
    (0..take_len(value)?).map(|_| take_text(value)).collect()
}

fn take_text(value: &mut &[u8]) -> Result<String, &'static str> {
    let len = take_len(value)?;
    let (text, rest) = value.split_at_checked(len).ok_or("the member's row is cut short")?;
    *value = rest;
    String::from_utf8(text.to_vec()).map_err(|_| "the member's row has text that is not UTF-8")
}

fn take_len(value: &mut &[u8]) -> Result<usize, &'static str> {
    let (len, rest) = value.split_first_chunk::<4>().ok_or("the member's row is cut short")?;
    *value = rest;
    Ok(u32::from_be_bytes(*len) as usize)
}

/// The caller has checked that there are 8 bytes.
fn read_u64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("8 bytes"))
}

/// The caller has checked that there are 8 bytes.
fn read_i64(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().expect("8 bytes"))
}
