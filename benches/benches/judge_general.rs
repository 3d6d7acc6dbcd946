//! The general check on Porcupine's own benchmark histories, without parsing. They are in the folder that
//! `SQUALL_HISTORIES` names, by default `../shared/data/histories` beside the workspace. Without them the benchmark
//! says so and measures nothing.
//!
//! Before criterion measures, a table compares each file with the median that `verdicts.tsv` lists for Porcupine. Ours
//! is the median of several runs, on as many threads as the machine has. The last line names the file that comes
//! closest.
#![allow(missing_docs, reason = "criterion's macros make public functions without any")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use squall_checker::history::ReadLimits;
use squall_checker::model::{CasRegister, KvAppend};
use squall_checker::read::{ForeignHistory, Format, NilRead};
use squall_checker::search::{Options, check};

fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("SQUALL_HISTORIES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/histories"),
    };
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no histories in {}; set SQUALL_HISTORIES", folder.display());
    None
}

fn read(path: &Path, format: Format) -> ForeignHistory {
    let text = std::fs::read(path).expect("the history can be read");
    ForeignHistory::read(format, text.as_slice(), &path.display().to_string(), &ReadLimits::default())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Porcupine's medians by file, in microseconds.
fn listed(folder: &Path) -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(folder.join("verdicts.tsv")).expect("verdicts.tsv is there");
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = lines.next().expect("a head line");
    let column = head.iter().position(|name| name.starts_with("porcupine")).expect("Porcupine's column");
    lines.filter_map(|row| Some((row[0].to_owned(), row[column].parse().ok()?))).collect()
}

/// The median of some runs.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures the machine's time")]
fn median(runs: usize, mut f: impl FnMut()) -> Duration {
    f();
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let began = std::time::Instant::now();
            f();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[runs / 2]
}

/// One line for each file: our median, Porcupine's, and their ratio.
fn table(title: &str, listed: &BTreeMap<String, f64>, ours: &[(String, Duration)]) {
    println!("{title}: ours and Porcupine's in microseconds, and the ratio");
    let mut worst: Option<(f64, &str)> = None;
    let mut sums = (0.0, 0.0);
    for (name, time) in ours {
        let Some(theirs) = listed.get(name) else { continue };
        let micros = time.as_secs_f64() * 1e6;
        let ratio = theirs / micros;
        println!("{name}\t{micros:.1}\t{theirs:.1}\t{ratio:.1}");
        sums = (sums.0 + micros, sums.1 + theirs);
        if worst.is_none_or(|(known, _)| ratio < known) {
            worst = Some((ratio, name));
        }
    }
    if let Some((ratio, name)) = worst {
        println!("sum\t{:.1}\t{:.1}\t{:.1}", sums.0, sums.1, sums.1 / sums.0);
        println!("closest\t{name}\t{ratio:.1} times as fast\n");
    }
}

fn general(criterion: &mut Criterion) {
    let Some(folder) = folder() else { return };
    let options = Options::default();
    let jepsen = folder.join("jepsen-etcd");
    let known = listed(&jepsen);
    let logs: Vec<(String, _)> = known
        .keys()
        .map(|name| {
            let log = read(&jepsen.join(name), Format::JepsenLog)
                .register(NilRead::Value)
                .expect("a register's history");
            (name.clone(), log)
        })
        .collect();
    let register = CasRegister::default();
    let times: Vec<(String, Duration)> = logs
        .iter()
        .map(|(name, log)| (name.clone(), median(51, || drop(check(&register, log, &options)))))
        .collect();
    table("jepsen-etcd", &known, &times);
    criterion.bench_function(&format!("jepsen-etcd, {} logs together", logs.len()), |bencher| {
        bencher.iter(|| logs.iter().map(|(_, log)| check(&register, log, &options)).collect::<Vec<_>>());
    });
    let appends = folder.join("kv-append");
    let known = listed(&appends);
    let histories: Vec<(String, _)> = known
        .keys()
        .map(|name| {
            let history =
                read(&appends.join(name), Format::PorcupineKv).kv_append("").expect("a store's history");
            (name.clone(), history)
        })
        .collect();
    let model = KvAppend::default();
    let times: Vec<(String, Duration)> = histories
        .iter()
        .map(|(name, history)| (name.clone(), median(21, || drop(check(&model, history, &options)))))
        .collect();
    table("kv-append", &known, &times);
    for (name, history) in &histories {
        criterion.bench_function(&format!("kv-append/{name}"), |bencher| {
            bencher.iter(|| check(&model, history, &options));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300));
    targets = general
}
criterion_main!(benches);
