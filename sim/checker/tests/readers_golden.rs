//! `readers/golden.txt`: histories of every form that readers take, refuse, or must not misread, and what the judge's
//! door says of each. A case is
//!
//! ```text
//! ## name
//! $ --model M --initial V --nil value|unknown --input-format F
//! @ path that is checked (without one: the only file, or the folder)
//! >> file, and its lines; with a "<" after the name the last line has no end
//! << valid | invalid: TEXT | unknown: TEXT | refused: TEXT
//! << assumed: TEXT | format: NAME | model: NAME
//! ```
//!
//! where TEXT must occur in the rule, the refusal or the assumptions. To add a form is to add a case.

use std::path::{Path, PathBuf};

use squall_checker::judge::{CheckOptions, CheckReport, Judged, ModelName, check_paths};
use squall_checker::read::{Format, NilRead};

#[derive(Default)]
struct Case {
    name: String,
    options: Vec<String>,
    paths: Vec<String>,
    files: Vec<(String, String)>,
    expected: Vec<String>,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            open = false;
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(expected) = line.strip_prefix("<< ") {
            case.expected.push(expected.to_owned());
            open = false;
        } else if let Some(file) = line.strip_prefix(">> ") {
            case.files.push((file.to_owned(), String::new()));
            open = true;
        } else if open {
            let (_, content) = case.files.last_mut().expect("a file is open");
            content.push_str(&line.replace('␉', "\t"));
            content.push('\n');
        } else if let Some(options) = line.strip_prefix("$ ") {
            case.options.extend(options.split(' ').map(str::to_owned));
        } else if let Some(path) = line.strip_prefix("@ ") {
            case.paths.push(path.to_owned());
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{}: what is `{line}`?", case.name);
        }
    }
    cases
}

fn options(words: &[String]) -> CheckOptions {
    let mut options = CheckOptions { picture: true, ..CheckOptions::default() };
    for pair in words.chunks(2) {
        let [name, value] = pair else { panic!("{words:?}: an option without its value") };
        match name.as_str() {
            "--model" => options.model = Some(ModelName::from_name(value).expect("a model")),
            "--initial" => options.initial = Some(value.clone()),
            "--nil" => options.nil = Some(if value == "value" { NilRead::Value } else { NilRead::Unknown }),
            "--input-format" => options.format = Some(Format::from_name(value).expect("a format")),
            other => panic!("unknown option {other}"),
        }
    }
    options
}

/// Writes the case's files and checks its paths.
fn check(case: &Case, root: &Path) -> CheckReport {
    for (name, content) in &case.files {
        let (name, content) = match name.strip_suffix('<') {
            Some(name) => (name, content.strip_suffix('\n').unwrap_or(content)),
            None => (name.as_str(), content.as_str()),
        };
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let paths: Vec<PathBuf> = match (case.paths.as_slice(), case.files.as_slice()) {
        ([], [(name, _)]) if !name.contains('/') => vec![root.join(name.trim_end_matches('<'))],
        ([], _) => vec![root.to_owned()],
        (paths, _) => paths.iter().map(|path| root.join(path)).collect(),
    };
    check_paths(&paths, &options(&case.options))
}

/// What the report lacks of what is expected.
fn differs(case: &Case, report: &CheckReport) -> Option<String> {
    let [file] = report.files.as_slice() else { return Some(format!("{} histories", report.files.len())) };
    let rule = file.explanation.as_ref().map_or("", |explanation| explanation.rule.as_str());
    let told = |verdict, text: &str, expected: &str| {
        (file.verdict != verdict || !text.contains(expected)).then(|| expected.to_owned())
    };
    if file.verdict != Judged::Unreadable && file.assumptions.is_empty() {
        return Some("no assumptions".to_owned());
    }
    for expected in &case.expected {
        let (kind, text) = expected.split_once(": ").unwrap_or((expected.trim_end_matches(':'), ""));
        let differs = match kind {
            "valid" => told(Judged::Valid, "", ""),
            "invalid" => told(Judged::Invalid, rule, text),
            "unknown" => told(Judged::Unknown, rule, text),
            "refused" => told(Judged::Unreadable, file.error.as_deref().unwrap_or_default(), text),
            "assumed" => told(file.verdict, &file.assumptions.join("; "), text),
            "format" => told(file.verdict, file.format.map_or("?", Format::name), text),
            "model" => told(file.verdict, file.model.map_or("?", ModelName::name), text),
            other => panic!("{}: unknown expectation {other}", case.name),
        };
        if differs.is_some() {
            return Some(expected.clone());
        }
    }
    case.expected.is_empty().then(|| "nothing is expected".to_owned())
}

#[test]
fn every_form_is_read_as_it_should_be() {
    let text = include_str!("readers/golden.txt");
    let cases = cases(text);
    let base = std::env::temp_dir().join(format!("squall-readers-{}", std::process::id()));
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let root = base.join(number.to_string());
        let _ = std::fs::remove_dir_all(&root);
        let report = check(case, &root);
        if let Some(differs) = differs(case, &report) {
            wrong.push(format!("## {}\nexpected {differs}\nfound {report}{:?}\n", case.name, report.files));
        }
        // The forms for programs say the same.
        for line in report.json_lines().lines() {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(json["verdict"].is_string() && json["assumptions"].is_array(), "{line}");
        }
    }
    let _ = std::fs::remove_dir_all(&base);
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 60, "only {} cases", cases.len());
}
