//! A member's machine: at most one process, its signals and its end.
//!
//! The run's thread starts the process. The kernel kills the process when that thread ends for any reason
//! (`PR_SET_PDEATHSIG`). It has its own process group, so that a terminal's Ctrl-C does not reach it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    disk::{Drive, Mounted},
    links::lock,
};
use crate::arena::{At, NodeId, Status};

/// How long a killed process may take to end.
const GONE: Duration = Duration::from_secs(10);

/// A machine.
pub(super) struct Machine {
    pub(super) node: NodeId,
    /// The folder of its disk and its server's log; `None` for a client's machine.
    pub(super) dir: Option<PathBuf>,
    /// Its mounted disk, if the run mounts disks.
    disk: Option<Mounted>,
    /// When the run began.
    began: Instant,
    state: Mutex<State>,
    /// Notified when a process ends and when the machine is turned on.
    pub(super) changed: Notify,
    reaped: Condvar,
}

struct State {
    status: Status,
    life: u32,
    pid: Option<libc::pid_t>,
    asked_to_stop: bool,
    /// The ends of processes that failed by themselves.
    deaths: Vec<Death>,
}

/// The end of a process that failed by itself.
#[derive(Debug, Clone)]
pub(super) struct Death {
    pub(super) at: At,
    pub(super) life: u32,
    pub(super) reason: String,
    pub(super) panicked: bool,
}

impl Machine {
    pub(super) fn new(node: NodeId, dir: Option<PathBuf>, disk: Option<Mounted>, began: Instant) -> Self {
        let state =
            State { status: Status::Down, life: 0, pid: None, asked_to_stop: false, deaths: Vec::new() };
        let (state, changed, reaped) = (Mutex::new(state), Notify::new(), Condvar::new());
        Self { node, dir, disk, began, state, changed, reaped }
    }

    /// The folder that is its disk.
    pub(super) fn disk_path(&self) -> PathBuf {
        match &self.disk {
            Some(disk) => disk.at.clone(),
            None => self.dir.as_ref().expect("a member's machine").join("disk"),
        }
    }

    /// Its mounted disk; `None` if its disk is a plain folder.
    pub(super) fn drive(&self) -> Option<&Drive> {
        self.disk.as_ref().map(|disk| &*disk.drive)
    }

    /// Unmounts its disk. The content is lost.
    pub(super) fn unmount(&self) {
        self.disk.iter().for_each(Mounted::unmount);
    }

    pub(super) fn status(&self) -> Status {
        lock(&self.state).status.clone()
    }

    pub(super) fn life(&self) -> u32 {
        lock(&self.state).life
    }

    pub(super) fn pid(&self) -> Option<libc::pid_t> {
        lock(&self.state).pid
    }

    pub(super) fn deaths(&self) -> Vec<Death> {
        lock(&self.state).deaths.clone()
    }

