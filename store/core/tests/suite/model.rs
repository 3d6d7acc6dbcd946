//! The store as naively as it can be written: a copy of the whole key space for every revision, and loops.
//!
//! It shares the request types with the core, and nothing else. Where the core has an index, a path through a transaction
//! or an interval, this has a snapshot, a recursion or a filter over all keys; it never forgets anything, and compaction
//! is a number that reads are compared with. What both agree on is therefore not likely to be one mistake made twice.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use squall_core::*;

type Snapshot = BTreeMap<Bytes, KeyValue>;

/// The naive store.
#[derive(Clone, Debug)]
pub struct Model {
    /// The key space at every revision; 0 and 1 are empty.
    snapshots: Vec<Snapshot>,
    /// Every change ever made: when, what is there now (nothing after a delete).
    changes: Vec<(Rev, Bytes, Option<KeyValue>)>,
    pub compacted: i64,
    /// The leases: granted, and left at the last checkpoint.
    pub leases: BTreeMap<LeaseId, (i64, i64)>,
    /// The alarms that are active, as kind and member.
    pub alarms: BTreeSet<(AlarmKind, MemberId)>,
    /// Every change as a watcher is told of it, but for what compaction hides.
    pub watched: Vec<Event>,
}

/// A transaction at work.
struct Work<'a> {
    before: &'a Snapshot,
    now: Snapshot,
    main: i64,
    events: Vec<Event>,
    changes: Vec<(Rev, Bytes, Option<KeyValue>)>,
}

impl Model {
    pub fn new() -> Model {
        Model {
            snapshots: vec![Snapshot::new(); 2],
            changes: Vec::new(),
            compacted: -1,
            leases: BTreeMap::new(),
            alarms: BTreeSet::new(),
            watched: Vec::new(),
        }
    }

    pub fn revision(&self) -> i64 {
        self.snapshots.len() as i64 - 1
    }

    fn newest(&self) -> &Snapshot {
        self.snapshots.last().expect("there is always one")
    }

    pub fn apply(&mut self, command: &Command) -> (Result<Reply, Refusal>, Vec<Event>) {
        if let Some(refusal) = self.alarmed(command) {
            return (Err(refusal), Vec::new());
        }
        let op = match command {
            Command::Alarm(request) => return (Ok(Reply::Alarms(self.alarm(*request))), Vec::new()),
            Command::Compact(request) => return (self.compact(request.revision.0), Vec::new()),
            Command::Publish(_) => return (Ok(Reply::Done), Vec::new()),
            Command::Auth(_) => unreachable!("users and roles have tests of their own"),
            Command::Put(put) => RequestOp::Put(put.clone()),
            Command::DeleteRange(delete) => RequestOp::DeleteRange(delete.clone()),
            Command::Txn(txn) => RequestOp::Txn(txn.clone()),
            Command::LeaseGrant { id, ttl_secs } => return (self.grant(*id, *ttl_secs), Vec::new()),
            Command::LeaseCheckpoint(left) => {
                for LeaseCheckpoint { id, remaining_secs } in left {
                    if let Some((ttl, remaining)) = self.leases.get_mut(id) {
                        *remaining = (*remaining_secs).max(0).min(*ttl);
                    }
                }
                return (Ok(Reply::Done), Vec::new());
            }
            Command::LeaseRevoke(id) => {
                if !self.leases.contains_key(id) {
                    return (Err(Refusal::LeaseNotFound), Vec::new());
                }
                // The same as a transaction that deletes each of its keys.
                let deletes = self.keys_of(*id).into_iter().map(|key| {
                    RequestOp::DeleteRange(DeleteRangeRequest { key, ..DeleteRangeRequest::default() })
                });
                let txn = TxnRequest { success: deletes.collect(), ..TxnRequest::default() };
                let (_, events) = self.apply(&Command::Txn(txn));
                self.leases.remove(id);
                return (Ok(Reply::LeaseRevoke(Revision(self.revision()))), events);
            }
        };
        if let Err(refusal) = self.check_op(&op) {
            return (Err(refusal), Vec::new());
        }
        let before = self.newest().clone();
        let mut work = Work {
            before: &before,
            now: before.clone(),
            main: self.revision() + 1,
            events: Vec::new(),
            changes: Vec::new(),
        };
        let mut response = self.execute(&mut work, &op);
        if let ResponseOp::Txn(response) = &mut response {
            response.revision = work.revision();
        }
        let Work { now, events, changes, .. } = work;
        if !events.is_empty() {
            for event in &events {
                // A watcher is told what stood there before the transaction, and of a key's first put that nothing did.
                let creates =
                    event.kind == EventKind::Put && event.kv.create_revision == event.kv.mod_revision;
                let prev_kv = before.get(&event.kv.key).filter(|_| !creates).cloned();
                self.watched.push(Event { prev_kv, ..event.clone() });
            }
            self.snapshots.push(now);
            self.changes.extend(changes);
        }
        let reply = match response {
            ResponseOp::Put(response) => Reply::Put(response),
            ResponseOp::DeleteRange(response) => Reply::DeleteRange(response),
            ResponseOp::Txn(response) => Reply::Txn(response),
            ResponseOp::Range(_) => unreachable!("no command is a range"),
        };
        (Ok(reply), events)
    }

