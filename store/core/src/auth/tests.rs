use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed},
};

use super::{permissions::Permissions, *};
use crate::*;

fn add_user(name: &str) -> AuthCommand {
    AuthCommand::UserAdd { name: name.into(), password_hash: "hash".into(), no_password: false }
}

fn grant_role(user: &str, role: &str) -> AuthCommand {
    AuthCommand::UserGrantRole { user: user.into(), role: role.into() }
}

fn revoke_role(user: &str, role: &str) -> AuthCommand {
    AuthCommand::UserRevokeRole { user: user.into(), role: role.into() }
}

fn permission(key: &str, range_end: &str, kind: PermissionKind) -> Permission {
    Permission { key: key.to_owned().into(), range_end: range_end.to_owned().into(), kind }
}

fn grant(role: &str, permission: Permission) -> AuthCommand {
    AuthCommand::RoleGrantPermission { role: role.into(), permission: Some(permission) }
}

struct Store {
    state: State,
}

impl Store {
    /// A store with the users `root` and `alice`. Alice may read and write `a` to `c`, and read `k`.
    fn with_alice() -> Store {
        let mut store = Store { state: State::new() };
        for command in [
            add_user("root"),
            grant_role("root", "root"),
            AuthCommand::RoleAdd("reader".into()),
            grant("reader", permission("a", "c", PermissionKind::ReadWrite)),
            grant("reader", permission("k", "", PermissionKind::Read)),
            add_user("alice"),
            grant_role("alice", "reader"),
        ] {
            assert_eq!(store.auth("", &command), Ok(AuthReply::Done), "{command:?}");
        }
        store
    }

    fn enabled() -> Store {
        let mut store = Store::with_alice();
        assert_eq!(store.auth("", &AuthCommand::Enable), Ok(AuthReply::Done));
        store
    }

    fn caller(&self, user: &str) -> Caller {
        if user.is_empty() {
            return Caller::NOBODY;
        }
        Caller { user: user.into(), revision: self.state.auth().revision() }
    }

    fn apply(&mut self, caller: &Caller, command: &Command) -> Result<Reply, Refusal> {
        let index = self.state.applied().0.next();
        let before = self.state.clone();
        let applied = self.state.apply_as(index, Term(1), caller, command);
        if applied.reply.is_err() {
            assert_eq!(before.content(), self.state.content(), "a refusal changes nothing");
        }
        let restored = State::restore(self.state.rows()).expect("the store wrote these rows");
        assert_eq!(restored, self.state);
        assert_eq!(restored.content(), self.state.content());
        applied.reply
    }

    fn auth(&mut self, user: &str, command: &AuthCommand) -> Result<AuthReply, Refusal> {
        match self.apply(&self.caller(user), &Command::Auth(command.clone()))? {
            Reply::Auth(reply) => Ok(reply),
            other => panic!("{other:?}"),
        }
    }

    fn put(&mut self, user: &str, put: PutRequest) -> Result<(), Refusal> {
        self.apply(&self.caller(user), &Command::Put(put)).map(drop)
    }
}

fn put(key: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: "v".into(), ..PutRequest::default() }
}

fn get(key: &str, range_end: &str) -> RequestOp {
    let (key, range_end) = (key.to_owned().into(), range_end.to_owned().into());
    RequestOp::Range(RangeRequest { key, range_end, ..RangeRequest::default() })
}

#[test]
fn auth_needs_root_before_it_can_be_on() {
    let mut store = Store { state: State::new() };
    assert_eq!(store.auth("", &AuthCommand::Enable), Err(Refusal::RootUserNotExist));
    store.auth("", &add_user("root")).unwrap();
    assert_eq!(store.auth("", &AuthCommand::Enable), Err(Refusal::RootRoleNotExist));
    // The role root exists without having been added.
    store.auth("", &grant_role("root", "root")).unwrap();
    let revision = store.state.auth().revision();
    store.auth("", &AuthCommand::Enable).unwrap();
    assert_eq!(
        store.auth("root", &AuthCommand::Status),
        Ok(AuthReply::Status { enabled: true, revision }),
        "to turn it on is no change of the tables"
    );
    assert_eq!(store.auth("root", &AuthCommand::Enable), Ok(AuthReply::Done), "twice does no harm");
    store.auth("root", &AuthCommand::Disable).unwrap();
    assert_eq!(store.state.auth().revision(), revision + 1);
    assert_eq!(store.auth("", &AuthCommand::Disable), Ok(AuthReply::Done));
    assert_eq!(store.state.auth().revision(), revision + 1);
}

