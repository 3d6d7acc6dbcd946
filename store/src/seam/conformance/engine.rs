//! The engine's suite: what every engine must do. It runs on an empty folder below `root`, whose parent exists.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use squall_core::Batch;

use crate::seam::{Engine, EngineError, Engines, View};

/// Runs the suite over one kind of engine.
///
/// # Panics
/// If the engine breaks the seam's contract. The message says what was seen.
pub async fn engine_suite(engines: Arc<dyn Engines>, root: &Path) {
    empty_then_written(&*engines, &root.join("basic")).await;
    batches_apply_in_order(&*engines, &root.join("order")).await;
    views_stand_still(&*engines, &root.join("views")).await;
    committed_content_survives_a_close(&*engines, &root.join("close")).await;
    odd_rows_survive_a_close(&*engines, &root.join("odd")).await;
    replace_is_the_whole_content(&*engines, &root.join("replace")).await;
    one_opener_at_a_time(&*engines, &root.join("lock")).await;
    random_batches_agree_with_a_map(&*engines, &root.join("random")).await;
}

async fn open(engines: &dyn Engines, dir: &Path) -> Arc<dyn Engine> {
    engines.open(dir).await.unwrap_or_else(|error| panic!("opening {}: {error}", dir.display()))
}

async fn commit(engine: &dyn Engine) {
    engine.commit().await.unwrap_or_else(|error| panic!("committing: {error}"));
}