    fn alarmed(&self, command: &Command) -> Option<Refusal> {
        fn puts(op: &RequestOp) -> bool {
            match op {
                RequestOp::Put(_) => true,
                RequestOp::Txn(txn) => txn.success.iter().chain(&txn.failure).any(puts),
                _ => false,
            }
        }
        let is_active = |wanted| self.alarms.iter().any(|(kind, _)| *kind == wanted);
        let untouched =
            matches!(command, Command::Alarm(_) | Command::Publish(_) | Command::LeaseCheckpoint(_));
        if is_active(AlarmKind::Corrupt) && !untouched {
            return Some(Refusal::Corrupt);
        }
        let grows = match command {
            Command::Put(_) | Command::LeaseGrant { .. } => true,
            Command::Txn(txn) => puts(&RequestOp::Txn(txn.clone())),
            _ => false,
        };
        (is_active(AlarmKind::NoSpace) && grows).then_some(Refusal::NoSpace)
    }

    fn alarm(&mut self, request: AlarmRequest) -> Vec<Alarm> {
        let alarm = |(kind, member): (AlarmKind, MemberId)| Alarm { kind, member };
        match request {
            AlarmRequest::Get(None) => self.alarms.iter().copied().map(alarm).collect(),
            AlarmRequest::Get(Some(kind)) => {
                self.alarms.iter().copied().filter(|of| of.0 == kind).map(alarm).collect()
            }
            AlarmRequest::Activate(member, Some(kind)) => {
                self.alarms.insert((kind, member));
                vec![alarm((kind, member))]
            }
            AlarmRequest::Deactivate(member, Some(kind)) => {
                self.alarms.take(&(kind, member)).map(alarm).into_iter().collect()
            }
            AlarmRequest::Activate(_, None) | AlarmRequest::Deactivate(_, None) => Vec::new(),
        }
    }

