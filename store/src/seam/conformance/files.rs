//! The files' suite: what every file system behind the seam must do without faults. Crashes are tested on the
//! simulated disk, where they can be made.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;

use crate::seam::{File, Files};

/// Runs the suite over one side. `root` is an existing, empty folder.
///
/// # Panics
/// If the side breaks the seam's contract. The message says what was seen.
pub async fn files_suite(files: Arc<dyn Files>, root: &Path) {
    appends_reads_and_cuts(&*files, root).await;
    creates_and_opens(&*files, root).await;
    folders(&*files, root).await;
    renames(&*files, root).await;
    removes(&*files, root).await;
    locks(&*files, root).await;
}

fn is<T>(result: io::Result<T>, kind: io::ErrorKind, what: &str) {
    match result {
        Ok(_) => panic!("{what}: no error, where {kind:?} belongs"),
        Err(error) => assert_eq!(error.kind(), kind, "{what}: {error}"),
    }
}

fn ok<T>(result: io::Result<T>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error} ({:?})", error.kind()))
}

async fn append(file: &mut dyn File, text: &'static str) {
    ok(file.append(Bytes::from_static(text.as_bytes())).await, "append");
}

/// Makes a file with this content.
async fn write(files: &dyn Files, path: &Path, text: &'static str) {
    let mut file = ok(files.create(path).await, "create");
    append(&mut *file, text).await;
    ok(file.sync().await, "sync");
}

async fn content(files: &dyn Files, path: &Path) -> Bytes {
    ok(files.read(path).await, "read")
}

