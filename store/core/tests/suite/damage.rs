//! Rows that the store did not write: each is refused by name, and none brings the process down.

use bytes::Bytes;
use proptest::prelude::*;
use squall_core::*;

use crate::harness::Rows;

/// A state with everything in it, and its rows: two lives of a key, a transaction, a compaction half done, members.
fn full_state() -> State {
    let mut state = State::new();
    let mut index = Index(0);
    let mut apply = |state: &mut State, command: Command| {
        index = index.next();
        let _ = state.apply(index, Term(2), &command);
    };
    let put = |key: &'static str, value: &'static str| PutRequest {
        key: Bytes::from(key),
        value: Bytes::from(value),
        ..PutRequest::default()
    };
    apply(&mut state, Command::Put(put("a", "1")));
    apply(&mut state, Command::Put(put("a", "2")));
    let delete = DeleteRangeRequest { key: "a".into(), ..DeleteRangeRequest::default() };
    apply(&mut state, Command::DeleteRange(delete));
    let success = vec![RequestOp::Put(put("a", "3")), RequestOp::Put(put("b", ""))];
    apply(&mut state, Command::Txn(TxnRequest { success, ..TxnRequest::default() }));
    apply(&mut state, Command::Compact(CompactionRequest { revision: Revision(3), physical: false }));
    while state.compaction_step(10).is_some() {}
    apply(&mut state, Command::Compact(CompactionRequest { revision: Revision(4), physical: false }));
    for port in [1, 2] {
        index = index.next();
        let member = Member::new(vec![format!("http://m:{port}")], "token", None);
        let _ = state.apply_membership(index, Term(2), &MembershipChange::Add(member));
    }
    let first = state.membership().members().next().expect("two members").id;
    let _ = state.apply_membership(index.next(), Term(2), &MembershipChange::Remove(first));
    state
}

fn restore(rows: &Rows) -> Result<State, Corrupt> {
    State::restore(rows.clone())
}

/// The row whose key begins so.
fn key_of(rows: &Rows, prefix: &[u8]) -> Bytes {
    rows.keys().find(|key| key.starts_with(prefix)).expect("such a row").clone()
}

#[test]
fn no_rows_are_the_state_before_the_first_entry() {
    let state = State::restore([]).expect("nothing is not corrupt");
    assert_eq!(state, State::new());
}