    pub fn read_txn(&self, txn: &TxnRequest) -> Result<TxnResponse, Refusal> {
        let op = RequestOp::Txn(txn.clone());
        self.check_op(&op)?;
        let before = self.newest();
        let main = self.revision() + 1;
        let mut work = Work { before, now: before.clone(), main, events: Vec::new(), changes: Vec::new() };
        match self.execute(&mut work, &op) {
            ResponseOp::Txn(response) => Ok(TxnResponse { revision: Revision(self.revision()), ..response }),
            _ => unreachable!("a transaction answers as one"),
        }
    }

    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        if request.key.is_empty() {
            return Err(Refusal::EmptyKey);
        }
        self.range_in(self.newest(), self.revision(), request)
    }

    fn grant(&mut self, id: LeaseId, ttl_secs: i64) -> Result<Reply, Refusal> {
        if id.0 == 0 {
            return Err(Refusal::LeaseNotFound);
        }
        if ttl_secs > 9_000_000_000 {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&id) {
            return Err(Refusal::LeaseExist);
        }
        let ttl_secs = if ttl_secs < 1 { 1 } else { ttl_secs };
        self.leases.insert(id, (ttl_secs, 0));
        Ok(Reply::LeaseGrant { id, ttl_secs, revision: Revision(self.revision()) })
    }

    /// The keys whose record names the lease, in order.
    pub fn keys_of(&self, id: LeaseId) -> Vec<Bytes> {
        self.newest().values().filter(|kv| kv.lease == id).map(|kv| kv.key.clone()).collect()
    }

    /// What a watcher of everything is told that begins at a revision.
    pub fn history(&self, from: i64) -> Result<Vec<Event>, Refusal> {
        if from < self.compacted {
            return Err(Refusal::Compacted);
        }
        let mut events = Vec::new();
        for event in self.watched.iter().filter(|event| event.kv.mod_revision.0 >= from) {
            let rev = event.kv.mod_revision.0;
            // At the compact revision itself a key's last change is left alone, and what was before is gone.
            if rev == self.compacted {
                let later = |other: &&Event| {
                    other.kv.key == event.kv.key && other.kv.mod_revision.0 == rev && *other != event
                };
                let last = self
                    .watched
                    .iter()
                    .rfind(|other| other.kv.mod_revision.0 == rev && other.kv.key == event.kv.key);
                if self.watched.iter().any(|other| later(&other)) && last != Some(event) {
                    continue;
                }
                events.push(Event { prev_kv: None, ..event.clone() });
            } else {
                events.push(event.clone());
            }
        }
        Ok(events)
    }

    fn compact(&mut self, revision: i64) -> Result<Reply, Refusal> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision() {
            return Err(Refusal::FutureRev);
        }
        self.compacted = revision;
        Ok(Reply::Compact(CompactionResponse { revision: Revision(self.revision()) }))
    }

    // --- what is refused -------------------------------------------------------------------------------------------

    fn check_op(&self, op: &RequestOp) -> Result<(), Refusal> {
        check_shape(op)?;
        if let RequestOp::Txn(txn) = op {
            writes(&txn.success)?;
            writes(&txn.failure)?;
        }
        self.check_feasible(op, true, &mut Vec::new())
    }

    /// `deletes`: those before this step.
    fn check_feasible<'a>(
        &self,
        op: &'a RequestOp,
        top: bool,
        deletes: &mut Vec<&'a DeleteRangeRequest>,
    ) -> Result<(), Refusal> {
        match op {
            RequestOp::Put(put) if put.lease.0 != 0 && !self.leases.contains_key(&put.lease) => {
                Err(Refusal::LeaseNotFound)
            }
            RequestOp::Put(put) if put.ignore_value || put.ignore_lease => {
                let gone = deletes.iter().any(|delete| within(&delete.key, &delete.range_end, &put.key));
                if self.newest().contains_key(&put.key) && !gone { Ok(()) } else { Err(Refusal::KeyNotFound) }
            }
            RequestOp::Put(_) => Ok(()),
            RequestOp::Invalid(refusal) => Err(*refusal),
            RequestOp::DeleteRange(delete) => {
                deletes.push(delete);
                Ok(())
            }
            RequestOp::Range(range) => {
                assert!(!top, "a range of its own is not a command");
                match range.revision.0 {
                    0 => Ok(()),
                    revision if revision > self.revision() => Err(Refusal::FutureRev),
                    revision if revision < self.compacted => Err(Refusal::Compacted),
                    _ => Ok(()),
                }
            }
            RequestOp::Txn(txn) => {
                let ops = if holds(self.newest(), &txn.compare) { &txn.success } else { &txn.failure };
                ops.iter().try_for_each(|op| self.check_feasible(op, false, deletes))
            }
        }
    }

    // --- what is done ----------------------------------------------------------------------------------------------

    fn execute(&self, work: &mut Work<'_>, op: &RequestOp) -> ResponseOp {
        match op {
            RequestOp::Invalid(refusal) => unreachable!("it was checked: {refusal}"),
            RequestOp::Range(range) => {
                let response = self.range_in(&work.now, work.revision().0, range);
                ResponseOp::Range(response.expect("checked"))
            }
            RequestOp::Put(put) => {
                let prev = work.now.get(&put.key).cloned();
                let kept = || prev.as_ref().expect("checked");
                let main = Revision(work.main);
                let kv = KeyValue {
                    key: put.key.clone(),
                    value: if put.ignore_value { kept().value.clone() } else { put.value.clone() },
                    lease: if put.ignore_lease { kept().lease } else { put.lease },
                    create_revision: prev.as_ref().map_or(main, |prev| prev.create_revision),
                    mod_revision: main,
                    version: 1 + prev.as_ref().map_or(0, |prev| prev.version),
                };
                work.change(put.key.clone(), Some(kv));
                ResponseOp::Put(PutResponse {
                    revision: work.revision(),
                    prev_kv: prev.filter(|_| put.prev_kv),
                })
            }
            RequestOp::DeleteRange(delete) => {
                let doomed: Vec<KeyValue> = work
                    .now
                    .values()
                    .filter(|kv| within(&delete.key, &delete.range_end, &kv.key))
                    .cloned()
                    .collect();
                for kv in &doomed {
                    work.change(kv.key.clone(), None);
                }
                ResponseOp::DeleteRange(DeleteRangeResponse {
                    revision: work.revision(),
                    deleted: doomed.len() as i64,
                    prev_kvs: if delete.prev_kv { doomed } else { Vec::new() },
                })
            }
            RequestOp::Txn(txn) => {
                let succeeded = holds(work.before, &txn.compare);
                let ops = if succeeded { &txn.success } else { &txn.failure };
                let responses = ops.iter().map(|op| self.execute(work, op)).collect();
                ResponseOp::Txn(TxnResponse { revision: Revision(0), succeeded, responses })
            }
        }
    }

    fn range_in(
        &self,
        now: &Snapshot,
        revision: i64,
        request: &RangeRequest,
    ) -> Result<RangeResponse, Refusal> {
        let asked = request.revision.0;
        if asked > revision {
            return Err(Refusal::FutureRev);
        }
        if asked > 0 && asked < self.compacted {
            return Err(Refusal::Compacted);
        }
        // Within a transaction that has written, its own revision is the newest, and not yet among the snapshots.
        let snapshot = if asked <= 0 || asked == revision { now } else { &self.snapshots[asked as usize] };
        let mut kvs: Vec<KeyValue> = snapshot
            .values()
            .filter(|kv| within(&request.key, &request.range_end, &kv.key))
            .cloned()
            .collect();
        let mut response =
            RangeResponse { revision: Revision(revision), count: kvs.len() as i64, ..Default::default() };
        if request.count_only {
            return Ok(response);
        }

        let filters = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        let limit = request.limit.max(0) as usize;
        if limit > 0 && request.sort_order == SortOrder::None && filters == [Revision(0); 4] {
            kvs.truncate(limit + 1);
        }
        let [min_mod, max_mod, min_create, max_create] = filters;
        kvs.retain(|kv| min_mod.0 == 0 || kv.mod_revision >= min_mod);
        kvs.retain(|kv| max_mod.0 == 0 || kv.mod_revision <= max_mod);
        kvs.retain(|kv| min_create.0 == 0 || kv.create_revision >= min_create);
        kvs.retain(|kv| max_create.0 == 0 || kv.create_revision <= max_create);
        // Insertion sort, stable: what is not strictly before stays behind.
        let before = |a: &KeyValue, b: &KeyValue| match request.sort_target {
            SortTarget::Key => a.key < b.key,
            SortTarget::Version => a.version < b.version,
            SortTarget::Create => a.create_revision < b.create_revision,
            SortTarget::Mod => a.mod_revision < b.mod_revision,
            SortTarget::Value => a.value < b.value,
        };
        for at in 1..kvs.len() {
            for at in (1..=at).rev() {
                let (left, right) = (&kvs[at - 1], &kvs[at]);
                let descend = request.sort_order == SortOrder::Descend;
                if if descend { before(left, right) } else { before(right, left) } {
                    kvs.swap(at - 1, at);
                }
            }
        }
        if limit > 0 && kvs.len() > limit {
            kvs.truncate(limit);
            response.more = true;
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        response.kvs = kvs;
        Ok(response)
    }

    // --- what is kept ----------------------------------------------------------------------------------------------

    /// The changes that are on record once the last compaction is done, and whether each is a delete: all those after the
    /// compact revision; of those up to it, each key's newest, but a delete only if it lies at the compact revision.
    pub fn survivors(&self) -> BTreeSet<(Rev, bool)> {
        let survives = |(rev, key, kv): &&(Rev, Bytes, Option<KeyValue>)| {
            rev.main > self.compacted
                || self.newest_change(key, self.compacted) == Some(*rev)
                    && (kv.is_some() || rev.main == self.compacted)
        };
        self.changes.iter().filter(survives).map(|(rev, _, kv)| (*rev, kv.is_none())).collect()
    }

    fn newest_change(&self, key: &Bytes, upto: i64) -> Option<Rev> {
        self.changes
            .iter()
            .filter(|(rev, other, _)| other == key && rev.main <= upto)
            .map(|change| change.0)
            .max()
    }

    // --- the hash --------------------------------------------------------------------------------------------------

    /// HashKV from the definition: every change ever made, and whether it counts.
    pub fn hash(&self, revision: i64) -> Result<u32, Refusal> {
        if revision > 0 && revision < self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision() {
            return Err(Refusal::FutureRev);
        }
        if revision < 0 {
            return Ok(crc32c::crc32c(b"key"));
        }
        let at = if revision > 0 { revision } else { self.revision() };
        // The newest change of a key up to a revision is what a compaction there keeps of it.
        let nothing_left = self.snapshots[at as usize].is_empty();
        let mut bytes = b"key".to_vec();
        for (rev, key, kv) in self.changes.iter().filter(|(rev, ..)| rev.main <= at) {
            if rev.main <= self.compacted {
                let upto = if nothing_left { self.compacted } else { at };
                if self.newest_change(key, upto) != Some(*rev) || kv.is_none() {
                    continue;
                }
            }
            bytes.extend_from_slice(&rev.main.to_be_bytes());
            bytes.push(b'_');
            bytes.extend_from_slice(&rev.sub.to_be_bytes());
            match kv {
                Some(kv) => bytes.extend(protobuf(kv)),
                None => {
                    bytes.push(b't');
                    bytes.extend(protobuf(&KeyValue { key: key.clone(), ..KeyValue::default() }));
                }
            }
        }
        Ok(crc32c::crc32c(&bytes))
    }
}

