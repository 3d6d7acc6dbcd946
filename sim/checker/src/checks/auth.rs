//! Users and roles: no user gets what it may not have, and no user is refused what it may have.
//!
//! The checker works out who may do what from the requests that changed it. It knows when each such request was called and
//! when it returned. An answered request took effect between the two. A request without an answer took effect at any time from
//! its call on, or never. So at an instant something is *certainly* so, *possibly* so, or certainly not so.
//!
//! The store judged an operation at one instant. For everything that goes through the log, and for linearizable reads, that
//! instant lies between call and return: the member has applied all that was acknowledged before the call. A serializable
//! read may come from a member that lags. Its instant is not before the call of any write that its header's revision
//! covers, since the member had applied that write.
//!
//! - *Denied*: an operation that succeeded was possibly allowed at some instant of its span, or auth was possibly off.
//! - *Allowed*: an operation that was refused with "permission denied" was not certainly allowed in all of its span. Other
//!   refusals say nothing: a member may not know a token (it restarted, it installed a snapshot), or has older users and roles
//!   than the log.
//! - *Tokens*: a token gives nothing once its user was deleted or got another password, or auth was turned off, before the
//!   span. Requests that only root may make are left out: etcd does not compare their auth revision, so a token that a
//!   lagging member still holds works for them.
//! - *Passwords*: a member gives a token only for a password that was possibly the user's, and never refuses one for a password
//!   that certainly was.
//! - *Known*: a member that has just accepted a token still knows it, as long as the member neither restarts nor installs a
//!   snapshot, and no client asks for anything that may void the token.
//! - *Revision*: the auth revision never goes back. *Counted*: it rises by one for each change of users and roles, and for
//!   auth being turned off. A grant changes nothing if the role or the permission was there before.
//!
//! A user that attaches a key to a lease, ends the lease or renews it must be allowed to write all keys attached to it ([`attached`]).
//! A refused put with a lease is not judged, because keys that no answer has shown may be attached to the lease. After a restore the
//! users and roles are those of the snapshot ([`restored`]). A history with another break, or with several, is not judged.

mod attached;
mod restored;
mod revision;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::attached::Attached;
use super::{Failure, seconds};
use crate::history::{
    Ask, Auth, BreakKind, Bytes, Caller, DeleteRange, Event, Login, Op, OpId, Operation, Outcome, Permission,
    Put, RequestOp, RunHistory, Txn,
};

const DENIED: &str = "auth: nothing succeeds that its user may not do";
const ALLOWED: &str = "auth: nothing is refused that its user may do";
const TOKENS: &str = "auth: a token does not outlive its user or the user's password";
const PASSWORDS: &str = "auth: a user's password, and no other, gives a token";
const REVISION: &str = "auth: the auth revision never goes back";
const KNOWN: &str = "auth: a token that is used goes on to work";
const COUNTED: &str = "auth: the auth revision counts the changes";

pub(super) const GUARANTEES: [&str; 7] = [DENIED, ALLOWED, TOKENS, KNOWN, PASSWORDS, REVISION, COUNTED];

/// A member reports an installed snapshot at most this much later than it forgot its tokens, in nanoseconds.
const INSTALLED: u64 = 10_000_000_000;
const ROOT: &str = "root";
const PERMISSION_DENIED: &str = "etcdserver: permission denied";
const INVALID_TOKEN: &str = "etcdserver: invalid auth token";
const AUTH_FAILED: &str = "etcdserver: authentication failed, invalid user ID or password";

pub(super) fn check(history: &RunHistory) -> Vec<Failure> {
    let asked = history.operations.iter().any(|operation| matches!(operation.op, Op::Auth(_)));
    if !asked {
        return Vec::new();
    }
    let mut breaks = history.breaks();
    match (breaks.next(), breaks.next()) {
        (None, _) => of_one_era(history),
        (Some(restore), None) if restore.kind == BreakKind::Restore => {
            of_one_era(&restored::since(history, restore))
        }
        _ => Vec::new(),
    }
}

fn of_one_era(history: &RunHistory) -> Vec<Failure> {
    let changes = Changes::of(history);
    let writes = Writes::of(history);
    let attached = Attached::of(history);
    let mut failures = Vec::new();
    failures.extend(history.operations.iter().find_map(|operation| {
        let on_lease = || attached::on_lease_of(operation, history);
        denied(operation, &changes, &writes, &attached, on_lease)
    }));
    failures.extend(history.operations.iter().find_map(|operation| allowed(operation, &changes)));
    failures.extend(history.operations.iter().find_map(|operation| outlived(operation, &changes, &writes)));
    failures.extend(forgotten(history, &changes));
    failures.extend(history.operations.iter().find_map(|operation| passwords(operation, &changes)));
    failures.extend(revision::went_back(history));
    failures.extend(revision::counted(history, &changes));
    failures
}

