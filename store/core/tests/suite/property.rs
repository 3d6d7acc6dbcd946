//! Random logs through the core and through the naive model, with compaction steps, lost batches and restarts between.
//!
//! Three members apply the same log. The first is tormented: its compactions stop half-way, its engine loses batches, it
//! restarts and replays. The second never takes a compaction step, the third always takes all of them. All three must
//! answer as the model does, raise the events that the model raises, and agree on digest and HashKV.
//!
//! The seed is fixed, so that `cargo test` does the same every time; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` widen it.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed};
use squall_core::*;

use crate::harness::{Entry, Member};
use crate::model::{KEYS, Model};

pub fn config() -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(2013);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_core_behaves_as_the_model(actions in vec(action(), 1..80)) {
        let mut world = World::new();
        for action in actions {
            world.perform(action);
        }
        world.compare_all();
        while world.tormented.step(3).is_some() {}
        world.compare_records(&world.tormented);
    }

    /// Two members whose logs differ in one entry differ in their digests from there on, and not before.
    #[test]
    fn the_digest_tells_one_log_from_another(
        commands in vec(put(), 2..20),
        at in any::<prop::sample::Index>(),
        value in value(),
    ) {
        let at = at.index(commands.len());
        let mut other_commands = commands.clone();
        other_commands[at] = PutRequest { key: "a".into(), value, ..PutRequest::default() };
        let (mut one, mut other) = (Member::default(), Member::default());
        let mut differ = false;
        for (put, other_put) in commands.into_iter().zip(other_commands) {
            let applied = one.apply(Entry::Command(Command::Put(put)));
            let other_applied = other.apply(Entry::Command(Command::Put(other_put)));
            // Two different puts may have the same effect: both refused for the same reason.
            let same = applied.reply == other_applied.reply && applied.events == other_applied.events;
            differ |= !same;
            prop_assert_eq!(one.state.digest() != other.state.digest(), differ);
        }
    }
}

/// A row that no client reads tells two states apart, and so does an answer that differs where the rows do not.
#[test]
fn the_reported_state_covers_every_row_and_the_reply() {
    let member = |port: u16| squall_core::Member::new(vec![format!("http://m:{port}")], "token", None);
    let (mut one, mut other) = (State::new(), State::new());
    for (index, port) in [(1, 1), (2, 2)] {
        let (add, term) = (MembershipChange::Add(member(port)), Term(1));
        let states =
            [&mut one, &mut other].map(|state| state.apply_membership(Index(index), term, &add).state);
        assert_eq!(states[0], states[1]);
    }
    // One remembers the removed member, the other has lost it.
    let remove = MembershipChange::Remove(member(2).id);
    let _ = one.apply_membership(Index(3), Term(1), &remove);
    let rows: Vec<_> = one.rows().filter(|row| row.0[0] != b'r').collect();
    let mut lossy = State::restore(rows).expect("a row less is no corruption");
    assert_ne!(one.apply_empty(Index(4), Term(1)).state, lossy.apply_empty(Index(4), Term(1)).state);

    // Both delete nothing: the same rows and another reply.
    let delete = |prev_kv| {
        let request = DeleteRangeRequest { key: "none".into(), prev_kv, ..DeleteRangeRequest::default() };
        Command::DeleteRange(request)
    };
    let range = TxnRequest {
        success: vec![RequestOp::Range(RangeRequest { key: "none".into(), ..RangeRequest::default() })],
        ..TxnRequest::default()
    };
    let (mut a, mut b) = (State::new(), State::new());
    assert_ne!(
        a.apply(Index(1), Term(1), &delete(false)).state,
        b.apply(Index(1), Term(1), &Command::Txn(range)).state
    );
    assert_eq!(a.content(), b.content());
}

/// What happens next.
#[derive(Clone, Debug)]
enum Action {
    Apply(Command),
    /// Compact at the newest revision but so many.
    Compact(i64),
    Empty,
    Range(RangeRequest),
    ReadTxn(TxnRequest),
    Step(usize),
    Flush,
    Defragment,
    /// Crash; of the pending batches, this share in percent is durable.
    Crash(usize),
}

struct World {
    model: Model,
    tormented: Member,
    lazy: Member,
    eager: Member,
}

