//! The conformance suite over sled, and tests for sled only. No simulation runs here, so sled may start its threads.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, Write as _},
    path::Path,
    pin::pin,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use squall_core::Batch;

use super::{Sled, generations};
use crate::seam::{Engine, EngineError, Engines, conformance::engine::engine_suite};

/// Drives a future on this thread, which sleeps while it waits.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => thread::park(),
        }
    }
}

fn put(key: &str, value: impl Into<Bytes>) -> Batch {
    let mut batch = Batch::new();
    batch.put(Bytes::copy_from_slice(key.as_bytes()), value.into());
    batch
}

fn open(dir: &Path) -> (Sled, Result<Arc<dyn Engine>, EngineError>) {
    let engines = Sled::new();
    let engine = block_on(engines.open(dir));
    (engines, engine)
}

#[test]
fn sled_conforms() {
    let root = tempfile::tempdir().expect("a temporary folder");
    block_on(engine_suite(Arc::new(Sled::new()), root.path()));
}

/// sled would put large values into files that it never syncs.
#[test]
fn large_values_stay_in_the_log() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let (_engines, engine) = open(root.path());
    let engine = engine.expect("opens");
    for at in 0..200 {
        engine.write(&put(&format!("k{at:03}"), vec![at as u8; 7_000 * (at % 30)]));
    }
    block_on(engine.commit()).expect("commits");
    let blobs = generations::path(root.path(), 1).join("blobs");
    let found: Vec<_> = fs::read_dir(&blobs).expect("sled makes the folder").collect();
    assert!(found.is_empty(), "{} files", found.len());
}

/// For the file lock, another host thread with another file handle is like another process.
#[test]
fn a_store_open_elsewhere_is_refused_and_opens_once_that_lets_go() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let (_first_host, first) = open(root.path());
    let first = first.expect("opens");
    first.write(&put("a", "1"));
    block_on(first.commit()).expect("commits");
    let path = root.path().to_owned();
    let second = thread::spawn(move || open(&path).1.map(|_| ()));
    thread::sleep(Duration::from_millis(300));
    block_on(first.close());
    second.join().expect("no panic").expect("opens within its patience once the first has closed");

    let (_host, held) = open(root.path());
    let _held = held.expect("opens");
    let Err(EngineError::Locked(text)) = open(root.path()).1 else { panic!("opened twice") };
    assert!(text.contains("is open in another process, which holds its lock"), "{text}");
}

