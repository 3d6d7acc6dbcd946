//! An operation: a client's call, and its caller. Ids that a server chooses, of leases and members, are written as
//! stand-ins that both servers share (`neutral`).

use squall_store::proto::{
    authpb::Permission,
    etcdserverpb as pb,
    v3electionpb::{CampaignRequest, LeaderRequest, ProclaimRequest, ResignRequest},
    v3lockpb::{LockRequest, UnlockRequest},
};

/// The caller of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// No token.
    Nobody,
    /// The token that an earlier `Authenticate` put in this place.
    Token(usize),
    /// A token that no server has given out.
    Stranger,
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// On whose behalf.
    pub caller: Caller,
    /// What.
    pub call: Call,
    /// And how.
    pub metadata: Metadata,
}

/// Additional metadata of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `hasleader`.
    pub has_leader: Option<&'static str>,
    /// The caller's token stands under `authorization`, as etcd's gateway writes it.
    pub as_authorization: bool,
}

/// A call. `stream` numbers the run's watch streams.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "a variant is the call of its name, and its fields are the request's")]
pub enum Call {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    DeleteRange(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),

    LeaseGrant(pb::LeaseGrantRequest),
    LeaseRevoke(pb::LeaseRevokeRequest),
    LeaseTimeToLive(pb::LeaseTimeToLiveRequest),
    LeaseLeases,
    /// Several requests on one stream.
    LeaseKeepAlive(Vec<i64>),
    /// Waits until the lease has expired and its keys are deleted. It has at least one key.
    LeaseEnds(i64),

    WatchOpen {
        stream: usize,
        wants_leader: bool,
    },
    WatchCreate {
        stream: usize,
        request: pb::WatchCreateRequest,
    },
    WatchCancel {
        stream: usize,
        id: i64,
    },
    WatchProgress {
        stream: usize,
    },
    /// A stream request without content.
    WatchNothing {
        stream: usize,
    },
    WatchClose {
        stream: usize,
    },

    AuthEnable,
    AuthDisable,
    AuthStatus,
    /// The place in which the token is kept.
    Authenticate {
        place: usize,
        name: String,
        password: String,
    },
    UserAdd {
        name: String,
        password: String,
        no_password: Option<bool>,
        /// A password's hash that the client made itself.
        hashed: String,
    },
    UserGet(String),
    UserList,
    UserDelete(String),
    UserChangePassword {
        name: String,
        password: String,
    },
    UserGrantRole {
        user: String,
        role: String,
    },
    UserRevokeRole {
        user: String,
        role: String,
    },
    RoleAdd(String),
    RoleGet(String),
    RoleList,
    RoleDelete(String),
    RoleGrantPermission {
        role: String,
        permission: Option<Permission>,
    },
    RoleRevokePermission {
        role: String,
        key: Vec<u8>,
        range_end: Vec<u8>,
    },

    MemberList {
        linearizable: bool,
    },
    MemberAdd {
        peer_urls: Vec<String>,
        is_learner: bool,
    },
    MemberRemove(u64),
    MemberUpdate {
        id: u64,
        peer_urls: Vec<String>,
    },
    MemberPromote(u64),

    Alarm(pb::AlarmRequest),
    Status,
    Defragment,
    Hash,
    HashKv(i64),
    MoveLeader(u64),
    Downgrade(pb::DowngradeRequest),
    Snapshot,

    Lock(LockRequest),
    Unlock(UnlockRequest),
    Campaign(CampaignRequest),
    Proclaim(ProclaimRequest),
    Leader(LeaderRequest),
    /// The first response that an observer receives.
    Observe(LeaderRequest),
    Resign(ResignRequest),

    /// The health of a service.
    Health(String),
    /// A method that may not exist, and bytes that may not be a message.
    Wire {
        path: &'static str,
        bytes: Vec<u8>,
    },

    /// Both servers are stopped and started again; squalld is killed with `kill -9`.
    Restart,
}

impl Operation {
    pub(crate) fn new(caller: Caller, call: Call) -> Operation {
        Operation { caller, call, metadata: Metadata::default() }
    }

    /// Who asks for what, for people.
    pub fn asked(&self) -> String {
        let Operation { caller, call, metadata } = self;
        format!("{caller:?} {metadata:?} {call:?}").chars().take(1_500).collect()
    }

    pub(crate) fn by_nobody(call: Call) -> Operation {
        Operation::new(Caller::Nobody, call)
    }
}

impl Call {
    /// Its name, for the table of a run's operations.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
    }

    /// Whether it is a call of the Lock or the Election service.
    pub fn is_lock_or_election(&self) -> bool {
        matches!(
            self,
            Call::Lock(_)
                | Call::Unlock(_)
                | Call::Campaign(_)
                | Call::Proclaim(_)
                | Call::Leader(_)
                | Call::Observe(_)
                | Call::Resign(_)
        )
    }

    /// Whether watchers must have been told everything before it.
    pub fn needs_quiet(&self) -> bool {
        matches!(
            self,
            Call::Compact(_)
                | Call::WatchCancel { .. }
                | Call::WatchProgress { .. }
                | Call::WatchClose { .. }
                | Call::Restart
        )
    }

    /// Whether it may change the store's content.
    pub fn changes(&self) -> bool {
        !matches!(
            self,
            Call::Range(_)
                | Call::LeaseTimeToLive(_)
                | Call::LeaseLeases
                | Call::LeaseKeepAlive(_)
                | Call::WatchProgress { .. }
                | Call::WatchNothing { .. }
                | Call::AuthStatus
                | Call::UserGet(_)
                | Call::UserList
                | Call::RoleGet(_)
                | Call::RoleList
                | Call::MemberList { .. }
                | Call::Status
                | Call::Defragment
                | Call::Hash
                | Call::HashKv(_)
                | Call::Downgrade(_)
                | Call::Snapshot
                | Call::Leader(_)
                | Call::Observe(_)
                | Call::Health(_)
                | Call::Wire { .. }
        )
    }
}