impl Work<'_> {
    fn revision(&self) -> Revision {
        Revision(if self.events.is_empty() { self.main - 1 } else { self.main })
    }

    fn change(&mut self, key: Bytes, kv: Option<KeyValue>) {
        let prev_kv = self.now.get(&key).cloned();
        let (kind, event_kv) = match &kv {
            Some(kv) => (EventKind::Put, kv.clone()),
            None => {
                let mod_revision = Revision(self.main);
                (EventKind::Delete, KeyValue { key: key.clone(), mod_revision, ..KeyValue::default() })
            }
        };
        let rev = Rev { main: self.main, sub: self.events.len() as i64 };
        self.events.push(Event { kind, kv: event_kv, prev_kv });
        self.changes.push((rev, key.clone(), kv.clone()));
        match kv {
            Some(kv) => self.now.insert(key, kv),
            None => self.now.remove(&key),
        };
    }
}

fn within(key: &[u8], range_end: &[u8], candidate: &[u8]) -> bool {
    match range_end {
        b"" => candidate == key,
        b"\0" => candidate >= key,
        end => candidate >= key && candidate < end,
    }
}

fn holds(snapshot: &Snapshot, compares: &[Compare]) -> bool {
    compares.iter().all(|compare| {
        let absent = KeyValue::default();
        let mut kvs: Vec<&KeyValue> =
            snapshot.values().filter(|kv| within(&compare.key, &compare.range_end, &kv.key)).collect();
        if kvs.is_empty() {
            if matches!(compare.target, CompareTarget::Value(_)) {
                return false;
            }
            kvs.push(&absent);
        }
        fn relates<T: PartialOrd>(result: CompareResult, a: T, b: T) -> bool {
            match result {
                CompareResult::Equal => a == b,
                CompareResult::NotEqual => a != b,
                CompareResult::Less => a < b,
                CompareResult::Greater => a > b,
                CompareResult::Unknown => true,
            }
        }
        kvs.into_iter().all(|kv| match &compare.target {
            CompareTarget::Version(version) => relates(compare.result, kv.version, *version),
            CompareTarget::Create(revision) => relates(compare.result, kv.create_revision, *revision),
            CompareTarget::Mod(revision) => relates(compare.result, kv.mod_revision, *revision),
            CompareTarget::Value(value) => relates(compare.result, &kv.value, value),
            CompareTarget::Lease(lease) => relates(compare.result, kv.lease, *lease),
            CompareTarget::Unknown => relates(compare.result, 0, 0),
        })
    })
}

