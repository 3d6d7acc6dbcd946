//! The file system, by blocking calls on tokio's blocking threads.
//!
//! Every error names its path, since the operator sees it in one paragraph. After an append, a sync or a truncate
//! has failed, or its future was dropped half-way, the file refuses all later changes: it is not known what is on
//! disk (fsyncgate), and by the contract the member stops.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::seam::{BoxFuture, DirLock, File, Files};

/// As in etcd only the user of the server reads what clients have stored, and the hashes of their passwords.
const PRIVATE_FILE: u32 = 0o600;
/// The same for folders.
const PRIVATE_FOLDER: u32 = 0o700;

/// Makes a folder and those above it that are missing. Other users can neither list nor enter them.
fn create_private_dir_all(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(dir)
}

/// The system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn create<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>> {
        blocking(path, |path| {
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(PRIVATE_FILE)
                .open(path)?;
            opened(path, file)
        })
    }

    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn File>>> {
        blocking(path, |path| {
            let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
            opened(path, file)
        })
    }

    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Bytes>> {
        blocking(path, |path| fs::read(path).map(Bytes::from))
    }

    fn list<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<Vec<String>>> {
        blocking(dir, |dir| {
            let mut names = Vec::new();
            for entry in fs::read_dir(dir)? {
                let name = entry?.file_name().into_string().map_err(|name| {
                    io::Error::new(ErrorKind::InvalidData, format!("a file name that is not UTF-8: {name:?}"))
                })?;
                names.push(name);
            }
            names.sort();
            Ok(names)
        })
    }

    fn exists<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<bool>> {
        blocking(path, |path| path.try_exists())
    }

    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        blocking(dir, create_private_dir_all)
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        let to = to.to_owned();
        blocking(from, move |from| fs::rename(from, &to))
    }

    fn remove<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        blocking(path, |path| fs::remove_file(path))
    }

    fn remove_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        blocking(dir, |dir| fs::remove_dir_all(dir))
    }

    fn sync_dir<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        blocking(dir, |dir| fs::File::open(dir)?.sync_all())
    }

    fn lock<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Box<dyn DirLock>>> {
        blocking(path, |path| {
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(PRIVATE_FILE)
                .open(path)?;
            match file.try_lock() {
                Ok(()) => Ok(Box::new(Flock { _file: file }) as Box<dyn DirLock>),
                Err(fs::TryLockError::WouldBlock) => {
                    Err(io::Error::new(ErrorKind::WouldBlock, "another process holds its lock"))
                }
                Err(fs::TryLockError::Error(error)) => Err(error),
            }
        })
    }
}

/// A file locked by `flock`; closing it releases the lock.
struct Flock {
    _file: fs::File,
}

impl DirLock for Flock {}

/// An open file and where its next append goes.
struct SystemFile {
    path: PathBuf,
    file: Arc<fs::File>,
    len: u64,
    /// Set while a change is under way. If it is set when the next change begins, the last change failed or was
    /// dropped.
    unsure: bool,
}

fn opened(path: &Path, file: fs::File) -> io::Result<Box<dyn File>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = SystemFile { path: path.to_owned(), file: Arc::new(file), len: metadata.len(), unsure: false };
    Ok(Box::new(file))
}

impl SystemFile {
    /// Runs a change of the file on a blocking thread.
    async fn change(
        &mut self,
        work: impl FnOnce(&fs::File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        if self.unsure {
            let what = format!("{}: an earlier write or sync failed or was given up", self.path.display());
            return Err(io::Error::other(what));
        }
        self.unsure = true;
        let file = Arc::clone(&self.file);
        blocking(&self.path, move |_| work(&file)).await?;
        self.unsure = false;
        Ok(())
    }
}

impl File for SystemFile {
    fn append(&mut self, data: Bytes) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let (at, len) = (self.len, data.len() as u64);
            self.change(move |file| file.write_all_at(&data, at)).await?;
            self.len += len;
            Ok(())
        })
    }

    fn read_at(&mut self, offset: u64, len: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        let file = Arc::clone(&self.file);
        blocking(&self.path, move |_| {
            // The file's present length is used, since another handle may have appended. No more than that is read,
            // even if `len` is larger.
            let there = file.metadata()?.len().saturating_sub(offset);
            let len = len.min(usize::try_from(there).unwrap_or(usize::MAX));
            let mut buffer = vec![0; len];
            let mut filled = 0;
            while filled < len {
                match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            buffer.truncate(filled);
            Ok(buffer.into())
        })
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(self.change(fs::File::sync_data))
    }

    fn truncate(&mut self, len: u64) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            self.change(move |file| file.set_len(len)).await?;
            self.len = len;
            Ok(())
        })
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// Runs `work` on a blocking thread and puts the path before its error.
fn blocking<'a, T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> BoxFuture<'a, io::Result<T>> {
    let path = path.to_owned();
    Box::pin(async move {
        let done = tokio::task::spawn_blocking(move || {
            work(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        });
        match done.await {
            Ok(result) => result,
            Err(gone) if gone.is_panic() => std::panic::resume_unwind(gone.into_panic()),
            // The runtime is shutting down, and so is the member.
            Err(_) => Err(io::Error::other("the runtime is shutting down")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::conformance::files::files_suite;

    #[tokio::test]
    async fn conforms() {
        let root = tempfile::tempdir().expect("a temporary folder");
        files_suite(Arc::new(SystemFiles), root.path()).await;
    }

    #[tokio::test]
    async fn other_users_read_nothing() {
        use std::os::unix::fs::PermissionsExt;

        let root = tempfile::tempdir().expect("a temporary folder");
        let dir = root.path().join("data/member");
        SystemFiles.create_dir_all(&dir).await.expect("folders");
        drop(SystemFiles.create(&dir.join("log")).await.expect("a file"));
        drop(SystemFiles.lock(&dir.join("lock")).await.expect("a lock"));
        for made in ["data", "data/member", "data/member/log", "data/member/lock"] {
            let mode = fs::metadata(root.path().join(made)).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{made} has {mode:o}");
        }
    }

    #[tokio::test]
    async fn an_error_names_its_path() {
        let Err(error) = SystemFiles.open(Path::new("/nowhere/at all")).await else { panic!("it opened") };
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().starts_with("/nowhere/at all: "), "{error}");
    }

    #[tokio::test]
    async fn nothing_follows_a_failed_change() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let path = root.path().join("f");
        fs::write(&path, b"abc").unwrap();
        // Opened for reading only, so that the system itself refuses the append.
        let mut file = opened(&path, fs::File::open(&path).unwrap()).unwrap();
        assert!(file.append(Bytes::from_static(b"d")).await.is_err());
        for again in [file.append(Bytes::new()).await, file.sync().await, file.truncate(0).await] {
            let error = again.expect_err("a change after a failed one");
            assert!(error.to_string().contains("earlier write or sync failed"), "{error}");
        }
        assert_eq!(file.len(), 3);
    }
}
