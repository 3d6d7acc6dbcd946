//! Tests of mounted disks, through the kernel. If none can be mounted the tests say so and pass, unless
//! `SQUALL_REQUIRE_FUSE` is set.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    time::Instant,
};

use super::{mount::Mounted, *};
use crate::{
    arena::{Damage, Modifier, NodeId, Token, Unsynced},
    world::{Bites, Chance, DiskSettings, DiskWork},
};

/// Runs a test with a mounted disk, on a new thread.
fn on_a_disk(test: impl FnOnce(&Mounted) + Send + 'static) {
    if !can_be_tested() {
        return;
    }
    let body = move || {
        enter_own_namespace().expect("it was possible before");
        let dir = tempfile::tempdir().expect("a folder");
        let (settings, chance) = (DiskSettings::default(), Chance::root(1));
        let disk = Mounted::new(dir.path().join("disk"), settings, chance, Instant::now());
        test(&disk.expect("it is mounted"));
    };
    std::thread::spawn(body).join().expect("the test passes");
}

fn write(path: &Path, content: &[u8]) -> File {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).open(path);
    let mut file = file.expect("it is made");
    file.write_all(content).expect("it is written");
    file
}

fn sync_dir(path: &Path) {
    File::open(path).expect("a folder").sync_all().expect("it is synced");
}

/// A mapping of a file's first bytes.
struct Map(*const u8, usize);

