//! What a run knows of the store from etcd's answers. From it follow which operations make sense next, and how many
//! events each watcher must have received. It judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use squall_store::proto::{
    etcdserverpb::{AlarmRequest, WatchCreateRequest, alarm_request::AlarmAction},
    mvccpb::{Event, event::EventType},
};

use crate::{
    answer::{Answer, NO_ID},
    draw::ROOT_PASSWORD,
    operation::{Call, Caller, Operation},
    server::Server,
    watching::Received,
};

/// The known state of the store.
#[derive(Debug, Default)]
pub struct World {
    /// The store's revision.
    pub revision: i64,
    /// The revision of the last compaction.
    pub compacted: i64,
    /// Leases that were granted and not revoked.
    pub leases: BTreeSet<i64>,
    /// The watchers, by stream and id.
    pub streams: BTreeMap<usize, BTreeMap<i64, Watcher>>,
    /// The callers that opened the streams.
    pub stream_callers: BTreeMap<usize, Caller>,
    /// Whether auth is on.
    pub auth_is_on: bool,
    /// The user of the token in each place. Tokens that both servers have forgotten are left out.
    pub tokens: BTreeMap<usize, String>,
    /// The alarms that are active: (kind, member).
    pub alarms: BTreeSet<(i32, u64)>,
    /// Learners that were added and not removed.
    pub learners: BTreeSet<u64>,
    /// How many members have ever been added.
    pub members_added: u64,
    /// How many changes the recorders have received.
    pub events: usize,
    /// From where on a watcher may still read history.
    reads_history: Option<i64>,
    /// The existing keys of locks and elections, with the create revision and the lease of each.
    pub held: BTreeMap<Vec<u8>, (i64, i64)>,
}

/// The prefix of the names of locks and elections. No other key has it.
pub const LOCKS: &[u8] = b"l/";

/// A watcher of the run.
#[derive(Debug)]
pub struct Watcher {
    request: WatchCreateRequest,
    /// The first revision that it asks for.
    start: i64,
    /// The compact revision, if the watcher starts there: etcd 3.5 has dropped the deletions of that revision (#18089).
    gone: Option<i64>,
    /// How many changes it must have received.
    pub expected: usize,
    /// How many of its changes were compared.
    pub compared: usize,
}

impl Watcher {
    /// Whether it receives this change.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        let Some(kv) = &event.kv else { return false };
        let (key, range_end) = (&self.request.key, &self.request.range_end);
        let key: &[u8] = if key.is_empty() { &[0] } else { key };
        let within = match &range_end[..] {
            [] => kv.key == key,
            [0] => kv.key >= key,
            end => kv.key >= key && kv.key < end,
        };
        within
            && kv.mod_revision >= self.start
            && !self.request.filters.contains(&event.r#type)
            && !self.has_lost(event)
    }

    /// The request that made it.
    pub fn request(&self) -> &WatchCreateRequest {
        &self.request
    }

    /// The changes that it has received and that were not compared yet, except those that etcd 3.5 no longer has.
    pub fn not_compared(&self, id: i64, received: &Received) -> Vec<Event> {
        let all = received.events.get(&id).into_iter().flatten();
        all.filter(|event| !self.has_lost(event)).skip(self.compared).cloned().collect()
    }

    /// How many changes it must have received that were not compared yet.
    pub fn missing(&self) -> usize {
        self.expected - self.compared
    }

    /// Whether etcd 3.5 no longer has this change.
    pub fn has_lost(&self, event: &Event) -> bool {
        let revision = event.kv.as_ref().map(|kv| kv.mod_revision);
        event.r#type() == EventType::Delete && self.gone.is_some() && self.gone == revision
    }
}

impl World {
    /// The state of a new store.
    pub fn new() -> World {
        World { revision: 1, ..World::default() }
    }

    /// Whether this call compacts history that watchers may still be reading, so that they must finish first. True
    /// once for each such history.
    pub fn must_catch_up(&mut self, call: &Call) -> bool {
        matches!(call, Call::Compact(request)
            if self.reads_history.take_if(|from| *from < request.revision).is_some())
    }