/// From an instant to another, in which the store judged an operation.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: u64,
    to: u64,
}

/// One request that changed something, or may have.
#[derive(Clone, Copy, Debug)]
struct Change<'a> {
    call: u64,
    /// `u64::MAX` if it may take effect at any time.
    ret: u64,
    /// It has certainly taken effect by `ret`.
    sure: bool,
    what: &'a Auth,
}

impl Change<'_> {
    /// It may have taken effect by then.
    fn possibly_by(&self, at: u64) -> bool {
        self.call <= at
    }

    fn certainly_before(&self, at: u64) -> bool {
        self.sure && self.ret < at
    }

    /// Whichever way the two took effect, this one came first.
    fn certainly_precedes(&self, other: &Change<'_>) -> bool {
        self.ret < other.call
    }
}

/// All changes, in the order of their calls.
struct Changes<'a> {
    all: Vec<Change<'a>>,
    /// The authentications that gave tokens: of whom, and when.
    tokens: BTreeMap<OpId, (&'a str, Span)>,
}

impl<'a> Changes<'a> {
    fn of(history: &'a RunHistory) -> Changes<'a> {
        let (mut all, mut tokens) = (Vec::new(), BTreeMap::new());
        for operation in &history.operations {
            let Op::Auth(what) = &operation.op else { continue };
            let ret = operation.ret.unwrap_or(u64::MAX);
            match (what, operation.outcome) {
                (Auth::Authenticate(login), Outcome::Ok) => {
                    tokens
                        .insert(operation.id, (login.user.as_str(), Span { from: operation.call, to: ret }));
                }
                (what, Outcome::Ok) if what.changes() => {
                    all.push(Change { call: operation.call, ret, sure: true, what });
                }
                (what, Outcome::Info) if what.changes() => {
                    all.push(Change { call: operation.call, ret: u64::MAX, sure: false, what });
                }
                _ => {}
            }
        }
        all.sort_by_key(|change| change.call);
        Changes { all, tokens }
    }

    /// Whether something was possibly so at some instant of the span: a change that makes it so may have come before the
    /// span's end, and no change that ends it certainly came after that one and before the span.
    fn possibly(&self, span: Span, begins: impl Fn(&Auth) -> bool, ends: impl Fn(&Auth) -> bool) -> bool {
        let mut beginnings =
            self.all.iter().filter(|change| begins(change.what) && change.possibly_by(span.to));
        beginnings.any(|begin| {
            !self
                .all
                .iter()
                .any(|end| ends(end.what) && end.certainly_before(span.from) && begin.certainly_precedes(end))
        })
    }

    /// Whether something was certainly so in all of the span.
    fn certainly(&self, span: Span, begins: impl Fn(&Auth) -> bool, ends: impl Fn(&Auth) -> bool) -> bool {
        let mut beginnings =
            self.all.iter().filter(|change| begins(change.what) && change.certainly_before(span.from));
        beginnings.any(|begin| {
            !self
                .all
                .iter()
                .any(|end| ends(end.what) && end.possibly_by(span.to) && !end.certainly_precedes(begin))
        })
    }

    fn certainly_on(&self, span: Span) -> bool {
        self.certainly(span, |what| matches!(what, Auth::Enable), |what| matches!(what, Auth::Disable))
    }

    fn has_role(&self, user: &str, role: &str, certainly: bool, span: Span) -> bool {
        let begins =
            |what: &Auth| matches!(what, Auth::GrantRole(grant) if grant.user == user && grant.role == role);
        let ends = |what: &Auth| match what {
            Auth::RevokeRole(revoke) => revoke.user == user && revoke.role == role,
            Auth::UserDelete(deleted) => deleted == user,
            Auth::RoleDelete(deleted) => deleted == role,
            _ => false,
        };
        if certainly { self.certainly(span, begins, ends) } else { self.possibly(span, begins, ends) }
    }

    /// The roles that any user was ever given, each once.
    fn roles_of(&self, user: &str) -> Vec<&'a str> {
        let mut roles: Vec<&str> = self
            .all
            .iter()
            .filter_map(|change| match change.what {
                Auth::GrantRole(grant) if grant.user == user => Some(grant.role.as_str()),
                _ => None,
            })
            .collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// Whether the user may do all of this, certainly or possibly.
    fn may(&self, user: &str, needs: &[Need<'_>], certainly: bool, span: Span) -> bool {
        let roles: Vec<&str> = self
            .roles_of(user)
            .into_iter()
            .filter(|role| self.has_role(user, role, certainly, span))
            .collect();
        if roles.contains(&ROOT) {
            return true;
        }
        needs.iter().all(|need| match need {
            Need::Root => false,
            Need::Read(key, end) => self.covers(&roles, false, key, end, certainly, span),
            Need::Write(key, end) => self.covers(&roles, true, key, end, certainly, span),
        })
    }

    /// Whether the permissions of these roles, those that were there certainly or possibly, cover a range together.
    fn covers(
        &self,
        roles: &[&str],
        write: bool,
        key: &[u8],
        end: &[u8],
        certainly: bool,
        span: Span,
    ) -> bool {
        let mut intervals: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for change in &self.all {
            let Auth::GrantPermission(granted) = change.what else { continue };
            let gives = |one: &Permission| if write { one.write } else { one.read };
            if !gives(granted) || !roles.contains(&granted.role.as_str()) {
                continue;
            }
            let same = |one: &Permission| {
                one.role == granted.role && one.key == granted.key && one.range_end == granted.range_end
            };
            let begins = |what: &Auth| matches!(what, Auth::GrantPermission(one) if same(one) && gives(one));
            let ends = |what: &Auth| match what {
                Auth::GrantPermission(one) => same(one) && !gives(one),
                Auth::RevokePermission(one) => same(one),
                Auth::RoleDelete(deleted) => *deleted == granted.role,
                _ => false,
            };
            let there = if certainly {
                self.certainly(span, begins, ends)
            } else {
                self.possibly(span, begins, ends)
            };
            if there {
                intervals.push(interval(granted.key.as_slice(), granted.range_end.as_slice()));
            }
        }
        intervals.sort();
        let (from, to) = interval(key, end);
        // Such a range holds no key. etcd may allow it or not, depending on the shape of its tree of permissions.
        if to.as_ref().is_some_and(|to| *to <= from) {
            return !certainly;
        }
        let mut reached = from;
        for (begin, end) in intervals {
            if begin > reached {
                return false;
            }
            match (end, &to) {
                (None, _) => return true,
                (Some(end), Some(to)) if end >= *to => return true,
                (Some(end), _) => reached = reached.max(end),
            }
        }
        false
    }
}

/// The first key, and the first one past the last; `None` for an open end.
fn interval(key: &[u8], end: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let past = match end {
        [] => Some([key, &[0]].concat()),
        [0] => None,
        end => Some(end.to_vec()),
    };
    (key.to_vec(), past)
}

/// What an operation needs while auth is on.
enum Need<'a> {
    Read(&'a [u8], &'a [u8]),
    Write(&'a [u8], &'a [u8]),
    Root,
}

/// What an operation needs; `None` if that is not known here.
fn needs(op: &Op) -> Option<Vec<Need<'_>>> {
    let mut all = Vec::new();
    match op {
        Op::Range(range) => all.push(Need::Read(range.key.as_slice(), range.range_end.as_slice())),
        Op::Put(put) => of_put(put, &mut all),
        Op::DeleteRange(delete) => of_delete(delete, &mut all),
        Op::Txn(txn) => of_txn(txn, &mut all),
        Op::Compact(_) => all.push(Need::Root),
        Op::Ask(Ask::HashKv) => all.push(Need::Root),
        Op::Ask(Ask::Watch(watched)) => {
            all.push(Need::Read(watched.key.as_slice(), watched.range_end.as_slice()));
        }
        Op::Auth(auth) if !matches!(auth, Auth::Authenticate(_)) => all.push(Need::Root),
        _ => return None,
    }
    Some(all)
}