#[test]
fn corrupt_rows_are_named() {
    let rows: Rows = full_state().rows().collect();
    assert!(restore(&rows).is_ok());
    let record = key_of(&rows, b"k");
    let member = key_of(&rows, b"n");
    let removed = key_of(&rows, b"r");
    let table: &[(&str, &[u8], &[u8])] = &[
        ("no such table", b"zzz", b""),
        ("no such row in the table of marks", b"mwhatever", b""),
        ("empty", b"mapplied", b""),
        ("row format 9; this build reads format 1", b"mapplied", b"\x09rest"),
        ("3 bytes where 25 belong", b"mapplied", b"\x01ab"),
        ("a revision has 8 bytes", b"mscheduledCompactRev", b"1234567"),
        ("no such revision", b"mscheduledCompactRev", b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        (
            "compaction 5 is finished, but 4 is the last that was begun",
            b"mfinishedCompactRev",
            &5i64.to_be_bytes(),
        ),
        ("a revision has 17 bytes, and a tombstone's a `t` after them", b"kshort", b""),
        ("a revision has `_` between main and sub", b"k\0\0\0\0\0\0\0\x09+\0\0\0\0\0\0\0\0", b""),
        ("no such revision", b"k\0\0\0\0\0\0\0\x01_\0\0\0\0\0\0\0\0", b"\n\x01a"),
        ("no such revision", b"k\x7f\xff\xff\xff\xff\xff\xff\xff_\0\0\0\0\0\0\0\0", b"\n\x01a"),
        ("the record has no key", &record, b""),
        ("the record is cut short", &record, b"\n\x05a"),
        ("the record is cut short", &record, b"\n"),
        ("the record has a field that no record has", &record, b"\n\x01a\x38\x01"),
        ("the record has a field that no record has", &record, b"\x08\x01"),
        ("the record's fields are not in order", &record, b"\n\x01a\n\x01b"),
        (
            "the record has a number of more than 64 bits",
            &record,
            b"\n\x01a\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        (
            "the record's mod revision is not its row's",
            b"k\0\0\0\0\0\0\0\x09_\0\0\0\0\0\0\0\0",
            b"\n\x01a\x10\x02\x18\x02\x20\x01",
        ),
        (
            "the record was created at no revision, or after its last change",
            b"k\0\0\0\0\0\0\0\x09_\0\0\0\0\0\0\0\0",
            b"\n\x01a\x10\x0a\x18\x09\x20\x01",
        ),
        (
            "the record's version does not fit its revisions",
            b"k\0\0\0\0\0\0\0\x09_\0\0\0\0\0\0\0\0",
            b"\n\x01a\x10\x08\x18\x09\x20\x03",
        ),
        (
            "a tombstone has a key and nothing else",
            b"k\0\0\0\0\0\0\0\x09_\0\0\0\0\0\0\0\0t",
            b"\n\x01a\x10\x02",
        ),
        ("auth is neither on nor off", b"mauth", b""),
        ("an auth revision has 8 bytes", b"mauth", b"\x01"),
        ("no such auth revision", b"mauth", &[0; 9]),
        ("auth is on, and there is no root user with the root role", b"mauth", b"\x01\0\0\0\0\0\0\0\x02"),
        ("a user's or a role's name is not empty", b"u", b""),
        ("a user's or a role's name is UTF-8", b"p\xff", b""),
        ("the user's or role's row is cut short", b"ua", b"\0"),
        ("the user neither has a password nor has none", b"ua", b"\x02"),
        ("the user has no password, and a hash of it", b"ua", b"\x01\0\0\0\x01h"),
        ("the user's or role's row has bytes left over", b"ua", b"\0\0\0\0\0\0\0\0\0!"),
        ("the user's or role's row is cut short", b"pr", b"\0\0\0\x01"),
        ("no such kind of permission", b"pr", b"\0\0\0\x01\x04"),
        (
            "a kind of permission that is known, and said not to be",
            b"pr",
            b"\0\0\0\x01\x03\0\0\0\x02\0\0\0\x01k\0\0\0\0",
        ),
        ("a permission on no key", b"pr", b"\0\0\0\x01\0\0\0\0\0\0\0\0\0"),
        ("a lease's id has 8 bytes", b"l1", b""),
        ("a lease's id is not 0", b"l\0\0\0\0\0\0\0\0", b""),
        ("a lease's row has 16 bytes", b"l\0\0\0\0\0\0\0\x01", b"1"),
        ("no lease has such a time to live", b"l\0\0\0\0\0\0\0\x01", &[0; 16]),
        ("no lease has such a time to live", b"l\0\0\0\0\0\0\0\x01", &[0xff; 16]),
        ("a member's id has 8 bytes", b"n1", b""),
        ("a member's id is not 0", b"n\0\0\0\0\0\0\0\0", b""),
        ("the member's row is cut short", &member, b"\0\0\0\x01"),
        ("the member's row is cut short", &member, b"\0\0\0\0\xff\xff\xff\xff"),
        ("the member's row has bytes left over", &member, b"\0\0\0\0\0\0\0\0\0\0\0\0!"),
        ("the member's row has text that is not UTF-8", &member, b"\0\0\0\x01\xff\0\0\0\0\0\0\0\0"),
        ("a removed member's row has no value", &removed, b"1"),
    ];
    for (what, key, value) in table {
        let mut damaged = rows.clone();
        damaged.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        let corrupt = restore(&damaged).expect_err(what);
        assert_eq!(corrupt.what, *what);
        assert_eq!(corrupt.row, format!("\"{}\"", key.escape_ascii()), "{what}");
    }

    let mut missing = rows.clone();
    missing.remove(&b"mapplied"[..]);
    assert_eq!(
        restore(&missing).expect_err("no applied index").to_string(),
        "corrupt row \"mapplied\": missing, though there are other rows"
    );

    let mut twice = rows.clone();
    let mut tombstone = record.to_vec();
    tombstone.push(b't');
    twice.insert(tombstone.into(), Bytes::from_static(b"\n\x01a"));
    assert_eq!(restore(&twice).expect_err("the same revision").what, "its revision is there twice");

    let backwards = rows.into_iter().rev();
    assert_eq!(State::restore(backwards).expect_err("order").what, "out of order, or there twice");
}

/// What an etcd before 3.5.16 leaves after a compaction at the last deletion, cut off before its end: no record at all.
#[test]
fn the_revision_is_the_compactions_if_no_record_is_left() {
    let mut rows: Rows = full_state().rows().collect();
    rows.retain(|key, _| key[0] != b'k');
    rows.insert(Bytes::from_static(b"mscheduledCompactRev"), Bytes::copy_from_slice(&7i64.to_be_bytes()));
    let state = restore(&rows).expect("nothing is wrong with it");
    assert_eq!((state.revision(), state.compact_revision()), (Revision(7), Revision(7)));
    assert!(state.compaction_pending());
}

#[test]
#[should_panic(expected = "a transaction that writes was evaluated as a read")]
fn a_write_is_not_evaluated_as_a_read() {
    let put = RequestOp::Put(PutRequest { key: "a".into(), ..PutRequest::default() });
    let _ = State::new().txn_read(&TxnRequest { failure: vec![put], ..TxnRequest::default() });
}

#[test]
#[should_panic(expected = "entry 3 of term 1 after entry 1 of term 1")]
fn a_gap_in_the_log_is_not_applied() {
    let mut state = State::new();
    let _ = state.apply_empty(Index(1), Term(1));
    let _ = state.apply_empty(Index(3), Term(1));
}

#[test]
#[should_panic(expected = "entry 2 of term 1 after entry 1 of term 2")]
fn a_term_does_not_go_back() {
    let mut state = State::new();
    let _ = state.apply_empty(Index(1), Term(2));
    let _ = state.apply_empty(Index(2), Term(1));
}

proptest! {
    #![proptest_config(crate::property::config())]

    /// Whatever happens to a row, restoring answers. If it succeeds, the state can be read and written on.
    #[test]
    fn damage_never_panics(
        at in any::<prop::sample::Index>(),
        in_key in prop::bool::weighted(0.3),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        kind in 0..4,
    ) {
        let mut rows: Vec<(Bytes, Bytes)> = full_state().rows().collect();
        let at = at.index(rows.len());
        let row = &mut rows[at];
        let field = if in_key { &mut row.0 } else { &mut row.1 };
        let mut bytes = field.to_vec();
        match kind {
            0 if !bytes.is_empty() => {
                let position = position.index(bytes.len());
                bytes[position] = byte;
            }
            1 => bytes.truncate(position.index(bytes.len() + 1)),
            2 => bytes.insert(position.index(bytes.len() + 1), byte),
            _ => drop(bytes.drain(..position.index(bytes.len() + 1))),
        }
        *field = bytes.into();
        // An engine answers in order; what is in order and what is not must both be survived.
        let ordered: Rows = rows.iter().cloned().collect();
        for rows in [rows, ordered.into_iter().collect()] {
            let Ok(mut state) = State::restore(rows) else { continue };
            let everything = RangeRequest { key: "a".into(), range_end: Bytes::from_static(&[0]), ..Default::default() };
            let _ = state.range(&everything);
            let _ = state.hash_kv(Revision(0));
            let (index, term) = state.applied();
            if index.0 < u64::MAX {
                let put = PutRequest { key: "a".into(), ..PutRequest::default() };
                let _ = state.apply(index.next(), term, &Command::Put(put));
            }
            while state.compaction_step(2).is_some() {}
            prop_assert!(State::restore(state.rows()).is_ok());
        }
    }
}