    /// Learns from etcd's answer to an operation. `server`: the one whose recorder has received the changes.
    pub fn learn(&mut self, operation: &Operation, answer: &Answer, server: &Server) {
        self.revision = self.revision.max(answer.revision).max(1);
        if let Call::WatchCreate { request, .. } = &operation.call
            && request.start_revision > 0
        {
            let from = self.reads_history.unwrap_or(i64::MAX);
            self.reads_history = Some(from.min(request.start_revision));
        }
        if answer.is_refused() {
            return;
        }
        match &operation.call {
            Call::Compact(request) => self.compacted = request.revision,
            Call::LeaseGrant(_) => drop(self.leases.insert(answer.id)),
            Call::LeaseRevoke(request) => drop(self.leases.remove(&request.id)),
            Call::LeaseEnds(id) => drop(self.leases.remove(id)),
            Call::WatchOpen { stream, .. } => {
                self.streams.insert(*stream, BTreeMap::new());
                self.stream_callers.insert(*stream, operation.caller.clone());
            }
            Call::WatchClose { stream } => drop(self.streams.remove(stream)),
            Call::WatchCreate { stream, request } if answer.id != NO_ID => {
                let now = self.revision;
                let start = if request.start_revision == 0 { now + 1 } else { request.start_revision };
                // It is cancelled at once.
                if start < self.compacted {
                    return;
                }
                let gone = (start == self.compacted).then_some(start);
                let mut watcher = Watcher { request: request.clone(), start, gone, expected: 0, compared: 0 };
                // Later changes are counted by `changed`.
                let history = server.changes_after(0);
                let counted = history.iter().take(self.events);
                watcher.expected = counted.filter(|event| watcher.wants(event)).count();
                self.streams.entry(*stream).or_default().insert(answer.id, watcher);
            }
            Call::WatchCancel { stream, id } => {
                self.streams.entry(*stream).or_default().remove(id);
            }
            Call::AuthEnable => self.auth_is_on = true,
            Call::AuthDisable => {
                self.auth_is_on = false;
                self.tokens.clear();
            }
            Call::Authenticate { place, name, .. } => drop(self.tokens.insert(*place, name.clone())),
            Call::UserDelete(name) | Call::UserChangePassword { name, .. } => {
                self.tokens.retain(|_, of| of != name);
            }
            Call::Alarm(request) => match request.action {
                1 => drop(self.alarms.insert((request.alarm, request.member_id))),
                2 => drop(self.alarms.remove(&(request.alarm, request.member_id))),
                _ => {}
            },
            Call::MemberAdd { .. } => {
                self.learners.insert(answer.id as u64);
                self.members_added += 1;
            }
            Call::MemberRemove(id) => drop(self.learners.remove(id)),
            Call::Restart => {
                self.streams.clear();
                self.stream_callers.clear();
                // They were simple tokens.
                self.tokens.clear();
            }
            _ => {}
        }
    }

    /// Learns of new changes.
    pub fn changed(&mut self, new: &[Event]) {
        for watcher in self.streams.values_mut().flat_map(BTreeMap::values_mut) {
            watcher.expected += new.iter().filter(|event| watcher.wants(event)).count();
        }
        self.events += new.len();
        for event in new {
            let Some(kv) = event.kv.as_ref().filter(|kv| kv.key.starts_with(LOCKS)) else { continue };
            match event.r#type() {
                EventType::Put => self.held.insert(kv.key.to_vec(), (kv.create_revision, kv.lease)),
                EventType::Delete => self.held.remove(&kv.key[..]),
            };
        }
    }

    /// The operations after which auth is off and the run's alarms and learners are gone.
    pub(crate) fn tidying(&self) -> Vec<Operation> {
        let root = || Caller::Token(0);
        let mut steps = Vec::new();
        if self.auth_is_on {
            let (name, password) = ("root".to_owned(), ROOT_PASSWORD.to_owned());
            steps.push(Operation::by_nobody(Call::Authenticate { place: 0, name, password }));
            steps.push(Operation::new(root(), Call::AuthDisable));
        }
        let alarms = self.alarms.iter().map(|&(alarm, member_id)| {
            Call::Alarm(AlarmRequest { action: AlarmAction::Deactivate as i32, member_id, alarm })
        });
        let learners = self.learners.iter().map(|id| Call::MemberRemove(*id));
        steps.extend(alarms.chain(learners).map(Operation::by_nobody));
        steps
    }

    /// Whether this lease alone holds keys below the name, so that a lock or a candidate need not wait.
    pub fn is_free(&self, name: &[u8], lease: i64) -> bool {
        let below = [name, b"/"].concat();
        self.held.iter().all(|(key, (_, holder))| !key.starts_with(&below) || *holder == lease)
    }

    /// Whether squalld answers a progress request on this stream at once: it has a watcher, and none that starts in the
    /// future.
    pub fn tells_progress(&self, stream: usize) -> bool {
        self.streams.get(&stream).is_some_and(|watchers| {
            !watchers.is_empty()
                && watchers.values().all(|watcher| watcher.request.start_revision <= self.revision)
        })
    }
}