/// Whether the asked member judges it by its own users and roles, which may be old.
fn is_local(op: &Op) -> bool {
    op.is_serializable() || matches!(op, Op::Ask(_) | Op::LeaseKeepAlive(_))
}

fn of_put<'a>(put: &'a Put, all: &mut Vec<Need<'a>>) {
    all.push(Need::Write(put.key.as_slice(), &[]));
    if put.prev_kv {
        all.push(Need::Read(put.key.as_slice(), &[]));
    }
}

fn of_delete<'a>(delete: &'a DeleteRange, all: &mut Vec<Need<'a>>) {
    all.push(Need::Write(delete.key.as_slice(), delete.range_end.as_slice()));
    if delete.prev_kv {
        all.push(Need::Read(delete.key.as_slice(), delete.range_end.as_slice()));
    }
}

fn of_txn<'a>(txn: &'a Txn, all: &mut Vec<Need<'a>>) {
    for compare in &txn.compares {
        all.push(Need::Read(compare.key.as_slice(), compare.range_end.as_slice()));
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            RequestOp::Range(range) => all.push(Need::Read(range.key.as_slice(), range.range_end.as_slice())),
            RequestOp::Put(put) => of_put(put, all),
            RequestOp::DeleteRange(delete) => of_delete(delete, all),
            RequestOp::Txn(txn) => of_txn(txn, all),
        }
    }
}