#[test]
fn users_and_roles_are_refused_as_in_etcd() {
    let mut store = Store::with_alice();
    let named = |name: &str| AuthCommand::UserGet(name.into());
    for (command, refusal) in [
        (add_user(""), Refusal::UserEmpty),
        (add_user("alice"), Refusal::UserAlreadyExist),
        (named("bob"), Refusal::UserNotFound),
        (AuthCommand::UserDelete("bob".into()), Refusal::UserNotFound),
        (
            AuthCommand::UserChangePassword { name: "bob".into(), password_hash: "".into() },
            Refusal::UserNotFound,
        ),
        (grant_role("bob", "reader"), Refusal::UserNotFound),
        (grant_role("alice", "writer"), Refusal::RoleNotFound),
        (revoke_role("bob", "reader"), Refusal::UserNotFound),
        (revoke_role("alice", "root"), Refusal::RoleNotGranted),
        (AuthCommand::RoleAdd("".into()), Refusal::RoleEmpty),
        (AuthCommand::RoleAdd("reader".into()), Refusal::RoleAlreadyExist),
        (AuthCommand::RoleGet("writer".into()), Refusal::RoleNotFound),
        (AuthCommand::RoleDelete("writer".into()), Refusal::RoleNotFound),
        (grant("writer", permission("a", "", PermissionKind::Read)), Refusal::RoleNotFound),
        (grant("reader", permission("", "", PermissionKind::Read)), Refusal::InvalidAuthMgmt),
        (grant("reader", permission("b", "a", PermissionKind::Read)), Refusal::InvalidAuthMgmt),
        (
            AuthCommand::RoleGrantPermission { role: "reader".into(), permission: None },
            Refusal::PermissionNotGiven,
        ),
        (
            AuthCommand::RoleRevokePermission {
                role: "reader".into(),
                key: "a".into(),
                range_end: "".into(),
            },
            Refusal::PermissionNotGranted,
        ),
        (
            AuthCommand::Authenticate { user: "alice".into(), token_prefix: "t".into() },
            Refusal::AuthNotEnabled,
        ),
    ] {
        assert_eq!(store.auth("", &command), Err(refusal), "{command:?}");
    }
    let before = store.state.auth().revision();
    assert_eq!(store.auth("", &grant_role("alice", "reader")), Ok(AuthReply::Done));
    assert_eq!(store.state.auth().revision(), before, "a role that the user has is no change");
}

#[test]
fn root_cannot_lose_its_role() {
    let mut store = Store::enabled();
    for command in [
        AuthCommand::UserDelete("root".into()),
        revoke_role("root", "root"),
        AuthCommand::RoleDelete("root".into()),
    ] {
        assert_eq!(store.auth("root", &command), Err(Refusal::InvalidAuthMgmt), "{command:?}");
    }
}

#[test]
fn a_deleted_role_goes_from_its_users() {
    let mut store = Store::enabled();
    store.auth("root", &AuthCommand::RoleDelete("reader".into())).unwrap();
    assert_eq!(store.auth("root", &AuthCommand::UserGet("alice".into())), Ok(AuthReply::Names(vec![])));
    assert_eq!(store.put("alice", put("a")), Err(Refusal::PermissionDenied));
}

#[test]
fn only_root_may_manage_and_others_may_see_themselves() {
    let mut store = Store::enabled();
    for user in ["", "alice"] {
        let refusal = if user.is_empty() { Refusal::UserEmpty } else { Refusal::PermissionDenied };
        for command in [
            AuthCommand::Disable,
            AuthCommand::Status,
            AuthCommand::UserList,
            AuthCommand::RoleList,
            AuthCommand::UserGet("root".into()),
            AuthCommand::RoleGet("root".into()),
            add_user("bob"),
        ] {
            assert_eq!(store.auth(user, &command), Err(refusal), "{command:?} by {user:?}");
        }
    }
    assert_eq!(
        store.auth("alice", &AuthCommand::UserGet("alice".into())),
        Ok(AuthReply::Names(vec!["reader".into()]))
    );
    assert!(store.auth("alice", &AuthCommand::RoleGet("reader".into())).is_ok());
    assert_eq!(store.auth("ghost", &AuthCommand::Status), Err(Refusal::UserNotFound));
    let compact = Command::Compact(CompactionRequest { revision: Revision(1), physical: false });
    let alice = store.caller("alice");
    assert_eq!(store.apply(&alice, &compact), Err(Refusal::PermissionDenied));
}

