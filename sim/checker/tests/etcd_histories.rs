//! Every verdict of `data/histories/etcd-operations` (SQUALL_HISTORIES, or ../shared/data/histories beside the
//! workspace). Those files are not part of the repository: without them the test says so and passes, unless
//! SQUALL_REQUIRE_HISTORIES is set.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use squall_checker::history::ReadLimits;
use squall_checker::read::etcd_operations;
use squall_checker::revision::{self, Budgets, Dialect, Verdict};

fn folder() -> Option<PathBuf> {
    let base = match std::env::var_os("SQUALL_HISTORIES") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/histories"),
    };
    let folder = base.join("etcd-operations");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("SQUALL_REQUIRE_HISTORIES").is_none(), "no histories at {}", folder.display());
    eprintln!("SKIPPED: no histories at {}; set SQUALL_HISTORIES", folder.display());
    None
}

#[test]
fn every_known_verdict_is_right() {
    let Some(folder) = folder() else { return };
    let mut wrong = Vec::new();
    let mut judged = 0;
    for table in ["verdicts.tsv", "verdicts-large.tsv"] {
        let table = std::fs::read_to_string(folder.join(table)).unwrap();
        let mut lines = table.lines();
        let head: Vec<&str> = lines.next().unwrap().split('\t').collect();
        let column =
            head.iter().position(|name| *name == "expected" || *name == "etcd_model_on_porcupine").unwrap();
        for line in lines {
            let fields: Vec<&str> = line.split('\t').collect();
            let path = folder.join(fields[0]);
            let reader = BufReader::new(File::open(&path).unwrap());
            let history = etcd_operations::read(reader, fields[0], &ReadLimits::default()).unwrap();
            #[allow(clippy::disallowed_methods)] // The bound on the time is part of what is tested.
            let began = std::time::Instant::now();
            let verdict = revision::check(&history, Dialect::Robustness, &Budgets::default());
            #[allow(clippy::disallowed_methods)]
            let took = began.elapsed();
            judged += 1;
            let right = match (fields[column], &verdict) {
                ("ok" | "Ok", Verdict::Valid(_)) | ("illegal" | "Illegal", Verdict::Invalid(_)) => true,
                ("Unknown", Verdict::Unknown(_)) => false,
                // What etcd's own model could not decide must at least be decided, and at once.
                ("Unknown", _) => took.as_secs() < 1,
                _ => false,
            };
            println!(
                "{} {took:?} {}",
                fields[0],
                match &verdict {
                    Verdict::Valid(valid) => format!("valid, {} steps", valid.steps),
                    Verdict::Invalid(violation) => violation.message.clone(),
                    Verdict::Unknown(unknown) => format!("unknown: {}", unknown.frontier.message),
                }
            );
            if !right {
                let text: String = format!("{verdict:?}").chars().take(600).collect();
                wrong.push(format!("{}: expected {}, took {took:?}: {text}", fields[0], fields[column]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(judged >= 190, "only {judged} histories");
}