/// By revision, the last call of a write that made it or an earlier one.
struct Writes(BTreeMap<i64, u64>);

impl Writes {
    fn of(history: &RunHistory) -> Writes {
        let mut calls: BTreeMap<i64, u64> = BTreeMap::new();
        for operation in history.operations.iter().filter(|operation| operation.made_revision()) {
            let Some(revision) = operation.revision() else { continue };
            let call = calls.entry(revision.0).or_default();
            *call = (*call).max(operation.call);
        }
        let mut latest = 0;
        for call in calls.values_mut() {
            latest = latest.max(*call);
            *call = latest;
        }
        Writes(calls)
    }

    /// When the store judged an operation that has succeeded.
    fn span(&self, operation: &Operation) -> Option<Span> {
        let to = operation.ret?;
        if !is_local(&operation.op) {
            return Some(Span { from: operation.call, to });
        }
        let revision = operation.revision()?.0;
        let from = self.0.range(..=revision).next_back().map_or(0, |(_, call)| *call);
        Some(Span { from: from.min(to), to })
    }
}

fn who(operation: &Operation) -> String {
    let (id, name) = (operation.id, operation.op.name());
    match &operation.caller {
        Some(Caller { user, token }) => {
            format!("operation {id}, a {name} of user {user} (token of operation {token})")
        }
        None => format!("operation {id}, a {name} without a user"),
    }
}

fn denied<'a>(
    operation: &Operation,
    changes: &Changes<'_>,
    writes: &Writes,
    attached: &Attached<'_>,
    on_lease: impl FnOnce() -> Vec<&'a Bytes>,
) -> Option<Failure> {
    if operation.outcome != Outcome::Ok {
        return None;
    }
    let needs_itself = match &operation.op {
        // A user with a token may end or renew a lease to which no key is attached.
        Op::LeaseRevoke(_) | Op::LeaseKeepAlive(_) => {
            let keys = on_lease();
            if keys.is_empty() {
                return None;
            }
            keys.into_iter().map(|key| Need::Write(key.as_slice(), &[])).collect()
        }
        op => needs(op)?,
    };
    let on_leases = attached.on_leases_of(operation).map(|key| Need::Write(key.as_slice(), &[]));
    let needs: Vec<Need<'_>> = needs_itself.into_iter().chain(on_leases).collect();
    let span = writes.span(operation)?;
    if !changes.certainly_on(span) {
        return None;
    }
    let allowed =
        operation.caller.as_ref().is_some_and(|caller| changes.may(&caller.user, &needs, false, span));
    (!allowed).then(|| {
        let message = format!("{} has succeeded, and its user was not allowed to do it", who(operation));
        Failure::new("auth", DENIED, message).blaming([operation.id])
    })
}

fn allowed(operation: &Operation, changes: &Changes<'_>) -> Option<Failure> {
    let refused = operation.error.as_ref().is_some_and(|error| error.message == PERMISSION_DENIED);
    if !refused || is_local(&operation.op) || !attached::leases(&operation.op).is_empty() {
        return None;
    }
    let (needs, to) = (needs(&operation.op)?, operation.ret?);
    let caller = operation.caller.as_ref()?;
    let span = Span { from: operation.call, to };
    changes.may(&caller.user, &needs, true, span).then(|| {
        let message =
            format!("{} was refused with \"permission denied\", and its user may do it", who(operation));
        Failure::new("auth", ALLOWED, message).blaming([operation.id])
    })
}

/// Whether a change ends the tokens of a user.
fn voids_tokens_of(user: &str, what: &Auth) -> bool {
    match what {
        Auth::UserDelete(deleted) => deleted == user,
        Auth::ChangePassword(login) => login.user == user,
        Auth::Disable => true,
        _ => false,
    }
}

