//! Maps paths to calls. etcd's `.proto` files do this in options, which our files do not have.

/// A call that a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub path: &'static str,
    pub service: &'static str,
    pub method: &'static str,
    pub shape: Shape,
}

/// Which sides of a call are streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Unary,
    /// Its answer is a stream.
    Streaming {
        input: Input,
    },
}

/// The input of a call whose answer is a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// One message.
    One,
    /// Several messages. The call's input ends after them.
    Many,
    /// Several messages. The call's input stays open after them, since a watch's client waits for events.
    ManyAndOpen,
}

/// The call of a path below `/v3/`.
pub(super) fn find(path: &str) -> Option<Route> {
    ROUTES.iter().copied().find(|route| route.path == path)
}

const fn unary(path: &'static str, service: &'static str, method: &'static str) -> Route {
    Route { path, service, method, shape: Shape::Unary }
}

const fn streaming(path: &'static str, service: &'static str, method: &'static str, input: Input) -> Route {
    Route { path, service, method, shape: Shape::Streaming { input } }
}

const KV: &str = "etcdserverpb.KV";
const LEASE: &str = "etcdserverpb.Lease";
const CLUSTER: &str = "etcdserverpb.Cluster";
const MAINTENANCE: &str = "etcdserverpb.Maintenance";
const AUTH: &str = "etcdserverpb.Auth";
const LOCK: &str = "v3lockpb.Lock";
const ELECTION: &str = "v3electionpb.Election";

pub(super) const ROUTES: &[Route] = &[
    unary("kv/range", KV, "Range"),
    unary("kv/put", KV, "Put"),
    unary("kv/deleterange", KV, "DeleteRange"),
    unary("kv/txn", KV, "Txn"),
    unary("kv/compaction", KV, "Compact"),
    streaming("watch", "etcdserverpb.Watch", "Watch", Input::ManyAndOpen),
    unary("lease/grant", LEASE, "LeaseGrant"),
    unary("lease/revoke", LEASE, "LeaseRevoke"),
    unary("kv/lease/revoke", LEASE, "LeaseRevoke"),
    streaming("lease/keepalive", LEASE, "LeaseKeepAlive", Input::Many),
    unary("lease/timetolive", LEASE, "LeaseTimeToLive"),
    unary("kv/lease/timetolive", LEASE, "LeaseTimeToLive"),
    unary("lease/leases", LEASE, "LeaseLeases"),
    unary("kv/lease/leases", LEASE, "LeaseLeases"),
    unary("cluster/member/add", CLUSTER, "MemberAdd"),
    unary("cluster/member/remove", CLUSTER, "MemberRemove"),
    unary("cluster/member/update", CLUSTER, "MemberUpdate"),
    unary("cluster/member/list", CLUSTER, "MemberList"),
    unary("cluster/member/promote", CLUSTER, "MemberPromote"),
    unary("maintenance/alarm", MAINTENANCE, "Alarm"),
    unary("maintenance/status", MAINTENANCE, "Status"),
    unary("maintenance/defragment", MAINTENANCE, "Defragment"),
    unary("maintenance/hash", MAINTENANCE, "Hash"),
    streaming("maintenance/snapshot", MAINTENANCE, "Snapshot", Input::One),
    unary("maintenance/transfer-leadership", MAINTENANCE, "MoveLeader"),
    unary("maintenance/downgrade", MAINTENANCE, "Downgrade"),
    unary("auth/enable", AUTH, "AuthEnable"),
    unary("auth/disable", AUTH, "AuthDisable"),
    unary("auth/status", AUTH, "AuthStatus"),
    unary("auth/authenticate", AUTH, "Authenticate"),
    unary("auth/user/add", AUTH, "UserAdd"),
    unary("auth/user/get", AUTH, "UserGet"),
    unary("auth/user/list", AUTH, "UserList"),
    unary("auth/user/delete", AUTH, "UserDelete"),
    unary("auth/user/changepw", AUTH, "UserChangePassword"),
    unary("auth/user/grant", AUTH, "UserGrantRole"),
    unary("auth/user/revoke", AUTH, "UserRevokeRole"),
    unary("auth/role/add", AUTH, "RoleAdd"),
    unary("auth/role/get", AUTH, "RoleGet"),
    unary("auth/role/list", AUTH, "RoleList"),
    unary("auth/role/delete", AUTH, "RoleDelete"),
    unary("auth/role/grant", AUTH, "RoleGrantPermission"),
    unary("auth/role/revoke", AUTH, "RoleRevokePermission"),
    unary("lock/lock", LOCK, "Lock"),
    unary("lock/unlock", LOCK, "Unlock"),
    unary("election/campaign", ELECTION, "Campaign"),
    unary("election/proclaim", ELECTION, "Proclaim"),
    unary("election/leader", ELECTION, "Leader"),
    unary("election/resign", ELECTION, "Resign"),
    streaming("election/observe", ELECTION, "Observe", Input::One),
];
