//! Converts between our rows and the buckets of etcd's database. A snapshot for clients is made of these buckets, so
//! that etcd's tools can read our snapshots and a restore can read etcd's.
//!
//! | bucket | key | value |
//! |---|---|---|
//! | `alarm` | protobuf `AlarmMember` | empty |
//! | `auth` | `authEnabled`, `authRevision` | 1 byte; 8 bytes big-endian |
//! | `authRoles`, `authUsers` | the name | protobuf `authpb.Role`, `authpb.User` |
//! | `key` | the revision | protobuf `mvccpb.KeyValue`: table `k` of our rows, byte for byte |
//! | `lease` | the id, 8 bytes big-endian | protobuf `leasepb.Lease` |
//! | `meta` | `consistent_index`, `term`; `scheduledCompactRev`, `finishedCompactRev` | 8 bytes big-endian; a revision |
//! | `squall` | `applied`, `allocated` | our rows of these names: what etcd has no place for |
//!
//! Members are left out, since a restore makes new ones. The buckets `cluster`, `members` and `members_removed`
//! exist and are empty.
//!
//! Source: etcd 3.5, `server/mvcc/buckets`, `server/auth/store.go`, `server/lease/lessor.go`.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    Alarm, AlarmKind, Corrupt, Digest, Index, Lease, LeaseId, MemberId, Permission, PermissionKind, Revision,
    Role, Term, User,
    auth::rows as auth,
    mvcc::record::{put_bytes, put_int, take_varint},
    rows::{self, Row},
};

/// Pairs in the order of their keys.
type Pairs = Vec<(Bytes, Bytes)>;

/// Buckets by name.
pub type Buckets = BTreeMap<Bytes, Pairs>;

const NAMES: [&str; 11] = [
    "alarm",
    "auth",
    "authRoles",
    "authUsers",
    "cluster",
    "key",
    "lease",
    "members",
    "members_removed",
    "meta",
    "squall",
];

/// The buckets of these rows.
///
/// # Errors
/// Names the first row that the store cannot have written.
pub fn to_buckets(rows: impl IntoIterator<Item = (Bytes, Bytes)>) -> Result<Buckets, Corrupt> {
    let mut buckets: Buckets = NAMES.into_iter().map(|name| (name.into(), Pairs::new())).collect();
    let mut put = |bucket: &str, key: Bytes, value: Bytes| {
        buckets.get_mut(bucket.as_bytes()).expect("named above").push((key, value));
    };
    for (key, value) in rows {
        // Most rows are records, and they are copied unchanged.
        if key.first() == Some(&rows::RECORD_TABLE) {
            put("key", key.slice(1..), value);
            continue;
        }
        match rows::decode(&key, value.clone())? {
            Row::Alarm(alarm) => put("alarm", encode_alarm(alarm), Bytes::new()),
            Row::Lease { id, ttl_secs, remaining_secs } => {
                put("lease", key.slice(1..), encode_lease(id, ttl_secs, remaining_secs));
            }
            Row::Allocated(_) => put("squall", key.slice(1..), value),
            Row::Applied { index, term, .. } => {
                put("meta", "consistent_index".into(), be(index.0));
                put("meta", "term".into(), be(term.0));
                put("squall", key.slice(1..), value);
            }
            Row::ScheduledCompaction(revision) | Row::FinishedCompaction(revision) => {
                put("meta", key.slice(1..), encode_revision(revision));
            }
            Row::Auth(auth::AuthRow::Mark { enabled, revision }) => {
                put("auth", "authEnabled".into(), Bytes::copy_from_slice(&[u8::from(enabled)]));
                put("auth", "authRevision".into(), be(revision));
            }
            Row::Auth(auth::AuthRow::User(name, user)) => {
                put("authUsers", key.slice(1..), encode_user(&name, &user))
            }
            Row::Auth(auth::AuthRow::Role(name, role)) => {
                put("authRoles", key.slice(1..), encode_role(&name, &role))
            }
            Row::Member(_) | Row::Removed(_) => {}
            Row::Record(..) => unreachable!("put above"),
        }
    }
    // Some of our tables are ordered differently from etcd's buckets.
    for (_, pairs) in buckets.iter_mut().filter(|(name, _)| name[..] != b"key"[..]) {
        pairs.sort();
    }
    Ok(buckets)
}

