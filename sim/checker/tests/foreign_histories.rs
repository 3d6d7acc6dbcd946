//! Every foreign history with a known verdict, judged: Jepsen's etcd logs, Porcupine's KV histories, Knossos' EDN.
//!
//! The files are not ours and not in the repository. They are found in `../shared/data/histories` beside the
//! workspace, or where `SQUALL_HISTORIES` points. Where there are none the test says so and passes, unless
//! `SQUALL_REQUIRE_HISTORIES=1`.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use squall_checker::history::ReadLimits;
use squall_checker::judge::{CheckOptions, Judged, check_paths};
use squall_checker::model::{CasRegister, ConcurrentHistory, KvAppend, Model, MultiRegister};
use squall_checker::read::{ForeignHistory, Format, NilRead, RECOGNISE_BYTES, recognise};
use squall_checker::search::{Options, Verdict, check, replay};

/// Where the judge blames another operation than Knossos does, and why. The test fails when a difference appears that
/// is not here, and when one of these disappears.
const DIFFERENT_BLAME: [(&str, u64, &str); 0] = [];

fn histories() -> Option<PathBuf> {
    let folder = match std::env::var_os("SQUALL_HISTORIES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/histories"),
    };
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var("SQUALL_REQUIRE_HISTORIES").is_ok_and(|value| value == "1");
    assert!(!required, "SQUALL_REQUIRE_HISTORIES=1, and there is no folder {}", folder.display());
    eprintln!("SKIPPED: no histories in {}; set SQUALL_HISTORIES to judge them", folder.display());
    None
}

/// The rows of a table of verdicts, by column name.
fn table(folder: &Path, name: &str) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(folder.join(name)).expect("the table is there");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a head line").split('\t').collect();
    lines
        .filter(|line| !line.is_empty())
        .map(|line| names.iter().zip(line.split('\t')).map(|(n, v)| (n.to_string(), v.to_owned())).collect())
        .collect()
}

