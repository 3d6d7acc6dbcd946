//! Mounts the disks, in the run's own mount namespace.
//!
//! So no mount stays behind, however the run ends (a failure, a signal, SIGKILL): the kernel removes the namespace's
//! mounts when its last process ends. Its processes are this one and its servers. Other processes do not see the
//! mounts; a person can look at them under `/proc/PID/root/…` of a process of the run.

use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Instant,
};

use fuser::{BackgroundSession, Config, MountOption, Session};

use super::{drive::Drive, filesystem::Mountable};
use crate::{
    processes::links::lock,
    world::{Chance, DiskSettings},
};

/// The device through which the kernel talks to a FUSE file system.
const DEVICE: &str = "/dev/fuse";

/// How many operations of a disk can wait at the same time. Further ones wait in the kernel.
const THREADS: usize = 16;

/// A disk that is mounted. Dropping it unmounts it.
pub(in crate::processes) struct Mounted {
    pub(in crate::processes) drive: Arc<Drive>,
    pub(in crate::processes) at: PathBuf,
    session: Mutex<Option<BackgroundSession>>,
}

impl Mounted {
    /// Creates a folder and mounts an empty disk there.
    pub(in crate::processes) fn new(
        at: PathBuf,
        settings: DiskSettings,
        chance: Chance,
        began: Instant,
    ) -> io::Result<Self> {
        fs::create_dir_all(&at)?;
        let drive = Arc::new(Drive::new(settings, chance, began));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("squall".to_owned()), MountOption::NoAtime];
        config.n_threads = Some(THREADS);
        let session = Session::new(Mountable::new(drive.clone()), &at, &config)?.spawn()?;
        Ok(Self { drive, at, session: Mutex::new(Some(session)) })
    }

    /// Unmounts it. The folder stays.
    pub(in crate::processes) fn unmount(&self) {
        let Some(session) = lock(&self.session).take() else { return };
        // A waiting operation would keep its process alive, and the process would keep the mount.
        self.drive.switch_off();
        let path = CString::new(self.at.as_os_str().as_bytes()).expect("no zero byte in a path");
        // Detached, so that a left-over process with an open file (a tool) does not block the unmount.
        // SAFETY: a plain system call with a string that lives as long.
        let _gone_already = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        drop(session);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Moves the calling thread, and all that it starts from now on, to a new mount namespace.
pub(in crate::processes) fn enter_own_namespace() -> io::Result<()> {
    let check = |result: libc::c_int| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: plain system calls. The strings are constants.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        let nothing = std::ptr::null();
        // Otherwise mounts made here would be visible outside too.
        check(libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            nothing,
            libc::MS_REC | libc::MS_PRIVATE,
            nothing.cast(),
        ))
    }
}

/// Whether disks can be mounted here. If not, a test says so and passes, unless `SQUALL_REQUIRE_FUSE` is set.
#[cfg(test)]
pub(in crate::processes) fn can_be_tested() -> bool {
    let Some(why) = unavailable() else { return true };
    assert!(std::env::var_os("SQUALL_REQUIRE_FUSE").is_none(), "{why}");
    eprintln!("skipped: {why}");
    false
}

/// Why disks cannot be mounted here, if they cannot. Tried once.
pub(in crate::processes) fn unavailable() -> Option<&'static str> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    WHY.get_or_init(|| {
        // A new thread, because it gets a new namespace.
        let tried = std::thread::spawn(try_it).join().expect("it does not panic");
        tried.err()
    })
    .as_deref()
}

fn try_it() -> Result<(), String> {
    if !Path::new(DEVICE).exists() {
        return Err(format!("there is no {DEVICE} to make disks with (`modprobe fuse`)"));
    }
    enter_own_namespace().map_err(|error| {
        format!(
            "this process may not mount disks of its own ({error}): run it as root, or as `unshare --map-root-user \
             --mount squall run …`"
        )
    })?;
    let works = || -> io::Result<bool> {
        let dir = tempfile::tempdir()?;
        let at = dir.path().join("disk");
        let mounted = Mounted::new(at.clone(), DiskSettings::default(), Chance::root(0), Instant::now())?;
        fs::write(at.join("file"), "written")?;
        let node = mounted.drive.known(|disk| disk.lookup(0, "file"))?;
        Ok(node.len == 7)
    };
    match works() {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("a file that was written to a disk made by {DEVICE} is not on it")),
        Err(error) => Err(format!("no disk can be made by {DEVICE}: {error}")),
    }
}
