//! The parent's side: a worker process, its runs, and its end.

use super::death::{Death, How};
use super::message::{Act, Order, Report, Settings};
use super::starved::Starved;
use crate::cli::make::{Done, run_dir};
use crate::cli::{Interruption, Program};
use crate::report::{Staged, Workplace};
use crate::scenario::ScenarioFile;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the parent checks a busy worker.
const LOOK: Duration = Duration::from_millis(50);

/// How long a process may take to end after it has closed its socket: it may write a core dump.
const GOING: Duration = Duration::from_secs(10);

/// After this many runs a worker is replaced in any case, so that slow leaks do not matter.
const RUNS: u32 = 250;

/// How much of a worker's standard error is kept for a finding, in bytes.
const TAIL: usize = 2_000;

/// The limits of a run.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Limits {
    /// Real time for one act, minus the time that the worker waited for a processor.
    pub wall: Duration,
    /// Memory in RAM and swap, in bytes.
    pub memory: u64,
}

/// Why a run has no result.
pub(in crate::cli) enum Stopped {
    /// The whole command is interrupted.
    Interrupted,
    /// The worker died.
    Died(Death),
}

/// A worker process.
pub(in crate::cli) struct Worker {
    child: Child,
    reports: BufReader<UnixStream>,
    journal: File,
    stderr: Arc<Mutex<Vec<u8>>>,
    forwarder: Option<JoinHandle<()>>,
    runs: u32,
    /// The path of the scenario that it was given last.
    given: Option<PathBuf>,
}

