//! Folders and small files that outlive a crash.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::seam::Files;

/// Creates a folder and its parents, durably: the parent of each new folder is synced. Without that, a crash may
/// lose a new member's whole data folder, with everything that was synced inside it.
///
/// # Errors
/// What the file system said.
pub(crate) async fn create_dir_all(files: &dyn Files, dir: &Path) -> io::Result<()> {
    let mut new: Vec<PathBuf> = Vec::new();
    let mut at = dir;
    while !at.as_os_str().is_empty() && !files.exists(at).await? {
        new.push(at.to_owned());
        let Some(parent) = at.parent() else { break };
        at = parent;
    }
    files.create_dir_all(dir).await?;
    for path in new.iter().rev() {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        files.sync_dir(parent).await?;
    }
    Ok(())
}

/// Writes a small file as a whole, durably: after a crash it is there with its whole text, or not at all.
///
/// # Errors
/// What the file system said.
pub(crate) async fn write(files: &dyn Files, path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = files.create(&part).await?;
    file.append(Bytes::copy_from_slice(text.as_bytes())).await?;
    file.sync().await?;
    files.rename(&part, path).await?;
    files.sync_dir(path.parent().unwrap_or(Path::new("."))).await
}
