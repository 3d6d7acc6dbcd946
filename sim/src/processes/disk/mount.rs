//! Where the disks are mounted: in a mount namespace of the run's own.
//!
//! So whatever ends the run (a failure, a signal, SIGKILL), no mount stays behind: the kernel takes the namespace's mounts
//! away with the last process in it, which are this one and its servers. Nobody else sees them; a person looks at
//! `/proc/PID/root/…` of a process of the run.

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

/// The device by which the kernel asks a FUSE file system.
const DEVICE: &str = "/dev/fuse";

/// How many operations of a disk can wait at a time. Any more wait in the kernel.
const THREADS: usize = 16;

/// A disk that is mounted. Dropping it unmounts it.
pub(in crate::processes) struct Mounted {
    pub(in crate::processes) drive: Arc<Drive>,
    pub(in crate::processes) at: PathBuf,
    session: Mutex<Option<BackgroundSession>>,
}

impl Mounted {
    /// Mounts an empty disk at a folder, which is made.
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
        // An operation that still waits would keep its process alive, and the process would keep the mount.
        self.drive.switch_off();
        let path = CString::new(self.at.as_os_str().as_bytes()).expect("no zero byte in a path");
        // Detached: a process that has a file open (a tool that was left behind) does not keep it here.
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

/// Gives the calling thread, and all that it starts from now on, mounts of their own.
pub(in crate::processes) fn enter_own_namespace() -> io::Result<()> {
    let check = |result: libc::c_int| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: plain system calls. The strings are constants.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        let nothing = std::ptr::null();
        // Otherwise what is mounted here would show outside too.
        check(libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            nothing,
            libc::MS_REC | libc::MS_PRIVATE,
            nothing.cast(),
        ))
    }
}

/// Whether disks can be made here. Where they cannot, a test says so and passes, unless `SQUALL_REQUIRE_FUSE` is set.
#[cfg(test)]
pub(in crate::processes) fn can_be_tested() -> bool {
    let Some(why) = unavailable() else { return true };
    assert!(std::env::var_os("SQUALL_REQUIRE_FUSE").is_none(), "{why}");
    eprintln!("skipped: {why}");
    false
}

/// Why disks cannot be made here, if they cannot. Tried once.
pub(in crate::processes) fn unavailable() -> Option<&'static str> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    WHY.get_or_init(|| {
        // A thread of its own, for a namespace of its own.
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