fn check_shape(op: &RequestOp) -> Result<(), Refusal> {
    let key = match op {
        RequestOp::Range(range) => &range.key,
        RequestOp::Put(put) => &put.key,
        RequestOp::DeleteRange(delete) => &delete.key,
        RequestOp::Invalid(refusal) => return Err(*refusal),
        RequestOp::Txn(txn) => {
            if txn.compare.iter().any(|compare| compare.key.is_empty()) {
                return Err(Refusal::EmptyKey);
            }
            return txn.success.iter().chain(&txn.failure).try_for_each(check_shape);
        }
    };
    if key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    match op {
        RequestOp::Put(put) if put.ignore_value && !put.value.is_empty() => Err(Refusal::ValueProvided),
        RequestOp::Put(put) if put.ignore_lease && put.lease.0 != 0 => Err(Refusal::LeaseProvided),
        _ => Ok(()),
    }
}

/// The keys that the property test uses; an interval is the set of those within it.
pub const KEYS: [&[u8]; 6] = [b"a", b"aa", b"ab", b"b", b"c", b"d"];

type Keys<'a> = BTreeSet<&'a [u8]>;

/// What a branch puts and deletes, as sets of keys, or `DuplicateKey`.
fn writes(ops: &[RequestOp]) -> Result<(Keys<'_>, Keys<'_>), Refusal> {
    let (mut puts, mut deletes) = (Keys::new(), Keys::new());
    for op in ops {
        // The keys of a delete "from a key on" are overlooked, as in etcd.
        if let RequestOp::DeleteRange(delete) = op
            && delete.range_end[..] != [0]
        {
            deletes.extend(KEYS.into_iter().filter(|key| within(&delete.key, &delete.range_end, key)));
        }
    }
    for op in ops {
        if let RequestOp::Txn(txn) = op {
            let (then_puts, then_deletes) = writes(&txn.success)?;
            let (else_puts, else_deletes) = writes(&txn.failure)?;
            let either: Keys<'_> = &then_puts | &else_puts;
            if !either.is_disjoint(&puts) || !either.is_disjoint(&deletes) {
                return Err(Refusal::DuplicateKey);
            }
            puts.extend(either);
            deletes.extend(then_deletes);
            deletes.extend(else_deletes);
        }
    }
    for op in ops {
        if let RequestOp::Put(put) = op
            && (deletes.contains(put.key.as_ref()) || !puts.insert(&put.key))
        {
            return Err(Refusal::DuplicateKey);
        }
    }
    Ok((puts, deletes))
}

/// `mvccpb.KeyValue`, for numbers below 128 and texts as short.
fn protobuf(kv: &KeyValue) -> Vec<u8> {
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, tag: u8, text: &[u8]| {
        if !text.is_empty() {
            out.extend([tag, u8::try_from(text.len()).expect("a short text")]);
            out.extend_from_slice(text);
        }
    };
    let number = |out: &mut Vec<u8>, tag: u8, number: i64| {
        if number != 0 {
            assert!(number < 128, "a small number");
            out.extend([tag, number as u8]);
        }
    };
    text(&mut out, 0x0a, &kv.key);
    number(&mut out, 0x10, kv.create_revision.0);
    number(&mut out, 0x18, kv.mod_revision.0);
    number(&mut out, 0x20, kv.version);
    text(&mut out, 0x2a, &kv.value);
    number(&mut out, 0x30, kv.lease.0);
    out
}