fn view(engine: &dyn Engine) -> View {
    engine.view().unwrap_or_else(|error| panic!("viewing: {error}"))
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// `key=value` puts, `key` deletes.
fn batch(ops: &[&str]) -> Batch {
    let mut batch = Batch::new();
    for op in ops {
        match op.split_once('=') {
            Some((key, value)) => batch.put(bytes(key), bytes(value)),
            None => batch.delete(bytes(op)),
        }
    }
    batch
}

fn rows(rows: &[&str]) -> Vec<(Bytes, Bytes)> {
    let pair = |row: &&str| row.split_once('=').map(|(key, value)| (bytes(key), bytes(value)));
    rows.iter().map(|row| pair(row).expect("key=value")).collect()
}

async fn empty_then_written(engines: &dyn Engines, dir: &Path) {
    let engine = open(engines, dir).await;
    assert_eq!(view(&*engine), View::default(), "a new engine holds nothing");
    engine.write(&batch(&["b=2", "a=1"]));
    let seen = view(&*engine);
    assert_eq!(seen.0, rows(&["a=1", "b=2"]), "a batch is readable on return, and rows are sorted");
    assert_eq!(seen.get(b"b"), Some(&bytes("2")));
    assert_eq!(seen.get(b"c"), None);
    engine.write(&Batch::new());
    commit(&*engine).await;
    commit(&*engine).await;
    assert_eq!(view(&*engine), seen, "neither an empty batch nor a commit changes the content");
    engine.close().await;
}

async fn batches_apply_in_order(engines: &dyn Engines, dir: &Path) {
    let engine = open(engines, dir).await;
    engine.write(&batch(&["a=1", "a=2", "b=1", "b", "c", "c=3"]));
    assert_eq!(view(&*engine).0, rows(&["a=2", "c=3"]), "within a batch the later write to a row wins");
    engine.write(&batch(&["a=3", "d=4"]));
    engine.write(&batch(&["a", "absent"]));
    assert_eq!(
        view(&*engine).0,
        rows(&["c=3", "d=4"]),
        "batches apply in order; deleting nothing is no error"
    );
    engine.close().await;
}

async fn views_stand_still(engines: &dyn Engines, dir: &Path) {
    let engine = open(engines, dir).await;
    engine.write(&batch(&["a=1", "ab=2", "b=3"]));
    let before = view(&*engine);
    engine.write(&batch(&["a=9", "b", "z=9"]));
    assert_eq!(before.0, rows(&["a=1", "ab=2", "b=3"]), "a later write shows in an earlier view");
    let under: Vec<_> = before.scan(b"a").cloned().collect();
    assert_eq!(under, rows(&["a=1", "ab=2"]), "a scan gives the rows under a prefix");
    engine.replace(rows(&["x=1"])).await.unwrap_or_else(|error| panic!("replacing: {error}"));
    assert_eq!(before.0.len(), 3, "a replacement shows in an earlier view");
    engine.close().await;
}

async fn committed_content_survives_a_close(engines: &dyn Engines, dir: &Path) {
    // Repeated, because sled sometimes holds its lock for a while after a close.
    for round in 0..8 {
        let engine = open(engines, dir).await;
        let expected: Vec<_> = (0..round).map(|n| format!("key{n}=value{n}")).collect();
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        assert_eq!(view(&*engine).0, rows(&expected), "after a commit, a close and an open");
        engine.write(&batch(&[&format!("key{round}=value{round}")]));
        commit(&*engine).await;
        engine.close().await;
    }
}

/// Keys that are prefixes of each other, with every awkward byte; values that are empty, and larger than any page.
async fn odd_rows_survive_a_close(engines: &dyn Engines, dir: &Path) {
    let keys: [&[u8]; 8] = [b"\0", b"\0\0", b"\0\xff", b"a", b"a\0", b"a\0\0\0\0\0", b"a\xff", b"\xff\xff"];
    let value =
        |at: usize| Bytes::from(vec![at as u8; [0, 1, 4_095, 4_096, 4_097, 100_000, 600_000, 1_500_000][at]]);
    let engine = open(engines, dir).await;
    let mut batch = Batch::new();
    for (at, key) in keys.iter().enumerate() {
        batch.put(Bytes::from_static(key), value(at));
    }
    engine.write(&batch);
    commit(&*engine).await;
    engine.close().await;

    let engine = open(engines, dir).await;
    let mut expected: Vec<_> =
        keys.iter().enumerate().map(|(at, key)| (Bytes::from_static(key), value(at))).collect();
    assert!(view(&*engine).0 == expected, "rows with odd keys or large values changed over a close");
    // Shrink the large, grow the small, delete one.
    let mut batch = Batch::new();
    for (at, (key, value)) in expected.iter_mut().enumerate() {
        *value = Bytes::from(vec![7; [20_000, 5_000, 0, 3, 4_096, 4_097, 1, 9][at]]);
        batch.put(key.clone(), value.clone());
    }
    let (gone, _) = expected.remove(5);
    batch.delete(gone);
    engine.write(&batch);
    assert!(view(&*engine).0 == expected, "rows that shrank or grew are not what was written");
    commit(&*engine).await;
    engine.close().await;
    let engine = open(engines, dir).await;
    assert!(view(&*engine).0 == expected, "rows that shrank or grew changed over a close");
    engine.close().await;
}

async fn replace_is_the_whole_content(engines: &dyn Engines, dir: &Path) {
    let engine = open(engines, dir).await;
    engine.write(&batch(&["old=1", "both=1"]));
    commit(&*engine).await;
    engine.write(&batch(&["uncommitted=1"]));
    engine.replace(rows(&["both=2", "new=2"])).await.unwrap_or_else(|error| panic!("replacing: {error}"));
    assert_eq!(
        view(&*engine).0,
        rows(&["both=2", "new=2"]),
        "a replacement leaves nothing of the old content"
    );
    engine.close().await;
    let engine = open(engines, dir).await;
    assert_eq!(view(&*engine).0, rows(&["both=2", "new=2"]), "a replacement is durable without a commit");
    engine.write(&batch(&["after=3"]));
    commit(&*engine).await;
    engine.close().await;
    let engine = open(engines, dir).await;
    assert_eq!(view(&*engine).0, rows(&["after=3", "both=2", "new=2"]), "a replaced engine takes batches");
    engine.replace(Vec::new()).await.unwrap_or_else(|error| panic!("replacing with nothing: {error}"));
    assert_eq!(view(&*engine), View::default());
    engine.close().await;
}

async fn one_opener_at_a_time(engines: &dyn Engines, dir: &Path) {
    let first = open(engines, dir).await;
    match engines.open(dir).await {
        Ok(_) => panic!("{} was opened twice at the same time", dir.display()),
        Err(EngineError::Locked(text)) => {
            assert!(text.contains(&dir.display().to_string()), "the refusal names the place: {text}");
        }
        Err(error) => panic!("the second opening was refused with the wrong error: {error}"),
    }
    first.write(&batch(&["still=works"]));
    commit(&*first).await;
    first.close().await;
    let second = open(engines, dir).await;
    // Dropping the first engine must not close the second one.
    drop(first);
    assert_eq!(view(&*second).0, rows(&["still=works"]));
    second.close().await;
}

async fn random_batches_agree_with_a_map(engines: &dyn Engines, dir: &Path) {
    let mut model: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    let mut engine = open(engines, dir).await;
    // A fixed sequence (Knuth's MMIX generator), so that the suite is not random.
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..60 {
        let mut batch = Batch::new();
        for _ in 0..next(40) {
            let key = Bytes::from(format!("key{}", next(50)));
            if next(3) == 0 {
                model.remove(&key);
                batch.delete(key);
            } else {
                let value = Bytes::from(vec![round as u8; next(300) as usize * next(40) as usize]);
                model.insert(key.clone(), value.clone());
                batch.put(key, value);
            }
        }
        engine.write(&batch);
        if next(5) == 0 {
            commit(&*engine).await;
            engine.close().await;
            engine = open(engines, dir).await;
        }
        let expected = View(model.iter().map(|(key, value)| (key.clone(), value.clone())).collect());
        assert!(view(&*engine) == expected, "round {round}: the engine and a map differ");
    }
    engine.close().await;
}