#[test]
fn keys_need_the_permission_to_write_or_read() {
    let mut store = Store::enabled();
    assert_eq!(store.put("alice", put("a")), Ok(()));
    assert_eq!(store.put("alice", put("b")), Ok(()));
    assert_eq!(store.put("alice", put("c")), Err(Refusal::PermissionDenied));
    assert_eq!(store.put("alice", put("k")), Err(Refusal::PermissionDenied));
    assert_eq!(store.put("", put("a")), Err(Refusal::UserEmpty));
    assert_eq!(store.put("ghost", put("a")), Err(Refusal::PermissionDenied));
    assert_eq!(store.put("root", put("z")), Ok(()));
    let (alice, auth) = (store.caller("alice"), store.state.auth());
    for (key, end, may) in
        [("a", "", true), ("a", "c", true), ("a", "d", false), ("a", "\0", false), ("k", "", true)]
    {
        assert_eq!(auth.may_read(&alice, key.as_bytes(), end.as_bytes()).is_ok(), may, "{key} {end:?}");
    }
}

#[test]
fn previous_records_need_the_permission_to_read() {
    let mut store = Store::enabled();
    store.auth("root", &grant("reader", permission("w", "", PermissionKind::Write))).unwrap();
    assert_eq!(store.put("alice", put("w")), Ok(()));
    assert_eq!(store.put("alice", PutRequest { prev_kv: true, ..put("w") }), Err(Refusal::PermissionDenied));
    let delete =
        |prev_kv| Command::DeleteRange(DeleteRangeRequest { key: "w".into(), prev_kv, ..Default::default() });
    let alice = store.caller("alice");
    assert_eq!(store.apply(&alice, &delete(true)).map(drop), Err(Refusal::PermissionDenied));
    assert_eq!(store.apply(&alice, &delete(false)).map(drop), Ok(()));
}

#[test]
fn a_transaction_needs_all_that_it_could_do() {
    let mut store = Store::enabled();
    let alice = store.caller("alice");
    let mut may = |txn: TxnRequest| store.apply(&alice, &Command::Txn(txn)).map(drop);
    let of = |success: Vec<RequestOp>| TxnRequest { success, ..TxnRequest::default() };
    assert_eq!(may(of(vec![RequestOp::Put(put("a")), get("k", "")])), Ok(()));
    assert_eq!(may(of(vec![get("z", "")])), Err(Refusal::PermissionDenied));
    // A put in the branch that is not taken counts too.
    let other = TxnRequest { failure: vec![RequestOp::Put(put("k"))], ..TxnRequest::default() };
    assert_eq!(may(other.clone()), Err(Refusal::PermissionDenied));
    assert_eq!(may(of(vec![RequestOp::Txn(other)])), Err(Refusal::PermissionDenied));
    let compare = Compare {
        result: CompareResult::Equal,
        target: CompareTarget::Version(0),
        key: "z".into(),
        range_end: "".into(),
    };
    assert_eq!(
        may(TxnRequest { compare: vec![compare], ..Default::default() }),
        Err(Refusal::PermissionDenied)
    );
}

#[test]
fn an_older_view_of_the_tables_is_refused() {
    let mut store = Store::enabled();
    let before = store.caller("alice");
    store.auth("root", &add_user("bob")).unwrap();
    let write = Command::Put(put("a"));
    assert_eq!(store.apply(&before, &write).map(drop), Err(Refusal::AuthOldRevision));
    let now = store.caller("alice");
    assert_eq!(store.apply(&now, &write).map(drop), Ok(()));
    // For commands that only root may give, revisions are not compared.
    let root = Caller { user: "root".into(), revision: 1 };
    assert!(store.apply(&root, &Command::Auth(AuthCommand::Status)).is_ok());
}

