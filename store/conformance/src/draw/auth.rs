//! Users, roles and permissions, and the phases in which auth is on.

use std::collections::VecDeque;

use rand::{
    Rng,
    seq::{IteratorRandom, SliceRandom},
};
use rand_chacha::ChaCha8Rng;
use squall_store::proto::{
    authpb::Permission,
    etcdserverpb::{TxnRequest, request_op::Request},
};

use super::numbers::{key, odd, percent, range_end};
use crate::{
    known::is_empty,
    operation::{Call, Caller, Operation},
    world::World,
};

const USERS: [&str; 8] = ["root", "alice", "bob", "carol", "ghost", "", "\u{5b57} \u{1f511}", "a:b/../c"];
const ROLES: [&str; 7] = ["root", "reader", "writer", "other", "ghost", "", "\u{e9}\n\0"];
const HASHED: &str = "JDJhJDA0JHlSUTI5bmxHdG95T2VHUHVQWnlkRmVhTzlsQzAxMEQyLnV4ZEpFNGM0RXRnSFBtdTVhQTJ1";
const PASSWORDS: [&str; 3] = ["pw", "new", ""];
/// The place of root's token; those of the other users follow in the order above.
const ROOT: Caller = Caller::Token(0);
/// The password of root, at all times.
pub const ROOT_PASSWORD: &str = "rootpw";

/// Draws the caller of an operation.
pub fn caller(rng: &mut ChaCha8Rng, world: &World, call: &Call) -> Caller {
    if !world.auth_is_on {
        // etcd 3.5.1 refuses tokens while auth is off, and the two stores would diverge (`known`).
        let asks = !call.changes() && percent(rng, 3);
        return if asks { Caller::Stranger } else { Caller::Nobody };
    }
    match call {
        // etcd 3.5.1 does not check some parts of a transaction. Only root sends those, since it may do them in any
        // case.
        Call::Txn(txn) if is_overlooked(txn) => ROOT,
        // These calls change keys whose permissions are not checked, even when they are refused.
        call if call.is_lock_or_election() => ROOT,
        Call::Wire { .. } | Call::Health(_) | Call::Restart => Caller::Nobody,
        // etcd does not check the caller of these, or not completely. A call without a token is refused by squalld
        // alone (`known`).
        Call::Compact(_) | Call::LeaseKeepAlive(_) => {
            let root = world.tokens.contains_key(&0) && percent(rng, 80);
            if root { ROOT } else { Caller::Nobody }
        }
        Call::LeaseGrant(_) | Call::LeaseRevoke(_) => {
            let known = world.tokens.keys().copied().choose(rng).filter(|_| percent(rng, 90));
            known.map_or(Caller::Nobody, Caller::Token)
        }
        _ => match rng.gen_range(0..100) {
            0 => Caller::Stranger,
            1..45 => ROOT,
            45..90 => Caller::Token(rng.gen_range(0..4)),
            _ => Caller::Nobody,
        },
    }
}

/// Whether the transaction has parts whose permissions etcd 3.5.1 does not check (nested transactions, and leases and
/// `prev_kv` of puts), or checks unpredictably (ranges that hold no key).
pub fn is_overlooked(txn: &TxnRequest) -> bool {
    let steps = txn.success.iter().chain(&txn.failure);
    txn.compare.iter().any(|compare| is_empty(&compare.key, &compare.range_end))
        || steps.into_iter().any(|op| match &op.request {
            Some(Request::RequestTxn(_)) => true,
            Some(Request::RequestPut(put)) => put.prev_kv || put.lease != 0,
            Some(Request::RequestRange(range)) => is_empty(&range.key, &range.range_end),
            Some(Request::RequestDeleteRange(delete)) => is_empty(&delete.key, &delete.range_end),
            None => false,
        })
}

fn user(rng: &mut ChaCha8Rng) -> String {
    let known = if percent(rng, 90) { 4 } else { USERS.len() };
    USERS[rng.gen_range(0..known)].to_owned()
}

fn role(rng: &mut ChaCha8Rng) -> String {
    let known = if percent(rng, 90) { 4 } else { ROLES.len() };
    ROLES[rng.gen_range(0..known)].to_owned()
}

fn password(rng: &mut ChaCha8Rng, user: &str) -> String {
    // root must be able to authenticate again.
    if user == "root" { ROOT_PASSWORD } else { PASSWORDS.choose(rng).expect("passwords") }.to_owned()
}

