//! `--config-file`: all the settings in one YAML file, with etcd's keys (`etcd.conf.yml.sample`). A key is a flag's
//! name; the flags of TLS are in one block for clients and one for members. etcd ignores unknown and misspelled
//! keys; here they are refused.
//!
//! etcd reads the file through JSON into Go's types (`sigs.k8s.io/yaml`): a switch may be any of YAML 1.1's words, and a
//! duration is a number of nanoseconds. A flag's text for a duration, and a number in quotes, are taken too. etcd
//! refuses those, but they can mean nothing else.

use std::{fs, path::Path};

use serde_yaml::{Mapping, Value};

use super::Failure;

/// The blocks, and the flags that their keys stand for.
const BLOCKS: [(&str, &[(&str, &str)]); 2] = [
    (
        "client-transport-security",
        &[
            ("cert-file", "cert-file"),
            ("key-file", "key-file"),
            ("client-cert-file", "client-cert-file"),
            ("client-key-file", "client-key-file"),
            ("client-cert-auth", "client-cert-auth"),
            ("trusted-ca-file", "trusted-ca-file"),
            ("auto-tls", "auto-tls"),
        ],
    ),
    (
        "peer-transport-security",
        &[
            ("cert-file", "peer-cert-file"),
            ("key-file", "peer-key-file"),
            ("client-cert-file", "peer-client-cert-file"),
            ("client-key-file", "peer-client-key-file"),
            ("client-cert-auth", "peer-client-cert-auth"),
            ("trusted-ca-file", "peer-trusted-ca-file"),
            ("auto-tls", "peer-auto-tls"),
        ],
    ),
];
/// Keys whose value may be a list.
const LISTS: [&str; 2] = ["cipher-suites", "log-outputs"];

/// The flags that a file sets, each with its value. `known` says whether a flag exists.
///
/// # Errors
/// [`Failure::Failed`] with a paragraph that begins with the file's name.
pub(super) fn read(path: &Path, known: impl Fn(&str) -> bool) -> Result<Vec<(String, String)>, Failure> {
    let failed = |what: String| Failure::Failed(format!("configuration file {}: {what}", path.display()));
    let text = fs::read_to_string(path)
        .map_err(|error| failed(format!("{error}. Check the path, and who may read it.")))?;
    parse(&text, known).map_err(failed)
}

/// The flags whose value is a duration.
const DURATIONS: [&str; 8] = [
    "backend-batch-interval",
    "experimental-corrupt-check-time",
    "experimental-warning-apply-duration",
    "experimental-warning-unary-request-duration",
    "experimental-watch-progress-notify-interval",
    "grpc-keepalive-interval",
    "grpc-keepalive-min-time",
    "grpc-keepalive-timeout",
];

/// A value of this form of YAML in the form that the flag has.
pub(super) fn in_flags_form(flag: &str, is_switch: bool, given: String) -> String {
    if is_switch {
        // YAML 1.1's words for true and false (`yaml.v2`, resolve.go).
        return match given.as_str() {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => "true".into(),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => "false".into(),
            _ => given,
        };
    }
    match given.parse::<u64>() {
        Ok(nanoseconds) if DURATIONS.contains(&flag) => {
            let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
            let unit = units.into_iter().find(|(unit, _)| nanoseconds % unit == 0);
            unit.map_or(given, |(unit, name)| format!("{}{name}", nanoseconds / unit))
        }
        _ => given,
    }
}

fn parse(text: &str, known: impl Fn(&str) -> bool) -> Result<Vec<(String, String)>, String> {
    // The parser's text may repeat the file's content, so only the place is reported.
    let file: Value = serde_yaml::from_str(text).map_err(|error| {
        let at = error.location().map_or_else(String::new, |at| format!(" at line {}", at.line()));
        let what = error.to_string();
        let twice = what.contains("duplicate entry").then_some("a key stands there twice");
        format!("{}{at}. Write one `key: value` a line.", twice.unwrap_or("it is no YAML"))
    })?;
    let keys = match file {
        Value::Null => Mapping::new(),
        Value::Mapping(keys) => keys,
        _ => return Err("it holds no keys. Write one `key: value` a line.".into()),
    };
    let mut flags = Vec::new();
    for (key, found) in &keys {
        let key = key.as_str().ok_or("a key is no text. Write one `key: value` a line.")?;
        if let Some((block, inside)) = BLOCKS.iter().find(|(block, _)| *block == key) {
            read_block(block, inside, found, &mut flags)?;
        } else if let Some((block, name)) = block_of(key) {
            return Err(format!("{key} does not stand by itself. Write it as {name} below {block}."));
        } else if key == "config-file" || !known(key) {
            return Err(unknown(key, &known));
        } else if let Some(text) = text_of(key, found)? {
            flags.push((key.to_owned(), text));
        }
    }
    Ok(flags)
}