fn outlived(operation: &Operation, changes: &Changes<'_>, writes: &Writes) -> Option<Failure> {
    if operation.outcome != Outcome::Ok {
        return None;
    }
    let needs = needs(&operation.op)?;
    if needs.iter().any(|need| matches!(need, Need::Root)) {
        return None;
    }
    let (caller, span) = (operation.caller.as_ref()?, writes.span(operation)?);
    let (user, given) = changes.tokens.get(&caller.token)?;
    let void = changes.all.iter().find(|change| {
        // No client asks for a token while auth is off. If turning it off voided the token, it must be on again.
        let on_since = if matches!(change.what, Auth::Disable) { span.from } else { change.ret };
        voids_tokens_of(user, change.what)
            && change.call > given.to
            && change.certainly_before(span.from)
            && changes.certainly_on(Span { from: on_since, to: span.to })
    })?;
    let what = match void.what {
        Auth::UserDelete(_) => "the user was deleted",
        Auth::Disable => "auth was turned off",
        _ => "the user got another password",
    };
    let message = format!(
        "{} has succeeded, and the token was void: {what} at {:.3}s",
        who(operation),
        seconds(void.ret)
    );
    Some(Failure::new("auth", TOKENS, message).blaming([caller.token, operation.id]))
}

/// A token that a member does not know any more, though it was used there within its time.
fn forgotten(history: &RunHistory, changes: &Changes<'_>) -> Option<Failure> {
    let ttl = history.meta().map_or(0, |meta| meta.auth_token_ttl_ns);
    let ttl = ttl - ttl / 1_000_000 * history.drift_ppm().min(1_000_000);
    let refused = history
        .operations
        .iter()
        .filter(|operation| operation.error.as_ref().is_some_and(|error| error.message == INVALID_TOKEN));
    refused.filter(|_| ttl > 0).find_map(|operation| {
        let (caller, until) = (operation.caller.as_ref()?, operation.ret?);
        let (user, given) = changes.tokens.get(&caller.token)?;
        let may_be_void = changes.all.iter().any(|change| {
            voids_tokens_of(user, change.what) && change.ret >= given.from && change.call <= until
        });
        // Only what needs permissions shows that the token was looked at.
        let used = history.operations.iter().filter(|used| {
            used.is_ok()
                && used.endpoint == operation.endpoint
                && used.caller.as_ref().is_some_and(|other| other.token == caller.token)
                && matches!(used.op, Op::Range(_) | Op::Put(_) | Op::DeleteRange(_) | Op::Txn(_))
                && used.ret.is_some_and(|ret| ret < operation.call)
        });
        let used = used.max_by_key(|used| used.call)?;
        let forgets = history.events.iter().any(|event| match event {
            Event::Life(life) => *life.member == *operation.endpoint && life.at >= used.call && life.at <= until,
            Event::Compaction(line) => {
                *line.member == *operation.endpoint
                    && line.finished
                    && line.revision.0 == 0
                    && line.at >= used.call
                    && line.at <= until.saturating_add(INSTALLED)
            }
            _ => false,
        });
        (!may_be_void && !forgets && until < used.call.saturating_add(ttl)).then(|| {
            let message = format!(
                "{} was refused by {} with \"invalid auth token\", and operation {} was done there with that token {:.3}s before",
                who(operation),
                operation.endpoint,
                used.id,
                seconds(until - used.call)
            );
            Failure::new("auth", KNOWN, message).blaming([used.id, operation.id])
        })
    })
}

fn passwords(operation: &Operation, changes: &Changes<'_>) -> Option<Failure> {
    let Op::Auth(Auth::Authenticate(Login { user, password })) = &operation.op else { return None };
    let span = Span { from: operation.call, to: operation.ret? };
    let sets = |what: &Auth| match what {
        Auth::UserAdd(login) | Auth::ChangePassword(login) => {
            login.user == *user && login.password == *password
        }
        _ => false,
    };
    let ends = |what: &Auth| match what {
        Auth::UserDelete(deleted) => deleted == user,
        Auth::ChangePassword(login) => login.user == *user && login.password != *password,
        _ => false,
    };
    let message = if operation.outcome == Outcome::Ok {
        let wrong = !changes.possibly(span, sets, ends);
        wrong.then(|| format!("operation {} got a token of user {user} with a wrong password", operation.id))
    } else {
        let failed = operation.error.as_ref().is_some_and(|error| error.message == AUTH_FAILED);
        let right = failed && changes.certainly(span, sets, ends);
        right.then(|| {
            format!("operation {} was refused a token of user {user}, with the right password", operation.id)
        })
    };
    message.map(|message| Failure::new("auth", PASSWORDS, message).blaming([operation.id]))
}
