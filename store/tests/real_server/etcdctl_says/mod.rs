//! All of `etcdctl`, command by command: its output against squalld must equal its output against etcd 3.5.1, letter by
//! letter.
//!
//! A transcript (`transcripts/*.txt`) holds commands and, below each, the output of `etcdctl` against etcd: standard
//! output, then standard error with `! ` before each line, then the exit status if it is not 0. Where squalld differs
//! on purpose, its output follows with `~ ` before each line, and a comment says why. The test runs against both
//! servers if this machine has an etcd, otherwise against squalld alone. `UPDATE_GOLDENFILES=1` writes a transcript
//! anew from both; then read the difference.
//!
//! ```text
//! # a comment
//! $ put a 1                        words; 'one word' in quotes
//! $ txn < mod("a") > "0"\n\n...    with this on its standard input
//! $ watch a &w                     runs on in the background, under the name w
//! $ %w 2                           its next two lines
//! $ %w end                         ctrl-C, and its last output
//! ```
//!
//! Ids, ports, sizes, hashes, versions and times differ from run to run. They appear as names, and `{name}` in a
//! command stands for the value: `{lease1}` is the first lease that was granted.
//!
//! Not tested here: `check perf`, which measures the machine for a minute; `check datascale`, whose answer is a
//! measurement (see `web::metrics`); `snapshot status` and `restore`, which read etcd's own file format; `completion`,
//! `help` and `version`, which send no request.

mod names;
mod script;
mod session;

use std::{fs, path::PathBuf};

use crate::{harness::Etcdctl, reference::Subject};
use script::Step;
use session::Session;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/real_server/transcripts")
        .join(format!("{name}.txt"))
}

/// The output of each of the commands against this server.
fn play(steps: &[Step], subject: &Subject) -> Vec<String> {
    let mut session = Session::new(subject);
    steps.iter().map(|step| session.perform(&step.command)).collect()
}

fn transcript(name: &str) {
    let path = path(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut steps = script::parse(&text);
    assert!(!steps.is_empty(), "{name} says nothing");
    // Prints a message if there is no etcd, or fails if it is required.
    if Etcdctl::find(&[]).is_none() {
        return;
    }
    let writes = std::env::var("UPDATE_GOLDENFILES").as_deref() == Ok("1");
    let mut differences = Vec::new();
    for subject in Subject::both() {
        let told = play(&steps, &subject);
        for (step, said) in steps.iter_mut().zip(told) {
            let expected = step.squalld.as_ref().filter(|_| !subject.is_etcd()).unwrap_or(&step.etcd);
            if *expected == said {
                continue;
            }
            if !writes {
                let (server, line) = (subject.name, &step.command.line);
                differences.push(format!("$ {line}\n--- expected\n{expected}--- {server}\n{said}"));
            } else if subject.is_etcd() {
                step.etcd = said;
            } else {
                step.squalld = Some(said).filter(|said| *said != step.etcd);
            }
        }
    }
    if writes {
        fs::write(&path, script::write(&steps)).expect("the transcript");
    }
    assert!(differences.is_empty(), "{name}:\n{}", differences.join("\n"));
}

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(#[test] fn $name() { transcript(stringify!($name)) })*

        #[test]
        fn every_transcript_is_listed() {
            let mut found: Vec<String> = fs::read_dir(path("x").parent().expect("a folder"))
                .expect("the transcripts")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
                .collect();
            found.sort();
            let listed = [$(concat!(stringify!($name), ".txt")),*];
            assert_eq!(found, listed);
        }
    };
}

transcripts! {
    auth
    concurrency
    endpoints
    keys
    leases
    maintenance
    members
    mirror
    transactions
    watches
}
