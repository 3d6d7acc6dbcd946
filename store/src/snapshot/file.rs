//! Snapshots as files.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use squall_core::planted::planted;

use super::{Check, Decoder, Encoder, Meta, Rows, SnapshotError};
use crate::seam::{File, Files};

/// Writes a snapshot to `path`, durably. A crash leaves the whole file or none; a file of that name is replaced.
///
/// # Errors
/// `Io`.
pub async fn write_file(files: &dyn Files, path: &Path, meta: Meta, rows: Rows) -> Result<(), SnapshotError> {
    let mut part = Part::create(files, path).await?;
    for chunk in Encoder::new(meta, rows) {
        part.append(chunk).await?;
    }
    part.finish(files).await
}

/// Reads the snapshot at `path`.
///
/// # Errors
/// `Io`; `Corrupt` if the file is no whole snapshot.
pub async fn read_file(files: &dyn Files, path: &Path, check: Check) -> Result<(Meta, Rows), SnapshotError> {
    let content = files.read(path).await.map_err(io_error("reading", path))?;
    let check = if planted!(SnapshotUnchecked) { Check::Skip } else { check };
    let mut decoder = Decoder::new(path.display().to_string(), check, content.len() as u64);
    decoder.push(&content)?;
    decoder.finish()
}

/// Takes a snapshot that arrives in chunks. It writes each chunk to disk and decodes it into rows at the same time.
pub struct Receiver {
    files: Arc<dyn Files>,
    part: Part,
    decoder: Decoder,
}

impl Receiver {
    /// Begins a file that gets the name `path` once it is complete. A snapshot of more than `limit` bytes is
    /// refused.
    ///
    /// # Errors
    /// `Io`.
    pub async fn create(files: Arc<dyn Files>, path: &Path, limit: u64) -> Result<Self, SnapshotError> {
        let part = Part::create(&*files, path).await?;
        Ok(Self { files, part, decoder: Decoder::new("the stream", Check::Checksum, limit) })
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// `Io`; `Corrupt` as soon as damage shows. The file is then left unfinished; the next attempt replaces it.
    pub async fn append(&mut self, chunk: Bytes) -> Result<(), SnapshotError> {
        self.decoder.push(&chunk)?;
        self.part.append(chunk).await
    }

    /// How many bytes have arrived.
    pub fn received_bytes(&self) -> u64 {
        self.decoder.received_bytes()
    }

    /// Verifies the whole file, and gives it its name, durably.
    ///
    /// # Errors
    /// `Io`; `Corrupt` if something is missing or the checksum differs. The file then does not get its name.
    pub async fn finish(self) -> Result<(Meta, Rows), SnapshotError> {
        let content = self.decoder.finish()?;
        self.part.finish(&*self.files).await?;
        Ok(content)
    }
}

/// A file that is not complete yet: `<path>.part`.
struct Part {
    path: PathBuf,
    unfinished: PathBuf,
    file: Box<dyn File>,
}

impl Part {
    async fn create(files: &dyn Files, path: &Path) -> Result<Self, SnapshotError> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".part");
        let unfinished = PathBuf::from(unfinished);
        match files.remove(&unfinished).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("removing the unfinished", &unfinished)(error));
            }
            _ => {}
        }
        let file = files.create(&unfinished).await.map_err(io_error("creating", &unfinished))?;
        Ok(Self { path: path.to_owned(), unfinished, file })
    }

    async fn append(&mut self, chunk: Bytes) -> Result<(), SnapshotError> {
        self.file.append(chunk).await.map_err(io_error("writing", &self.unfinished))
    }

    async fn finish(mut self, files: &dyn Files) -> Result<(), SnapshotError> {
        if !planted!(SnapshotFileNotSynced) {
            self.file.sync().await.map_err(io_error("syncing", &self.unfinished))?;
        }
        files
            .rename(&self.unfinished, &self.path)
            .await
            .map_err(io_error("renaming into place", &self.path))?;
        if planted!(SnapshotNameNotSynced) {
            return Ok(());
        }
        let dir = self.path.parent().unwrap_or(Path::new(""));
        files.sync_dir(dir).await.map_err(io_error("syncing the folder", dir))
    }
}

fn io_error<'a>(doing: &'a str, path: &'a Path) -> impl Fn(io::Error) -> SnapshotError + 'a {
    move |source| SnapshotError::Io { context: format!("{doing} {}", path.display()), source }
}