impl World {
    fn new() -> World {
        let (tormented, lazy, eager) = Default::default();
        World { model: Model::new(), tormented, lazy, eager }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Apply(command) => self.apply(command),
            Action::Compact(back) => {
                let revision = Revision(self.model.revision() - back);
                self.apply(Command::Compact(CompactionRequest { revision, physical: false }));
            }
            Action::Empty => {
                for member in [&mut self.tormented, &mut self.lazy, &mut self.eager] {
                    assert_eq!(member.apply(Entry::Empty).reply, Ok(Reply::Done));
                }
            }
            Action::Range(request) => {
                let expected = self.model.range(&request);
                for member in [&self.tormented, &self.lazy, &self.eager] {
                    assert_eq!(member.state.range(&request), expected, "{request:?}");
                }
            }
            Action::ReadTxn(request) => {
                let expected = self.model.read_txn(&request);
                for member in [&self.tormented, &self.lazy, &self.eager] {
                    assert_eq!(member.state.txn_read(&request), expected, "{request:?}");
                }
            }
            Action::Step(limit) => {
                let _ = self.tormented.step(limit);
                self.tormented.check();
            }
            Action::Flush => self.tormented.flush(),
            Action::Defragment => {
                self.tormented.defragment();
                self.tormented.check();
            }
            Action::Crash(percent) => {
                self.tormented.crash(self.tormented.pending() * percent / 100);
                self.tormented.check();
                self.compare_all();
            }
        }
    }

    fn apply(&mut self, command: Command) {
        let before = self.tormented.state.digest();
        let (reply, events) = self.model.apply(&command);
        let states = [&mut self.tormented, &mut self.lazy, &mut self.eager].map(|member| {
            let applied = member.apply(Entry::Command(command.clone()));
            assert_eq!(applied.reply, reply, "{command:?}");
            assert_eq!(applied.events, events, "{command:?}");
            applied.state
        });
        assert_eq!(states, [states[0]; 3], "the members report other states after {command:?}");
        while self.eager.step(3).is_some() {}
        self.compare_records(&self.eager);
        self.tormented.check();
        assert_ne!(self.tormented.state.digest(), before, "the digest did not move with {command:?}");
        let digests = [&self.tormented, &self.lazy, &self.eager].map(|member| member.state.digest());
        assert_eq!(digests, [digests[0]; 3], "the members' digests differ after {command:?}");
    }

    /// Compare the records of a member that has finished its compaction.
    fn compare_records(&self, member: &Member) {
        assert!(!member.state.compaction_pending());
        let key = |(Rev { main, sub }, tombstone): (Rev, bool)| {
            let mark = if tombstone { "t" } else { "" };
            [b"k", &main.to_be_bytes()[..], b"_", &sub.to_be_bytes(), mark.as_bytes()].concat()
        };
        let survivors = self.model.survivors().into_iter().map(key);
        let rows = member.state.rows().map(|row| row.0.to_vec()).filter(|key| key[0] == b'k');
        assert_eq!(
            rows.collect::<Vec<_>>(),
            survivors.collect::<Vec<_>>(),
            "compacted {}",
            self.model.compacted
        );
    }

    fn compare_leases(&self, member: &Member) {
        let alarms: Vec<_> = member.state.alarms().iter().map(|alarm| (alarm.kind, alarm.member)).collect();
        assert_eq!(alarms, Vec::from_iter(self.model.alarms.iter().copied()));
        let found: Vec<_> = member
            .state
            .leases()
            .iter()
            .map(|(id, lease)| {
                (id, (lease.ttl_secs, lease.remaining_secs), lease.keys.iter().cloned().collect::<Vec<_>>())
            })
            .collect();
        let expected: Vec<_> =
            self.model.leases.iter().map(|(id, times)| (*id, *times, self.model.keys_of(*id))).collect();
        assert_eq!(found, expected);
    }

    /// What a watcher is told, from every revision on, in pieces of every size.
    fn compare_history(&self, member: &Member) {
        for from in self.model.compacted.max(0) - 1..=self.model.revision() + 1 {
            for most in [1, 3, usize::MAX] {
                let (mut events, mut next) = (Vec::new(), Revision(from));
                let refused = loop {
                    match member.state.history(next, most, |_| true) {
                        Err(refusal) => break Some(refusal),
                        Ok(piece) => {
                            let (first, last) = (next, piece.next);
                            assert!(last > first || last > member.state.revision(), "it goes on");
                            let within = |event: &Event| (first..last).contains(&event.kv.mod_revision);
                            assert!(piece.events.iter().all(within), "a piece is whole revisions");
                            events.extend(piece.events);
                            next = last;
                        }
                    }
                    if next > member.state.revision() {
                        break None;
                    }
                };
                let found = refused.map_or(Ok(events), Err);
                assert_eq!(found, self.model.history(from), "from {from}, {most} at a time");
            }
        }
    }

    /// Compare everything that can be read, at every revision, those beyond both ends included.
    fn compare_all(&self) {
        let everything =
            RangeRequest { key: "a".into(), range_end: Bytes::from_static(&[0]), ..RangeRequest::default() };
        for revision in self.model.compacted.max(0) - 1..=self.model.revision() + 1 {
            let request = RangeRequest { revision: Revision(revision), ..everything.clone() };
            let (range, hash) = (self.model.range(&request), self.model.hash(revision));
            for member in [&self.tormented, &self.lazy, &self.eager] {
                assert_eq!(member.state.range(&request), range, "at {revision}");
                let found = member.state.hash_kv(Revision(revision)).map(|found| found.hash);
                assert_eq!(found, hash, "the hash at {revision}, compacted {}", self.model.compacted);
            }
        }
        for member in [&self.tormented, &self.lazy, &self.eager] {
            assert_eq!(member.state.revision(), Revision(self.model.revision()));
            assert_eq!(member.state.compact_revision(), Revision(self.model.compacted));
            self.compare_leases(member);
            self.compare_history(member);
            member.check();
        }
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => put().prop_map(|put| Action::Apply(Command::Put(put))),
        4 => delete().prop_map(|delete| Action::Apply(Command::DeleteRange(delete))),
        8 => txn(true).prop_map(|txn| Action::Apply(Command::Txn(txn))),
        1 => revision().prop_map(|revision| {
            Action::Apply(Command::Compact(CompactionRequest { revision, physical: false }))
        }),
        4 => (0..8i64).prop_map(Action::Compact),
        4 => lease_command().prop_map(Action::Apply),
        3 => alarm_command().prop_map(Action::Apply),
        1 => Just(Action::Defragment),
        1 => Just(Action::Empty),
        3 => range().prop_map(Action::Range),
        2 => txn(false).prop_map(Action::ReadTxn),
        4 => (1..6usize).prop_map(Action::Step),
        1 => Just(Action::Flush),
        2 => (0..=100usize).prop_map(Action::Crash),
    ]
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![40 => select(&KEYS[..]).prop_map(Bytes::from_static), 1 => Just(Bytes::new())]
}

