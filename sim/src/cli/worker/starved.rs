//! Measures how long a worker has waited for a processor. On a machine with more work than cores a sound run may take
//! minutes of real time. That must not become a finding.
//!
//! Linux counts for each thread how long it was ready to run and did not run (`/proc/PID/task/TID/schedstat`, the
//! second number, in nanoseconds). A thread that loops does run, and a thread that sleeps for ever is not ready, so
//! neither gets more time by this. If there is no such file, only real time counts.

use std::{collections::BTreeMap, fs, time::Duration};

/// How long a worker's threads had waited when an act began.
#[derive(Debug)]
pub(super) struct Starved {
    pid: u32,
    /// By thread, in nanoseconds.
    before: BTreeMap<u32, u64>,
}

impl Starved {
    /// Begins to count.
    pub fn from_now(pid: u32) -> Starved {
        Starved { pid, before: waits(pid) }
    }

    /// The longest wait of any of its threads: a run works in one thread at a time.
    pub fn lasted(&self) -> Duration {
        let waits = waits(self.pid).into_iter();
        let since =
            waits.map(|(thread, wait)| wait - self.before.get(&thread).map_or(0, |old| wait.min(*old)));
        Duration::from_nanos(since.max().unwrap_or(0))
    }
}

fn waits(pid: u32) -> BTreeMap<u32, u64> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeMap::new() };
    let wait = |thread: fs::DirEntry| {
        let id = thread.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((id, text.split_whitespace().nth(1)?.parse().ok()?))
    };
    threads.flatten().filter_map(wait).collect()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "outside any simulation: threads that sleep and loop")]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
        time::Instant,
    };

    use super::*;

    #[test]
    fn a_crowd_waits() {
        let pid = std::process::id();
        if !std::path::Path::new("/proc/self/schedstat").exists() {
            return;
        }
        // There are more looping threads than cores, so one of them waits.
        let crowd = 4 * thread::available_parallelism().map_or(2, usize::from);
        let (over, starved) = (AtomicBool::new(false), Starved::from_now(pid));
        thread::scope(|scope| {
            for _ in 0..crowd {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop()
                    }
                });
            }
            let since = Instant::now();
            while starved.lasted() < Duration::from_millis(50) {
                assert!(
                    since.elapsed() < Duration::from_secs(60),
                    "nobody has waited: {:?}",
                    starved.lasted()
                );
                thread::sleep(Duration::from_millis(20));
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}
