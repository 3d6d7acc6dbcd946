//! Each row of `data/foreign/README.md` (SQUALL_FOREIGN, or ../shared/data/foreign beside the workspace): foreign
//! histories that were once misread, and what is right. Those files are not part of the repository: without them the
//! test says so and passes, unless SQUALL_REQUIRE_HISTORIES is set. `readers/golden.txt` holds small ones of every kind.

use std::path::PathBuf;

use squall_checker::judge::{CheckOptions, Judged, check_paths};

fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("SQUALL_FOREIGN") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/foreign"),
    };
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("SQUALL_REQUIRE_HISTORIES").is_none(), "no histories at {}", folder.display());
    eprintln!("SKIPPED: no histories at {}; set SQUALL_FOREIGN", folder.display());
    None
}

#[test]
fn every_row_is_right() {
    let Some(folder) = folder() else { return };
    // File or folder, verdict, format, model, and a word of what was assumed.
    let rows = [
        ("etcd-report-valid", Judged::Valid, "etcd-operations", "etcd", "revision 1"),
        ("etcd-report-stale", Judged::Invalid, "etcd-operations", "etcd", "revision 1"),
        ("etcd-indented.json", Judged::Valid, "etcd-operations", "etcd", "revision 1"),
        ("etcd-keysonly.json", Judged::Valid, "etcd-operations", "etcd", "revision 1"),
        ("jepsen-2021.log", Judged::Valid, "jepsen-log", "cas-register", "initial value nil"),
        ("jepsen-2020.log", Judged::Valid, "jepsen-log", "cas-register", "initial value nil"),
        ("register-versioned-tuples.edn", Judged::Valid, "edn", "versioned-register", "1 key"),
        ("register-strings.edn", Judged::Valid, "edn", "cas-register", "initial value nil"),
        ("elle.json", Judged::Valid, "elle-json", "cas-register", "initial value 0"),
        ("rw-stale-nil.edn", Judged::Invalid, "edn", "multi-register", "a read of nil saw nil"),
    ];
    for (name, verdict, format, model, assumed) in rows {
        let report = check_paths(&[folder.join(name)], &CheckOptions::default());
        let [file] = report.files.as_slice() else { panic!("{name}: {} histories", report.files.len()) };
        assert_eq!(file.verdict, verdict, "{report}");
        assert_eq!(file.format.map(|format| format.name()), Some(format), "{name}");
        assert_eq!(file.model.map(|model| model.name()), Some(model), "{name}");
        assert!(file.assumptions.join("; ").contains(assumed), "{name}: {:?}", file.assumptions);
    }
    let stale = check_paths(&[folder.join("etcd-report-stale")], &CheckOptions::default());
    let rule = &stale.files[0].explanation.as_ref().expect("an explanation").rule;
    assert!(rule.starts_with("stale read"), "{rule}");
}
