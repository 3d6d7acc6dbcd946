//! An operation: what a client asks for, on whose behalf. Ids that a server chooses, of leases and members, are written as
//! stand-ins that both servers share (`neutral`).

use squall_store::proto::{
    authpb::Permission,
    etcdserverpb as pb,
    v3electionpb::{CampaignRequest, LeaderRequest, ProclaimRequest, ResignRequest},
    v3lockpb::{LockRequest, UnlockRequest},
};

/// On whose behalf an operation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// No token.
    Nobody,
    /// The token that an earlier `Authenticate` put in this place.
    Token(usize),
    /// A token that no server has given out.
    Stranger,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub caller: Caller,
    pub call: Call,
    pub metadata: Metadata,
}

/// What else a call's metadata say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `hasleader`.
    pub has_leader: Option<&'static str>,
    /// The caller's token stands under `authorization`, as etcd's gateway writes it.
    pub as_authorization: bool,
}

/// A call. `stream` numbers the run's watch streams.
#[derive(Clone, Debug, PartialEq)]
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
    /// Waits until the lease has ended by itself. Its keys are gone then; at least one is attached.
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
    /// A request that asks for nothing.
    WatchNothing {
        stream: usize,
    },
    WatchClose {
        stream: usize,
    },

    AuthEnable,
    AuthDisable,
    AuthStatus,
    /// Keeps the token in this place.
    Authenticate {
        place: usize,
        name: String,
        password: String,
    },
    UserAdd {
        name: String,
        password: String,
        no_password: Option<bool>,
        /// What the client has hashed itself.
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
    /// The first that an observer is told.
    Observe(LeaderRequest),
    Resign(ResignRequest),

    /// The health of a service.
    Health(String),
    /// A method that there may not be, and bytes that may be no message.
    Wire {
        path: &'static str,
        bytes: Vec<u8>,
    },

    /// Both servers are stopped and started again, squalld with -9.
    Restart,
}

impl Operation {
    pub fn new(caller: Caller, call: Call) -> Operation {
        Operation { caller, call, metadata: Metadata::default() }
    }

    pub fn by_nobody(call: Call) -> Operation {
        Operation::new(Caller::Nobody, call)
    }
}

impl Call {
    /// Its name, for the table of what a run did.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
    }

    /// Whether it is for the service of locks or of elections.
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

    /// Whether it may change what the store holds.
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
