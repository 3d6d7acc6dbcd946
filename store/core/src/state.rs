//! The replicated state machine: what a member knows once it has applied the log up to some index.
//!
//! [`State::apply`] is a function in the mathematical sense: the same state and the same entry give the same reply,
//! the same events and the same rows, on every member and on every replay. It reads no clock and uses no chance: the
//! proposer puts such values into the entry. It is total: an entry that cannot be carried out is refused, the
//! refusal is its outcome, and the applied index advances over it as over any other. This is important: an entry
//! that does not advance the applied index is applied twice after a crash (etcd #13937, #14419).
//!
//! Every entry's rows include the applied index and term, so that the engine, which writes a batch whole or not at
//! all, never holds an entry's rows without its index (etcd's *consistent index*; #13766, #14685). The log is
//! replayed from that index.
//!
//! The state does not record which client made a request. As in etcd, clients must deduplicate retried requests
//! themselves.

use bytes::Bytes;

use crate::mvcc::Mvcc;
use crate::mvcc::compact::CompactionStep;
use crate::planted::planted;
use crate::rows::{self, Corrupt, Row};
use crate::{
    AlarmRequest, Alarms, Applied, Attributes, Auth, AuthCommand, Batch, Caller, Command, CompactionRequest,
    CompactionResponse, DeleteRangeRequest, Digest, Event, HashKv, History, Index, LeaseCheckpoint, LeaseId,
    Leases, Member, Membership, MembershipChange, PutRequest, RangeRequest, RangeResponse, Refusal, Reply,
    Revision, Term, TxnRequest, TxnResponse, auth, digest, txn, validate,
};

/// The state after the entries up to [`applied`](State::applied).
///
/// A clone is a point-in-time copy. It shares all keys, values and rows with the original and costs a few
/// allocations per hundred records; If only the durable content is wanted, [`rows`](State::rows) collected into a
/// vector is cheaper still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    mvcc: Mvcc,
    leases: Leases,
    auth: Auth,
    membership: Membership,
    alarms: Alarms,
    /// The bytes that the store took up when its rows last became fewer; 0 if they never did since the last
    /// defragmentation. See [`State::allocated_bytes`].
    noted: u64,
    index: Index,
    term: Term,
    digest: Digest,
    /// The digest of the rows of `membership`.
    members_content: u64,
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

/// The size of a page in bytes, as in bbolt.
const PAGE_BYTES: u64 = 4096;

/// What one command does: the reply, the events, and the rows without the applied index.
type Outcome = (Result<Reply, Refusal>, Vec<Event>, Batch);

impl State {
    /// The state before the first entry: no keys, revision 1, no members.
    pub fn new() -> State {
        State {
            mvcc: Mvcc::new(),
            leases: Leases::default(),
            auth: Auth::default(),
            membership: Membership::default(),
            alarms: Alarms::default(),
            noted: 0,
            index: Index(0),
            term: Term(0),
            digest: Digest(0),
            members_content: 0,
        }
    }

    // --- applying entries ------------------------------------------------------------------------------------------

    /// Apply the command of the entry at `index`, which has no caller.
    ///
    /// # Panics
    /// As [`apply_as`](State::apply_as).
    pub fn apply(&mut self, index: Index, term: Term, command: &Command) -> Applied {
        self.apply_as(index, term, &Caller::NOBODY, command)
    }

