//! The tables of users and roles, and their changes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    AuthCommand, AuthReply, Permission, ROOT_ROLE, ROOT_USER,
    permissions::{self, Permissions},
    rows,
};
use crate::planted::planted;
use crate::{Batch, Index, Refusal, digest};

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The hash of its password; empty if it has none.
    pub password_hash: Bytes,
    /// Whether it was made without a password.
    pub no_password: bool,
    /// Its roles.
    pub roles: BTreeSet<String>,
}

impl User {
    fn is_root(&self) -> bool {
        self.roles.contains(ROOT_ROLE)
    }
}

/// A role: what it allows, by range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// By key. Permissions of equal keys are in the order of their grants, as in etcd. No two have one range.
    permissions: Vec<Permission>,
}

impl Role {
    /// The permissions, by key, and by the time of their grant where keys are equal.
    pub fn list(&self) -> impl ExactSizeIterator<Item = &Permission> + Clone {
        self.permissions.iter()
    }

    /// Grants a permission, in the place of the one that the range has.
    pub(crate) fn grant(&mut self, granted: Permission) {
        let range = (&granted.key, &granted.range_end);
        match self.permissions.iter_mut().find(|one| (&one.key, &one.range_end) == range) {
            Some(one) => one.kind = granted.kind,
            None => {
                let at = self.permissions.partition_point(|one| one.key <= granted.key);
                self.permissions.insert(at, granted);
            }
        }
    }

    /// Whether there was a permission on the range.
    pub(crate) fn revoke(&mut self, key: &[u8], range_end: &[u8]) -> bool {
        let before = self.permissions.len();
        self.permissions.retain(|one| one.key != key || one.range_end != range_end);
        self.permissions.len() < before
    }
}

/// Users, roles, and whether auth is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    enabled: bool,
    revision: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
    /// By user: the permissions that follow from its roles.
    permissions: BTreeMap<String, Permissions>,
    /// The sum of the digests of the rows (`digest.rs`).
    content: u64,
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            enabled: false,
            revision: FIRST_REVISION,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            permissions: BTreeMap::new(),
            content: 0,
        }
    }
}

/// The auth revision of a new store. 0 is the revision of a caller without a user.
const FIRST_REVISION: u64 = 1;