impl Map {
    fn of(file: &File, len: usize) -> Map {
        let (null, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        // SAFETY: a new mapping, only for reading.
        let at = unsafe { libc::mmap(null, len, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        Map(at.cast(), len)
    }

    fn at(&self, place: usize) -> u8 {
        assert!(place < self.1);
        // SAFETY: it is inside the mapping, which is as long as the file.
        unsafe { self.0.add(place).read_volatile() }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the address and the length are those of the mapping.
        unsafe { libc::munmap(self.0.cast_mut().cast(), self.1) };
    }
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_the_kernel_forgets_it() {
    on_a_disk(|disk| {
        let path = disk.at.join("deep/er");
        fs::create_dir_all(&path).expect("it is made");
        let (old, new) = (path.join("old"), path.join("new"));
        let file = write(&old, &[1; 9_000]);
        file.sync_all().expect("it is synced");
        file.write_all_at(&[2; 5_000], 2_000).expect("it is written");
        file.write_all_at(&[3; 100], 9_000).expect("it is written");
        drop(write(&new, b"never synced"));
        let map = Map::of(&file, 9_100);
        assert_eq!((map.at(0), map.at(3_000), map.at(9_050)), (1, 2, 3), "a mapping sees what was written");
        file.write_all_at(&[4; 1], 3_000).expect("it is written");
        assert_eq!(map.at(3_000), 4, "and what is written later");
        drop((map, file));
        disk.drive.switch_off();
        assert!(disk.drive.crash(Unsynced::Lost).lost > 10);
        disk.drive.switch_on();
        assert_eq!(fs::read(&old).expect("its name was synced with it"), [1; 9_000]);
        let map = Map::of(&File::open(&old).expect("it is there"), 9_000);
        assert!((0..9_000).all(|place| map.at(place) == 1));
        assert!(!new.exists());
        fs::write(&new, b"again").expect("the name is free");
    });
}

#[test]
fn an_unsynced_rename_is_lost_and_a_synced_one_is_not() {
    on_a_disk(|disk| {
        let [one, two] = ["one", "two"].map(|name| disk.at.join(name));
        write(&one, b"1").sync_all().expect("it is synced");
        fs::rename(&one, &two).expect("it is renamed");
        disk.drive.crash(Unsynced::Lost);
        assert!(one.exists() && !two.exists());
        fs::rename(&one, &two).expect("it is renamed");
        sync_dir(&disk.at);
        disk.drive.crash(Unsynced::Lost);
        assert!(!one.exists() && two.exists());
        assert_eq!(fs::read(&two).expect("it is there"), b"1");
    });
}

#[test]
fn what_a_server_does_with_files_can_be_done() {
    on_a_disk(|disk| {
        let at = |name: &str| -> PathBuf { disk.at.join(name) };
        // As etcd does with its log: allocated, written from the front, appended to.
        let log = write(&at("log"), b"head");
        // SAFETY: a plain system call.
        assert_eq!(unsafe { libc::fallocate(log.as_raw_fd(), 0, 0, 64 << 20) }, 0);
        assert_eq!(log.metadata().expect("it is there").len(), 64 << 20);
        log.write_all_at(b"more", 4).expect("it is written");
        let mut read = [9; 12];
        log.read_exact_at(&mut read, 0).expect("it is read");
        assert_eq!(&read, b"headmore\0\0\0\0");
        log.set_len(6).expect("it is cut");
        let mut append = OpenOptions::new().append(true).open(at("log")).expect("it is opened");
        append.write_all(b"end").expect("it is written");
        assert_eq!(fs::read(at("log")).expect("it is read"), b"headmoend");
        // Renamed over another, and removed while it is open.
        drop(write(&at("other"), b"other"));
        fs::rename(at("log"), at("other")).expect("it is renamed");
        fs::remove_file(at("other")).expect("it is removed");
        append.write_all(b"s").expect("it is open still");
        let mut open = log;
        let mut text = String::new();
        open.seek(SeekFrom::Start(0)).expect("a place");
        open.read_to_string(&mut text).expect("it is read");
        assert_eq!(text, "headmoends");
        // Many names, removed while they are read.
        fs::create_dir_all(at("many/deep")).expect("it is made");
        for number in 0..700 {
            drop(write(&at("many").join(format!("a-name-that-takes-some-room-{number}")), b""));
        }
        assert_eq!(fs::read_dir(at("many")).expect("a folder").count(), 701);
        assert!(fs::remove_dir(at("many")).is_err(), "it is not empty");
        fs::remove_dir_all(at("many")).expect("it is removed");
        assert_eq!(fs::read_dir(&disk.at).expect("a folder").count(), 0);
        // Locks.
        let (one, two) = (write(&at("lock"), b""), File::open(at("lock")).expect("it is opened"));
        one.try_lock().expect("nobody has it");
        assert!(two.try_lock().is_err());
    });
}

#[test]
fn faults_of_a_disk_are_what_a_process_is_told() {
    on_a_disk(|disk| {
        let drive = &disk.drive;
        let mut last = 0;
        let mut impose = |modifier: &dyn Fn(NodeId) -> Modifier| {
            last += 1;
            let (token, bites) = (Token::new(last), Bites::default());
            drive.impose(&modifier(NodeId::new(0, "m1")), token, bites.clone());
            (token, bites)
        };
        let file = write(&disk.at.join("file"), &[1; 5_000]);
        file.sync_all().expect("it is synced");
        type Act = fn(&File) -> io::Result<()>;
        let acts: [(DiskWork, Act); 3] = [
            (DiskWork::Fsync, |file| file.sync_data()),
            (DiskWork::Write, |file| file.write_all_at(&[2; 10], 0)),
            (DiskWork::Read, |file| File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map(drop)),
        ];
        for (on, act) in acts {
            let failing = |node| Modifier::FailingDisk { node, on, per_mille: 1_000, seed: 1 };
            let (token, bites) = impose(&failing);
            assert_eq!(act(&file).expect_err("it fails").raw_os_error(), Some(libc::EIO), "{on:?}");
            assert!(bites.so_far() > 0 && drive.is_to_blame());
            drive.lift(token);
            act(&file).expect("it works again");
        }
        let (token, _) = impose(&|node| Modifier::FullDisk { node, free_bytes: 0 });
        let full = file.write_all_at(&[2; 10], 5_000).expect_err("it is full");
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
        drive.lift(token);
        // What a lying sync reported as durable is lost with the power.
        let (token, _) = impose(&Modifier::LyingSync);
        file.write_all_at(&[7; 512], 0).expect("it is written");
        file.sync_all().expect("it says");
        drive.crash(Unsynced::Lost);
        drive.lift(token);
        assert!(drive.broken_promises() == 1 && !drive.is_to_blame());
        assert_ne!(fs::read(disk.at.join("file")).expect("it is there")[0], 7);
        // An image, and damage to what lies there.
        let image = drive.copy();
        let done = drive.damage(Path::new("/"), Damage::FlipBit, 3).expect("there is a file");
        assert!(done.contains("/file") && drive.is_to_blame(), "{done}");
        let damaged = fs::read(disk.at.join("file")).expect("it is there");
        drive.put(&image);
        let before = fs::read(disk.at.join("file")).expect("it is there");
        let differing = damaged.iter().zip(&before).filter(|(one, other)| one != other).count();
        assert_eq!((damaged.len(), differing), (before.len(), 1));
    });
}

#[test]
fn nothing_is_mounted_outside_and_nothing_is_left() {
    on_a_disk(|disk| {
        let mounts = |of: &str| fs::read_to_string(format!("/proc/{of}/mountinfo")).expect("it is read");
        let here = disk.at.to_str().expect("UTF-8");
        assert!(mounts("thread-self").contains(here));
        assert!(!mounts("self").contains(here), "the test's other threads do not see it");
        let file = write(&disk.at.join("file"), b"open");
        disk.unmount();
        assert!(!mounts("thread-self").contains(here));
        assert!(!disk.at.join("file").exists());
        drop(file);
    });
}