    /// Apply the command that `caller` has given, of the entry at `index`.
    ///
    /// # Panics
    /// If `index` is not the one after the last applied index, or if `term` is lower than before. The log itself is
    /// then wrong, and so is everything that would follow.
    pub fn apply_as(&mut self, index: Index, term: Term, caller: &Caller, command: &Command) -> Applied {
        // As in etcd, a caller without permission is refused for that reason even if an alarm is active.
        let allowed = auth::check(&self.auth, &self.leases, caller, command);
        if let Err(refusal) = allowed.and_then(|()| self.alarms.check(command)) {
            return self.advance(index, term, refused(refusal));
        }
        let outcome = match command {
            Command::Put(request) => self.put(request),
            Command::DeleteRange(request) => self.delete_range(request),
            Command::Txn(request) => self.txn(request),
            Command::Compact(request) => self.compact(request),
            Command::Publish(attributes) => self.publish(attributes),
            Command::LeaseGrant { id, ttl_secs } => self.grant_lease(*id, *ttl_secs),
            Command::LeaseRevoke(id) => self.revoke_lease(*id),
            Command::LeaseCheckpoint(left) => self.checkpoint_leases(left),
            Command::Alarm(request) => self.alarm(*request),
            Command::Auth(command) => self.change_auth(index, command),
        };
        self.advance(index, term, outcome)
    }

    /// Apply an entry without a command, such as a new leader's first.
    ///
    /// # Panics
    /// As [`apply`](State::apply).
    pub fn apply_empty(&mut self, index: Index, term: Term) -> Applied {
        self.advance(index, term, (Ok(Reply::Done), Vec::new(), Batch::new()))
    }

    /// Apply a conf-change entry. If the change is refused, no member may apply it to raft (etcd applies a change of
    /// node 0 instead).
    ///
    /// # Panics
    /// As [`apply`](State::apply).
    pub fn apply_membership(&mut self, index: Index, term: Term, change: &MembershipChange) -> Applied {
        let outcome = match self.membership.validate(change) {
            Err(refusal) => refused(refusal),
            Ok(()) => {
                self.membership.apply(change);
                self.members_content = members_content(&self.membership);
                let mut batch = Batch::new();
                match change {
                    MembershipChange::Add(member) => {
                        batch.put(rows::member_key(member.id), rows::encode_member(member));
                    }
                    MembershipChange::Remove(id) => {
                        batch.delete(rows::member_key(*id));
                        if planted!(HiddenRowDiffers) && self.mvcc.errs_when_restored() {
                            self.membership.forget_removed(*id);
                            self.members_content = members_content(&self.membership);
                        } else {
                            batch.put(rows::removed_key(*id), Bytes::new());
                        }
                    }
                    MembershipChange::Promote(_) if planted!(PromotionNotStored) => {}
                    MembershipChange::Update { .. } if planted!(UpdateNotStored) => {}
                    MembershipChange::Update { id, .. } | MembershipChange::Promote(id) => {
                        let member = self.membership.get(*id).expect("it was just updated");
                        batch.put(rows::member_key(*id), rows::encode_member(member));
                    }
                }
                (Ok(Reply::Members(self.membership.members().cloned().collect())), Vec::new(), batch)
            }
        };
        self.advance(index, term, outcome)
    }

    /// Go on with the compaction under way: check up to `limit` records and drop those that can no longer be read.
    /// `None` if there is nothing to do. The batch belongs to no entry and holds no applied index; it may reach the
    /// engine at any time after the earlier batches.
    pub fn compaction_step(&mut self, limit: usize) -> Option<CompactionStep> {
        let taken = self.allocated_bytes();
        let mut step = self.mvcc.compaction_step(limit)?;
        if self.noted < taken && self.allocated_bytes() < taken {
            self.noted = taken;
            step.batch.put(rows::allocated_key(), rows::encode_allocated(taken));
        }
        Some(step)
    }

    /// Whether [`compaction_step`](State::compaction_step) has something to do.
    pub fn compaction_pending(&self) -> bool {
        self.mvcc.compaction_pending()
    }

    fn advance(&mut self, index: Index, term: Term, (reply, events, mut batch): Outcome) -> Applied {
        assert!(
            index == self.index.next() && term >= self.term,
            "entry {index} of term {term} after entry {} of term {}",
            self.index,
            self.term
        );
        self.leases.follow(&events);
        let outcome = digest::outcome(&reply, &batch);
        self.digest = digest::advance(self.digest, index, term, outcome);
        self.index = index;
        self.term = term;
        let listing = matches!(reply, Ok(Reply::Alarms(_))) && batch.is_empty();
        if !(is_held_back(&reply) || planted!(AlarmListNotAdvanced) && listing) {
            batch.put(rows::applied_key(), rows::encode_applied(index, term, self.digest));
        }
        let state = self.content().wrapping_add(outcome);
        Applied { reply, events, batch, state }
    }

