//! The tables' rows; their place among all others is in `crate::rows`. Counts and lengths have 4 bytes, big-endian.

use bytes::Bytes;

use super::{Permission, PermissionKind, Role, User, permissions};

/// The table of roles.
pub(crate) const ROLE_TABLE: u8 = b'p';
/// The table of users.
pub(crate) const USER_TABLE: u8 = b'u';
/// The key of the row that says whether auth is on.
pub(crate) const MARK: &[u8] = b"mauth";

/// Marks a kind of permission that the API does not have; the kind's number follows.
const UNKNOWN_KIND: u8 = 3;

/// A decoded row.
#[derive(Debug)]
pub(crate) enum AuthRow {
    Mark { enabled: bool, revision: u64 },
    User(String, User),
    Role(String, Role),
}

pub(crate) fn mark_key() -> Bytes {
    Bytes::from_static(MARK)
}

pub(crate) fn encode_mark(enabled: bool, revision: u64) -> Bytes {
    let mut value = vec![u8::from(enabled)];
    value.extend_from_slice(&revision.to_be_bytes());
    value.into()
}

pub(crate) fn decode_mark(value: &[u8]) -> Result<AuthRow, &'static str> {
    let (enabled, revision) = match value {
        [enabled @ (0 | 1), revision @ ..] => (*enabled == 1, revision),
        _ => return Err("auth is neither on nor off"),
    };
    let revision = u64::from_be_bytes(revision.try_into().map_err(|_| "an auth revision has 8 bytes")?);
    if revision == 0 || revision > u64::MAX / 2 {
        return Err("no such auth revision");
    }
    Ok(AuthRow::Mark { enabled, revision })
}

pub(crate) fn user_key(name: &str) -> Bytes {
    [&[USER_TABLE], name.as_bytes()].concat().into()
}

pub(crate) fn encode_user(user: &User) -> Bytes {
    let mut value = vec![u8::from(user.no_password)];
    put_bytes(&mut value, &user.password_hash);
    put_len(&mut value, user.roles.len());
    for role in &user.roles {
        put_bytes(&mut value, role.as_bytes());
    }
    value.into()
}

pub(crate) fn decode_user(name: &[u8], value: &[u8]) -> Result<AuthRow, &'static str> {
    let name = decode_name(name)?;
    let mut rest = value;
    let no_password = match take(&mut rest, 1)? {
        [0] => false,
        [1] => true,
        _ => return Err("the user neither has a password nor has none"),
    };
    let password_hash = Bytes::copy_from_slice(take_bytes(&mut rest)?);
    if no_password && !password_hash.is_empty() {
        return Err("the user has no password, and a hash of it");
    }
    let mut user = User { password_hash, no_password, ..User::default() };
    for _ in 0..take_len(&mut rest)? {
        let role = decode_name(take_bytes(&mut rest)?)?;
        if user.roles.last().is_some_and(|last| *last >= role) {
            return Err("the user's roles are not in order");
        }
        user.roles.insert(role);
    }
    end(rest)?;
    Ok(AuthRow::User(name, user))
}

pub(crate) fn role_key(name: &str) -> Bytes {
    [&[ROLE_TABLE], name.as_bytes()].concat().into()
}

pub(crate) fn encode_role(role: &Role) -> Bytes {
    let mut value = Vec::new();
    put_len(&mut value, role.list().len());
    for Permission { key, range_end, kind } in role.list() {
        match kind {
            PermissionKind::Read => value.push(0),
            PermissionKind::Write => value.push(1),
            PermissionKind::ReadWrite => value.push(2),
            PermissionKind::Unknown(number) => {
                value.push(UNKNOWN_KIND);
                value.extend_from_slice(&number.to_be_bytes());
            }
        }
        put_bytes(&mut value, key);
        put_bytes(&mut value, range_end);
    }
    value.into()
}

