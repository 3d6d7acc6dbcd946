//! All refusals that a client can get, with etcd's codes and etcd's words.
//!
//! A refusal is addressed to the client and leaves the store as it was. It is not an I/O failure (that stops the
//! node) and not a broken invariant (that panics). Programs match on these codes and messages, and Go clients match
//! on the text itself. So both are exactly etcd's (`api/v3rpc/rpctypes/error.go`).
//!
//! A checker needs to know whether a refusal means "certainly not applied". The harness's client decides that
//! (`sim/src/workload/outcome.rs`).

use thiserror::Error;

/// The gRPC status codes that refusals use, with gRPC's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum Code {
    /// The caller gave up the call.
    Cancelled = 1,
    /// An error of no known kind.
    Unknown = 2,
    /// The request is invalid in any state.
    InvalidArgument = 3,
    /// The deadline passed first.
    DeadlineExceeded = 4,
    /// What was asked for is not there.
    NotFound = 5,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A limit is reached.
    ResourceExhausted = 8,
    /// The state does not allow it.
    FailedPrecondition = 9,
    /// Past the valid range.
    OutOfRange = 11,
    /// This build does not have the operation.
    Unimplemented = 12,
    /// Not now; another try may succeed.
    Unavailable = 14,
    /// Data is lost or corrupt.
    DataLoss = 15,
    /// The caller has not authenticated.
    Unauthenticated = 16,
}