    fn put(&mut self, request: &PutRequest) -> Outcome {
        let checked =
            validate::check_put(request).and_then(|()| txn::check_put(&self.mvcc, &self.leases, request));
        if let Err(refusal) = checked {
            return refused(refusal);
        }
        let mut txn = self.mvcc.write();
        let response = txn::put(&mut txn, request);
        let (events, batch) = txn.commit();
        (Ok(Reply::Put(response)), events, batch)
    }

    fn delete_range(&mut self, request: &DeleteRangeRequest) -> Outcome {
        if let Err(refusal) = validate::check_delete_range(request) {
            return refused(refusal);
        }
        let mut txn = self.mvcc.write();
        let response = txn::delete_range(&mut txn, request);
        let (events, batch) = txn.commit();
        (Ok(Reply::DeleteRange(response)), events, batch)
    }

    fn txn(&mut self, request: &TxnRequest) -> Outcome {
        let plan = validate::check_txn(request, usize::MAX)
            .and_then(|()| txn::plan(&self.mvcc, &self.leases, request));
        let path = match plan {
            Ok(path) => path,
            Err(refusal) => return refused(refusal),
        };
        let mut txn = self.mvcc.write();
        let response = txn::write(&mut txn, request, path);
        let (events, batch) = txn.commit();
        (Ok(Reply::Txn(response)), events, batch)
    }

    fn compact(&mut self, request: &CompactionRequest) -> Outcome {
        match self.mvcc.compact(request.revision) {
            Ok(batch) => {
                let response = CompactionResponse { revision: self.mvcc.revision() };
                (Ok(Reply::Compact(response)), Vec::new(), batch)
            }
            Err(refusal) => refused(refusal),
        }
    }

    fn publish(&mut self, attributes: &Attributes) -> Outcome {
        let mut batch = Batch::new();
        if let Some(member) = self.membership.publish(attributes) {
            if planted!(PublishNotStored) {
                return (Ok(Reply::Done), Vec::new(), batch);
            }
            batch.put(rows::member_key(member.id), rows::encode_member(member));
            self.members_content = members_content(&self.membership);
        }
        (Ok(Reply::Done), Vec::new(), batch)
    }

    fn grant_lease(&mut self, id: LeaseId, ttl_secs: i64) -> Outcome {
        match self.leases.grant(id, ttl_secs) {
            Ok(batch) => {
                let ttl_secs = self.leases.get(id).expect("granted just now").ttl_secs;
                let reply = Reply::LeaseGrant { id, ttl_secs, revision: self.mvcc.revision() };
                (Ok(reply), Vec::new(), batch)
            }
            Err(refusal) => refused(refusal),
        }
    }

    fn revoke_lease(&mut self, id: LeaseId) -> Outcome {
        let Some(lease) = self.leases.get(id) else { return refused(Refusal::LeaseNotFound) };
        let mut txn = self.mvcc.write();
        let left = usize::from(planted!(RevokeKeepsKeys));
        let most = if planted!(RevokeTakesRevisions) { 1 } else { usize::MAX };
        for key in lease.keys.iter().skip(left).take(most) {
            txn.delete_range(key, &[]);
        }
        let (mut events, mut batch) = txn.commit();
        if planted!(RevokeTakesRevisions) {
            self.revoke_one_by_one(id, &mut events, &mut batch);
        }
        batch.extend(self.leases.remove(id));
        (Ok(Reply::LeaseRevoke(self.mvcc.revision())), events, batch)
    }

