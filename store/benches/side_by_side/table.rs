//! The figures, as rows of a table in Markdown.

use std::time::Duration;

use crate::load::{Row, Slice};

/// All slices of a row on one server.
#[derive(Default)]
pub struct Measured {
    took: Vec<Duration>,
    lasted: Duration,
    processor: Duration,
    pub resident_bytes: u64,
}

impl Measured {
    pub fn add(&mut self, slice: Slice, processor: Duration) {
        self.took.extend(slice.took);
        self.lasted += slice.lasted;
        self.processor += processor;
    }

    fn rate(&self) -> f64 {
        self.took.len() as f64 / self.lasted.as_secs_f64()
    }

    fn per_processor_second(&self) -> f64 {
        // A slice in which nothing was counted cost less than a tick.
        self.took.len() as f64 / self.processor.as_secs_f64().max(0.01)
    }

    /// Sorted before.
    fn percentile(&self, percent: usize) -> f64 {
        let at = (self.took.len() * percent / 100).min(self.took.len().saturating_sub(1));
        self.took.get(at).copied().unwrap_or_default().as_secs_f64() * 1e3
    }
}

pub fn head(members: usize) {
    println!("\n{members} member(s); etcd, squalld\n");
    println!(
        "| | clients | a second | ratio | p50, ms | p99, ms | a second of processor time | ratio | resident, MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
}

pub fn row(row: &Row, measured: &mut [Measured; 2]) {
    for measured in measured.iter_mut() {
        measured.took.sort_unstable();
    }
    let [etcd, squalld] = measured;
    println!(
        "| {} | {} | {:.0}, {:.0} | {:.2} | {:.2}, {:.2} | {:.2}, {:.2} | {:.0}, {:.0} | {:.2} | {:.0}, {:.0} |",
        row.name(),
        row.clients,
        etcd.rate(),
        squalld.rate(),
        squalld.rate() / etcd.rate(),
        etcd.percentile(50),
        squalld.percentile(50),
        etcd.percentile(99),
        squalld.percentile(99),
        etcd.per_processor_second(),
        squalld.per_processor_second(),
        squalld.per_processor_second() / etcd.per_processor_second(),
        etcd.resident_bytes as f64 / 1e6,
        squalld.resident_bytes as f64 / 1e6,
    );
}