    /// The path of the server's log.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.as_ref().expect("a member's machine").join("server.log")
    }

    /// Starts a process. If it cannot be started, its status is exited, with the reason.
    pub(super) fn start(self: &Arc<Self>, mut command: Command, log: &Path) {
        let mut state = lock(&self.state);
        assert!(state.pid.is_none(), "{} runs already", self.node);
        if let Some(drive) = self.drive() {
            drive.switch_on();
        }
        state.life += 1;
        state.asked_to_stop = false;
        let life = state.life;
        let spawned = open_log(log, life, &command).and_then(|(file, from)| {
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
            die_with_this_thread(&mut command);
            Ok((command.process_group(0).spawn()?, from))
        });
        match spawned {
            Ok((child, from)) => {
                let pid = libc::pid_t::try_from(child.id()).expect("a process id");
                (state.pid, state.status) = (Some(pid), Status::Up);
                let (machine, log) = (self.clone(), log.to_owned());
                std::thread::spawn(move || machine.wait(child, pid, &log, from));
            }
            Err(error) => state.status = Status::Exited(Some(format!("it cannot be started: {error}"))),
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits for the end of a process. Its pid is not reused before it is reaped, and that happens under the lock. So
    /// a signal never reaches another process.
    fn wait(&self, mut child: Child, pid: libc::pid_t, log: &Path, from: u64) {
        // SAFETY: a plain system call; it fills in a value for which all zeroes are valid.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let id = libc::id_t::try_from(pid).expect("a process id");
            while libc::waitid(libc::P_PID, id, &mut info, libc::WEXITED | libc::WNOWAIT) != 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
        }
        let last = last_words(log, from);
        let mut state = lock(&self.state);
        let exit = child.wait().ok();
        state.pid = None;
        // Whoever killed it has already set the status.
        if matches!(state.status, Status::Up | Status::Paused) {
            let asked = state.asked_to_stop;
            state.status = match exit {
                Some(exit) if exit.success() || asked => Status::Exited(None),
                exit => {
                    let (reason, mut panicked) = why_ended(exit, &last);
                    // etcd can stop only by a panic if it cannot write, or cannot read what it wrote.
                    panicked &= !(go_panicked(&last) && self.drive().is_some_and(Drive::is_to_blame));
                    let (at, life) = (At::from_start(self.began.elapsed()), state.life);
                    state.deaths.push(Death { at, life, reason: reason.clone(), panicked });
                    if panicked { Status::Panicked(reason) } else { Status::Exited(Some(reason)) }
                }
            };
        }
        drop(state);
        self.reaped.notify_all();
        self.changed.notify_waiters();
    }

    /// Kills the process, if one runs, and waits until it is gone. Then sets the machine's status to `status`. The
    /// disk is off meanwhile, and stays off if the machine has no power.
    pub(super) fn kill(&self, status: Status) {
        let mut state = lock(&self.state);
        let has_power = status != Status::Off;
        state.status = status;
        if let Some(pid) = state.pid {
            signal(pid, libc::SIGKILL);
        }
        // After the signal, so the process does not see the errors that the disk now answers.
        if let Some(drive) = self.drive() {
            drive.switch_off();
        }
        if state.pid.is_some() {
            let gone = self.reaped.wait_timeout_while(state, GONE, |state| state.pid.is_some());
            let (_state, timeout) = gone.expect("not poisoned");
            assert!(!timeout.timed_out(), "{} is not gone {GONE:?} after SIGKILL", self.node);
        }
        if let Some(drive) = self.drive().filter(|_| has_power) {
            drive.switch_on();
        }
        self.changed.notify_waiters();
    }

    /// Asks the process to end.
    pub(super) fn ask_to_stop(&self) {
        let mut state = lock(&self.state);
        if let Some(pid) = state.pid {
            state.asked_to_stop = true;
            signal(pid, libc::SIGTERM);
        }
    }

    /// Pauses or resumes the process. False if none runs.
    pub(super) fn pause(&self, paused: bool) -> bool {
        let mut state = lock(&self.state);
        let Some(pid) = state.pid.filter(|_| matches!(state.status, Status::Up | Status::Paused)) else {
            return false;
        };
        signal(pid, if paused { libc::SIGSTOP } else { libc::SIGCONT });
        state.status = if paused { Status::Paused } else { Status::Up };
        true
    }

    /// Completes when no process runs.
    pub(super) async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            if self.pid().is_none() {
                return;
            }
            changed.await;
        }
    }

    /// Completes when the machine has power.
    pub(super) async fn powered(&self) {
        loop {
            let changed = self.changed.notified();
            if self.status() != Status::Off {
                return;
            }
            changed.await;
        }
    }
}

/// Makes the kernel kill this command's process when the thread that starts it ends.
pub(super) fn die_with_this_thread(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only system calls that are safe there are made.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the request.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
}

fn signal(pid: libc::pid_t, signal: libc::c_int) {
    // SAFETY: a plain system call. The process is not reaped, so its pid is not reused.
    let _gone = unsafe { libc::kill(pid, signal) };
}

/// Opens a server's log for another life. Answers the offset at which this life begins.
fn open_log(path: &Path, life: u32, command: &Command) -> io::Result<(File, u64)> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "--- squall: life {life}: {command:?}")?;
    let from = file.seek(SeekFrom::End(0))?;
    Ok((file, from))
}

