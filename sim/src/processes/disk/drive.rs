//! A member's disk: the simulated disk's state, and the threads that wait for its operations.

use std::{
    io,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard},
    time::Instant,
};

use bytes::Bytes;

use crate::{
    arena::{At, Damage, DiskImage, Modifier, PowerLoss, Token, Unsynced},
    processes::links::lock,
    world::{Bites, Chance, DiskFigures, DiskNode, DiskSettings, DiskState, DiskWork, Ino},
};

/// A disk.
pub(in crate::processes) struct Drive {
    state: Mutex<Inside>,
    /// Notified when the wait of an operation may be shorter or over.
    changed: Condvar,
    began: Instant,
    chance: Chance,
}

struct Inside {
    disk: DiskState,
    /// Whether the disk is on. While it is off (a killed process is ending, or there is no power), operations fail.
    on: bool,
    /// Counts how often it was switched off. Operations that began before the last time fail.
    offs: u64,
    /// How many operations wait for the end of a stall.
    held: u64,
    /// Whether its content was damaged or set back to an older image.
    damaged: bool,
}

type Guard<'a> = MutexGuard<'a, Inside>;

fn gone() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

impl Drive {
    /// An empty disk. `began` is the start of the run.
    pub(super) fn new(settings: DiskSettings, chance: Chance, began: Instant) -> Self {
        let disk = DiskState::new(settings, &chance);
        let inside = Inside { disk, on: true, offs: 0, held: 0, damaged: false };
        Self { state: Mutex::new(inside), changed: Condvar::new(), began, chance }
    }

    fn now(&self) -> At {
        At::from_start(self.began.elapsed())
    }

    // ---- the harness's actions

    /// Imposes a modifier.
    pub(in crate::processes) fn impose(&self, modifier: &Modifier, token: Token, bites: Bites) {
        let mut inside = lock(&self.state);
        if matches!(modifier, Modifier::StallDisk(_)) {
            // It also holds the operations that already wait for another stall.
            bites.count(inside.held);
        }
        inside.disk.impose(modifier, token, bites, &self.chance);
    }

    /// Removes a modifier.
    pub(in crate::processes) fn lift(&self, token: Token) {
        // The wakers are not needed: threads wait here, not futures.
        let _wakers = lock(&self.state).disk.lift(self.now(), token);
        self.changed.notify_all();
    }

    /// Switches the disk off: operations under way and later ones fail. For a process that has been killed.
    pub(in crate::processes) fn switch_off(&self) {
        let mut inside = lock(&self.state);
        inside.on = false;
        inside.offs += 1;
        drop(inside);
        self.changed.notify_all();
    }

    /// Switches the disk on: operations are answered again.
    pub(in crate::processes) fn switch_on(&self) {
        lock(&self.state).on = true;
    }

    /// How often it was switched off.
    pub(in crate::processes) fn offs(&self) -> u64 {
        lock(&self.state).offs
    }

    /// The machine loses power. No process may be running on it.
    pub(in crate::processes) fn crash(&self, unsynced: Unsynced) -> PowerLoss {
        lock(&self.state).disk.crash(unsynced).into()
    }

    pub(in crate::processes) fn wipe(&self, dir: &Path) {
        let mut inside = lock(&self.state);
        inside.disk.wipe(dir);
        inside.damaged = false;
    }

    pub(in crate::processes) fn place(&self, path: &Path, content: Bytes) -> io::Result<()> {
        lock(&self.state).disk.place(path, content)
    }

    pub(in crate::processes) fn make_dirs(&self, path: &Path) -> io::Result<()> {
        lock(&self.state).disk.make_dirs(path)
    }

    pub(in crate::processes) fn copy(&self) -> DiskImage {
        lock(&self.state).disk.copy()
    }

    pub(in crate::processes) fn put(&self, image: &DiskImage) {
        let mut inside = lock(&self.state);
        inside.disk.put(image);
        inside.damaged = true;
    }

    pub(in crate::processes) fn damage(&self, dir: &Path, damage: Damage, seed: u64) -> Option<String> {
        let mut chance = self.chance.child("damage").child(&seed.to_string()).stream();
        let mut inside = lock(&self.state);
        let done = inside.disk.damage(dir, damage, &mut chance);
        inside.damaged |= done.is_some();
        done
    }

