//! The system's numbers about this process, by the names that every Prometheus client library uses.

#![allow(clippy::disallowed_methods, reason = "the real build: nothing here is replayed")]

use std::{fs, time::Duration};

use crate::metrics::{Family, Kind, Series, Value};

/// Clock ticks in a second: Linux shows user space 100 on every architecture that matters here.
const TICKS: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

/// The families `process_*` and etcd's `os_fd_*`. Numbers that the system does not give are left out.
pub(crate) fn process_metrics() -> Vec<Family> {
    let mut families = Vec::new();
    let mut add = |name, help, kind, value: Option<f64>| {
        let series = value.map(|value| Series { labels: [].into(), value: Value::Number(value) });
        families.push(Family { name, help, kind, series: series.into_iter().collect() });
    };
    let stat = stat();
    // Counted from `state`, the first field after the name: see proc(5), whose numbers are two higher.
    let field = |at: usize| stat.as_ref().and_then(|stat| stat.get(at).copied());
    let cpu = field(11).zip(field(12)).map(|(user, system)| (user + system) / TICKS);
    let started = field(19).zip(boot_time()).map(|(ticks, boot)| boot + ticks / TICKS);
    add("process_cpu_seconds_total", "Time that processors have spent on this process.", Kind::Counter, cpu);
    add("process_start_time_seconds", "When this process began, as Unix time.", Kind::Gauge, started);
    add("process_virtual_memory_bytes", "Address space taken.", Kind::Gauge, field(20));
    add(
        "process_resident_memory_bytes",
        "Memory taken.",
        Kind::Gauge,
        field(21).map(|pages| pages * PAGE_BYTES),
    );
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1) as f64);
    let limits = fs::read_to_string("/proc/self/limits").ok();
    let limit = |name: &str| {
        let line = limits.as_ref()?.lines().find(|line| line.starts_with(name))?;
        let soft = line[name.len()..].split_whitespace().next()?;
        if soft == "unlimited" { Some(u64::MAX as f64) } else { soft.parse().ok() }
    };
    let most = limit("Max open files");
    add("process_open_fds", "File descriptors open.", Kind::Gauge, open);
    add("process_max_fds", "File descriptors that may be open.", Kind::Gauge, most);
    add("os_fd_used", "File descriptors open, by etcd's name.", Kind::Gauge, open);
    add("os_fd_limit", "File descriptors that may be open, by etcd's name.", Kind::Gauge, most);
    let space = limit("Max address space");
    add("process_virtual_memory_max_bytes", "Address space that may be taken.", Kind::Gauge, space);
    families
}

/// The numbers of `/proc/self/stat` after the name, which may hold spaces and brackets.
fn stat() -> Option<Vec<f64>> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after) = text.rsplit_once(')')?;
    Some(after.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect())
}

/// When the machine started, as Unix time.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok().map(|secs| Duration::from_secs(secs).as_secs_f64())
}