impl Auth {
    /// Whether auth is on.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// One more than the number of changes that the tables have seen.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// A user.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user))
    }

    /// All roles, by name.
    pub fn roles(&self) -> impl Iterator<Item = (&str, &Role)> {
        self.roles.iter().map(|(name, role)| (name.as_str(), role))
    }

    pub(super) fn has_root_role(&self, user: &str) -> Option<bool> {
        self.users.get(user).map(User::is_root)
    }

    pub(super) fn has_role(&self, user: &str, role: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.roles.contains(role))
    }

    pub(super) fn permissions_of(&self, user: &str) -> Option<&Permissions> {
        self.permissions.get(user)
    }

    pub(crate) fn content(&self) -> u64 {
        self.content
    }

    /// Apply a command whose caller has passed the check.
    pub(crate) fn apply(
        &mut self,
        index: Index,
        command: &AuthCommand,
    ) -> Result<(AuthReply, Batch), Refusal> {
        let mut batch = Batch::new();
        let reply = match command {
            AuthCommand::Enable => {
                self.enable(&mut batch)?;
                AuthReply::Done
            }
            AuthCommand::Disable => {
                if self.enabled {
                    self.set_mark(false, self.revision + 1, &mut batch);
                }
                AuthReply::Done
            }
            AuthCommand::Status => AuthReply::Status { enabled: self.enabled, revision: self.revision },
            AuthCommand::Authenticate { user, token_prefix } => {
                self.may_authenticate(user)?;
                AuthReply::Token(format!("{token_prefix}.{index}"))
            }
            AuthCommand::UserAdd { name, password_hash, no_password } => {
                if name.is_empty() {
                    return Err(Refusal::UserEmpty);
                }
                if self.users.contains_key(name) {
                    return Err(Refusal::UserAlreadyExist);
                }
                let password_hash = if *no_password { Bytes::new() } else { password_hash.clone() };
                let user = User { password_hash, no_password: *no_password, roles: BTreeSet::new() };
                self.put_user(name, user, &mut batch);
                self.changed(&mut batch)
            }
            AuthCommand::UserGet(name) => {
                let user = self.users.get(name).ok_or(Refusal::UserNotFound)?;
                AuthReply::Names(user.roles.iter().cloned().collect())
            }
            AuthCommand::UserList => AuthReply::Names(self.users.keys().cloned().collect()),
            AuthCommand::UserDelete(name) => {
                if self.enabled && name == ROOT_USER {
                    return Err(Refusal::InvalidAuthMgmt);
                }
                self.existing(name)?;
                self.drop_user(name, &mut batch);
                self.changed(&mut batch)
            }
            AuthCommand::UserChangePassword { name, password_hash } => {
                let mut user = self.existing(name)?;
                if !user.no_password {
                    user.password_hash = password_hash.clone();
                }
                self.put_user(name, user, &mut batch);
                self.changed(&mut batch)
            }
            AuthCommand::UserGrantRole { user: name, role } => {
                let mut user = self.existing(name)?;
                if role != ROOT_ROLE && !self.roles.contains_key(role) {
                    return Err(Refusal::RoleNotFound);
                }
                // Granting a role that the user already has changes nothing, not even the revision.
                if user.roles.insert(role.clone()) {
                    self.put_user(name, user, &mut batch);
                    self.changed(&mut batch);
                }
                AuthReply::Done
            }
            AuthCommand::UserRevokeRole { user: name, role } => {
                if self.enabled && name == ROOT_USER && role == ROOT_ROLE {
                    return Err(Refusal::InvalidAuthMgmt);
                }
                let mut user = self.existing(name)?;
                if !user.roles.remove(role) {
                    return Err(Refusal::RoleNotGranted);
                }
                self.put_user(name, user, &mut batch);
                self.changed(&mut batch)
            }
            AuthCommand::RoleAdd(name) => {
                if name.is_empty() {
                    return Err(Refusal::RoleEmpty);
                }
                if self.roles.contains_key(name) {
                    return Err(Refusal::RoleAlreadyExist);
                }
                self.put_role(name, Role::default(), &mut batch);
                self.changed(&mut batch)
            }
            AuthCommand::RoleGet(name) => {
                let role = self.roles.get(name).ok_or(Refusal::RoleNotFound)?;
                AuthReply::Permissions(role.list().cloned().collect())
            }
            AuthCommand::RoleList => AuthReply::Names(self.roles.keys().cloned().collect()),
            AuthCommand::RoleDelete(name) => {
                if self.enabled && name == ROOT_ROLE {
                    return Err(Refusal::InvalidAuthMgmt);
                }
                self.delete_role(name, &mut batch)?;
                self.changed(&mut batch)
            }
            AuthCommand::RoleGrantPermission { role: name, permission } => {
                let granted = permission.clone().ok_or(Refusal::PermissionNotGiven)?;
                if !permissions::is_valid(&granted.key, &granted.range_end) {
                    return Err(Refusal::InvalidAuthMgmt);
                }
                let mut role = self.roles.get(name).cloned().ok_or(Refusal::RoleNotFound)?;
                role.grant(granted);
                self.put_role(name, role, &mut batch);
                self.changed(&mut batch)
            }
            AuthCommand::RoleRevokePermission { role: name, key, range_end } => {
                let mut role = self.roles.get(name).cloned().ok_or(Refusal::RoleNotFound)?;
                if !role.revoke(key, range_end) {
                    return Err(Refusal::PermissionNotGranted);
                }
                self.put_role(name, role, &mut batch);
                self.changed(&mut batch)
            }
        };
        Ok((reply, batch))
    }

    /// Whether a user can be given a token, as far as the tables say.
    ///
    /// # Errors
    /// `AuthNotEnabled`; `AuthFailed` for a user that does not exist or has no password.
    fn may_authenticate(&self, user: &str) -> Result<(), Refusal> {
        if !self.enabled {
            return Err(Refusal::AuthNotEnabled);
        }
        match self.users.get(user) {
            Some(user) if !user.no_password => Ok(()),
            _ => Err(Refusal::AuthFailed),
        }
    }

    /// The hash that a user's password must match before a token is proposed.
    ///
    /// # Errors
    /// `AuthNotEnabled`; `AuthFailed` for a user that does not exist; `NoPasswordUser`.
    pub fn password_hash(&self, user: &str) -> Result<Bytes, Refusal> {
        if !self.enabled {
            return Err(Refusal::AuthNotEnabled);
        }
        match self.users.get(user) {
            None => Err(Refusal::AuthFailed),
            Some(user) if user.no_password => Err(Refusal::NoPasswordUser),
            Some(user) => Ok(user.password_hash.clone()),
        }
    }

    fn enable(&mut self, batch: &mut Batch) -> Result<(), Refusal> {
        if self.enabled {
            return Ok(());
        }
        let root = self.users.get(ROOT_USER).ok_or(Refusal::RootUserNotExist)?;
        if !root.is_root() {
            return Err(Refusal::RootRoleNotExist);
        }
        self.set_mark(true, self.revision, batch);
        Ok(())
    }

    fn delete_role(&mut self, name: &str, batch: &mut Batch) -> Result<(), Refusal> {
        let role = self.roles.remove(name).ok_or(Refusal::RoleNotFound)?;
        self.content = self.content.wrapping_sub(role_digest(name, &role));
        batch.delete(rows::role_key(name));
        for (user, mut without) in self.users.clone() {
            if without.roles.remove(name) && !planted!(AuthRoleStays) {
                self.put_user(&user, without, batch);
            }
        }
        Ok(())
    }

    fn existing(&self, user: &str) -> Result<User, Refusal> {
        self.users.get(user).cloned().ok_or(Refusal::UserNotFound)
    }

    /// Record a change of the tables: raise the auth revision, and write its row.
    fn changed(&mut self, batch: &mut Batch) -> AuthReply {
        self.set_mark(self.enabled, self.revision + 1, batch);
        AuthReply::Done
    }

    fn set_mark(&mut self, enabled: bool, revision: u64, batch: &mut Batch) {
        self.content = self.content.wrapping_sub(self.mark_digest());
        (self.enabled, self.revision) = (enabled, revision);
        self.content = self.content.wrapping_add(self.mark_digest());
        batch.put(rows::mark_key(), rows::encode_mark(enabled, revision));
    }

    fn put_user(&mut self, name: &str, user: User, batch: &mut Batch) {
        batch.put(rows::user_key(name), rows::encode_user(&user));
        self.content = self.content.wrapping_add(user_digest(name, &user));
        if let Some(old) = self.users.insert(name.to_owned(), user) {
            self.content = self.content.wrapping_sub(user_digest(name, &old));
        }
        self.derive(name);
    }

    fn drop_user(&mut self, name: &str, batch: &mut Batch) {
        if let Some(old) = self.users.remove(name) {
            self.content = self.content.wrapping_sub(user_digest(name, &old));
            self.permissions.remove(name);
            batch.delete(rows::user_key(name));
        }
    }

    fn put_role(&mut self, name: &str, role: Role, batch: &mut Batch) {
        batch.put(rows::role_key(name), rows::encode_role(&role));
        self.content = self.content.wrapping_add(role_digest(name, &role));
        let count = role.list().len();
        let mut grows = true;
        if let Some(old) = self.roles.insert(name.to_owned(), role) {
            self.content = self.content.wrapping_sub(role_digest(name, &old));
            grows = count >= old.list().len();
        }
        let holders: Vec<String> = self
            .users
            .iter()
            .filter(|(_, user)| user.roles.contains(name))
            .map(|(name, _)| name.clone())
            .collect();
        if grows || !planted!(AuthRevocationNotDerived) {
            for holder in holders {
                self.derive(&holder);
            }
        }
    }

    /// Recompute what a user may do.
    fn derive(&mut self, name: &str) {
        let user = &self.users[name];
        let granted = user.roles.iter().filter_map(|role| self.roles.get(role)).flat_map(Role::list);
        self.permissions.insert(name.to_owned(), Permissions::of(granted));
    }

    fn mark_digest(&self) -> u64 {
        if self.is_untouched() {
            return 0;
        }
        digest::row(&rows::mark_key(), &rows::encode_mark(self.enabled, self.revision))
    }

    /// Whether nothing was ever changed. Then there is no row either.
    fn is_untouched(&self) -> bool {
        !self.enabled && self.revision == FIRST_REVISION
    }

    // --- as rows ---------------------------------------------------------------------------------------------------

    pub(crate) fn mark_row(&self) -> Option<(Bytes, Bytes)> {
        (!self.is_untouched()).then(|| (rows::mark_key(), rows::encode_mark(self.enabled, self.revision)))
    }

    pub(crate) fn role_rows(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        self.roles.iter().map(|(name, role)| (rows::role_key(name), rows::encode_role(role)))
    }

    pub(crate) fn user_rows(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        self.users.iter().map(|(name, user)| (rows::user_key(name), rows::encode_user(user)))
    }

    /// Put a row back. [`Auth::restored`] must follow after the last row.
    pub(crate) fn restore(&mut self, row: rows::AuthRow) {
        match row {
            rows::AuthRow::Mark { enabled, revision } => (self.enabled, self.revision) = (enabled, revision),
            rows::AuthRow::User(name, user) => drop(self.users.insert(name, user)),
            rows::AuthRow::Role(name, role) => drop(self.roles.insert(name, role)),
        }
    }

    /// Finish a restore, after all rows are back.
    ///
    /// # Errors
    /// The row that is impossible, and what is wrong with it.
    pub(crate) fn restored(&mut self) -> Result<(), (Bytes, String)> {
        if self.is_untouched()
            && let Some(key) = self.user_rows().chain(self.role_rows()).map(|(key, _)| key).next()
        {
            return Err((
                rows::mark_key(),
                format!("missing, though there is row \"{}\"", key.escape_ascii()),
            ));
        }
        if self.enabled && self.has_root_role(ROOT_USER) != Some(true) {
            return Err((
                rows::mark_key(),
                "auth is on, and there is no root user with the root role".into(),
            ));
        }
        for (name, user) in &self.users {
            if let Some(role) =
                user.roles.iter().find(|role| *role != ROOT_ROLE && !self.roles.contains_key(*role))
            {
                return Err((rows::user_key(name), format!("its role {role:?} does not exist")));
            }
        }
        self.content = self.mark_digest();
        for (name, role) in &self.roles {
            self.content = self.content.wrapping_add(role_digest(name, role));
        }
        let names: Vec<String> = self.users.keys().cloned().collect();
        for name in names {
            self.content = self.content.wrapping_add(user_digest(&name, &self.users[&name]));
            self.derive(&name);
        }
        Ok(())
    }

    /// Take over another state's permissions instead of computing them. Only a planted error does this.
    pub(crate) fn keep_permissions_of(&mut self, other: &Auth) {
        self.permissions.clone_from(&other.permissions);
    }
}

fn user_digest(name: &str, user: &User) -> u64 {
    digest::row(&rows::user_key(name), &rows::encode_user(user))
}

fn role_digest(name: &str, role: &Role) -> u64 {
    digest::row(&rows::role_key(name), &rows::encode_role(role))
}
