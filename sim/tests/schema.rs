//! The schema, the reference and the scenario files agree. `SQUALL_GOLDEN=write cargo test -p squall --test schema`
//! makes the files current: `docs/schema/*.json`, `docs/scenarios.md`, and the first lines of every scenario.
#![cfg(madsim)]
#![allow(missing_docs)]

use serde_json::Value;
use squall::schema::{FileKind, committed, modeline, schema};
use squall::text::Window;
use std::fs;
use std::path::{Path, PathBuf};

const WRITE: &str = "run `SQUALL_GOLDEN=write cargo test -p squall --test schema` and commit what it changes";

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn writes() -> bool {
    std::env::var_os("SQUALL_GOLDEN").is_some_and(|value| value == "write")
}

/// All scenario files, with the relative path from their folder to the project's.
fn scenarios() -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, up: &str, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, &format!("{up}../"), found);
            } else if path.extension().is_some_and(|ext| ext == "yaml") {
                found.push((path, up.to_owned()));
            }
        }
    }
    let mut found = Vec::new();
    collect(&project().join("scenarios"), "../", &mut found);
    collect(&project().join("benches/scenarios"), "../../", &mut found);
    found.push((project().join("reports/example/stale-read.yaml"), "../../".to_owned()));
    found.sort();
    assert!(found.len() > 15, "{} scenarios", found.len());
    found
}

#[test]
fn committed_files_are_current() {
    for (path, text) in committed() {
        let path = project().join(path);
        if writes() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is not what the types say now: {WRITE}", path.display());
    }
}

#[test]
fn every_scenario_tells_editors_its_schema() {
    for (path, up) in scenarios() {
        let text = fs::read_to_string(&path).unwrap();
        let head = modeline(&up);
        if writes() && !text.starts_with(&head) {
            let is_modeline =
                |line: &&str| line.contains("yaml-language-server:") || line.starts_with("# $schema:");
            let rest: Vec<&str> = text.lines().skip_while(is_modeline).collect();
            fs::write(&path, format!("{head}{}\n", rest.join("\n"))).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&head), "{} does not begin with\n{head}{WRITE}", path.display());
    }
}

#[test]
fn every_scenario_fits_the_schema() {
    let schema = schema(FileKind::Scenario);
    for (path, _) in scenarios() {
        let value: Value = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let errors = validate(&schema, &schema, &value, "");
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_squall_refuses() {
    let schema = schema(FileKind::Scenario);
    let good = "apiVersion: squall/v1\nkind: Scenario\nmetadata: {name: x}\nspec:\n  workloads: [{type: kv}]\n  timeLimit: 20s\n  \
                faults: [{at: 4s..8s, action: latency, latency: {delay: 100ms}, mode: one, duration: 3s}, \
                {serial: [{action: compact}, {parallel: [{action: pause, duration: 1s}], repeat: 2}], at: 9s, deadline: 5s}]\n";
    let check = |text: &str| validate(&schema, &schema, &serde_yaml::from_str(text).unwrap(), "");
    assert_eq!(check(good), [] as [String; 0]);
    for (old, new) in [
        ("squall/v1", "squall/v2"),
        ("kind: Scenario", "kind: Plan"),
        ("metadata: {name: x}", "metadata: {}"),
        ("type: kv", "type: kw"),
        ("type: kv", "type: kv, colour: red"),
        ("timeLimit: 20s", "timeLimit: 20"),
        ("timeLimit: 20s", "timeLimit: twenty"),
        ("at: 4s..8s", "at: 4s...8s"),
        ("action: latency", "action: lateness"),
        ("latency: {delay: 100ms}, ", ""),
        ("delay: 100ms", "deley: 100ms"),
        ("mode: one", "mode: several"),
        ("at: 4s..8s, ", ""),
        ("serial: [", "serial: [5, "),
        ("{serial: [", "{action: crash, serial: ["),
        ("deadline: 5s", "deadline: soon"),
        ("repeat: 2", "repeat: 0"),
        ("parallel: [{action: pause, duration: 1s}]", "parallel: []"),
        ("parallel: [{action: pause,", "parallel: [{action: paws,"),
        ("at: 9s, ", ""),
    ] {
        assert!(good.contains(old), "{old}");
        let bad = good.replacen(old, new, 1);
        assert!(!check(&bad).is_empty(), "the schema accepts\n{bad}");
    }
}

/// The errors of `value` against a schema, for the part of draft-07 that our schemas use. An unknown keyword fails the
/// test, so that nothing is skipped.
fn validate(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let Some(keywords) = schema.as_object() else {
        return if schema == &Value::Bool(false) {
            vec![format!("{at}: nothing is allowed here")]
        } else {
            errors
        };
    };
    let fits = |part: &Value| validate(root, part, value, at).is_empty();
    for (keyword, rule) in keywords {
        let wrong = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "definitions" | "then" | "format" => false,
            "$ref" => {
                let path = rule.as_str().unwrap().trim_start_matches('#');
                let target = root.pointer(path).unwrap_or_else(|| panic!("{path} is nowhere"));
                errors.extend(validate(root, target, value, at));
                false
            }
            "type" => {
                let is = |kind: &Value| match kind.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "null" => value.is_null(),
                    other => panic!("the type {other}"),
                };
                match rule {
                    Value::Array(kinds) => !kinds.iter().any(is),
                    one => !is(one),
                }
            }
            "const" => value != rule,
            "enum" => !rule.as_array().unwrap().contains(value),
            "oneOf" => rule.as_array().unwrap().iter().filter(|part| fits(part)).count() != 1,
            "anyOf" => !rule.as_array().unwrap().iter().any(fits),
            "allOf" => {
                for part in rule.as_array().unwrap() {
                    errors.extend(validate(root, part, value, at));
                }
                false
            }
            "if" => {
                if fits(rule) {
                    errors.extend(validate(root, &schema["then"], value, at));
                }
                false
            }
            "required" => {
                let keys = rule.as_array().unwrap().iter().map(|key| key.as_str().unwrap());
                value.as_object().is_some_and(|object| keys.clone().any(|key| !object.contains_key(key)))
            }
            "properties" => {
                for (key, part) in rule.as_object().unwrap() {
                    if let Some(inner) = value.get(key) {
                        errors.extend(validate(root, part, inner, &format!("{at}.{key}")));
                    }
                }
                false
            }
            "additionalProperties" => {
                let known = |key: &String| schema["properties"].get(key).is_some();
                *rule == Value::Bool(false)
                    && value.as_object().is_some_and(|object| object.keys().any(|key| !known(key)))
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    errors.extend(validate(root, rule, item, &format!("{at}[{number}]")));
                }
                false
            }
            "minimum" => value.as_f64().is_some_and(|number| number < rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_some_and(|number| number > rule.as_f64().unwrap()),
            "minItems" => value.as_array().is_some_and(|items| (items.len() as u64) < rule.as_u64().unwrap()),
            // Patterns of durations and windows: our own reader takes the place of a regular expression.
            "pattern" => {
                let window = rule.as_str().unwrap().contains(r"\.\.(");
                value
                    .as_str()
                    .is_some_and(|text| Window::parse(text).is_err() || (!window && text.contains("..")))
            }
            other => panic!("{at}: the keyword {other} is not known to this test"),
        };
        if wrong {
            errors.push(format!("{at}: {value} does not fit {keyword}: {rule}"));
        }
    }
    errors
}
