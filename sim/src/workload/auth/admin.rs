//! The administrator.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use squall_checker::history as h;

use super::{
    book::{Book, ROLES, ROOT, USERS, role, user},
    root::{log_in_as_root, wants_token},
    user::Keys,
};
use crate::workload::{Client, Pace};

/// The pause between two tries of a request that must succeed.
const PAUSE: Duration = Duration::from_millis(100);
/// For how many requests auth stays off.
const OFF_FOR: u32 = 3;
/// How often the administrator tries to turn auth off at the end.
const LAST_TRIES: u32 = 100;

/// The administrator: it changes users and roles.
pub(in crate::workload) struct Admin {
    pub(in crate::workload) client: Client,
    pub(in crate::workload) book: Arc<Book>,
    pub(in crate::workload) keys: u32,
    pub(in crate::workload) chance: ChaCha8Rng,
    pub(in crate::workload) pace: Pace,
    /// The last password's number: no password is used twice.
    pub(in crate::workload) last: u64,
    /// Set while auth is off: how many requests remain until it is turned on again.
    pub(in crate::workload) off_for: Option<u32>,
}

impl Admin {
    /// Works until `stop` is set, and turns auth off then.
    pub(in crate::workload) async fn work(mut self, stop: Arc<AtomicBool>) {
        self.set_up(&stop).await;
        let began = self.client.clock().monotonic();
        while self.pace.wait(&self.client, began, &stop).await {
            let drawn = self.draw();
            let op = match self.off_for {
                Some(0) => h::Auth::Enable,
                Some(_) if drawn == h::Auth::Disable => h::Auth::Status,
                _ => drawn,
            };
            let done = self.ask(op.clone()).await;
            self.off_for = match op {
                h::Auth::Disable => Some(OFF_FOR),
                h::Auth::Enable if done => None,
                _ => self.off_for.map(|left| left.saturating_sub(1)),
            };
        }
        for _ in 0..LAST_TRIES {
            if self.ask(h::Auth::Disable).await {
                return;
            }
            self.client.clock().sleep(PAUSE).await;
        }
    }

    /// Creates root, all roles and all users, and turns auth on. A request that is refused because it was done before counts as
    /// done.
    async fn set_up(&mut self, stop: &AtomicBool) {
        let mut steps = vec![self.add(ROOT), grant(ROOT, ROOT)];
        for number in 0..ROLES {
            steps.push(h::Auth::RoleAdd(role(number)));
            steps.push(h::Auth::GrantPermission(self.permission(number)));
        }
        for number in 0..USERS {
            steps.push(self.add(&user(number)));
            steps.push(grant(&user(number), &role(number % ROLES)));
        }
        steps.push(h::Auth::Enable);
        for step in steps {
            while !self.ask(step.clone()).await && !stop.load(Ordering::Relaxed) {
                self.client.clock().sleep(PAUSE).await;
            }
        }
    }

    /// Asks once, as root. True if it is done, now or before.
    async fn ask(&mut self, op: h::Auth) -> bool {
        if let h::Auth::UserAdd(login) | h::Auth::ChangePassword(login) = &op {
            self.book.note(&login.user, &login.password);
        }
        let (_, answer) = self.client.perform_as(&h::Op::Auth(op.clone()), false).await;
        let Err(error) = answer else { return true };
        // A refusal with a known error has certainly set no password.
        if let h::Auth::UserAdd(login) | h::Auth::ChangePassword(login) = &op
            && matches!(error.code.as_str(), "FailedPrecondition" | "Unauthenticated" | "InvalidArgument")
        {
            self.book.remove_last(&login.user);
        }
        if wants_token(&error.message) {
            log_in_as_root(&mut self.client, &self.book).await;
            return false;
        }
        error.message.ends_with("already exists")
    }

    fn add(&mut self, name: &str) -> h::Auth {
        h::Auth::UserAdd(self.login(name.to_owned()))
    }

    fn login(&mut self, user: String) -> h::Login {
        self.last += 1;
        h::Login { user, password: format!("password{}", self.last) }
    }

    /// A permission on a single key, a range, or all keys from one on.
    fn permission(&mut self, of: u32) -> h::Permission {
        let keys = Keys(self.keys);
        let (key, range_end) = keys.range(&mut self.chance);
        let (read, write) =
            [(true, false), (false, true), (true, true), (true, true)][self.chance.gen_range(0..4)];
        h::Permission { role: role(of), key, range_end, read, write }
    }

    fn draw(&mut self) -> h::Auth {
        let (of, some_role) = (self.chance.gen_range(0..USERS), self.chance.gen_range(0..ROLES));
        let permission = self.permission(some_role);
        let membership = || h::Membership { user: user(of), role: role(some_role) };
        match self.chance.gen_range(0..32) {
            0..=3 => h::Auth::GrantRole(membership()),
            4..=6 => h::Auth::RevokeRole(membership()),
            7..=11 => h::Auth::GrantPermission(permission),
            12..=14 => h::Auth::RevokePermission(h::Permission { read: false, write: false, ..permission }),
            15..=19 => h::Auth::ChangePassword(self.login(user(of))),
            20 | 21 => h::Auth::UserDelete(user(of)),
            22..=25 => h::Auth::UserAdd(self.login(user(of))),
            26 => h::Auth::RoleDelete(role(some_role)),
            27 | 28 => h::Auth::RoleAdd(role(some_role)),
            29 => h::Auth::Disable,
            30 => h::Auth::Status,
            _ => h::Auth::Enable,
        }
    }
}

fn grant(user: &str, role: &str) -> h::Auth {
    h::Auth::GrantRole(h::Membership { user: user.to_owned(), role: role.to_owned() })
}
