//! One stored change, in exactly the bytes that etcd stores.
//!
//! A record holds its row, which is a protobuf message `mvccpb.KeyValue` (a tombstone's message has only the key).
//! Beside the row it keeps what reads need without decoding it again: the places of key and value in the row, and
//! the small numbers. It does not keep the mod revision, which is the record's place in the store. A [`KeyValue`] is
//! made on demand. Its key and value are slices of the row, so that no bytes are copied or held twice.
//!
//! The codec is 60 lines of this file, since the core has no dependency for it and HashKV hashes exactly these
//! bytes.

use bytes::Bytes;

use crate::{KeyValue, LeaseId, Rev, Revision, digest, rows};

/// One stored change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    row: Bytes,
    key: Place,
    value: Place,
    create_revision: Revision,
    /// The version; 0 in a tombstone.
    version: i64,
    lease: LeaseId,
}

/// Where a key or value lies in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    start: u32,
    len: u32,
}

impl Place {
    /// The place of the last `len` bytes so far.
    fn at_end_of(row: &[u8], len: usize) -> Place {
        let narrow = |int: usize| u32::try_from(int).expect("no request is 4 GiB long");
        Place { start: narrow(row.len() - len), len: narrow(len) }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }
}

impl Record {
    /// A put.
    pub fn put(
        key: &[u8],
        value: &[u8],
        create_revision: Revision,
        mod_revision: Revision,
        version: i64,
        lease: LeaseId,
    ) -> Record {
        // Room for six tags and their numbers, most of which are short.
        let mut row = Vec::with_capacity(key.len() + value.len() + 24);
        put_bytes(&mut row, 1, key);
        let key = Place::at_end_of(&row, key.len());
        put_int(&mut row, 2, create_revision.0);
        put_int(&mut row, 3, mod_revision.0);
        put_int(&mut row, 4, version);
        put_bytes(&mut row, 5, value);
        let value = Place::at_end_of(&row, value.len());
        put_int(&mut row, 6, lease.0);
        Record { row: row.into(), key, value, create_revision, version, lease }
    }

    /// A delete.
    pub fn tombstone(key: &[u8]) -> Record {
        let mut row = Vec::with_capacity(key.len() + 4);
        put_bytes(&mut row, 1, key);
        let key = Place::at_end_of(&row, key.len());
        let (value, create_revision, lease) = Default::default();
        Record { row: row.into(), key, value, create_revision, version: 0, lease }
    }

    /// Decode a row, if a store can have written it at `rev`.
    pub fn decode(row: Bytes, rev: Rev, tombstone: bool) -> Result<Record, &'static str> {
        let (record, mod_revision) = decode(row)?;
        record.check(mod_revision, rev, tombstone)?;
        Ok(record)
    }

    pub fn is_tombstone(&self) -> bool {
        self.version == 0
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.row[self.key.range()]
    }

    /// The row's bytes.
    pub fn row(&self) -> &Bytes {
        &self.row
    }

    /// The digest of the record's row at `rev` (`digest.rs`).
    pub fn digest(&self, rev: Rev) -> u64 {
        let mut buffer = [0; rows::REV_BYTES_MAX];
        digest::row(rows::rev_bytes(rev, self.is_tombstone(), &mut buffer), &self.row)
    }

    /// The record as clients see it, with main revision `main`. For a tombstone: only the key and the mod revision.
    pub fn kv(&self, main: i64) -> KeyValue {
        KeyValue {
            key: self.row.slice(self.key.range()),
            value: self.row.slice(self.value.range()),
            create_revision: self.create_revision,
            mod_revision: Revision(main),
            version: self.version,
            lease: self.lease,
        }
    }

    /// The create revision and the version, which the next put of the key continues.
    pub fn lineage(&self) -> (Revision, i64) {
        (self.create_revision, self.version)
    }

    fn check(&self, mod_revision: i64, rev: Rev, tombstone: bool) -> Result<(), &'static str> {
        if self.key.len == 0 {
            return Err("the record has no key");
        }
        if tombstone {
            let nothing = (self.value.len, self.create_revision.0, mod_revision, self.version, self.lease.0);
            return if nothing == (0, 0, 0, 0, 0) {
                Ok(())
            } else {
                Err("a tombstone has a key and nothing else")
            };
        }
        if mod_revision != rev.main {
            return Err("the record's mod revision is not its row's");
        }
        if self.create_revision.0 < 2 || self.create_revision.0 > mod_revision {
            return Err("the record was created at no revision, or after its last change");
        }
        if self.version < 1 || self.version > mod_revision - self.create_revision.0 + 1 {
            return Err("the record's version does not fit its revisions");
        }
        Ok(())
    }
}

/// Appends a field of bytes. As in protobuf, an empty field is left out.
pub(crate) fn put_bytes(row: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        row.push(field << 3 | 2);
        put_varint(row, bytes.len() as u64);
        row.extend_from_slice(bytes);
    }
}

/// Appends a field with a number. As in protobuf, a zero is left out.
pub(crate) fn put_int(row: &mut Vec<u8>, field: u8, int: i64) {
    if int != 0 {
        row.push(field << 3);
        put_varint(row, int as u64);
    }
}

fn put_varint(row: &mut Vec<u8>, mut int: u64) {
    while int >= 0x80 {
        row.push(int as u8 | 0x80);
        int >>= 7;
    }
    row.push(int as u8);
}

/// Decode the message, and its mod revision. Stricter than protobuf: known fields only, ascending, each at most
/// once.
fn decode(row: Bytes) -> Result<(Record, i64), &'static str> {
    if u32::try_from(row.len()).is_err() {
        return Err("the record is longer than any request");
    }
    let (mut key, mut value) = (Place::default(), Place::default());
    let (mut create_revision, mut mod_revision, mut version, mut lease) = (0, 0, 0, 0);
    let mut at = 0;
    let mut last_field = 0;
    while at < row.len() {
        let tag = row[at];
        at += 1;
        let field = tag >> 3;
        if field <= last_field {
            return Err("the record's fields are not in order");
        }
        last_field = field;
        let int = take_varint(&row, &mut at)?;
        match (field, tag & 7) {
            (1 | 5, 2) => {
                let len = usize::try_from(int).ok().filter(|len| *len <= row.len() - at);
                let len = len.ok_or("the record is cut short")?;
                at += len;
                *(if field == 1 { &mut key } else { &mut value }) = Place::at_end_of(&row[..at], len);
            }
            (2, 0) => create_revision = int as i64,
            (3, 0) => mod_revision = int as i64,
            (4, 0) => version = int as i64,
            (6, 0) => lease = int as i64,
            _ => return Err("the record has a field that no record has"),
        }
    }
    let (create_revision, lease) = (Revision(create_revision), LeaseId(lease));
    Ok((Record { row, key, value, create_revision, version, lease }, mod_revision))
}

pub(crate) fn take_varint(row: &[u8], at: &mut usize) -> Result<u64, &'static str> {
    let mut int = 0;
    for shift in (0..64).step_by(7) {
        let byte = *row.get(*at).ok_or("the record is cut short")?;
        *at += 1;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            break;
        }
        int |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(int);
        }
    }
    Err("the record has a number of more than 64 bits")
}