async fn appends_reads_and_cuts(files: &dyn Files, root: &Path) {
    let path = root.join("appends");
    let mut file = ok(files.create(&path).await, "create");
    assert!(file.is_empty(), "a new file has {} bytes", file.len());
    append(&mut *file, "hello ").await;
    append(&mut *file, "").await;
    append(&mut *file, "world").await;
    assert_eq!(file.len(), 11, "the length counts what was not synced");
    assert_eq!(content(files, &path).await, "hello world", "an append is readable before a sync");
    assert_eq!(ok(file.read_at(6, 5).await, "read_at"), "world");
    assert_eq!(ok(file.read_at(6, 100).await, "read_at past the end"), "world", "a read ends with the file");
    assert_eq!(ok(file.read_at(11, 5).await, "read_at the end"), "", "there is nothing at the end");
    assert_eq!(ok(file.read_at(500, 5).await, "read_at beyond the end"), "", "nor beyond it");
    ok(file.sync().await, "sync");
    ok(file.sync().await, "a second sync");

    ok(file.truncate(5).await, "truncate");
    assert_eq!(file.len(), 5);
    append(&mut *file, "!").await;
    assert_eq!(content(files, &path).await, "hello!", "after a cut, an append goes to the new end");
    drop(file);

    let mut file = ok(files.open(&path).await, "open");
    assert_eq!(file.len(), 6, "dropping a file loses nothing");
    append(&mut *file, "?").await;
    assert_eq!(content(files, &path).await, "hello!?", "an append goes to the end of a file that was opened");
    let large = Bytes::from((0..200_000_u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>());
    ok(file.append(large.clone()).await, "a large append");
    ok(file.sync().await, "sync");
    assert_eq!(ok(file.read_at(7, large.len()).await, "a large read"), large, "a large append comes back");
    assert_eq!(content(files, &path).await.slice(7..), large);
}

async fn creates_and_opens(files: &dyn Files, root: &Path) {
    let path = root.join("once");
    is(files.open(&path).await, io::ErrorKind::NotFound, "opening what is not there");
    is(files.read(&path).await, io::ErrorKind::NotFound, "reading what is not there");
    assert!(!ok(files.exists(&path).await, "exists"), "a file that was never made exists");
    write(files, &path, "first").await;
    assert!(ok(files.exists(&path).await, "exists"), "a file that was made does not exist");
    is(files.create(&path).await, io::ErrorKind::AlreadyExists, "creating what is there");
    assert_eq!(content(files, &path).await, "first", "a refused create left its mark");
    is(files.create(&root.join("nowhere/file")).await, io::ErrorKind::NotFound, "creating in no folder");

    // Two handles on one file see one file.
    let mut one = ok(files.open(&path).await, "open");
    let mut two = ok(files.open(&path).await, "open again");
    append(&mut *one, "+").await;
    assert_eq!(
        ok(two.read_at(0, 10).await, "read_at"),
        "first+",
        "one handle does not see the other's append"
    );
}

async fn folders(files: &dyn Files, root: &Path) {
    let dir = root.join("a/b/c");
    is(files.list(&dir).await, io::ErrorKind::NotFound, "listing what is not there");
    ok(files.create_dir_all(&dir).await, "create_dir_all");
    ok(files.create_dir_all(&dir).await, "create_dir_all of what is there");
    assert!(ok(files.exists(&dir).await, "exists"), "a folder that was made does not exist");
    assert_eq!(ok(files.list(&dir).await, "list"), Vec::<String>::new());
    for name in ["zebra", "Ant", "bee", "10", "9"] {
        write(files, &dir.join(name), "x").await;
    }
    ok(files.create_dir_all(&dir.join("folder/below")).await, "create_dir_all");
    let names = ok(files.list(&dir).await, "list");
    assert_eq!(
        names,
        ["10", "9", "Ant", "bee", "folder", "zebra"],
        "names sorted by their bytes, folders among them"
    );
    assert_eq!(ok(files.list(&root.join("a")).await, "list"), ["b"], "only what is directly in the folder");
    ok(files.sync_dir(&dir).await, "sync_dir");
    is(files.sync_dir(&root.join("no folder")).await, io::ErrorKind::NotFound, "syncing what is not there");
}

async fn renames(files: &dyn Files, root: &Path) {
    let (from, to) = (root.join("from"), root.join("to"));
    write(files, &from, "moved").await;
    write(files, &to, "replaced").await;
    ok(files.rename(&from, &to).await, "rename over a file");
    assert!(!ok(files.exists(&from).await, "exists"), "the old name is still there");
    assert_eq!(content(files, &to).await, "moved", "a rename replaces what has the name");
    is(files.rename(&from, &to).await, io::ErrorKind::NotFound, "renaming what is not there");

    let (dir, moved) = (root.join("dir"), root.join("dir moved"));
    ok(files.create_dir_all(&dir.join("below")).await, "create_dir_all");
    write(files, &dir.join("below/file"), "inside").await;
    ok(files.rename(&dir, &moved).await, "rename of a folder");
    assert!(!ok(files.exists(&dir).await, "exists"), "the folder's old name is still there");
    assert!(
        !ok(files.exists(&dir.join("below/file")).await, "exists"),
        "a file is still in the folder's old place"
    );
    assert_eq!(content(files, &moved.join("below/file")).await, "inside", "a folder moves with all below it");
    ok(files.sync_dir(root).await, "sync_dir");
}

async fn removes(files: &dyn Files, root: &Path) {
    let path = root.join("to go");
    write(files, &path, "x").await;
    ok(files.remove(&path).await, "remove");
    assert!(!ok(files.exists(&path).await, "exists"), "a removed file exists");
    is(files.remove(&path).await, io::ErrorKind::NotFound, "removing what is not there");
    write(files, &path, "again").await;
    assert_eq!(content(files, &path).await, "again", "a name that was removed can be taken again");

    let dir = root.join("tree");
    ok(files.create_dir_all(&dir.join("x/y")).await, "create_dir_all");
    write(files, &dir.join("x/file"), "x").await;
    write(files, &root.join("tree not"), "stays").await;
    ok(files.remove_dir_all(&dir).await, "remove_dir_all");
    for gone in [dir.clone(), dir.join("x"), dir.join("x/file")] {
        assert!(!ok(files.exists(&gone).await, "exists"), "{} outlived its folder", gone.display());
    }
    assert!(
        ok(files.exists(&root.join("tree not")).await, "exists"),
        "a name that only begins alike went too"
    );
    is(files.remove_dir_all(&dir).await, io::ErrorKind::NotFound, "removing a folder that is not there");
}

async fn locks(files: &dyn Files, root: &Path) {
    let path = root.join("lock");
    let lock = ok(files.lock(&path).await, "lock");
    is(files.lock(&path).await, io::ErrorKind::WouldBlock, "taking a lock that is held");
    let other = ok(files.lock(&root.join("other lock")).await, "another lock");
    drop(lock);
    let lock = ok(files.lock(&path).await, "a lock that was released");
    drop((lock, other));
}