fn range_end() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => Just(Bytes::new()),
        1 => Just(Bytes::from_static(&[0])),
        2 => select(&KEYS[..]).prop_map(Bytes::from_static),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    select(&["", "x", "y", "z"][..]).prop_map(Bytes::from)
}

fn revision() -> impl Strategy<Value = Revision> {
    (-2..50i64).prop_map(Revision)
}

fn revision_or_newest() -> impl Strategy<Value = Revision> {
    prop_oneof![3 => Just(Revision(0)), 1 => revision()]
}

fn lease() -> impl Strategy<Value = LeaseId> {
    (0..4i64).prop_map(LeaseId)
}

fn lease_command() -> impl Strategy<Value = Command> {
    let ttl = prop_oneof![8 => 1..100i64, 1 => Just(-3), 1 => Just(9_000_000_001)];
    let left = (lease(), -1..120i64).prop_map(|(id, remaining_secs)| LeaseCheckpoint { id, remaining_secs });
    prop_oneof![
        3 => (lease(), ttl).prop_map(|(id, ttl_secs)| Command::LeaseGrant { id, ttl_secs }),
        2 => lease().prop_map(Command::LeaseRevoke),
        1 => vec(left, 0..3).prop_map(Command::LeaseCheckpoint),
    ]
}