fn authenticate(rng: &mut ChaCha8Rng) -> Call {
    let place = if percent(rng, 40) { 0 } else { rng.gen_range(0..USERS.len()) };
    let name = USERS[place].to_owned();
    let password = if percent(rng, 5) { "wrong".to_owned() } else { password(rng, &name) };
    Call::Authenticate { place, name, password }
}

pub fn draw(rng: &mut ChaCha8Rng, world: &World, next: &mut VecDeque<Operation>) -> Operation {
    if world.auth_is_on && percent(rng, 4) {
        return Operation::new(ROOT, Call::AuthDisable);
    }
    if !world.auth_is_on && percent(rng, 4) && world.alarms.is_empty() {
        // The steps that turn auth on, then tokens for the users with a password.
        let (user, role) = ("root".to_owned(), "root".to_owned());
        let password = ROOT_PASSWORD.to_owned();
        let steps = [
            Call::UserDelete(user.clone()),
            Call::UserAdd {
                name: user.clone(),
                password: password.clone(),
                no_password: None,
                hashed: String::new(),
            },
            Call::UserGrantRole { user: user.clone(), role },
            Call::AuthEnable,
            Call::Authenticate { place: 0, name: user, password },
        ];
        next.extend(steps.map(Operation::by_nobody));
        for (place, name) in USERS.iter().enumerate().take(4).skip(1) {
            for password in PASSWORDS {
                let (name, password) = ((*name).to_owned(), password.to_owned());
                next.push_back(Operation::by_nobody(Call::Authenticate { place, name, password }));
            }
        }
        return next.pop_front().expect("the first step");
    }
    let call = match rng.gen_range(0..100) {
        // etcd 3.5.1 does not apply auth while an alarm is active.
        0..2 if world.alarms.is_empty() => Call::AuthEnable,
        0..3 => Call::AuthDisable,
        3..7 => Call::AuthStatus,
        7..22 => authenticate(rng),
        22..32 => {
            let name = user(rng);
            let password = password(rng, &name);
            // root could not authenticate again without a password.
            let may_lack = name != "root";
            let no_password = match rng.gen_range(0..6) {
                0 if may_lack => Some(true),
                1 => Some(false),
                _ => None,
            };
            // A hash of "pw", in place of the hash that the server makes of the password.
            let hashed = if percent(rng, 15) && may_lack { HASHED.to_owned() } else { String::new() };
            Call::UserAdd { name, password, no_password, hashed }
        }
        32..36 => Call::UserGet(user(rng)),
        36..39 => Call::UserList,
        39..43 => Call::UserDelete(user(rng)),
        43..49 => {
            let name = user(rng);
            let password = password(rng, &name);
            Call::UserChangePassword { name, password }
        }
        49..58 => Call::UserGrantRole { user: user(rng), role: role(rng) },
        58..62 => Call::UserRevokeRole { user: user(rng), role: role(rng) },
        62..69 => Call::RoleAdd(role(rng)),
        69..73 => Call::RoleGet(role(rng)),
        73..75 => Call::RoleList,
        75..77 => Call::RoleDelete(role(rng)),
        77..94 => Call::RoleGrantPermission { role: role(rng), permission: permission(rng) },
        _ => {
            let (key, range_end) = if percent(rng, 30) {
                let key = key(rng);
                let range_end = range_end(rng, &key);
                (key, range_end)
            } else {
                // One that may have been granted.
                let Permission { key, range_end, .. } = permission(rng).unwrap_or_default();
                (key.into(), range_end.into())
            };
            Call::RoleRevokePermission { role: role(rng), key, range_end }
        }
    };
    Operation::new(caller(rng, world, &call), call)
}

fn permission(rng: &mut ChaCha8Rng) -> Option<Permission> {
    if percent(rng, 3) {
        return None;
    }
    let key = key(rng);
    let perm_type = if percent(rng, 95) { rng.gen_range(0..3) } else { odd(rng) as i32 };
    // If a role has permissions on several ranges that begin at one key, etcd may keep two for one of them, in an
    // arbitrary order; squalld keeps the last. So here each key has one range.
    let range_end = match key.last() {
        _ if percent(rng, 10) => key.clone(),
        None => Vec::new(),
        Some(last) if last % 3 == 0 => Vec::new(),
        Some(last) if last % 3 == 1 => vec![0],
        Some(_) => [&key[..], b"z"].concat(),
    };
    Some(Permission { perm_type, range_end: range_end.into(), key: key.into() })
}