impl Worker {
    /// Starts a worker.
    ///
    /// # Errors
    /// The system's error: it could not create a process, a socket or a temporary file.
    #[allow(
        clippy::disallowed_methods,
        reason = "outside any simulation: it copies a worker's standard error"
    )]
    pub fn start(program: &Program, settings: &Settings) -> io::Result<Worker> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(LOOK))?;
        let journal = tempfile::tempfile().map_err(|error| {
            named(&format!("no temporary file in {}", std::env::temp_dir().display()), error)
        })?;
        let mut child = (program.worker)()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(journal.try_clone()?))
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let (pipe, tail) = (child.stderr.take().expect("it is piped"), stderr.clone());
        let forwarder = std::thread::spawn(move || forward(pipe, &tail));
        let worker = Worker {
            child,
            reports: BufReader::new(ours),
            journal,
            stderr,
            forwarder: Some(forwarder),
            runs: 0,
            given: None,
        };
        // A worker that is gone already is noticed with its first run.
        let _sent = worker.send(settings);
        Ok(worker)
    }

    /// Has the worker make a run.
    ///
    /// # Errors
    /// If the process died, or the command is interrupted. The worker cannot be used any more then.
    pub fn make(
        &mut self,
        file: &ScenarioFile,
        mut order: Order,
        settings: &Settings,
        limits: Limits,
        interruption: &Interruption,
    ) -> Result<Done, Stopped> {
        if self.given.as_ref() == Some(&file.path) {
            order.file = None;
        }
        self.given = Some(file.path.clone());
        self.runs += 1;
        self.tail().clear();
        // The worker's messages show whether it was received.
        let _sent = self.send(&order);
        let run_dir = run_dir(&settings.out.0, file, order.seed);
        let (mut act, mut since, mut starved) = (Act::FirstRun, now(), Starved::from_now(self.child.id()));
        let how = loop {
            match self.report() {
                Ok(Some(Report::Begins(next))) => {
                    (act, since, starved) = (next, now(), Starved::from_now(self.child.id()));
                }
                Ok(Some(Report::Done { record, staged, cpu })) => {
                    let staged = staged.then(|| Staged::by(&run_dir, self.child.id()));
                    return Ok(Done { record: *record, staged, cpu });
                }
                Ok(None) if interruption.signal().is_some() => break None,
                Ok(None) => {
                    let held = memory_of(self.child.id());
                    if held > limits.memory {
                        break Some(How::Memory { held, limit: limits.memory });
                    }
                    let (lasted, waited) = (now().duration_since(since), starved.lasted());
                    if lasted.saturating_sub(waited) > limits.wall {
                        break Some(How::Time { limit: limits.wall });
                    }
                }
                Err(error) => match self.gone() {
                    Some(status) if was_told_to_end(status, interruption) => break None,
                    Some(status) => break Some(How::Ended { status }),
                    None => break Some(How::Silent { error: error.to_string() }),
                },
            }
        };
        let lasted = now().duration_since(since);
        self.kill();
        // The worker may have been staging its folder: removes an incomplete one.
        drop(Staged::by(&run_dir, self.child.id()));
        drop(Workplace::by(&run_dir, self.child.id()));
        let how = how.ok_or(Stopped::Interrupted)?;
        // When the forwarder ends, all of the worker's standard error has arrived.
        if let Some(forwarder) = self.forwarder.take() {
            let _joined = forwarder.join();
        }
        let said = String::from_utf8_lossy(&self.tail()).into_owned();
        Err(Stopped::Died(Death { how, act, lasted, journal: self.journal(), said }))
    }

    /// Whether it should be replaced before its next run.
    pub fn is_worn(&self, limits: Limits) -> bool {
        self.runs >= RUNS || memory_of(self.child.id()) > limits.memory / 2
    }

    fn send(&self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut socket: &UnixStream = self.reports.get_ref();
        socket.write_all(&line)
    }

    /// The worker's next message; `None` if none comes for a moment; an error if none can come any more.
    fn report(&mut self) -> io::Result<Option<Report>> {
        let mut line = Vec::new();
        loop {
            match self.reports.read_until(b'\n', &mut line) {
                Ok(_) if line.ends_with(b"\n") => return Ok(Some(serde_json::from_slice(&line)?)),
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Otherwise a line has begun, and the rest of it is still coming.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && line.is_empty() => {
                    return Ok(None);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn tail(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> Vec<u8> {
        let mut content = vec![0; self.journal.metadata().map_or(0, |meta| meta.len()) as usize];
        match self.journal.read_exact_at(&mut content, 0) {
            Ok(()) => content,
            Err(_) => Vec::new(),
        }
    }

    /// Kills the worker at once, if it is alive.
    fn kill(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }

    /// The worker's exit status, or `None` if it is still alive.
    #[allow(clippy::disallowed_methods, reason = "outside any simulation: it waits for a process")]
    fn gone(&mut self) -> Option<ExitStatus> {
        let since = now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if since.elapsed() < GOING => std::thread::sleep(Duration::from_millis(2)),
                _ => return None,
            }
        }
    }
}

/// Closes the socket, which asks the worker to end, and waits for that only a short time.
impl Drop for Worker {
    fn drop(&mut self) {
        let _closed = self.reports.get_ref().shutdown(std::net::Shutdown::Both);
        if self.gone().is_none() {
            self.kill();
        }
        if let Some(forwarder) = self.forwarder.take() {
            let _joined = forwarder.join();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "real time outside the simulation: the limit of a run")]
fn now() -> Instant {
    Instant::now()
}

/// Copies a worker's standard error to ours, and keeps the end of it.
fn forward(mut pipe: impl Read, tail: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 8192];
    loop {
        let length = match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let part = &buffer[..length];
        let _passed = io::stderr().write_all(part);
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(part);
        let extra = tail.len().saturating_sub(TAIL);
        tail.drain(..extra);
    }
}

/// The memory that the process holds in RAM and swap, in bytes; 0 if it is unknown.
fn memory_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    (kib("VmRSS") + kib("VmSwap")) * 1024
}

/// Whether the worker ended because the whole command was interrupted. A terminal sends a signal to parent and
/// children, and the worker may notice it first.
#[allow(clippy::disallowed_methods, reason = "outside any simulation")]
fn was_told_to_end(status: ExitStatus, interruption: &Interruption) -> bool {
    if !matches!(status.signal(), Some(libc::SIGINT | libc::SIGTERM | libc::SIGHUP)) {
        return false;
    }
    for _ in 0..20 {
        if interruption.signal().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn named(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
