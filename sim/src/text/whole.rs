//! Files that are written whole or not at all: under a temporary name beside their place, and renamed.
//!
//! Only a regular file is replaced in this way. A link is followed first. A device or a pipe is written into: a rename would
//! put a file in its place, and `/dev/null` would be a file from then on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Writes a file whole or not at all.
///
/// # Errors
/// The file system's error, with the path.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&target).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
        let written =
            OpenOptions::new().write(true).open(&target).and_then(|mut into| into.write_all(content));
        return written.map_err(|error| named(path, error));
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let beside = target.with_file_name(format!(".{name}.new-{}", std::process::id()));
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, &target)
    };
    write().map_err(|error| {
        let _left = fs::remove_file(&beside);
        named(path, error)
    })
}

/// Adds the path to an error of the file system.
pub(crate) fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, symlink};

    #[test]
    fn a_link_is_followed_and_nothing_is_left_beside() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        symlink(&file, &link).unwrap();
        write_whole(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(write_whole(folder.path(), b"new").is_err(), "a folder is not replaced");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_device_stays_a_device() {
        write_whole(Path::new("/dev/null"), b"gone").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let full = write_whole(Path::new("/dev/full"), b"more").unwrap_err();
        assert!(full.to_string().starts_with("/dev/full: "), "{full}");
        assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
    }
}