/// Mostly deactivations: under an alarm little else happens.
fn alarm_command() -> impl Strategy<Value = Command> {
    let kind = || {
        prop_oneof![
            4 => Just(Some(AlarmKind::NoSpace)),
            1 => Just(Some(AlarmKind::Corrupt)),
            1 => Just(None),
        ]
    };
    let member = || (1..=2u64).prop_map(MemberId);
    let request = prop_oneof![
        1 => kind().prop_map(AlarmRequest::Get),
        1 => (member(), kind()).prop_map(|(member, kind)| AlarmRequest::Activate(member, kind)),
        8 => (member(), kind()).prop_map(|(member, kind)| AlarmRequest::Deactivate(member, kind)),
    ];
    request.prop_map(Command::Alarm)
}

fn put() -> impl Strategy<Value = PutRequest> {
    let rarely = || prop::bool::weighted(0.1);
    let lease = prop_oneof![6 => Just(LeaseId::NONE), 1 => lease()];
    (key(), value(), lease, any::<bool>(), rarely(), rarely()).prop_map(
        |(key, value, lease, prev_kv, ignore_value, ignore_lease)| PutRequest {
            key,
            // Mostly as it should be: a value that is kept is not given.
            value: if ignore_value && prev_kv { Bytes::new() } else { value },
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), range_end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

fn range() -> impl Strategy<Value = RangeRequest> {
    let order = select(&[SortOrder::None, SortOrder::None, SortOrder::Ascend, SortOrder::Descend][..]);
    let target = select(
        &[
            SortTarget::Key,
            SortTarget::Key,
            SortTarget::Version,
            SortTarget::Create,
            SortTarget::Mod,
            SortTarget::Value,
        ][..],
    );
    let bound = || prop_oneof![9 => Just(Revision(0)), 1 => revision()];
    let flags = (any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (
        (key(), range_end(), -1..5i64, revision_or_newest()),
        (order, target, flags),
        (bound(), bound(), bound(), bound()),
    )
        .prop_map(|((key, range_end, limit, revision), (sort_order, sort_target, flags), bounds)| {
            RangeRequest {
                key,
                range_end,
                limit,
                revision,
                sort_order,
                sort_target,
                serializable: flags.0,
                keys_only: flags.1,
                count_only: flags.2,
                min_mod_revision: bounds.0,
                max_mod_revision: bounds.1,
                min_create_revision: bounds.2,
                max_create_revision: bounds.3,
            }
        })
}

fn compare() -> impl Strategy<Value = Compare> {
    let result = select(
        &[
            CompareResult::Equal,
            CompareResult::NotEqual,
            CompareResult::Less,
            CompareResult::Greater,
            CompareResult::Unknown,
        ][..],
    );
    let target = prop_oneof![
        (0..4i64).prop_map(CompareTarget::Version),
        revision_or_newest().prop_map(CompareTarget::Create),
        revision_or_newest().prop_map(CompareTarget::Mod),
        value().prop_map(CompareTarget::Value),
        (0..2i64).prop_map(|lease| CompareTarget::Lease(LeaseId(lease))),
        Just(CompareTarget::Unknown),
    ];
    (result, target, key(), range_end()).prop_map(|(result, target, key, range_end)| Compare {
        result,
        target,
        key,
        range_end,
    })
}

fn txn(writes: bool) -> impl Strategy<Value = TxnRequest> {
    let leaf = if writes {
        prop_oneof![
            4 => put().prop_map(RequestOp::Put),
            2 => delete().prop_map(RequestOp::DeleteRange),
            2 => range().prop_map(RequestOp::Range),
        ]
        .boxed()
    } else {
        range().prop_map(RequestOp::Range).boxed()
    };
    fn of(op: impl Strategy<Value = RequestOp> + Clone) -> impl Strategy<Value = TxnRequest> {
        (vec(compare(), 0..3), vec(op.clone(), 0..4), vec(op, 0..3))
            .prop_map(|(compare, success, failure)| TxnRequest { compare, success, failure })
    }
    let op = leaf.prop_recursive(2, 12, 3, |op| of(op).prop_map(RequestOp::Txn));
    of(op)
}