/// The rows of these buckets, in order. The buckets may be ours or an etcd's.
///
/// # Errors
/// Names the first impossible entry. Whether the rows fit together is checked by
/// [`State::restore`](crate::State::restore).
pub fn from_buckets(mut buckets: Buckets) -> Result<Pairs, Corrupt> {
    let mut take = |name: &str| buckets.remove(name.as_bytes()).unwrap_or_default();
    let mut found: Pairs = Vec::new();
    for (key, _) in take("alarm") {
        let alarm = decode_alarm(&key).map_err(|what| corrupt("alarm", &key, what))?;
        found.push((rows::alarm_key(alarm), Bytes::new()));
    }
    for (key, value) in take("lease") {
        let lease = decode_lease(&value).map_err(|what| corrupt("lease", &key, what))?;
        found.push((prefixed(rows::LEASE_TABLE, &key), rows::encode_lease(&lease)));
    }
    found.extend(marks(&take("meta"), take("squall"))?);
    found.extend(users_and_roles(&take("auth"), &take("authUsers"), &take("authRoles"))?);
    found.extend(take("key").into_iter().map(|(key, value)| (prefixed(rows::RECORD_TABLE, &key), value)));
    // Sorted by key only, since the values are long.
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// The rows of the table of marks, without the mark of auth.
fn marks(meta: &Pairs, own: Pairs) -> Result<Pairs, Corrupt> {
    let mut found: Pairs = Vec::new();
    for (name, key) in [
        ("scheduledCompactRev", rows::scheduled_compaction_key()),
        ("finishedCompactRev", rows::finished_compaction_key()),
    ] {
        if let Some(value) = value_of(meta, name) {
            let main = value.first_chunk().ok_or_else(|| corrupt("meta", name.as_bytes(), "no revision"))?;
            found.push((key, rows::encode_revision(Revision(i64::from_be_bytes(*main)))));
        }
    }
    // An etcd's database has no digest of its history. A store that was never written to has no index.
    let number = |name: &str| number_of("meta", meta, name).map(|found| found.unwrap_or(0).max(1));
    let (index, term) = (number("consistent_index")?, number("term")?);
    let own: Pairs = own.into_iter().map(|(key, value)| (prefixed(rows::META_TABLE, &key), value)).collect();
    // If an etcd has gone on with a database of ours, our own bucket in it is out of date.
    let mut current = false;
    for (key, value) in &own {
        if let Row::Applied { index: own_index, term: own_term, .. } = rows::decode(key, value.clone())? {
            current = (own_index.0, own_term.0) == (index, term);
        }
    }
    if current {
        found.extend(own);
    } else {
        found.push((rows::applied_key(), rows::encode_applied(Index(index), Term(term), Digest(0))));
    }
    Ok(found)
}

fn users_and_roles(marks: &Pairs, users: &Pairs, roles: &Pairs) -> Result<Pairs, Corrupt> {
    let mut found: Pairs = Vec::new();
    let enabled = value_of(marks, "authEnabled").is_some_and(|value| value[..] == [1]);
    let revision = number_of("auth", marks, "authRevision")?.unwrap_or(1);
    if enabled || revision > 1 {
        found.push((auth::mark_key(), auth::encode_mark(enabled, revision)));
    }
    for (key, value) in users {
        let user = decode_user(value).map_err(|what| corrupt("authUsers", key, what))?;
        found.push((prefixed(auth::USER_TABLE, key), auth::encode_user(&user)));
    }
    for (key, value) in roles {
        let role = decode_role(value).map_err(|what| corrupt("authRoles", key, what))?;
        found.push((prefixed(auth::ROLE_TABLE, key), auth::encode_role(&role)));
    }
    Ok(found)
}

fn value_of<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a Bytes> {
    pairs.iter().find(|(key, _)| key[..] == *name.as_bytes()).map(|(_, value)| value)
}

/// A number that etcd keeps in 8 bytes, in one of a bucket's pairs.
fn number_of(bucket: &str, pairs: &Pairs, name: &str) -> Result<Option<u64>, Corrupt> {
    let Some(value) = value_of(pairs, name) else { return Ok(None) };
    let bytes = value[..].try_into().map_err(|_| corrupt(bucket, name.as_bytes(), "a number has 8 bytes"))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

fn corrupt(bucket: &str, key: &[u8], what: &str) -> Corrupt {
    Corrupt::new(&[bucket.as_bytes(), b"/", key].concat(), what)
}

fn prefixed(table: u8, key: &[u8]) -> Bytes {
    [&[table], key].concat().into()
}

fn be(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// etcd stores a compaction as the revision's bytes: main, `_`, sub.
fn encode_revision(revision: Revision) -> Bytes {
    [&revision.0.to_be_bytes()[..], b"_", &[0; 8]].concat().into()
}

// --- protobuf -----------------------------------------------------------------------------------------------------

enum Field<'a> {
    Int(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in the order in which they come.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self) -> Result<(u64, Field<'a>), &'static str> {
        let mut at = 0;
        let tag = take_varint(self.0, &mut at)?;
        let int = take_varint(self.0, &mut at)?;
        let field = match tag & 7 {
            0 => Field::Int(int),
            2 => {
                let end = usize::try_from(int).ok().and_then(|len| at.checked_add(len));
                let bytes = end.and_then(|end| self.0.get(at..end)).ok_or("a field that is cut short")?;
                at += bytes.len();
                Field::Bytes(bytes)
            }
            _ => return Err("a field of a kind that no row has"),
        };
        self.0 = &self.0[at..];
        Ok((tag >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let taken = self.take();
        if taken.is_err() {
            self.0 = &[];
        }
        Some(taken)
    }
}

fn encode_alarm(alarm: Alarm) -> Bytes {
    let mut message = Vec::new();
    put_int(&mut message, 1, alarm.member.0 as i64);
    put_int(&mut message, 2, alarm.kind as i64);
    message.into()
}

fn decode_alarm(message: &[u8]) -> Result<Alarm, &'static str> {
    let (mut member, mut kind) = (0, 0);
    for field in Fields(message) {
        match field? {
            (1, Field::Int(id)) => member = id,
            (2, Field::Int(number)) => kind = number,
            _ => {}
        }
    }
    let kind = i32::try_from(kind).ok().and_then(AlarmKind::from_number).ok_or("no such kind of alarm")?;
    Ok(Alarm { kind, member: MemberId(member) })
}

fn encode_lease(id: LeaseId, ttl_secs: i64, remaining_secs: i64) -> Bytes {
    let mut message = Vec::new();
    put_int(&mut message, 1, id.0);
    put_int(&mut message, 2, ttl_secs);
    put_int(&mut message, 3, remaining_secs);
    message.into()
}

fn decode_lease(message: &[u8]) -> Result<Lease, &'static str> {
    let mut lease = Lease::default();
    for field in Fields(message) {
        match field? {
            (2, Field::Int(ttl)) => lease.ttl_secs = ttl as i64,
            (3, Field::Int(remaining)) => lease.remaining_secs = remaining as i64,
            _ => {}
        }
    }
    Ok(lease)
}

fn encode_user(name: &str, user: &User) -> Bytes {
    let mut message = Vec::new();
    put_bytes(&mut message, 1, name.as_bytes());
    put_bytes(&mut message, 2, &user.password_hash);
    user.roles.iter().for_each(|role| put_bytes(&mut message, 3, role.as_bytes()));
    if user.no_password {
        put_bytes(&mut message, 4, &[1 << 3, 1]);
    }
    message.into()
}

fn decode_user(message: &[u8]) -> Result<User, &'static str> {
    let mut user = User::default();
    for field in Fields(message) {
        match field? {
            (2, Field::Bytes(hash)) => user.password_hash = Bytes::copy_from_slice(hash),
            (3, Field::Bytes(role)) => drop(user.roles.insert(text(role)?)),
            (4, Field::Bytes(options)) => {
                for option in Fields(options) {
                    if let (1, Field::Int(no_password)) = option? {
                        user.no_password = no_password != 0;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(user)
}

fn encode_role(name: &str, role: &Role) -> Bytes {
    let mut message = Vec::new();
    put_bytes(&mut message, 1, name.as_bytes());
    for Permission { key, range_end, kind } in role.list() {
        let mut permission = Vec::new();
        put_int(&mut permission, 1, i64::from(kind.number()));
        put_bytes(&mut permission, 2, key);
        put_bytes(&mut permission, 3, range_end);
        put_bytes(&mut message, 2, &permission);
    }
    message.into()
}

fn decode_role(message: &[u8]) -> Result<Role, &'static str> {
    let mut role = Role::default();
    for field in Fields(message) {
        let (2, Field::Bytes(permission)) = field? else { continue };
        let (mut kind, mut key, mut range_end) = (0, Bytes::new(), Bytes::new());
        for field in Fields(permission) {
            match field? {
                (1, Field::Int(number)) => kind = number,
                (2, Field::Bytes(bytes)) => key = Bytes::copy_from_slice(bytes),
                (3, Field::Bytes(bytes)) => range_end = Bytes::copy_from_slice(bytes),
                _ => {}
            }
        }
        // etcd may have a permission on no key, or two permissions on one range. Neither is possible here.
        if crate::auth::permissions::is_valid(&key, &range_end) {
            role.grant(Permission { key, range_end, kind: PermissionKind::from_number(kind as i32) });
        }
    }
    Ok(role)
}

fn text(bytes: &[u8]) -> Result<String, &'static str> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a name is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AlarmRequest, AuthCommand, Command, LeaseId, Member, MembershipChange, Permission, PutRequest, State,
    };

    /// A state with something in every table.
    fn full() -> State {
        let mut state = State::new();
        let member = Member::new(vec!["http://m1:1".into()], "t", None);
        let added = state.apply_membership(Index(1), Term(1), &MembershipChange::Add(member.clone()));
        added.reply.expect("valid");
        let mut apply = |command: Command| {
            let applied = state.apply(state.applied().0.next(), Term(2), &command);
            applied.reply.unwrap_or_else(|refusal| panic!("{command:?}: {refusal:?}"));
        };
        apply(Command::LeaseGrant { id: LeaseId(7), ttl_secs: 60 });
        for n in 0..20 {
            let lease = if n % 2 == 0 { LeaseId(7) } else { LeaseId::NONE };
            let key = format!("key{}", n % 5).into();
            apply(Command::Put(PutRequest {
                key,
                value: format!("{n}").into(),
                lease,
                ..PutRequest::default()
            }));
        }
        apply(Command::Alarm(AlarmRequest::Activate(member.id, Some(AlarmKind::NoSpace))));
        let auth = Command::Auth;
        for name in ["root", "reader"] {
            apply(auth(AuthCommand::RoleAdd(name.into())));
            let hash = Bytes::from_static(b"$2a$04$hash");
            apply(auth(AuthCommand::UserAdd { name: name.into(), password_hash: hash, no_password: false }));
            apply(auth(AuthCommand::UserGrantRole { user: name.into(), role: name.into() }));
        }
        let permission =
            Permission { key: "a".into(), range_end: "b".into(), kind: PermissionKind::ReadWrite };
        apply(auth(AuthCommand::RoleGrantPermission { role: "reader".into(), permission: Some(permission) }));
        apply(auth(AuthCommand::Enable));
        state
    }

    #[test]
    fn a_state_comes_back_from_its_buckets_without_its_members() {
        let state = full();
        let kept: Pairs = state.rows().filter(|(key, _)| !b"nr".contains(&key[0])).collect();
        assert!(
            b"aklmpu".iter().all(|table| kept.iter().any(|(key, _)| key[0] == *table)),
            "a table is empty"
        );
        let buckets = to_buckets(state.rows()).expect("rows of a store");
        let names: Vec<&[u8]> = buckets.keys().map(|name| &name[..]).collect();
        assert_eq!(names, NAMES.map(str::as_bytes));
        let back = from_buckets(buckets.clone()).expect("rows of a store");
        assert_eq!(back, kept);
        State::restore(back).expect("a state");

        // An etcd that goes on with the database advances the index, and leaves our bucket as it was.
        let mut moved = buckets;
        let meta = moved.get_mut(&b"meta"[..]).expect("named");
        let index = meta.iter_mut().find(|(key, _)| key[..] == b"consistent_index"[..]).expect("there");
        index.1 = be(3);
        let state = State::restore(from_buckets(moved).expect("rows")).expect("a state");
        assert_eq!(state.applied(), (Index(3), Term(2)));
    }

    #[test]
    fn rows_that_no_etcd_writes_are_refused_with_their_place() {
        for (bucket, key, value, said) in [
            ("alarm", &b"\x08"[..], &b""[..], "alarm/"),
            ("lease", b"12345678", b"\x10", "lease/12345678"),
            ("meta", b"consistent_index", b"1", "meta/consistent_index"),
            ("meta", b"scheduledCompactRev", b"1", "meta/scheduledCompactRev"),
            ("auth", b"authRevision", b"1", "auth/authRevision"),
            ("authUsers", b"u", b"\x1a\x05ab", "authUsers/u"),
            ("authRoles", b"r", b"\x0d\x00\x00\x00\x00", "authRoles/r"),
        ] {
            let buckets =
                [(bucket.into(), vec![(Bytes::from_static(key), Bytes::from_static(value))])].into();
            let said_of = from_buckets(buckets).expect_err(said);
            assert!(said_of.to_string().contains(said), "{said_of}");
        }
    }
}
