//! `squall alerts`: checks Prometheus' rule files, and runs `promtool test rules` files, with our evaluator.

use super::args::AlertsArgs;
use super::{Status, Streams};
use crate::scenario::read_text;
use crate::text::Refusal;
use squall_alerts::promtool::TestFile;
use squall_alerts::rules::RuleFile;
use std::fs;
use std::path::{Path, PathBuf};

/// A file's kind. Every file is read before any test runs.
enum Asked {
    Rules(RuleFile),
    Test(TestFile, Vec<RuleFile>),
}

/// Checks rule files and runs test files.
pub(super) fn alerts(args: &AlertsArgs, streams: &mut Streams) -> Result<Status, Refusal> {
    let asked = args.paths.iter().map(|path| Ok((path, read(path)?)));
    let asked = asked.collect::<Result<Vec<(&PathBuf, Asked)>, Refusal>>()?;
    let mut status = Status::Ok;
    for (path, asked) in asked {
        let path = path.display();
        let _ = match asked {
            Asked::Rules(file) => {
                let count: usize = file.groups.iter().map(|group| group.rules.len()).sum();
                writeln!(streams.out, "{path}: {count} rule(s) understood")
            }
            Asked::Test(test, rules) => {
                let (mismatches, count) = (test.run(&rules), test.cases());
                for mismatch in &mismatches {
                    let _ = write!(streams.out, "{path}: {mismatch}");
                }
                if mismatches.is_empty() {
                    writeln!(streams.out, "{path}: {count} case(s) as expected")
                } else {
                    status = Status::Violation;
                    writeln!(streams.out, "{path}: {} of {count} case(s) not as expected", mismatches.len())
                }
            }
        };
    }
    Ok(status)
}

fn read(path: &Path) -> Result<Asked, Refusal> {
    let text = read_text(path)?;
    // Only a rule file has groups. Any other file is parsed as a test file, which refuses it if it is none.
    let shape: Result<serde_yaml::Value, _> = serde_yaml::from_str(&text);
    if shape.is_ok_and(|shape| shape.get("groups").is_some()) {
        return Ok(Asked::Rules(rules(path, &text)?));
    }
    let test = TestFile::parse(&text).map_err(|error| {
        Refusal::of(path, format!("this is neither a rule file nor a file of `promtool test rules`: {error}"))
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let files = test.rule_files.iter().map(|name| {
        let file = folder.join(name);
        let text = fs::read_to_string(&file).map_err(|error| {
            let star =
                if name.contains(['*', '?', '[']) { "; patterns are not read, name each file" } else { "" };
            Refusal::of(path, format!("its rule file {}: {error}{star}", file.display()))
        })?;
        rules(&file, &text)
    });
    let files = files.collect::<Result<Vec<RuleFile>, Refusal>>()?;
    // An empty file would pass whatever the rules say.
    if test.cases() == 0 {
        return Err(Refusal::of(
            path,
            "the file tests nothing: expected `groups` of rules, or `tests` with cases",
        ));
    }
    Ok(Asked::Test(test, files))
}

fn rules(path: &Path, text: &str) -> Result<RuleFile, Refusal> {
    RuleFile::parse(text).map_err(|error| Refusal::of(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "groups: [{name: g, rules: [{alert: A, expr: m > 1, for: 1m}]}]";
    const TEST: &str = "rule_files: [rules.yaml]\ntests:\n- interval: 1m\n  input_series: [{series: m, values: '0+1x9'}]\n  \
                        alert_rule_test: [{eval_time: AT, alertname: A, exp_alerts: [{}]}]\n";

    fn run(paths: Vec<PathBuf>) -> (Result<Status, Refusal>, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams { out: &mut out, err: &mut err, bar: false, colour: false };
        let status = alerts(&AlertsArgs { paths }, &mut streams);
        (status, String::from_utf8(out).unwrap())
    }

    #[test]
    fn rules_are_checked_and_tests_run() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let rules = write("rules.yaml", RULES);
        let (right, wrong) =
            (write("right.yaml", &TEST.replace("AT", "3m")), write("wrong.yaml", &TEST.replace("AT", "2m")));
        let (status, said) = run(vec![rules, right]);
        assert_eq!(status.unwrap(), Status::Ok);
        assert!(said.contains("rules.yaml: 1 rule(s) understood\n"), "{said}");
        assert!(said.contains("right.yaml: 1 case(s) as expected\n"), "{said}");
        let (status, said) = run(vec![wrong]);
        assert_eq!(status.unwrap(), Status::Violation);
        assert!(said.contains("test 1, alert A, time 2m\n") && said.contains("got nothing\n"), "{said}");
    }

    #[test]
    fn what_is_not_understood_is_refused_before_anything_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good.yaml");
        fs::write(&good, RULES).unwrap();
        for (text, words) in [
            ("groups: [{name: g, rules: [{alert: A, expr: hour(m)}]}]", "rule 1 (A): expr, 1:1"),
            ("rule_files: [none.yaml]\ntests: []", "none.yaml"),
            ("rule_files: ['*.yaml']\ntests: []", "name each file"),
            ("a: b", "neither a rule file"),
            ("", "tests nothing"),
            ("tests: []", "tests nothing"),
        ] {
            let bad = folder.path().join("bad.yaml");
            fs::write(&bad, text).unwrap();
            let (status, said) = run(vec![good.clone(), bad]);
            let refusal = status.expect_err(text).to_string();
            assert!(refusal.contains(words) && said.is_empty(), "{text}: {refusal}{said}");
        }
    }
}