    pub(in crate::processes) fn broken_promises(&self) -> u64 {
        lock(&self.state).disk.promises_broken()
    }

    pub(in crate::processes) fn fails(&self) -> bool {
        lock(&self.state).disk.fails()
    }

    /// Whether this disk's faults may be the reason why a process cannot continue.
    pub(in crate::processes) fn is_to_blame(&self) -> bool {
        let inside = lock(&self.state);
        inside.damaged || inside.disk.fails()
    }

    pub(in crate::processes) fn figures(&self) -> DiskFigures {
        lock(&self.state).disk.figures()
    }

    // ---- a process's operations

    /// Answers at once, even while the disk is stalled: a real kernel could have the answer in its cache.
    pub(super) fn known<T>(&self, ask: impl FnOnce(&mut DiskState) -> T) -> T {
        ask(&mut lock(&self.state).disk)
    }

    /// Runs an operation that is no sync: waits while the disk is stalled, takes the disk's time, fails if a fault
    /// says so.
    pub(super) fn operate<T>(
        &self,
        work: DiskWork,
        act: impl FnOnce(&mut DiskState) -> io::Result<T>,
    ) -> io::Result<T> {
        self.operate_or_fail(work, |disk, begun| begun.and_then(|()| act(disk)))
    }

    /// The same for an operation that may have a partial effect even if it fails.
    pub(super) fn operate_or_fail<T>(
        &self,
        work: DiskWork,
        act: impl FnOnce(&mut DiskState, io::Result<()>) -> io::Result<T>,
    ) -> io::Result<T> {
        let (mut inside, offs) = self.begin()?;
        let (begun, draw) = (self.now(), inside.disk.begin_work());
        if !inside.disk.work_takes(draw).is_zero() {
            inside = self.wait(inside, offs, |disk| Some(begun.after(disk.work_takes(draw))))?;
            inside = self.admit(inside, offs)?;
        }
        let begun = inside.disk.fail(work);
        act(&mut inside.disk, begun)
    }

    /// Syncs a file or directory.
    pub(super) fn sync(&self, ino: Ino) -> io::Result<()> {
        let (mut inside, offs) = self.begin()?;
        let sync = inside.disk.begin_sync(self.now(), ino);
        let inside = self.wait(inside, offs, |disk| disk.sync_due(sync))?;
        // An operation that began before a stall ends after the stall.
        self.admit(inside, offs)?.disk.end_sync(sync)
    }

    /// Opens a file. It counts as a read, and holds the file.
    pub(super) fn open(&self, ino: Ino) -> io::Result<()> {
        self.operate(DiskWork::Read, |disk| {
            disk.node(ino)?;
            disk.hold(ino);
            Ok(())
        })
    }

    /// Creates a file and opens it.
    pub(super) fn create(&self, dir: Ino, name: &str) -> io::Result<DiskNode> {
        self.operate(DiskWork::Write, |disk| {
            let node = disk.make(dir, name, false)?;
            disk.hold(node.ino);
            Ok(node)
        })
    }

    fn begin(&self) -> io::Result<(Guard<'_>, u64)> {
        let inside = lock(&self.state);
        let offs = inside.offs;
        Ok((self.admit(inside, offs)?, offs))
    }

    /// Waits while the disk is stalled.
    fn admit<'a>(&'a self, mut inside: Guard<'a>, offs: u64) -> io::Result<Guard<'a>> {
        let mut held = false;
        loop {
            let answers = inside.on && inside.offs == offs;
            if !answers || !inside.disk.is_stalled() {
                inside.held -= u64::from(held);
                return if answers { Ok(inside) } else { Err(gone()) };
            }
            if !std::mem::replace(&mut held, true) {
                inside.held += 1;
                inside.disk.stalls_bite();
            }
            inside = self.changed.wait(inside).expect("not poisoned");
        }
    }