macro_rules! refusals {
    ($( $(#[$doc:meta])* $name:ident, $code:ident, $message:literal; )*) => {
        /// A refusal; `Display` gives the exact message on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
        pub enum Refusal { $( $(#[$doc])* #[error($message)] $name, )* }

        impl Refusal {
            /// All refusals.
            pub const ALL: &[Refusal] = &[$( Refusal::$name, )*];

            /// The gRPC status code.
            pub fn code(self) -> Code {
                match self { $( Refusal::$name => Code::$code, )* }
            }

            /// The message on the wire.
            pub fn message(self) -> &'static str {
                match self { $( Refusal::$name => $message, )* }
            }
        }
    };
}

refusals! {
    /// A request without a key.
    EmptyKey, InvalidArgument, "etcdserver: key is not provided";
    /// `ignore_value` or `ignore_lease` on a key that is not there; or an empty operation in a transaction.
    KeyNotFound, InvalidArgument, "etcdserver: key not found";
    /// A value beside `ignore_value`.
    ValueProvided, InvalidArgument, "etcdserver: value is provided";
    /// A lease beside `ignore_lease`.
    LeaseProvided, InvalidArgument, "etcdserver: lease is provided";
    /// More compares or operations than the limit, nesting counted.
    TooManyOps, InvalidArgument, "etcdserver: too many operations in txn request";
    /// One branch writes a key twice, or writes a key that it also deletes.
    DuplicateKey, InvalidArgument, "etcdserver: duplicate key given in txn request";
    /// A sort order or target that does not exist.
    InvalidSortOption, InvalidArgument, "etcdserver: invalid sort option";
    /// The revision lies before the last compaction.
    Compacted, OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    /// The revision has not happened yet.
    FutureRev, OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    /// The quota is used up.
    NoSpace, ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    /// No such lease.
    LeaseNotFound, NotFound, "etcdserver: requested lease not found";
    /// The lease's id is taken.
    LeaseExist, FailedPrecondition, "etcdserver: lease already exists";
    /// The TTL is beyond what a lease may have.
    LeaseTtlTooLarge, OutOfRange, "etcdserver: too large lease TTL";
    /// The member's id is taken.
    MemberExist, FailedPrecondition, "etcdserver: member ID already exist";
    /// Another member has one of these peer URLs.
    PeerUrlExist, FailedPrecondition, "etcdserver: Peer URLs already exists";
    /// Too few members have started for the change to be safe. (etcd's server sends this one without its code.)
    MemberNotEnoughStarted, Unknown,
        "etcdserver: re-configuration failed due to not enough started members";
    /// The given peer URLs are no URLs.
    MemberBadUrls, InvalidArgument, "etcdserver: given member URLs are invalid";
    /// No such member, or one that was removed.
    MemberNotFound, NotFound, "etcdserver: member not found";
    /// Only a learner can be promoted.
    MemberNotLearner, FailedPrecondition, "etcdserver: can only promote a learner member";
    /// The learner is still behind.
    LearnerNotReady, FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader";
    /// The cluster already has as many learners as it may have.
    TooManyLearners, FailedPrecondition, "etcdserver: too many learner members in cluster";
    /// The caller belongs to another cluster.
    ClusterIdMismatch, FailedPrecondition, "etcdserver: cluster ID mismatch";
    /// The request is over the size limit.
    RequestTooLarge, InvalidArgument, "etcdserver: request is too large";
    /// Too many entries are committed and not yet applied.
    TooManyRequests, ResourceExhausted, "etcdserver: too many requests";
    /// The member knows no leader.
    NoLeader, Unavailable, "etcdserver: no leader";
    /// Only the leader can do this.
    NotLeader, FailedPrecondition, "etcdserver: not leader";
    /// The leader changed while the request was under way.
    LeaderChanged, Unavailable, "etcdserver: leader changed";
    /// The cluster cannot do this yet.
    NotCapable, FailedPrecondition, "etcdserver: not capable";
    /// The server is shutting down.
    Stopped, Unavailable, "etcdserver: server stopped";
    /// No answer within the request time-out.
    Timeout, Unavailable, "etcdserver: request timed out";
    /// The same, and the leader was lost meanwhile.
    TimeoutDueToLeaderFail, Unavailable, "etcdserver: request timed out, possibly due to previous leader failure";
    /// The same, and a connection was lost meanwhile.
    TimeoutDueToConnectionLost, Unavailable, "etcdserver: request timed out, possibly due to connection lost";
    /// No member has led since the request came, so no log has it. (etcd gives this refusal no code.)
    TimeoutWithoutLeader, Unknown, "context deadline exceeded";
    /// The member that was to lead does not lead within the time-out. (etcd gives this refusal no code.)
    TimeoutLeaderTransfer, Unknown, "etcdserver: request timed out, leader transfer took too long";
    /// The member did not catch up within the time-out.
    TimeoutWaitAppliedIndex, Unavailable,
        "etcdserver: request timed out, waiting for the applied index took too long";
    /// Too many members are out of touch for the change to be safe.
    Unhealthy, Unavailable, "etcdserver: unhealthy cluster";
    /// The members' data differ.
    Corrupt, DataLoss, "etcdserver: corrupt cluster";
    /// A learner does not serve this. Clients ask another member then. (FailedPrecondition from etcd 3.6 on.)
    NotSupportedForLearner, Unavailable, "etcdserver: rpc not supported for learner";
    /// The leadership cannot go to that member.
    BadLeaderTransferee, FailedPrecondition, "etcdserver: bad leader transferee";
    /// Auth cannot be turned on without a user `root`.
    RootUserNotExist, FailedPrecondition, "etcdserver: root user does not exist";
    /// Auth cannot be turned on while the user `root` does not have the role `root`.
    RootRoleNotExist, FailedPrecondition, "etcdserver: root user does not have root role";
    /// The user's name is taken.
    UserAlreadyExist, FailedPrecondition, "etcdserver: user name already exists";
    /// A user without a name, or a call that says nothing of its user.
    UserEmpty, InvalidArgument, "etcdserver: user name is empty";
    /// No such user.
    UserNotFound, FailedPrecondition, "etcdserver: user name not found";
    /// The role's name is taken.
    RoleAlreadyExist, FailedPrecondition, "etcdserver: role name already exists";
    /// No such role.
    RoleNotFound, FailedPrecondition, "etcdserver: role name not found";
    /// A role without a name.
    RoleEmpty, InvalidArgument, "etcdserver: role name is empty";
    /// No such user, or another password.
    AuthFailed, InvalidArgument, "etcdserver: authentication failed, invalid user ID or password";
    /// A user without a password cannot authenticate by one. (etcd gives this refusal no code.)
    NoPasswordUser, Unknown, "auth: authentication failed, password was given for no password user";
    /// A permission is to be granted, and none is named.
    PermissionNotGiven, InvalidArgument, "etcdserver: permission not given";
    /// The user may not do this.
    PermissionDenied, PermissionDenied, "etcdserver: permission denied";
    /// The user does not have this role.
    RoleNotGranted, FailedPrecondition, "etcdserver: role is not granted to the user";
    /// The role does not have this permission.
    PermissionNotGranted, FailedPrecondition, "etcdserver: permission is not granted to the role";
    /// Auth is off.
    AuthNotEnabled, FailedPrecondition, "etcdserver: authentication is not enabled";
    /// No such token, or one whose time is over.
    InvalidAuthToken, Unauthenticated, "etcdserver: invalid auth token";
    /// A change that would lock out every user, or a permission on no range.
    InvalidAuthMgmt, InvalidArgument, "etcdserver: invalid auth management";
    /// The tables of users and roles have changed since the member looked at them.
    AuthOldRevision, InvalidArgument, "etcdserver: revision of auth store is old";
    /// The caller gave up the request.
    Canceled, Cancelled, "etcdserver: request canceled";
    /// The caller's deadline passed.
    DeadlineExceeded, DeadlineExceeded, "etcdserver: context deadline exceeded";
}

impl Refusal {
    /// Whether the refusal means that the caller lacks permission.
    pub(crate) fn is_denial(self) -> bool {
        matches!(self, Refusal::PermissionDenied | Refusal::UserEmpty | Refusal::AuthOldRevision)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Clients tell refusals apart by the message alone.
    #[test]
    fn messages_are_etcds_and_tell_refusals_apart() {
        let messages: BTreeSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.message()).collect();
        assert_eq!(messages.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            let of_auth = *refusal == Refusal::NoPasswordUser && refusal.message().starts_with("auth: ");
            let without_code = of_auth || *refusal == Refusal::TimeoutWithoutLeader;
            assert!(refusal.message().starts_with("etcdserver: ") || without_code, "{refusal:?}");
            assert_eq!(refusal.to_string(), refusal.message());
        }
    }
}
