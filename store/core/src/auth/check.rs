//! Whether a caller may do what it asks for (etcd's `apply_auth.go` and the checks of `auth/store.go`).
//!
//! The same questions are asked in two places. [`check`] judges an entry when it is applied. The methods of [`Auth`]
//! and [`State`] are for the server, which answers reads without an entry. A refusal follows from the tables alone
//! and changes nothing.

use super::{Auth, AuthCommand, Caller};
use crate::planted::planted;
use crate::{
    Command, DeleteRangeRequest, Lease, LeaseId, Leases, PutRequest, Refusal, RequestOp, State, TxnRequest,
};

/// Whether the caller may give this command now.
///
/// # Errors
/// `UserEmpty`, `UserNotFound`, `PermissionDenied`, `AuthOldRevision`.
pub(crate) fn check(auth: &Auth, leases: &Leases, caller: &Caller, command: &Command) -> Result<(), Refusal> {
    if !auth.is_enabled() {
        return Ok(());
    }
    let check = Check { auth, leases, caller };
    match command {
        Command::Put(put) => check.put(put),
        Command::DeleteRange(delete) => check.delete(delete),
        Command::Txn(txn) => check.txn(txn),
        Command::LeaseRevoke(id) => check.lease(*id),
        Command::Compact(_) if planted!(AuthCompactionForAll) => Ok(()),
        Command::Compact(_) => auth.require_root(caller),
        Command::Auth(command) => of_auth(auth, caller, command),
        // Members send these themselves, or they are open to every client (alarms), as in etcd. For a lease grant
        // the proposing member has checked the client's token.
        Command::Publish(_)
        | Command::LeaseGrant { .. }
        | Command::LeaseCheckpoint(_)
        | Command::Alarm(_) => Ok(()),
    }
}

fn of_auth(auth: &Auth, caller: &Caller, command: &AuthCommand) -> Result<(), Refusal> {
    match command {
        AuthCommand::Authenticate { .. } => Ok(()),
        AuthCommand::UserGet(name) if *name == caller.user => Ok(()),
        AuthCommand::RoleGet(role) if auth.has_role(&caller.user, role) => Ok(()),
        _ => auth.require_root(caller),
    }
}

impl Auth {
    /// Whether the caller may do what only root is allowed to do.
    ///
    /// # Errors
    /// `UserEmpty`, `UserNotFound`, `PermissionDenied`.
    pub fn require_root(&self, caller: &Caller) -> Result<(), Refusal> {
        if !self.is_enabled() {
            return Ok(());
        }
        if caller.user.is_empty() {
            return Err(Refusal::UserEmpty);
        }
        match self.has_root_role(&caller.user) {
            None => Err(Refusal::UserNotFound),
            Some(false) => Err(Refusal::PermissionDenied),
            Some(true) => Ok(()),
        }
    }

    /// Whether the caller may read this key or range.
    ///
    /// # Errors
    /// `UserEmpty`, `AuthOldRevision`, `PermissionDenied`.
    pub fn may_read(&self, caller: &Caller, key: &[u8], range_end: &[u8]) -> Result<(), Refusal> {
        self.may(caller, |permissions| permissions.may_read(key, range_end))
    }

    /// Whether the caller may write this key, or delete this range.
    ///
    /// # Errors
    /// As [`may_read`](Auth::may_read).
    pub fn may_write(&self, caller: &Caller, key: &[u8], range_end: &[u8]) -> Result<(), Refusal> {
        self.may(caller, |permissions| permissions.may_write(key, range_end))
    }

    fn may(
        &self,
        caller: &Caller,
        allows: impl FnOnce(&super::permissions::Permissions) -> bool,
    ) -> Result<(), Refusal> {
        if !self.is_enabled() {
            return Ok(());
        }
        if caller.revision == 0 {
            return Err(Refusal::UserEmpty);
        }
        if caller.revision < self.revision() && !planted!(AuthRevisionIgnored) {
            return Err(Refusal::AuthOldRevision);
        }
        let is_root = self.has_root_role(&caller.user).ok_or(Refusal::PermissionDenied)?;
        if is_root || self.permissions_of(&caller.user).is_some_and(allows) {
            return Ok(());
        }
        Err(Refusal::PermissionDenied)
    }

    /// Whether the caller may renew a lease: it must be allowed to write each key that is attached to it.
    ///
    /// # Errors
    /// As [`may_read`](Auth::may_read).
    pub fn may_write_keys_of(&self, caller: &Caller, lease: &Lease) -> Result<(), Refusal> {
        if self.require_root(caller).is_ok() {
            return Ok(());
        }
        lease.keys.iter().try_for_each(|key| self.may_write(caller, key, &[]))
    }

    /// Whether the caller may see the keys of a lease.
    ///
    /// # Errors
    /// As [`may_read`](Auth::may_read).
    pub fn may_read_keys_of(&self, caller: &Caller, lease: &Lease) -> Result<(), Refusal> {
        if self.require_root(caller).is_ok() {
            return Ok(());
        }
        lease.keys.iter().try_for_each(|key| self.may_read(caller, key, &[]))
    }
}

impl State {
    /// Whether the caller may run a transaction: all compares and both branches are checked.
    ///
    /// # Errors
    /// As [`Auth::may_read`].
    pub fn may_do_txn(&self, caller: &Caller, txn: &TxnRequest) -> Result<(), Refusal> {
        Check { auth: self.auth(), leases: self.leases(), caller }.txn(txn)
    }
}

struct Check<'a> {
    auth: &'a Auth,
    leases: &'a Leases,
    caller: &'a Caller,
}

impl Check<'_> {
    fn put(&self, put: &PutRequest) -> Result<(), Refusal> {
        self.auth.may_write(self.caller, &put.key, &[])?;
        // A caller that may not revoke a lease may not attach a key to it either.
        if !planted!(AuthLeaseUnchecked) {
            self.lease(put.lease)?;
        }
        if put.prev_kv && !planted!(AuthPrevKvUnchecked) {
            self.auth.may_read(self.caller, &put.key, &[])?;
        }
        Ok(())
    }

    fn delete(&self, delete: &DeleteRangeRequest) -> Result<(), Refusal> {
        self.auth.may_write(self.caller, &delete.key, &delete.range_end)?;
        if delete.prev_kv && !planted!(AuthPrevKvUnchecked) {
            self.auth.may_read(self.caller, &delete.key, &delete.range_end)?;
        }
        Ok(())
    }

    fn txn(&self, txn: &TxnRequest) -> Result<(), Refusal> {
        for compare in txn.compare.iter().filter(|_| !planted!(AuthComparesUnchecked)) {
            self.auth.may_read(self.caller, &compare.key, &compare.range_end)?;
        }
        // The branch that is not taken counts too.
        let otherwise = if planted!(AuthOtherBranchUnchecked) { &[][..] } else { &txn.failure[..] };
        txn.success.iter().chain(otherwise).try_for_each(|op| match op {
            RequestOp::Range(range) => self.auth.may_read(self.caller, &range.key, &range.range_end),
            RequestOp::Put(put) => self.put(put),
            RequestOp::DeleteRange(delete) => self.delete(delete),
            RequestOp::Txn(nested) => self.txn(nested),
            RequestOp::Invalid(refusal) => Err(*refusal),
        })
    }

    /// A lease that does not exist is refused elsewhere.
    fn lease(&self, id: LeaseId) -> Result<(), Refusal> {
        self.leases.get(id).map_or(Ok(()), |lease| self.auth.may_write_keys_of(self.caller, lease))
    }
}