    /// Waits until an operation is done. That may be sooner than expected when it began.
    fn wait<'a>(
        &'a self,
        mut inside: Guard<'a>,
        offs: u64,
        due: impl Fn(&DiskState) -> Option<At>,
    ) -> io::Result<Guard<'a>> {
        loop {
            if !inside.on || inside.offs != offs {
                return Err(gone());
            }
            let now = self.now();
            let Some(due) = due(&inside.disk).filter(|due| *due > now) else { return Ok(inside) };
            let left = due.since_start() - now.since_start();
            inside = self.changed.wait_timeout(inside, left).expect("not poisoned").0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;
    use crate::arena::NodeId;

    fn drive() -> Arc<Drive> {
        Arc::new(Drive::new(DiskSettings::default(), Chance::root(1), Instant::now()))
    }

    fn impose(drive: &Drive, number: u64, modifier: impl Fn(NodeId) -> Modifier) -> (Token, Bites) {
        let (token, bites) = (Token::new(number), Bites::default());
        drive.impose(&modifier(NodeId::new(0, "m1")), token, bites.clone());
        (token, bites)
    }

    fn wait_for(what: impl Fn() -> bool) {
        let begun = Instant::now();
        while !what() {
            assert!(begun.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_stall_holds_everything_until_it_is_lifted() {
        let drive = drive();
        let file = drive.create(0, "file").expect("it is made").ino;
        let (stall, bites) = impose(&drive, 1, Modifier::StallDisk);
        let (other, others) = (drive.clone(), drive.clone());
        let syncs = thread::spawn(move || other.sync(file));
        let writes = thread::spawn(move || others.create(0, "more"));
        wait_for(|| bites.so_far() == 2);
        let (second, seconds) = impose(&drive, 2, Modifier::StallDisk);
        assert_eq!(seconds.so_far(), 2, "what waits already waits for it too");
        drive.lift(stall);
        thread::sleep(Duration::from_millis(20));
        assert!(!syncs.is_finished() && !writes.is_finished());
        drive.lift(second);
        syncs.join().expect("no panic").expect("it is synced");
        writes.join().expect("no panic").expect("it is made");
    }

    #[test]
    fn what_waits_when_its_process_is_killed_is_not_done() {
        let drive = drive();
        let (stall, bites) = impose(&drive, 1, Modifier::StallDisk);
        let other = drive.clone();
        let creates = thread::spawn(move || other.create(0, "file"));
        wait_for(|| bites.so_far() == 1);
        drive.switch_off();
        drive.switch_on();
        let ended = creates.join().expect("no panic");
        assert_eq!(ended.expect_err("it is over").raw_os_error(), Some(libc::EIO));
        drive.lift(stall);
        assert!(drive.known(|disk| disk.lookup(0, "file")).is_err());
        drive.create(0, "file").expect("the next process goes on");
    }

    #[test]
    fn a_slow_sync_takes_its_time_and_no_more_once_the_fault_has_ended() {
        let drive = drive();
        let file = drive.create(0, "file").expect("it is made").ino;
        let slow = |delay| move |node| Modifier::SlowSync { node, delay, jitter: Duration::ZERO };
        let (token, bites) = impose(&drive, 1, slow(Duration::from_millis(50)));
        let begun = Instant::now();
        drive.sync(file).expect("it is synced");
        assert!(begun.elapsed() >= Duration::from_millis(50) && bites.so_far() == 1);
        drive.lift(token);
        let (token, bites) = impose(&drive, 2, slow(Duration::from_secs(600)));
        let other = drive.clone();
        let syncs = thread::spawn(move || other.sync(file));
        wait_for(|| bites.so_far() == 1);
        drive.lift(token);
        syncs.join().expect("no panic").expect("it is synced");
    }

    #[test]
    fn a_full_disk_takes_what_there_is_room_for_and_overwrites() {
        let drive = drive();
        let file = drive.create(0, "file").expect("it is made").ino;
        let write = |at, data: &[u8]| {
            drive.operate_or_fail(DiskWork::Write, |disk, begun| disk.write_at(file, at, data, begun))
        };
        assert_eq!(write(0, &[1; 100]).expect("there is room"), 100);
        let (token, bites) = impose(&drive, 1, |node| Modifier::FullDisk { node, free_bytes: 10 });
        assert_eq!(write(50, &[2; 50]).expect("it has that already"), 50);
        assert_eq!(bites.so_far(), 0);
        assert_eq!(write(90, &[3; 30]).expect("a part has room"), 20);
        let full = write(110, &[4; 1]).expect_err("it is full");
        assert_eq!((full.raw_os_error(), bites.so_far()), (Some(libc::ENOSPC), 2));
        assert!(drive.create(0, "more").is_err(), "a name takes room too");
        drive.lift(token);
        assert_eq!(write(110, &[4; 1]).expect("there is room again"), 1);
    }
}
