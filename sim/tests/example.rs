//! `reports/example` holds one run and all reports that are made from it. The run's own files are stored; the reports
//! are made again here and compared. `SQUALL_GOLDEN=write cargo test -p squall --test example` writes it.
//!
//! The run itself is not repeated, since a change of the store or of the world would change it, and it only shows how a
//! report looks. Its trace holds only the lines that a report reads.
#![cfg(madsim)]
#![allow(missing_docs)]

use squall::report::{html, junit, open_view, perfetto, summary, timeline};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("reports/example")
}

fn compare(path: &Path, text: &str) {
    if std::env::var_os("SQUALL_GOLDEN").is_some_and(|value| value == "write") {
        fs::write(path, text).unwrap();
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == text,
        "{} is not what is made now: look at it, run `SQUALL_GOLDEN=write cargo test -p squall --test example`, and commit",
        path.display()
    );
}

/// A committed file that is left out of an image's sources makes the image call itself dirty.
#[test]
fn an_image_gets_what_git_keeps() {
    let lines = |name: &str| -> BTreeSet<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = fs::read_to_string(root.join(name)).unwrap();
        // Git's patterns begin at the root with a slash, Docker's without.
        text.lines().map(|line| line.replacen("!/", "!", 1).trim_start_matches('/').to_owned()).collect()
    };
    assert_eq!(lines(".dockerignore"), lines(".gitignore"));
}

#[test]
fn the_example_is_current() {
    let folder = example().join("stale-read/3");
    let (view, history) = open_view(&folder).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(view.findings.len(), 1, "the run shows one finding");
    assert!(!view.findings[0].operations.is_empty(), "the judge names the operations");
    let page = html(&view);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    compare(&folder.join("report.html"), &page);
    compare(&folder.join("timeline.txt"), &timeline(&view.record, &history));
    compare(&folder.join("junit.xml"), &junit(&[&view.record]));
    compare(&folder.join("summary.md"), &summary(&[&view.record]));
    compare(&folder.join("perfetto.json"), &perfetto(&view));
}