    /// Deletes the remaining keys of a lease, each in its own transaction. Only a planted error does this.
    fn revoke_one_by_one(&mut self, id: LeaseId, events: &mut Vec<Event>, batch: &mut Batch) {
        let keys: Vec<Bytes> =
            self.leases.get(id).map_or_else(Vec::new, |lease| lease.keys.iter().cloned().collect());
        for key in keys {
            let mut txn = self.mvcc.write();
            txn.delete_range(&key, &[]);
            let (more, rows) = txn.commit();
            events.extend(more);
            batch.extend(rows);
        }
    }

    fn checkpoint_leases(&mut self, left: &[LeaseCheckpoint]) -> Outcome {
        (Ok(Reply::Done), Vec::new(), self.leases.checkpoint(left))
    }

    fn alarm(&mut self, request: AlarmRequest) -> Outcome {
        let (alarms, batch) = self.alarms.apply(request);
        (Ok(Reply::Alarms(alarms)), Vec::new(), batch)
    }

    /// Give up the space that the rows don't need. The batch must reach the engine before its content is written
    /// anew.
    pub fn defragment(&mut self) -> Batch {
        if planted!(DefragmentKeepsSize) {
            return Batch::new();
        }
        self.noted = 0;
        let mut batch = Batch::new();
        batch.delete(rows::allocated_key());
        batch
    }

    fn change_auth(&mut self, index: Index, command: &AuthCommand) -> Outcome {
        match self.auth.apply(index, command) {
            Ok((reply, batch)) => (Ok(Reply::Auth(reply)), Vec::new(), batch),
            Err(refusal) => refused(refusal),
        }
    }

    // --- reading ---------------------------------------------------------------------------------------------------