/// The end of what a life has written to the log: at most 8 KiB.
fn last_words(path: &Path, from: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(len.saturating_sub(8192))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

const GO_PANIC: &str = "panic: ";

/// Whether a program in Go has panicked.
fn go_panicked(last: &str) -> bool {
    last.lines().any(|line| line.starts_with(GO_PANIC))
}

/// Why a process ended, from its exit and its last words; and whether it panicked.
fn why_ended(exit: Option<ExitStatus>, last: &str) -> (String, bool) {
    let exit = exit.map_or_else(|| "an unknown end".to_owned(), |exit| exit.to_string());
    // The panic lines of Go and of Rust.
    let panic = last.lines().find(|line| line.starts_with(GO_PANIC) || line.contains("panicked at "));
    let fatal = last.lines().rfind(|line| line.contains("\"level\":\"fatal\"") || line.contains("\tfatal\t"));
    let line = panic.or(fatal).or_else(|| last.lines().rfind(|line| !line.trim().is_empty()));
    let line: String = line.unwrap_or("it said nothing").trim().chars().take(400).collect();
    (format!("{exit}: {line}"), panic.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arena::{Modifier, Token},
        processes::{
            disk::{can_be_tested, enter_own_namespace},
            in_real_time,
        },
        world::{Bites, DiskSettings},
    };

    fn machine() -> (tempfile::TempDir, Arc<Machine>) {
        let dir = tempfile::tempdir().expect("a folder");
        let machine = Machine::new(NodeId::new(0, "m1"), Some(dir.path().to_owned()), None, Instant::now());
        (dir, Arc::new(machine))
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    /// Runs a test's body in a separate process. Starting a process forks, and a fork makes every `thread_rng` of this
    /// process draw a new seed, including those of simulated runs in other tests.
    fn alone(test: &str, body: impl FnOnce()) {
        const ALONE: &str = "SQUALL_TEST_ALONE";
        if std::env::var_os(ALONE).is_some() {
            return body();
        }
        let this = std::env::current_exe().expect("this program");
        let name = format!("{}::{test}", module_path!().split_once("::").expect("a path").1);
        let output = Command::new(this).args([&name, "--exact", "--nocapture"]).env(ALONE, "1").output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    }

    #[test]
    fn an_end_is_told_by_who_brought_it_about() {
        alone("an_end_is_told_by_who_brought_it_about", || {
            in_real_time(ends());
        });
    }

    async fn ends() {
        let (_dir, machine) = machine();
        let log = machine.log();
        machine.start(shell("echo no quorum >&2; exit 3"), &log);
        machine.ended().await;
        let Status::Exited(Some(reason)) = machine.status() else { panic!("{:?}", machine.status()) };
        assert!(reason.contains("no quorum") && reason.contains('3'), "{reason}");
        machine.start(shell("echo 'panic: oh' >&2; exit 2"), &log);
        machine.ended().await;
        assert!(matches!(machine.status(), Status::Panicked(reason) if reason.contains("panic: oh")));
        machine.start(shell("sleep 60"), &log);
        assert_eq!((machine.status(), machine.life()), (Status::Up, 3));
        assert!(machine.pause(true));
        assert_eq!(machine.status(), Status::Paused);
        machine.kill(Status::Down);
        assert_eq!((machine.status(), machine.pid()), (Status::Down, None));
        machine.start(shell("exec sleep 60"), &log);
        machine.ask_to_stop();
        machine.ended().await;
        assert_eq!(machine.status(), Status::Exited(None));
        assert_eq!(machine.deaths().len(), 2, "only what ended by itself");
    }

    #[test]
    fn a_process_whose_disk_stands_still_is_gone_when_it_is_killed() {
        alone("a_process_whose_disk_stands_still_is_gone_when_it_is_killed", || {
            if !can_be_tested() {
                return;
            }
            enter_own_namespace().expect("it was possible before");
            let dir = tempfile::tempdir().expect("a folder");
            let chance = crate::world::Chance::root(1);
            let disk = Mounted::new(dir.path().join("disk"), DiskSettings::default(), chance, Instant::now());
            let (node, here) = (NodeId::new(0, "m1"), Some(dir.path().to_owned()));
            let machine = Machine::new(node, here, Some(disk.expect("it is mounted")), Instant::now());
            let machine = Arc::new(machine);
            let (token, bites) = (Token::new(1), Bites::default());
            let drive = machine.drive().expect("it has one");
            drive.impose(&Modifier::StallDisk(node), token, bites.clone());
            let script = format!("echo x > {}/file", machine.disk_path().display());
            machine.start(shell(&script), &machine.log());
            while bites.so_far() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            machine.kill(Status::Down);
            assert_eq!((machine.status(), machine.pid()), (Status::Down, None));
            machine.unmount();
        });
    }

    #[test]
    fn a_process_dies_with_the_thread_that_started_it() {
        alone("a_process_dies_with_the_thread_that_started_it", dies);
    }

    fn dies() {
        let (_dir, machine) = machine();
        let starts = {
            let machine = machine.clone();
            std::thread::spawn(move || machine.start(shell("exec sleep 60"), &machine.log()))
        };
        starts.join().expect("it starts");
        in_real_time(async {
            let gone = system_tokio::time::timeout(Duration::from_secs(10), machine.ended());
            gone.await.expect("the kernel has killed it");
        });
    }
}