pub(crate) fn decode_role(name: &[u8], value: &[u8]) -> Result<AuthRow, &'static str> {
    let name = decode_name(name)?;
    let (mut rest, mut role) = (value, Role::default());
    for _ in 0..take_len(&mut rest)? {
        let kind = match take(&mut rest, 1)? {
            [0] => PermissionKind::Read,
            [1] => PermissionKind::Write,
            [2] => PermissionKind::ReadWrite,
            [UNKNOWN_KIND] => {
                let number = i32::from_be_bytes(take(&mut rest, 4)?.try_into().expect("4 bytes"));
                if (0..3).contains(&number) {
                    return Err("a kind of permission that is known, and said not to be");
                }
                PermissionKind::Unknown(number)
            }
            _ => return Err("no such kind of permission"),
        };
        let key = Bytes::copy_from_slice(take_bytes(&mut rest)?);
        let range_end = Bytes::copy_from_slice(take_bytes(&mut rest)?);
        if !permissions::is_valid(&key, &range_end) {
            return Err("a permission on no key");
        }
        if role.list().last().is_some_and(|last| last.key > key) {
            return Err("the role's permissions are not in order");
        }
        if role.list().any(|one| one.key == key && one.range_end == range_end) {
            return Err("the role has two permissions on one range");
        }
        role.grant(Permission { key, range_end, kind });
    }
    end(rest)?;
    Ok(AuthRow::Role(name, role))
}

fn put_len(value: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("no request is 4 GiB long");
    value.extend_from_slice(&len.to_be_bytes());
}

fn put_bytes(value: &mut Vec<u8>, bytes: &[u8]) {
    put_len(value, bytes.len());
    value.extend_from_slice(bytes);
}

fn decode_name(name: &[u8]) -> Result<String, &'static str> {
    if name.is_empty() {
        return Err("a user's or a role's name is not empty");
    }
    String::from_utf8(name.to_vec()).map_err(|_| "a user's or a role's name is UTF-8")
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], &'static str> {
    let (taken, left) = rest.split_at_checked(len).ok_or("the user's or role's row is cut short")?;
    *rest = left;
    Ok(taken)
}

fn take_len(rest: &mut &[u8]) -> Result<usize, &'static str> {
    let len = take(rest, 4)?;
    Ok(u32::from_be_bytes(len.try_into().expect("4 bytes")) as usize)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], &'static str> {
    let len = take_len(rest)?;
    take(rest, len)
}

fn end(rest: &[u8]) -> Result<(), &'static str> {
    if rest.is_empty() { Ok(()) } else { Err("the user's or role's row has bytes left over") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_permissions_survive_their_row() {
        let kinds = [
            PermissionKind::Read,
            PermissionKind::Write,
            PermissionKind::ReadWrite,
            PermissionKind::Unknown(3),
            PermissionKind::Unknown(-1),
        ];
        for kind in kinds {
            let mut role = Role::default();
            role.grant(Permission { key: "k".into(), range_end: Bytes::new(), kind });
            let row = encode_role(&role);
            match decode_role(b"r", &row) {
                Ok(AuthRow::Role(name, decoded)) => assert_eq!((name.as_str(), decoded), ("r", role)),
                decoded => panic!("{kind:?}: {decoded:?}"),
            }
        }
        let mut known = Role::default();
        let kind = PermissionKind::Unknown(1);
        known.grant(Permission { key: "k".into(), range_end: Bytes::new(), kind });
        assert!(decode_role(b"r", &encode_role(&known)).is_err(), "one content, two rows");
    }

    /// etcd sorts by key alone, so grants on one key keep their order.
    #[test]
    fn permissions_of_equal_keys_keep_the_order_of_their_grants() {
        let kind = PermissionKind::Read;
        let permission = |key: &'static str, end: &'static str| Permission {
            key: key.into(),
            range_end: end.into(),
            kind,
        };
        let mut role = Role::default();
        for (key, end) in [("b", "d"), ("b", "c"), ("a", "z"), ("b", ""), ("c", ""), ("b", "d")] {
            role.grant(permission(key, end));
        }
        let expected = [("a", "z"), ("b", "d"), ("b", "c"), ("b", ""), ("c", "")];
        assert!(role.list().eq(&expected.map(|(key, end)| permission(key, end))), "{role:?}");
        let Ok(AuthRow::Role(_, decoded)) = decode_role(b"r", &encode_role(&role)) else { panic!("no row") };
        assert_eq!(decoded, role);
        assert!(role.revoke(b"b", b"c") && !role.revoke(b"b", b"c"));
        // Rows out of order, and with two permissions on one range.
        let row = |ranges: &[(&str, &str)]| {
            let mut value = Vec::new();
            put_len(&mut value, ranges.len());
            for (key, end) in ranges {
                value.push(0);
                put_bytes(&mut value, key.as_bytes());
                put_bytes(&mut value, end.as_bytes());
            }
            decode_role(b"r", &value).map(drop)
        };
        assert!(row(&[("a", "c"), ("a", "b"), ("b", "")]).is_ok());
        assert!(row(&[("b", ""), ("a", "")]).is_err() && row(&[("a", "c"), ("a", "b"), ("a", "c")]).is_err());
    }
}