fn read_block(
    block: &str,
    inside: &[(&str, &str)],
    found: &Value,
    flags: &mut Vec<(String, String)>,
) -> Result<(), String> {
    let keys = match found {
        Value::Null => return Ok(()),
        Value::Mapping(keys) => keys,
        _ => return Err(format!("{block} is a block. Write its keys below it, two spaces in.")),
    };
    for (key, found) in keys {
        let key = key.as_str().ok_or_else(|| format!("{block}: a key is no text."))?;
        let Some((_, flag)) = inside.iter().find(|(name, _)| *name == key) else {
            let names: Vec<&str> = inside.iter().map(|(name, _)| *name).collect();
            return Err(format!("{block}: {key:?} is no key. The keys are {}.", names.join(", ")));
        };
        if let Some(text) = text_of(key, found)? {
            flags.push(((*flag).to_owned(), text));
        }
    }
    Ok(())
}

/// A value in a flag's form; `None` if the key has no value.
fn text_of(key: &str, found: &Value) -> Result<Option<String>, String> {
    let scalar = |found: &Value| match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(on) => Some(on.to_string()),
        _ => None,
    };
    let text = match found {
        Value::Null => return Ok(None),
        Value::Sequence(list) if LISTS.contains(&key) => {
            list.iter().map(scalar).collect::<Option<Vec<_>>>().map(|list| list.join(","))
        }
        found => scalar(found),
    };
    match text {
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => Ok(Some(text)),
        None => Err(format!(
            "{key} has a list or a block for a value. Write one value, with commas in it where it is several."
        )),
    }
}

/// The block that a flag of TLS belongs to, and its key there.
fn block_of(flag: &str) -> Option<(&'static str, &'static str)> {
    BLOCKS.iter().find_map(|(block, inside)| {
        inside.iter().find(|(_, named)| *named == flag).map(|(name, _)| (*block, *name))
    })
}

fn unknown(key: &str, known: impl Fn(&str) -> bool) -> String {
    let spelled = key.to_lowercase().replace('_', "-");
    let near = spelled != key && (known(&spelled) || BLOCKS.iter().any(|(block, _)| *block == spelled));
    if near {
        format!("{key:?} is no key. It is spelled {spelled}.")
    } else {
        format!("{key:?} is no key. The keys are the names of the flags; `squalld --help` has them.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Result<Vec<(String, String)>, String> {
        let known = [
            "name",
            "data-dir",
            "snapshot-count",
            "force-new-cluster",
            "log-outputs",
            "cert-file",
            "listen-peer-urls",
        ];
        parse(text, |name| known.contains(&name))
    }

    #[test]
    fn keys_are_flags_and_blocks_are_sides() {
        let found = flags(
            "# a comment\nname: 'm1'\nsnapshot-count: 5000\nforce-new-cluster: false\ndata-dir:\nlog-outputs: [stderr]\n\
             client-transport-security:\n  cert-file: /c\n  client-cert-auth: true\n\
             peer-transport-security:\n  cert-file: /p\n  trusted-ca-file: ''\n",
        );
        let expected = [
            ("name", "m1"),
            ("snapshot-count", "5000"),
            ("force-new-cluster", "false"),
            ("log-outputs", "stderr"),
            ("cert-file", "/c"),
            ("client-cert-auth", "true"),
            ("peer-cert-file", "/p"),
        ];
        assert_eq!(found, Ok(expected.map(|(flag, value)| (flag.to_owned(), value.to_owned())).to_vec()));
        assert_eq!(flags(""), Ok(vec![]));
    }

    #[test]
    fn switches_and_durations_are_read_as_etcd_reads_them() {
        for (flag, is_switch, given, expected) in [
            ("strict-reconfig-check", true, "off", "false"),
            ("strict-reconfig-check", true, "Yes", "true"),
            ("strict-reconfig-check", true, "perhaps", "perhaps"),
            ("name", false, "no", "no"),
            ("grpc-keepalive-interval", false, "5000000000", "5s"),
            ("backend-batch-interval", false, "100000000", "100ms"),
            ("backend-batch-interval", false, "1500", "1500ns"),
            ("experimental-corrupt-check-time", false, "0", "0s"),
            ("experimental-corrupt-check-time", false, "10m", "10m"),
            ("heartbeat-interval", false, "100", "100"),
        ] {
            assert_eq!(in_flags_form(flag, is_switch, given.into()), expected, "{flag}: {given}");
        }
    }

    #[test]
    fn errors_name_the_key() {
        for (text, said) in [
            ("nosuch: 1", "\"nosuch\" is no key"),
            ("data_dir: /d", "spelled data-dir"),
            ("Name: m1\nname: m1", "spelled name"),
            ("name: a\nname: b", "twice"),
            ("cert-file: /c", "cert-file below client-transport-security"),
            ("peer-cert-file: /c", "cert-file below peer-transport-security"),
            ("client-transport-security: /c", "is a block"),
            ("client-transport-security: {ca-file: /c}", "\"ca-file\" is no key. The keys are cert-file"),
            ("name: [a, b]", "Write one value"),
            ("name: {a: b}", "Write one value"),
            ("- name", "holds no keys"),
            ("name: m1\n  data-dir: {", "no YAML at line"),
            ("config-file: x", "no key"),
            ("1: x", "a key is no text"),
        ] {
            let what = flags(text).expect_err(text);
            assert!(what.contains(said), "{text:?}: {what}");
            assert!(!what.contains('\n'), "{what}");
        }
    }
}