fn read(path: &Path, expected: Format) -> ForeignHistory {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(recognise(&text[..text.len().min(RECOGNISE_BYTES)]), Some(expected), "{}", path.display());
    let name = path.display().to_string();
    ForeignHistory::read(expected, BufReader::new(text.as_slice()), &name, &ReadLimits::default())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The verdict, as the tables spell it, and the return of the blamed operation.
fn judge<M: Model>(
    model: &M,
    history: &ConcurrentHistory<M::Input, M::Output>,
) -> (&'static str, Option<u64>) {
    match check(model, history, &Options::default()) {
        Verdict::Valid(linearization) => {
            replay(model, history, &linearization.order).expect("the linearization replays");
            ("ok", None)
        }
        Verdict::Illegal(violation) => ("illegal", history.operations()[violation.blamed].ret),
        Verdict::Unknown(exhausted) => panic!("out of {}: {:?}", exhausted.resource, exhausted.effort),
    }
}

#[test]
fn every_jepsen_etcd_log_gets_its_verdict() {
    let Some(folder) = histories() else { return };
    let folder = folder.join("jepsen-etcd");
    let mut judged = 0;
    for row in table(&folder, "verdicts.tsv") {
        let history = read(&folder.join(&row["file"]), Format::JepsenLog)
            .register(NilRead::Value)
            .expect("a register's history");
        let (verdict, _) = judge(&CasRegister::default(), &history);
        assert_eq!(verdict, row["expected"], "{}", row["file"]);
        judged += 1;
    }
    assert!(judged >= 52, "{judged} logs");
}

#[test]
fn every_porcupine_kv_history_gets_its_verdict() {
    let Some(folder) = histories() else { return };
    let folder = folder.join("kv-append");
    let mut judged = 0;
    for row in table(&folder, "verdicts.tsv") {
        let history =
            read(&folder.join(&row["file"]), Format::PorcupineKv).kv_append("").expect("a store's history");
        let (verdict, _) = judge(&KvAppend::default(), &history);

        assert_eq!(verdict, row["expected"], "{}", row["file"]);
        judged += 1;
    }
    assert!(judged >= 6, "{judged} histories");
}

#[test]
fn every_knossos_history_gets_its_verdict_and_its_blame() {
    let Some(folder) = histories() else { return };
    let folder = folder.join("knossos");
    let mut judged = 0;
    for row in table(&folder, "verdicts.tsv") {
        let file = &row["edn"];
        let foreign = read(&folder.join(file), Format::Edn);
        let (verdict, blamed) = match row["model"].as_str() {
            "cas-register" => {
                let model = CasRegister { initial: row["initial"].parse().ok(), ..CasRegister::default() };
                judge(&model, &foreign.register(NilRead::Unknown).expect("a register's history"))
            }
            "multi-register" => {
                let initial = row["initial"].split_whitespace().map(|entry| {
                    let (name, value) = entry.split_once('=').expect("name=value");
                    (name.to_owned(), Some(value.parse().expect("an integer")))
                });
                let model = MultiRegister { initial: initial.collect(), ..MultiRegister::default() };
                judge(&model, &foreign.multi_register(NilRead::Unknown).expect("a multi-register's history"))
            }
            other => panic!("{file}: no model {other}"),
        };
        assert_eq!(verdict, row["expected"], "{file}");
        if let Some(expected) = row.get("knossos_blamed_index").and_then(|index| index.parse::<u64>().ok()) {
            let different = DIFFERENT_BLAME.iter().find(|(name, _, _)| name == file);
            let expected = different.map_or(expected, |(_, index, _)| *index);
            assert_eq!(blamed, Some(expected), "{file}: {different:?}");
        }
        judged += 1;
    }
    assert!(judged >= 61, "{judged} histories");
}

/// A folder with texts and tables beside its histories: these are passed over, and each history is judged.
#[test]
fn the_folder_of_all_histories_is_judged_as_a_whole() {
    let Some(folder) = histories() else { return };
    let report = check_paths(std::slice::from_ref(&folder), &CheckOptions::default());
    let errors: Vec<&String> = report.files.iter().filter_map(|file| file.error.as_ref()).collect();
    assert_eq!(errors, Vec::<&String>::new());
    let (mut wrong, mut known) = (Vec::new(), 0);
    for (file, expected) in verdicts(&folder) {
        known += 1;
        let judged = report.files.iter().find(|judged| judged.path == file);
        let verdict = judged.map(|judged| judged.verdict);
        // What etcd's own model could not decide is decided here.
        let right = match expected.as_str() {
            "ok" => verdict == Some(Judged::Valid),
            "illegal" => verdict == Some(Judged::Invalid),
            _ => matches!(verdict, Some(Judged::Valid | Judged::Invalid)),
        };
        if !right {
            wrong.push(format!("{}: {verdict:?}, expected {expected}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((report.files.len(), report.skipped.len()), (known, 6), "{report}");
    assert_eq!((known, report.exit_code()), (309, 1));
}

/// Every history with its verdict, of all tables.
fn verdicts(histories: &Path) -> Vec<(PathBuf, String)> {
    let of_table = |(folder, name, column): (&str, &str, &str)| {
        let folder = histories.join(folder);
        let rows = table(&folder, name).into_iter();
        let rows = rows.map(|row| {
            let file = row.get("file").or(row.get("edn")).expect("a file");
            (folder.join(file), row[column].to_lowercase())
        });
        rows.collect::<Vec<_>>()
    };
    let tables = [
        ("jepsen-etcd", "verdicts.tsv", "expected"),
        ("kv-append", "verdicts.tsv", "expected"),
        ("knossos", "verdicts.tsv", "expected"),
        ("etcd-operations", "verdicts.tsv", "etcd_model_on_porcupine"),
        ("etcd-operations", "verdicts-large.tsv", "expected"),
    ];
    tables.into_iter().flat_map(of_table).collect()
}
