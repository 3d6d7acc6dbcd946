//! The general check on the histories that Porcupine is measured by, parsing not counted. `SQUALL_HISTORIES` says where
//! they are, else `../shared/data/histories` beside the workspace; where there are none, that is said and nothing is
//! measured.
#![allow(missing_docs, reason = "criterion's macros make public functions without any")]

use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_group, criterion_main};
use squall_checker::history::ReadLimits;
use squall_checker::model::{CasRegister, KvAppend};
use squall_checker::read::{ForeignHistory, Format};
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

fn general(criterion: &mut Criterion) {
    let Some(folder) = folder() else { return };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder.join("jepsen-etcd"))
        .expect("the folder of Jepsen's logs")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    paths.sort();
    let logs: Vec<_> = paths
        .iter()
        .map(|path| read(path, Format::JepsenLog).register().expect("a register's history"))
        .collect();
    let register = CasRegister::default();
    let options = Options::default();
    criterion.bench_function(&format!("jepsen-etcd, {} logs together", logs.len()), |bencher| {
        bencher.iter(|| logs.iter().map(|log| check(&register, log, &options)).collect::<Vec<_>>());
    });
    for (path, log) in paths.iter().zip(&logs) {
        // One by one, to be held against the medians in verdicts.tsv.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        criterion.bench_function(&format!("jepsen-etcd/{name}"), |bencher| {
            bencher.iter(|| check(&register, log, &options));
        });
    }
    for name in ["c10-bad", "c10-ok", "c50-bad", "c50-ok"] {
        let path = folder.join("kv-append").join(format!("{name}.txt"));
        let history = read(&path, Format::PorcupineKv).kv_append().expect("a store's history");
        criterion.bench_function(&format!("kv-append/{name}"), |bencher| {
            bencher.iter(|| check(&KvAppend::default(), &history, &options));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(std::time::Duration::from_millis(100))
        .measurement_time(std::time::Duration::from_millis(300));
    targets = general
}
criterion_main!(benches);