    /// Answer a range, at the newest revision or at an older one.
    ///
    /// # Errors
    /// `EmptyKey`; `FutureRev` for a revision that is still to come; `Compacted` for one that is compacted.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        validate::check_range(request)?;
        self.mvcc.range(request, self.mvcc.revision())
    }

    /// Evaluate a transaction that only reads ([`TxnRequest::is_read_only`]), without an entry.
    ///
    /// # Errors
    /// Those of [`range`](State::range), and of [`validate::check_txn`] without the limit on operations.
    ///
    /// # Panics
    /// If the transaction can write.
    pub fn txn_read(&self, request: &TxnRequest) -> Result<TxnResponse, Refusal> {
        validate::check_txn(request, usize::MAX)?;
        txn::read(&self.mvcc, &self.leases, request)
    }

    /// The changes of `wanted` keys from revision `from` on, as watchers are told of them. The piece consists of
    /// whole revisions: `most_records` records are read, and then the rest of the last revision. A `from` beyond the
    /// newest revision gives an empty piece that ends where it begins.
    ///
    /// # Errors
    /// `Compacted` below the compact revision.
    pub fn history(
        &self,
        from: Revision,
        most_records: usize,
        wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<History, Refusal> {
        self.mvcc.history(from, most_records, wanted)
    }

    /// A change that an entry has just made, as watchers are told of it: `prev_kv` is the key's record from before
    /// the entry.
    pub fn watched(&self, event: Event) -> Event {
        self.mvcc.watched(event)
    }

    /// Hash the key space up to a revision (0 for all of it), as etcd does. Members that have applied the same entries
    /// agree on it, however far each has got with the records of a compaction.
    ///
    /// # Errors
    /// `FutureRev`; `Compacted` below the compact revision.
    pub fn hash_kv(&self, revision: Revision) -> Result<HashKv, Refusal> {
        self.mvcc.hash(revision)
    }

    /// The store's revision: 1 when empty, and one more with every command that changed something.
    pub fn revision(&self) -> Revision {
        self.mvcc.revision()
    }

    /// How many keys exist.
    pub fn key_count(&self) -> usize {
        self.mvcc.key_count()
    }

    /// The oldest revision that can be read; -1 if nothing was ever compacted.
    pub fn compact_revision(&self) -> Revision {
        self.mvcc.compact_revision()
    }

    /// The revision of the last compaction whose records are all removed; -1 if there was none. Members differ in
    /// it.
    pub fn finished_compact_revision(&self) -> Revision {
        self.mvcc.finished_compact_revision()
    }

    /// The index and term of the last entry applied; 0 and 0 before the first.
    pub fn applied(&self) -> (Index, Term) {
        (self.index, self.term)
    }

    /// A hash over all that was applied so far: replies and rows, entry by entry. Members at the same index have the same
    /// digest, or one of them is wrong. See `digest.rs`.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// A digest of the replicated rows: keys with their history, compact revision, leases, users and roles, members,
    /// removed members. It does not depend on how they came about. See `digest.rs`.
    pub fn content(&self) -> u64 {
        let tables = [
            self.mvcc.content(),
            self.leases.content(),
            self.auth.content(),
            self.alarms.content(),
            self.members_content,
        ];
        tables.into_iter().fold(0, u64::wrapping_add)
    }

    /// The leases, each with the keys that are attached to it.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Users and roles, and whether auth is on.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Take over another state's permissions of users instead of this state's. Only a planted error does this.
    pub fn keep_permissions_of(&mut self, other: &State) {
        self.auth.keep_permissions_of(&other.auth);
    }

    /// The members of the cluster.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The active alarms.
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// The bytes of the rows of the key space, keys and values (etcd's `dbSizeInUse`). It includes what a compaction
    /// has still to remove, so members differ in it.
    pub fn in_use_bytes(&self) -> u64 {
        self.mvcc.bytes()
    }

    /// What the store takes up, in bytes (etcd's `dbSize`): the most that these rows ever took, in whole pages,
    /// since the last defragmentation. As in bbolt, a page that becomes free stays part of the store. The quota is
    /// compared with this size. Only [`defragment`](State::defragment) lowers it, and members differ in it.
    pub fn allocated_bytes(&self) -> u64 {
        self.noted.max(self.in_use_bytes().next_multiple_of(PAGE_BYTES))
    }

    // --- as rows ---------------------------------------------------------------------------------------------------

    /// The whole durable content, as the rows that the engine holds once it has written every batch, in key order.
    pub fn rows(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        let mark = |key: Bytes, revision: Revision| {
            (revision.0 >= 0).then(|| (key, rows::encode_revision(revision)))
        };
        let applied = (self.index.0 > 0)
            .then(|| (rows::applied_key(), rows::encode_applied(self.index, self.term, self.digest)));
        let allocated = (self.noted > 0).then(|| (rows::allocated_key(), rows::encode_allocated(self.noted)));
        self.alarms
            .rows()
            .chain(self.mvcc.rows())
            .chain(self.leases.rows())
            .chain(allocated)
            .chain(applied)
            .chain(self.auth.mark_row())
            .chain(mark(rows::finished_compaction_key(), self.mvcc.finished_compact_revision()))
            .chain(mark(rows::scheduled_compaction_key(), self.mvcc.compact_revision()))
            .chain(self.membership.members().map(|m| (rows::member_key(m.id), rows::encode_member(m))))
            .chain(self.auth.role_rows())
            .chain(self.membership.removed().map(|id| (rows::removed_key(id), Bytes::new())))
            .chain(self.auth.user_rows())
    }

    /// The state that the rows hold. Without any rows it is the state before the first entry. An unfinished
    /// compaction is under way again.
    ///
    /// # Errors
    /// [`Corrupt`] names the first row that the store cannot have written; rows must come in key order.
    pub fn restore(rows: impl IntoIterator<Item = (Bytes, Bytes)>) -> Result<State, Corrupt> {
        let mut state = State::new();
        let mut records = Vec::new();
        let (mut applied, mut scheduled, mut finished) = (false, -1, -1);
        let mut last_key = Bytes::new();
        for (key, value) in rows {
            if key <= last_key {
                return Err(Corrupt::new(&key, "out of order, or there twice"));
            }
            match rows::decode(&key, value)? {
                Row::Record(rev, record) => {
                    // Two row keys may differ only in the tombstone's mark, so the revisions are compared too.
                    if records.last().is_some_and(|(last, _)| *last >= rev) {
                        return Err(Corrupt::new(&key, "its revision is there twice"));
                    }
                    records.push((rev, record));
                }
                Row::Alarm(alarm) => state.alarms.restore(alarm),
                Row::Allocated(_) if planted!(AllocatedLostAtRestart) => {}
                Row::Allocated(bytes) => state.noted = bytes,
                Row::Lease { id, ttl_secs, remaining_secs } => {
                    state.leases.restore(id, ttl_secs, remaining_secs);
                }
                Row::Applied { index, term, digest } => {
                    applied = true;
                    (state.index, state.term, state.digest) = (index, term, digest);
                }
                Row::ScheduledCompaction(revision) => scheduled = revision.0,
                Row::FinishedCompaction(revision) => finished = revision.0,
                Row::Member(member) => state.membership.restore_member(member),
                Row::Removed(id) => state.membership.restore_removed(id),
                Row::Auth(row) => state.auth.restore(row),
            }
            last_key = key;
        }
        if !applied && !last_key.is_empty() {
            return Err(rows::missing_applied());
        }
        if finished > scheduled {
            let what =
                format!("compaction {finished} is finished, but {scheduled} is the last that was begun");
            return Err(Corrupt::new(&rows::finished_compaction_key(), what));
        }
        state.mvcc = Mvcc::restore(records, scheduled, finished);
        let (leases, mut dangling) = (&mut state.leases, None);
        state.mvcc.visit_all(|kv| {
            if kv.lease != LeaseId::NONE && !leases.reattach(kv.lease, &kv.key) {
                dangling = Some(rows::dangling_lease(&kv.key, kv.lease));
            }
        });
        if let Some(corrupt) = dangling {
            return Err(corrupt);
        }
        state.auth.restored().map_err(|(key, what)| Corrupt::new(&key, what))?;
        state.members_content = members_content(&state.membership);
        Ok(state)
    }

    /// The state with which the members of a *new* cluster start from another cluster's data: the keys, their
    /// history, the leases, the users and roles and the alarms stay, the old members and the removed ids are
    /// dropped, and the log begins anew, with one conf-change entry per member, of term 1, counted as applied
    /// (etcdutl's `snapshot restore`). The digest forks.
    ///
    /// # Panics
    /// If there are no members.
    #[must_use]
    pub fn into_new_cluster(self, members: impl IntoIterator<Item = Member>) -> State {
        let mut membership = Membership::default();
        for member in members {
            membership.restore_member(member);
        }
        let count = membership.members().count() as u64;
        assert!(count > 0, "a cluster has members");
        let digest = digest::fork(self.digest, membership.members().collect::<Vec<_>>());
        let members_content = members_content(&membership);
        State {
            mvcc: self.mvcc,
            leases: self.leases,
            auth: if planted!(RestoreForgetsAuth) { Auth::default() } else { self.auth },
            membership,
            alarms: if planted!(RestoreForgetsAlarms) { Alarms::default() } else { self.alarms },
            noted: self.noted,
            index: Index(count),
            term: Term(1),
            digest,
            members_content,
        }
    }
}

/// The digest of the members' rows. The rows are few and change seldom, so it is computed again at each change.
fn members_content(membership: &Membership) -> u64 {
    let members = membership
        .members()
        .map(|member| digest::row(&rows::member_key(member.id), &rows::encode_member(member)));
    let removed = membership.removed().map(|id| digest::row(&rows::removed_key(id), &[]));
    members.chain(removed).fold(0, u64::wrapping_add)
}

/// Whether an entry's rows leave the applied index where it was. Only planted errors do that.
fn is_held_back(reply: &Result<Reply, Refusal>) -> bool {
    match reply {
        Ok(Reply::Auth(_)) => planted!(AuthIndexNotAdvanced),
        Ok(_) => false,
        Err(refusal) => planted!(RefusalNotAdvanced) || planted!(DenialNotAdvanced) && refusal.is_denial(),
    }
}

fn refused(refusal: Refusal) -> Outcome {
    (Err(refusal), Vec::new(), Batch::new())
}
