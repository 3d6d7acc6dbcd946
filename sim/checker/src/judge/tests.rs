//! The entry point: recognised formats and models, folders, exit statuses, the words of a violation.

use super::*;
use crate::history::ReadLimits;

pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("squall-judge-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const STALE: &str = "[{:process 0 :type :invoke :f :write :value 1}
 {:process 0 :type :ok :f :write :value 1}
 {:process 0 :type :invoke :f :write :value 2}
 {:process 0 :type :ok :f :write :value 2}
 {:process 2 :type :invoke :f :write :value 3}
 {:process 2 :type :info :f :write :value 3}
 {:process 1 :type :invoke :f :read :value nil}
 {:process 1 :type :ok :f :read :value 1}]";
const GOOD: &str = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:ok\t:read\tnil\n";
const LOCKS: &str = "{:process 0 :type :invoke :f :acquire}\n{:process 0 :type :ok :f :acquire}
{:process 1 :type :invoke :f :acquire}\n{:process 1 :type :ok :f :acquire}\n";

#[test]
fn a_stale_read_is_explained_by_its_rule_and_its_pair() {
    let folder = Folder::new("stale");
    let path = folder.file("stale.edn", STALE);
    let options = CheckOptions { picture: true, ..CheckOptions::default() };
    let report = check_paths(&[path], &options);
    assert_eq!(report.exit_code(), 1);
    let [file] = report.files.as_slice() else { panic!("one file") };
    assert_eq!(file.operations, Counts { ok: 3, fail: 0, info: 1 });
    let explanation = file.explanation.as_ref().unwrap();
    assert_eq!(
        explanation.rule,
        "stale read: `read 1` by client 1 (line 7) was called after `write 2` by client 0 (line 3) had returned"
    );
    assert_eq!(explanation.blamed.iter().map(|op| op.id).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(explanation.essential.iter().map(|op| op.id).collect::<Vec<_>>(), [0, 1, 3]);
    assert!(explanation.minimal);
    let json: serde_json::Value = serde_json::from_str(report.json_lines().trim()).unwrap();
    assert_eq!(json["verdict"], "invalid");
    assert_eq!(json["failures"][0]["checker"], "linearizability");
    assert_eq!(json["model"], "cas-register");
    let picture = file.picture.as_ref().unwrap();
    assert!(picture.bars[3].error.as_ref().unwrap().contains("Last consistent state"));
}

#[test]
fn a_folder_is_judged_whole_and_its_worst_verdict_counts() {
    let folder = Folder::new("folder");
    folder.file("a/good.log", GOOD);
    folder.file("locks.edn", LOCKS);
    folder.file("README.md", "# nothing of the kind");
    let report = check_paths(std::slice::from_ref(&folder.0), &CheckOptions::default());
    let verdicts: Vec<_> = report.files.iter().map(|file| (file.model.unwrap(), file.verdict)).collect();
    assert_eq!(verdicts, [(ModelName::CasRegister, Judged::Valid), (ModelName::Mutex, Judged::Invalid)]);
    assert_eq!((report.skipped.len(), report.exit_code()), (1, 1));
    let text = report.to_string();
    assert!(text.contains("2 histories: 1 valid, 1 invalid\nPassed over: "), "{text}");
    assert!(text.contains("README.md\n"), "{text}");
}

/// A text about logs names Jepsen's levels and loggers, and may quote whole lines. A message of a logger is a log.
#[test]
fn a_text_about_logs_is_passed_over() {
    for text in [
        "Formats\n- logs: `INFO  jepsen.util - PROC :invoke|:ok|:fail|:info :read VALUE`; mostly tabs\n",
        "| to 2014 | `INFO  jepsen.util - 0 :invoke :write 3` |\n",
        "At INFO the logger jepsen.util tells each event.\nWARN of jepsen.core: not shown\n",
        "# Logs\n\n    INFO  jepsen.util - 0\t:invoke\t:read\tnil\n",
        "#### Logs\nINFO  jepsen.util - 0\t:invoke\t:read\tnil\n",
        "INFO starting, data in /var/jepsen.d/jepsen.data\n",
    ] {
        let folder = Folder::new("about-logs");
        folder.file("a/good.log", GOOD);
        folder.file("README.md", text);
        let report = check_paths(std::slice::from_ref(&folder.0), &CheckOptions::default());
        assert_eq!(
            (report.files.len(), report.skipped.len(), report.exit_code()),
            (1, 1, 0),
            "{text}: {report}"
        );
    }
    for text in [
        "INFO [2020-06-02 15:32:44,077] main - jepsen.cli CLI options:\n",
        "2021-02-26 23:39:01,300{GMT}\tINFO\t[jepsen test runner] jepsen.core: Running test:\n",
        "[main] INFO jepsen.core - Everything looks good!\n",
        "WARN  jepsen.core - Process 3 crashed\n",
    ] {
        let folder = Folder::new("logs");
        folder.file("a/good.log", GOOD);
        folder.file("other.log", text);
        let report = check_paths(std::slice::from_ref(&folder.0), &CheckOptions::default());
        assert_eq!(report.exit_code(), 64, "a log without operations is not passed over: {text}: {report}");
    }
}

/// A damaged history beside a good one must not go unnoticed.
#[test]
fn a_folder_does_not_hide_what_cannot_be_read() {
    for (name, content) in [
        ("history.json", &b""[..]),
        ("b.jsonl", b"\x1f\x8b\x08\x00"),
        ("b.edn", b"\xff\xfe{\x00"),
        ("operations.json", b"{\"Cli"),
    ] {
        let folder = Folder::new(&format!("hides-{name}"));
        folder.file("good.log", GOOD);
        std::fs::write(folder.0.join(name), content).unwrap();
        let report = check_paths(std::slice::from_ref(&folder.0), &CheckOptions::default());
        assert_eq!(report.exit_code(), 64, "{name}: {report}");
    }
}

#[test]
fn bad_input_is_64_with_the_place_and_the_remedy() {
    let folder = Folder::new("bad");
    let cut = folder.file("cut.edn", "[{:process 0 :type :invoke");
    let other = folder.file("notes.txt", "hello\n");
    let good = folder.file("good.log", GOOD);
    std::fs::create_dir_all(folder.0.join("empty")).unwrap();
    let name = |path: &Path| path.display().to_string();
    let one = |path: &Path, options: &CheckOptions| {
        let report = check_paths(&[path.to_owned()], options);
        assert_eq!(report.exit_code(), 64, "{report}");
        report.files[0].error.clone().unwrap()
    };
    let plain = CheckOptions::default();
    assert_eq!(one(&cut, &plain), format!("{}:1: the file ends in the middle of a value", name(&cut)));
    assert!(one(&other, &plain).starts_with(&format!("{}:1: not a known history format", name(&other))));
    assert!(one(&folder.0.join("none"), &plain).contains("cannot open the file"));
    assert!(one(&folder.0.join("empty"), &plain).contains("no history in this folder"));
    let initial = CheckOptions { initial: Some("[x]".to_owned()), ..CheckOptions::default() };
    assert!(one(&good, &initial).contains("`[x]` is no scalar"));
    let lock = CheckOptions { model: Some(ModelName::Mutex), ..CheckOptions::default() };
    assert!(one(&good, &lock).contains("unknown function `:read`: expected :acquire or :release"));
    let etcd = CheckOptions { model: Some(ModelName::Etcd), ..CheckOptions::default() };
    assert!(one(&good, &etcd).contains("expected --model cas-register"));
    // Bad input outranks a verdict.
    assert_eq!(check_paths(&[good, cut], &plain).exit_code(), 64);
}

const OURS: &str = r#"{"id":1,"client":3,"call":100,"return":250,"op":{"put":{"key":"a","value":"1"}},"outcome":"ok","header":{"cluster_id":9,"member_id":1,"revision":2,"raft_term":2},"result":{"put":{}}}"#;
const ETCDS: &str = r#"{"ClientId":1,"Input":{"Type":"range","Range":{"Start":"a","End":""}},"Call":5,"Output":{"Range":{"KVs":[],"Count":0},"Revision":1},"Return":9}"#;
const LOG: &str = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:ok\t:read\tnil\n";
const EDN: &str =
    "{:process 0 :type :invoke :f :read :value nil}\n{:process 0 :type :ok :f :read :value 0}\n";
const KV: &str = "{:process 0, :type :invoke, :f :get, :key \"a\", :value nil}\n{:process 0, :type :ok, :f :get, :key \"a\", :value \"\"}\n";

/// Every kind of damage that a format can have, judged from the file: where it is, and what was expected. If a format takes
/// its instants from the lines, no return can be before its call. If it has no ids, none can come twice.
#[test]
fn a_spoilt_history_is_refused_with_its_place_in_every_format() {
    let folder = Folder::new("spoilt");
    let twice = |text: &str, from: &str, to: &str| format!("{text}\n{}\n", text.replace(from, to));
    let long = "x".repeat(3000);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        // Half a file.
        ("squall", OURS[..90].into(), ":1: the file ends in the middle of this line"),
        (
            "etcd-operations",
            ETCDS[..90].into(),
            ":1: the file ends in the middle of the object that begins in line 1",
        ),
        ("jepsen-log", LOG[..60].into(), ":2: the file ends in the middle"),
        ("edn", EDN[..59].into(), ":2: the file ends in the middle of a value"),
        ("porcupine-kv", KV[..80].into(), ":2: the file ends in the middle of a value"),
        // A return before the call, or without one.
        ("squall", OURS.replace("250", "50").into(), ":1: operation 1 returns at 50, before its call at 100"),
        (
            "etcd-operations",
            ETCDS.replace(":9}", ":2}").into(),
            ":1: operation 0 returns at 2, before its call at 5",
        ),
        (
            "jepsen-log",
            LOG.replace(":invoke", ":ok").into(),
            ":1: process 0 completes `:read` and has no operation open",
        ),
        (
            "edn",
            EDN.replace(":invoke", ":ok").into(),
            ":1: process 0 completes `:read` and has no operation open",
        ),
        (
            "porcupine-kv",
            KV.replace(":invoke", ":ok").into(),
            ":1: process 0 completes `:get` and has no operation open",
        ),
        // Two open at once.
        (
            "squall",
            twice(OURS, "\"id\":1", "\"id\":2").into(),
            ":2: client 3 calls operation 2 while its operation 1 is open",
        ),
        (
            "etcd-operations",
            twice(ETCDS, ":5,", ":6,").into(),
            ":2: client 1 calls operation 1 while its operation 0 is open",
        ),
        (
            "jepsen-log",
            LOG.replace(":ok", ":invoke").into(),
            ":2: process 0 has two operations open: the other since line 1",
        ),
        (
            "edn",
            EDN.replace(":ok", ":invoke").into(),
            ":2: process 0 has two operations open: the other since line 1",
        ),
        (
            "porcupine-kv",
            KV.replace(":ok", ":invoke").into(),
            ":2: process 0 has two operations open: the other since line 1",
        ),
        // An unknown type.
        (
            "squall",
            OURS.replace("\"op\":{\"put\"", "\"op\":{\"fly\"").into(),
            ":1: column 54: unknown variant `fly`, expected one of `range`",
        ),
        (
            "etcd-operations",
            ETCDS.replace("\"range\"", "\"fly\"").into(),
            ":1: unknown operation type \"fly\", expected one of range",
        ),
        ("jepsen-log", LOG.replace(":ok", ":done").into(), ":2: unknown type `:done`"),
        ("edn", EDN.replace(":ok", ":done").into(), ":2: column 1: unknown type `:done`"),
        (
            "edn",
            EDN.replace(":read", ":fly").into(),
            ":1: unknown function `:fly`: expected :read, :write or :cas",
        ),
        (
            "porcupine-kv",
            KV.replace(":get", ":fly").into(),
            ":1: unknown function `:fly`: expected :get, :put or :append",
        ),
        // An id twice.
        (
            "squall",
            twice(OURS, "\"client\":3", "\"client\":4").into(),
            ":2: operation id 1 was used before, in line 1",
        ),
        // A line that is no text, and one without end.
        ("squall", spoilt_at(OURS, 70), ":1: the line is not UTF-8 from its byte 70 on"),
        ("etcd-operations", spoilt_at(ETCDS, 70), ":1: the line is not UTF-8 from its byte 70 on"),
        ("jepsen-log", spoilt_at(LOG, 70), ":2: the line is not UTF-8 from its byte 30 on"),
        ("edn", spoilt_at(EDN, 28), ":1: the line is not UTF-8"),
        ("porcupine-kv", spoilt_at(KV, 50), ":1: the line is not UTF-8"),
        (
            "squall",
            OURS.replace("\"1\"}", &format!("\"{long}\"}}")).into(),
            ":1: the line is longer than 2000 bytes",
        ),
        (
            "etcd-operations",
            ETCDS.replace("\"a\"", &format!("\"{long}\"")).into(),
            ":1: an object is longer than 2000 bytes",
        ),
        ("jepsen-log", LOG.replace(":ok", &long).into(), ":2: the line is longer than 2000 bytes"),
        ("edn", EDN.replace(":ok", &long).into(), ":2: a value is longer than 2000 bytes"),
        (
            "porcupine-kv",
            KV.replace("\"\"", &format!("\"{long}\"")).into(),
            ":2: a value is longer than 2000 bytes",
        ),
    ];
    let mut wrong = Vec::new();
    for (number, (format, bytes, expected)) in cases.into_iter().enumerate() {
        let path = folder.0.join(format!("{number}.{format}"));
        std::fs::write(&path, bytes).unwrap();
        let options = CheckOptions {
            limits: ReadLimits { line_bytes: 2000, operations: 10 },
            format: Format::from_name(format),
            ..CheckOptions::default()
        };
        let report = check_paths(std::slice::from_ref(&path), &options);
        assert_eq!(report.exit_code(), 64, "{report}");
        let error = report.files[0].error.clone().unwrap();
        if !error.starts_with(&format!("{}{expected}", path.display())) {
            wrong.push(format!("{error}\n  should begin with {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn spoilt_at(text: &str, at: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = 0xff;
    bytes
}
