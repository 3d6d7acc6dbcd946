//! Makes equal what must differ between two servers: the ids of cluster and members, terms, ports, the ids of leases
//! that the server chose. Each id has a stand-in that both servers share. If a server's answer names one of the
//! server's ids, the stand-in replaces it. Any other number stays, so an answer with a wrong id still differs.

use std::collections::BTreeMap;

use squall_store::proto::{
    etcdserverpb::{
        Member, RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse,
        range_request::SortTarget, request_op, response_op,
    },
    mvccpb::KeyValue,
};

/// The stand-in of the first lease whose id a server chose; the others follow.
pub const LEASES: u64 = 0x5000_0000_0000_0000;
/// The stand-in of the server itself as a member; learners follow.
pub const MEMBERS: u64 = 0x6000_0000_0000_0000;
/// The stand-in of a server's cluster.
pub const CLUSTER: u64 = 0x7000_0000_0000_0000;
/// The stand-in of a server's own peer address.
pub const OWN_PEER: &str = "http://own-peer";

/// One server's own ids.
#[derive(Debug, Default)]
pub struct Ids {
    real: BTreeMap<u64, u64>,
    stand_in: BTreeMap<u64, u64>,
    cluster: u64,
    peer_url: String,
    client_url: String,
    leases: u64,
    members: u64,
}

impl Ids {
    /// The ids of a new server, which has made no leases and no other members.
    pub fn new(cluster: u64, member: u64, peer_url: String, client_url: String) -> Ids {
        let mut ids = Ids { cluster, peer_url, client_url, ..Ids::default() };
        assert_eq!(ids.add_member(member), MEMBERS);
        ids
    }

    fn add(&mut self, real: u64, stand_in: u64) -> u64 {
        self.real.insert(stand_in, real);
        self.stand_in.insert(real, stand_in);
        stand_in
    }

    /// Adds a lease whose id the server chose, and returns its stand-in.
    pub fn add_lease(&mut self, real: i64) -> i64 {
        self.leases += 1;
        self.add(real as u64, LEASES + self.leases - 1) as i64
    }

    /// Adds a member, and returns its stand-in. The server itself is the first member.
    pub fn add_member(&mut self, real: u64) -> u64 {
        self.members += 1;
        self.add(real, MEMBERS + self.members - 1)
    }

    /// The server's own id for a stand-in; any other number stays.
    pub fn real(&self, id: u64) -> u64 {
        self.real.get(&id).copied().unwrap_or(id)
    }

    pub fn real_lease(&self, id: i64) -> i64 {
        self.real(id as u64) as i64
    }

    /// The stand-in for the server's own id; any other number stays.
    pub fn neutral(&self, id: u64) -> u64 {
        self.stand_in.get(&id).copied().unwrap_or(id)
    }

    pub fn neutral_lease(&self, id: i64) -> i64 {
        self.neutral(id as u64) as i64
    }

    pub fn header(&self, header: &mut Option<ResponseHeader>) -> i64 {
        let Some(header) = header else { return 0 };
        if header.cluster_id == self.cluster {
            header.cluster_id = CLUSTER;
        }
        header.member_id = self.neutral(header.member_id);
        // Terms differ; only their presence is compared.
        header.raft_term = header.raft_term.min(1);
        header.revision
    }

    pub fn peer_url(&self, url: &str) -> String {
        if url == OWN_PEER { self.peer_url.clone() } else { url.to_owned() }
    }

    pub fn members(&self, members: &mut [Member]) {
        for member in members.iter_mut() {
            self.member(member);
        }
        // Servers list members by id, and the ids are random.
        members.sort_by_key(|member| member.id);
    }

    pub fn member(&self, member: &mut Member) {
        member.id = self.neutral(member.id);
        for url in &mut member.peer_urls {
            *url = url.replace(&self.peer_url, OWN_PEER);
        }
        for url in &mut member.client_urls {
            *url = url.replace(&self.client_url, "http://own-client");
        }
    }

    /// Makes a text neutral that may name the server's own member.
    pub fn text(&self, text: &str) -> String {
        let own = self.real(MEMBERS);
        text.replace(&own.to_string(), "(own id)").replace(&format!("{own:x}"), "(own id)")
    }
}

/// etcd does not define the order of keys with equal sort fields, nor which of them a limit cuts off. So such keys are
/// put in key order, and if the limit cut among them, their names are removed.
pub fn range(request: &RangeRequest, response: &mut RangeResponse) {
    let Ok(target) = SortTarget::try_from(request.sort_target) else { return };
    if target == SortTarget::Key {
        return;
    }
    let same = |a: &KeyValue, b: &KeyValue| match target {
        SortTarget::Key => true,
        SortTarget::Version => a.version == b.version,
        SortTarget::Create => a.create_revision == b.create_revision,
        SortTarget::Mod => a.mod_revision == b.mod_revision,
        // `keys_only` has removed the values, so that all of them compare as equal.
        SortTarget::Value => a.value == b.value,
    };
    for tied in response.kvs.chunk_by_mut(same) {
        tied.sort_by(|a, b| a.key.cmp(&b.key));
    }
    if response.more
        && let Some(tied) = response.kvs.chunk_by_mut(same).next_back()
    {
        for kv in tied {
            let field = match target {
                SortTarget::Version => KeyValue { version: kv.version, ..Default::default() },
                SortTarget::Create => KeyValue { create_revision: kv.create_revision, ..Default::default() },
                SortTarget::Mod => KeyValue { mod_revision: kv.mod_revision, ..Default::default() },
                SortTarget::Key | SortTarget::Value => {
                    KeyValue { value: kv.value.clone(), ..Default::default() }
                }
            };
            *kv = KeyValue { key: "(any of those that are equal)".into(), ..field };
        }
    }
}

/// The ranges inside a transaction, as [`range`].
pub fn txn(request: &TxnRequest, response: &mut TxnResponse) {
    let branch = if response.succeeded { &request.success } else { &request.failure };
    for (op, answer) in branch.iter().zip(&mut response.responses) {
        match (&op.request, &mut answer.response) {
            (
                Some(request_op::Request::RequestRange(request)),
                Some(response_op::Response::ResponseRange(response)),
            ) => range(request, response),
            (
                Some(request_op::Request::RequestTxn(request)),
                Some(response_op::Response::ResponseTxn(response)),
            ) => txn(request, response),
            _ => {}
        }
    }
}
