//! Measures how long a worker has waited for a processor. On a machine with more work than cores a sound run may take
//! minutes of real time. That must not become a finding.
//!
//! Linux counts for each thread how long it was ready to run and did not run (`/proc/PID/task/TID/schedstat`, the
//! second number, in nanoseconds). A thread that loops does run, and a thread that sleeps for ever is not ready, so
//! neither gets more time by this. If there is no such file, only real time counts.

use std::{collections::BTreeMap, fs, time::Duration};

/// How long a worker's threads have waited since an act began.
#[derive(Debug)]
pub(super) struct Starved {
    pid: u32,
    /// How long each thread had waited then, in nanoseconds.
    before: BTreeMap<u32, u64>,
    /// How long each thread had waited when it was last seen.
    seen: BTreeMap<u32, u64>,
}

impl Starved {
    /// Begins to count.
    pub fn from_now(pid: u32) -> Starved {
        let before = waits(pid);
        Starved { pid, seen: before.clone(), before }
    }

    /// The longest wait of any thread that runs, after the waits of those that have ended: a run works in one thread at a
    /// time, and the judge's thread begins when that of the simulation ends. A thread's last waits may be missed, if
    /// nothing looked between them and its end.
    pub fn lasted(&mut self) -> Duration {
        let now = waits(self.pid);
        let since =
            |(thread, wait): (&u32, &u64)| wait - self.before.get(thread).map_or(0, |old| *wait.min(old));
        let ended: u64 = self.seen.iter().filter(|(thread, _)| !now.contains_key(thread)).map(since).sum();
        let running = now.iter().map(since).max().unwrap_or(0);
        self.seen.extend(now);
        Duration::from_nanos(ended.saturating_add(running))
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
        let (over, mut starved) = (AtomicBool::new(false), Starved::from_now(pid));
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

    /// What a thread had waited counts after its end.
    #[test]
    fn waits_of_ended_threads_count() {
        let mut starved = Starved { pid: std::process::id(), before: BTreeMap::new(), seen: BTreeMap::new() };
        starved.before = [(u32::MAX, 1_000)].into();
        starved.seen = [(u32::MAX, 5_001_000), (u32::MAX - 1, 7_000_000)].into();
        assert!(starved.lasted() >= Duration::from_millis(12));
    }
}
