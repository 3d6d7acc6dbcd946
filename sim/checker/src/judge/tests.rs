//! The door: formats and models found by themselves, folders, exit statuses, the words of a violation.

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("squall-judge-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
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
    assert!(text.contains("2 histories: 1 valid, 1 invalid; 1 other files passed over"), "{text}");
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
    assert!(one(&other, &plain).starts_with(&format!("{}:1: not a history that I know", name(&other))));
    assert!(one(&folder.0.join("none"), &plain).contains("cannot open the file"));
    assert!(one(&folder.0.join("empty"), &plain).contains("no history in this folder"));
    let initial = CheckOptions { initial: Some("x".to_owned()), ..CheckOptions::default() };
    assert!(one(&good, &initial).contains("neither an integer nor nil"));
    let lock = CheckOptions { model: Some(ModelName::Mutex), ..CheckOptions::default() };
    assert!(one(&good, &lock).contains("unknown function `:read`: expected :acquire or :release"));
    let etcd = CheckOptions { model: Some(ModelName::Etcd), ..CheckOptions::default() };
    assert!(one(&good, &etcd).contains("expected --model cas-register"));
    // Bad input outranks a verdict.
    assert_eq!(check_paths(&[good, cut], &plain).exit_code(), 64);
}