/// Every state that a crash in the middle of a replacement can leave.
#[test]
fn a_replacement_cut_short_is_finished_or_dropped() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let dir = root.path();
    let contents = |engines: &Sled| {
        let engine = block_on(engines.open(dir)).expect("opens");
        let view = engine.view().expect("reads");
        block_on(engine.close());
        view.0.iter().map(|(key, value)| format!("{key:?}={value:?}")).collect::<Vec<_>>()
    };
    let engines = Sled::new();
    let engine = block_on(engines.open(dir)).expect("opens");
    engine.write(&put("old", "1"));
    block_on(engine.commit()).expect("commits");
    block_on(engine.close());

    // Before the switch: the next generation, half written, and the pointer's successor.
    generations::begin(dir, 2).expect("makes a folder");
    fs::write(generations::path(dir, 2).join("db"), b"half").expect("writes");
    fs::write(dir.join("CURRENT.tmp"), b"generation-").expect("writes");
    assert_eq!(contents(&engines), [r#"b"old"=b"1""#]);
    assert!(!generations::path(dir, 2).exists(), "the half-written generation is gone");

    // After the switch: the old generation has not been removed.
    let old = generations::path(dir, 1);
    let kept = root.path().join("kept");
    copy_all(&old, &kept);
    let engine = block_on(engines.open(dir)).expect("opens");
    block_on(engine.replace(vec![("new".into(), "2".into())])).expect("replaces");
    block_on(engine.close());
    assert!(!old.exists(), "a replacement removes what it replaces");
    copy_all(&kept, &old);
    assert_eq!(contents(&engines), [r#"b"new"=b"2""#]);
    assert!(!old.exists(), "what a replacement left behind is gone");
}

/// The row that each batch changes, so that rows are rewritten, grow and shrink.
fn nth_row(n: u64) -> (String, Vec<u8>) {
    (format!("key{:02}", n % 37), n.to_be_bytes().repeat((n % 11 * n % 13 * 40) as usize + 1))
}

/// Not a test by itself: the next test starts it as a process, and kills it.
#[test]
#[ignore = "the victim of a_killed_process_keeps_what_it_committed"]
fn victim() {
    let Ok(dir) = std::env::var("SQUALL_VICTIM") else { return };
    let (_engines, engine) = open(Path::new(&dir));
    let engine = engine.expect("opens");
    let begin = engine.view().expect("reads").get(b"last").map_or(0, |last| number(last) + 1);
    let mut out = std::io::stdout();
    for n in begin.. {
        let (key, value) = nth_row(n);
        let mut batch = put(&key, value);
        batch.put("last".into(), Bytes::copy_from_slice(&n.to_be_bytes()));
        engine.write(&batch);
        if n % 7 == 0 {
            block_on(engine.commit()).expect("commits");
            writeln!(out, "committed {n}").and_then(|()| out.flush()).expect("the parent listens");
        }
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("a number"))
}

/// kill -9, again and again, in the middle of writes and commits: every commit that was reported is there, and the rest
/// is a prefix of whole batches. SQUALL_KILL_ROUNDS asks for more kills than the few that a test run has time for.
#[test]
fn a_killed_process_keeps_what_it_committed() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let rounds = std::env::var("SQUALL_KILL_ROUNDS").map_or(12, |rounds| rounds.parse().expect("a number"));
    let mut last = None;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().expect("this test's own binary"))
            .args(["--ignored", "--exact", "--nocapture", "engine::sled::tests::victim"])
            .env("SQUALL_VICTIM", root.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut reported = None;
        // Killed at another moment each time: after a number of commits, and some microseconds.
        let mut commits = 0;
        while commits < 1 + round % 5 {
            let line = lines.next().expect("the victim reports").expect("it reports in text");
            // The test harness prints the start of the line.
            if let Some((_, n)) = line.split_once("committed ") {
                reported = n.parse::<u64>().ok();
                commits += 1;
            }
        }
        thread::sleep(Duration::from_micros(round % 20 * 317));
        child.kill().expect("kills");
        child.wait().expect("dies");
        for line in lines.map_while(Result::ok) {
            reported = line.split_once("committed ").and_then(|(_, n)| n.parse().ok()).or(reported);
        }

        let (_engines, engine) = open(root.path());
        let engine = engine.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let view = engine.view().expect("reads");
        let found = view.get(b"last").map(|last| number(last));
        assert!(found >= reported, "round {round}: {reported:?} was committed, {found:?} is there");
        assert!(found > last, "round {round}: it made no progress");
        last = found;
        let mut expected: BTreeMap<String, Vec<u8>> = (0..=found.expect("something")).map(nth_row).collect();
        expected.insert("last".into(), found.expect("something").to_be_bytes().to_vec());
        let rows: Vec<_> =
            expected.into_iter().map(|(key, value)| (Bytes::from(key), Bytes::from(value))).collect();
        assert!(view.0 == rows, "round {round}: not a prefix of whole batches");
        block_on(engine.close());
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes a folder");
    for entry in fs::read_dir(from).expect("lists") {
        let path = entry.expect("lists").path();
        let target = to.join(path.file_name().expect("has a name"));
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copies");
        }
    }
}

#[test]
fn damage_is_refused_in_one_paragraph() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let dir = root.path().join("engine");
    let refused = |what: &str| match open(&dir).1 {
        Ok(_) => panic!("{what}: opened"),
        Err(EngineError::Corrupt(text)) => {
            assert!(text.contains(&dir.display().to_string()) && text.contains("Put back a copy"), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let (engines, engine) = open(&dir);
    let engine = engine.expect("opens");
    for at in 0..200 {
        engine.write(&put(&format!("k{at}"), vec![at as u8; 3_000]));
    }
    block_on(engine.commit()).expect("commits");
    let before = engine.view().expect("reads");
    block_on(engine.close());
    drop((engine, engines));

    let pointer = dir.join("CURRENT");
    let good = fs::read(&pointer).expect("reads");
    fs::write(&pointer, b"").expect("writes");
    refused("an empty pointer");
    fs::write(&pointer, b"generation-00000000000000ff\n").expect("writes");
    refused("a pointer to nothing");
    fs::write(&pointer, &good).expect("writes");

    let count = generations::path(&dir, 1).join("committed");
    let kept = fs::read(&count).expect("reads");
    fs::write(&count, [0; 12]).expect("writes");
    refused("a damaged count of batches");
    fs::write(&count, kept).expect("writes");

    // A damaged sector anywhere in sled's file: it is refused, or it held nothing that still counts.
    let data = generations::path(&dir, 1).join("db");
    let kept = fs::read(&data).expect("reads");
    let mut refusals = 0;
    for at in (0..kept.len()).step_by(kept.len() / 60) {
        let mut damaged = kept.clone();
        let end = kept.len().min(at + 512);
        damaged[at..end].fill(0xAA);
        fs::write(&data, damaged).expect("writes");
        let (_engines, engine) = open(&dir);
        match engine.and_then(|engine| engine.view()) {
            Ok(view) => assert!(view == before, "damage at {at} changed the content, and nobody saw it"),
            Err(EngineError::Corrupt(_)) => refusals += 1,
            Err(error) => panic!("damage at {at}: {error}"),
        }
    }
    assert!(refusals > 10, "{refusals} refusals");
    fs::write(&data, kept).expect("writes");
    let (_engines, engine) = open(&dir);
    assert_eq!(engine.expect("opens again").view().expect("reads").0.len(), 200);
}