#[test]
fn a_lease_belongs_to_those_who_may_write_its_keys() {
    let mut store = Store::enabled();
    for lease in [1, 2] {
        let grant = Command::LeaseGrant { id: LeaseId(lease), ttl_secs: 10 };
        assert!(store.apply(&Caller::NOBODY, &grant).is_ok());
    }
    store.put("root", PutRequest { lease: LeaseId(1), ..put("z") }).unwrap();
    assert_eq!(
        store.put("alice", PutRequest { lease: LeaseId(1), ..put("a") }),
        Err(Refusal::PermissionDenied)
    );
    store.put("alice", PutRequest { lease: LeaseId(2), ..put("a") }).unwrap();
    let (alice, root) = (store.caller("alice"), store.caller("root"));
    let revoke = |id| Command::LeaseRevoke(LeaseId(id));
    assert_eq!(store.apply(&alice, &revoke(1)).map(drop), Err(Refusal::PermissionDenied));
    assert_eq!(store.apply(&alice, &revoke(2)).map(drop), Ok(()));
    assert_eq!(store.apply(&root, &revoke(1)).map(drop), Ok(()));
    assert_eq!(store.apply(&alice, &revoke(1)).map(drop), Err(Refusal::LeaseNotFound));
}

#[test]
fn tokens_name_their_entry_and_users_without_a_password_get_none() {
    let mut store = Store::enabled();
    let authenticate =
        |user: &str| AuthCommand::Authenticate { user: user.into(), token_prefix: "abc".into() };
    let index = store.state.applied().0.next();
    assert_eq!(store.auth("", &authenticate("alice")), Ok(AuthReply::Token(format!("abc.{index}"))));
    assert_eq!(store.auth("", &authenticate("bob")), Err(Refusal::AuthFailed));
    let without = AuthCommand::UserAdd { name: "bob".into(), password_hash: "".into(), no_password: true };
    store.auth("root", &without).unwrap();
    assert_eq!(store.auth("", &authenticate("bob")), Err(Refusal::AuthFailed));
    assert_eq!(store.state.auth().password_hash("bob"), Err(Refusal::NoPasswordUser));
    assert_eq!(store.state.auth().password_hash("alice"), Ok("hash".into()));
}

#[test]
fn members_in_the_same_state_agree_and_others_do_not() {
    let (one, mut other) = (Store::enabled(), Store::enabled());
    assert_eq!(one.state.content(), other.state.content());
    other.auth("root", &grant("reader", permission("k", "", PermissionKind::Write))).unwrap();
    assert_ne!(one.state.content(), other.state.content());
}

fn config() -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(14_571);
    }
    config
}

/// Keys and range ends close together, so that intervals touch, overlap and contain each other.
const KEYS: [&str; 6] = ["a", "a\0", "ab", "b", "c", "d"];

fn any_permission() -> impl Strategy<Value = Permission> {
    let end = prop_oneof![3 => Just(""), 1 => Just("\0"), 4 => select(&KEYS[..])];
    let kind = select(vec![
        PermissionKind::Read,
        PermissionKind::Write,
        PermissionKind::ReadWrite,
        PermissionKind::Unknown(3),
    ]);
    (select(&KEYS[..]), end, kind)
        .prop_filter("a range ends after its key", |(key, end, _)| {
            super::permissions::is_valid(key.as_bytes(), end.as_bytes())
        })
        .prop_map(|(key, end, kind)| permission(key, end, kind))
}

proptest! {
    #![proptest_config(config())]

    /// The naive model: a range is allowed if each key in it is allowed. It tries more keys than the permissions
    /// name.
    #[test]
    fn what_is_allowed_is_what_some_permission_allows(
        permissions in vec(any_permission(), 0..6),
        asked in any_permission(),
    ) {
        let merged = Permissions::of(permissions.iter());
        let in_range = |key: &str, from: &[u8], end: &[u8]| match end {
            b"" => key.as_bytes() == from,
            b"\0" => key.as_bytes() >= from,
            end => key.as_bytes() >= from && key.as_bytes() < end,
        };
        // Between two named keys, and behind each, there is one more key.
        let points: Vec<String> =
            KEYS.iter().flat_map(|key| [(*key).to_owned(), format!("{key}\0\0"), format!("{key}zz")]).collect();
        for (read, may) in [
            (true, merged.may_read(&asked.key, &asked.range_end)),
            (false, merged.may_write(&asked.key, &asked.range_end)),
        ] {
            let allows = |one: &Permission| match one.kind {
                PermissionKind::Read => read,
                PermissionKind::Write => !read,
                PermissionKind::ReadWrite => true,
                PermissionKind::Unknown(_) => false,
            };
            let model = points.iter().filter(|key| in_range(key, &asked.key, &asked.range_end)).all(|key| {
                permissions.iter().any(|one| allows(one) && in_range(key, &one.key, &one.range_end))
            });
            prop_assert_eq!(may, model, "{:?} of {:?}", asked, permissions);
        }
    }
}
