//! A snapshot for clients: etcd's database with its checksum behind it, as `etcdctl snapshot save` writes it to a file.
//! etcd's tools show, verify and restore ours, and a restore here takes theirs.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use squall_core::{Buckets, Corrupt, to_buckets};

use super::{
    BLOCK_BYTES, CHECKSUM_BYTES, CHUNK_BYTES, Check, Decoder, MAGIC, Meta, Rows, SnapshotError, bbolt,
    encode::{Chunks, sent},
};
use crate::seam::Files;

/// A backup as an iterator of chunks, the checksum last.
pub struct BackupEncoder {
    pages: bbolt::Writer,
    chunks: Chunks,
}

impl BackupEncoder {
    /// A backup of these rows, which are sorted by key.
    ///
    /// # Errors
    /// Names the first row that the store cannot have written.
    pub fn new(rows: Rows) -> Result<Self, Corrupt> {
        let pages = bbolt::Writer::new(to_buckets(sent(rows))?.into_iter().collect());
        let chunks = Chunks::new(BytesMut::new(), pages.total_bytes());
        Ok(Self { pages, chunks })
    }

    /// How many bytes of the database are still to come: etcd's `remaining_bytes`, which leaves the checksum out.
    pub fn remaining_bytes(&self) -> u64 {
        self.chunks.left()
    }
}

impl Iterator for BackupEncoder {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let pages = &mut self.pages;
        self.chunks.next(|buffer, _| {
            while buffer.len() < CHUNK_BYTES
                && let Some(page) = pages.next()
            {
                buffer.extend_from_slice(&page);
            }
        })
    }
}

/// The content of a file that an operator gives.
pub enum Backup {
    /// A snapshot in the store's own format, out of a member's folder.
    Own(Meta, Rows),
    /// A database of etcd's format, and its size without the checksum, in bytes.
    Buckets(Buckets, u64),
}

/// Reads the file at `path`, of either format.
///
/// # Errors
/// `Io`; `Corrupt` if the file is no whole snapshot.
pub async fn read_backup(files: &dyn Files, path: &Path, check: Check) -> Result<Backup, SnapshotError> {
    let content = files
        .read(path)
        .await
        .map_err(|source| SnapshotError::Io { context: format!("reading {}", path.display()), source })?;
    parse_backup(&path.display().to_string(), &content, check)
}

/// Reads the content of such a file. `place` is the file's name in errors.
///
/// # Errors
/// `Corrupt` if it is no whole snapshot.
pub fn parse_backup(place: &str, content: &Bytes, check: Check) -> Result<Backup, SnapshotError> {
    let place = place.to_owned();
    if content.starts_with(&MAGIC) {
        let mut decoder = Decoder::new(place, check, content.len() as u64);
        decoder.push(content)?;
        return decoder.finish().map(|(meta, rows)| Backup::Own(meta, rows));
    }
    let corrupt = |(offset, what)| SnapshotError::Corrupt { place, offset, what };
    database(content, check).map_err(corrupt)
}

fn database(content: &Bytes, check: Check) -> Result<Backup, (u64, String)> {
    // etcd's tools, too, tell by the length whether there is a checksum.
    let summed = content.len() as u64 % BLOCK_BYTES == CHECKSUM_BYTES as u64;
    let end = if summed { content.len() - CHECKSUM_BYTES } else { content.len() };
    if check == Check::Checksum {
        if !summed {
            return Err((end as u64, "there is no checksum at its end".into()));
        }
        if Sha256::digest(&content[..end])[..] != content[end..] {
            return Err((end as u64, "the checksum does not match what precedes it".into()));
        }
    }
    let (buckets, bytes) = bbolt::read(&content.slice(..end))?;
    Ok(Backup::Buckets(buckets, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_none_says_so() {
        let place = |content: &'static [u8], check| database(&Bytes::from_static(content), check).err();
        for content in [&b""[..], b"x", &[0; 4096], &[0xff; 9000]] {
            assert!(place(content, Check::Skip).is_some_and(|(_, what)| what.contains("does not begin")));
            assert!(place(content, Check::Checksum).is_some());
        }
    }
}
