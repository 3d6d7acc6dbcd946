//! The functions of templates.

use std::cmp::Ordering;

use regex::Regex;

use super::{
    Datum,
    printf::{formatted, printed},
    run::Run,
};
use crate::numbers::{duration_ms, float, go_g};

const KNOWN: [&str; 35] = [
    "query",
    "first",
    "label",
    "value",
    "strvalue",
    "sortByLabel",
    "reReplaceAll",
    "match",
    "title",
    "toUpper",
    "toLower",
    "stripPort",
    "stripDomain",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "parseDuration",
    "pathPrefix",
    "externalURL",
    "printf",
    "print",
    "println",
    "len",
    "index",
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "safeHtml",
];

/// Whether a function is supported.
pub fn known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// The result of a call.
pub fn call(run: &Run<'_, '_>, name: &str, arguments: Vec<Datum>) -> Result<Datum, String> {
    let wrong = || format!("wrong type or number of arguments for {name}");
    let text = |text: String| Ok(Datum::Text(text));
    match (name, &arguments[..]) {
        ("query", [Datum::Text(query)]) => (run.data.query)(query).map(Datum::Samples),
        ("first", [Datum::Samples(samples)]) => match samples.first() {
            Some(sample) => Ok(Datum::Sample(sample.clone())),
            None => Err("first() called on vector with no elements".to_owned()),
        },
        ("label", [Datum::Text(label), Datum::Sample(sample)]) => text(sample.labels.get(label).to_owned()),
        ("value", [Datum::Sample(sample)]) => Ok(Datum::Float(sample.value)),
        ("strvalue", [Datum::Sample(sample)]) => text(sample.labels.get("__value__").to_owned()),
        ("sortByLabel", [Datum::Text(label), Datum::Samples(samples)]) => {
            let mut samples = samples.clone();
            samples.sort_by(|a, b| a.labels.get(label).cmp(b.labels.get(label)));
            Ok(Datum::Samples(samples))
        }
        ("reReplaceAll", [Datum::Text(pattern), Datum::Text(by), Datum::Text(within)]) => {
            text(regex(pattern)?.replace_all(within, by.as_str()).into_owned())
        }
        ("match", [Datum::Text(pattern), Datum::Text(within)]) => {
            Ok(Datum::Bool(regex(pattern)?.is_match(within)))
        }
        ("toUpper", [Datum::Text(word)]) => text(word.to_uppercase()),
        ("toLower", [Datum::Text(word)]) => text(word.to_lowercase()),
        ("title", [Datum::Text(words)]) => text(title(words)),
        ("safeHtml", [Datum::Text(html)]) => text(html.clone()),
        ("stripPort", [Datum::Text(host)]) => {
            text(split_host(host).map_or_else(|| host.clone(), |(host, _)| host.to_owned()))
        }
        ("stripDomain", [Datum::Text(address)]) => text(strip_domain(address)),
        ("humanize", [value]) => text(humanize(number(value)?, 1000.0)),
        ("humanize1024", [value]) => text(humanize(number(value)?, 1024.0)),
        ("humanizeDuration", [value]) => text(humanize_duration(number(value)?)),
        ("humanizePercentage", [value]) => text(format!("{}%", go_g(number(value)? * 100.0, Some(4)))),
        ("parseDuration", [Datum::Text(duration)]) => {
            Ok(Datum::Float(duration_ms(duration)? as f64 / 1000.0))
        }
        ("externalURL", []) => text(run.data.external_url.to_owned()),
        ("pathPrefix", []) => {
            let url = run.data.external_url;
            let host = url.split_once("://").map_or(url, |(_, rest)| rest);
            text(host.find('/').map_or("", |at| &host[at..]).to_owned())
        }
        ("printf", [Datum::Text(format), values @ ..]) => text(formatted(format, values)?),
        ("print", values) => text(print(values)?),
        ("println", values) => {
            let words = values.iter().map(printed).collect::<Result<Vec<String>, String>>()?;
            text(words.join(" ") + "\n")
        }
        ("len", [value]) => {
            let length = match value {
                Datum::Text(text) => text.len(),
                Datum::Map(map) => map.len(),
                Datum::Samples(samples) => samples.len(),
                _ => return Err(wrong()),
            };
            Ok(Datum::Int(i64::try_from(length).unwrap_or(i64::MAX)))
        }
        ("index", [Datum::Map(map), Datum::Text(key)]) => text(map.get(key).cloned().unwrap_or_default()),
        ("index", [Datum::Samples(samples), Datum::Int(at)]) => {
            let sample = usize::try_from(*at).ok().and_then(|at| samples.get(at));
            sample.cloned().map(Datum::Sample).ok_or_else(|| format!("index out of range: {at}"))
        }
        ("and", [.., last]) => Ok(arguments.iter().find(|value| !value.is_true()).unwrap_or(last).clone()),
        ("or", [.., last]) => Ok(arguments.iter().find(|value| value.is_true()).unwrap_or(last).clone()),
        ("not", [value]) => Ok(Datum::Bool(!value.is_true())),
        ("eq", [first, _, ..]) => {
            let equal =
                arguments[1..].iter().map(|other| compare(first, other).map(|o| o == Some(Ordering::Equal)));
            Ok(Datum::Bool(equal.collect::<Result<Vec<bool>, String>>()?.contains(&true)))
        }
        ("ne", [a, b]) => Ok(Datum::Bool(compare(a, b)? != Some(Ordering::Equal))),
        ("lt", [a, b]) => Ok(Datum::Bool(compare(a, b)? == Some(Ordering::Less))),
        ("le", [a, b]) => Ok(Datum::Bool(matches!(compare(a, b)?, Some(Ordering::Less | Ordering::Equal)))),
        // Go compares by "less" and "equal" alone; a value that is neither, such as NaN, is greater.
        ("gt", [a, b]) => Ok(Datum::Bool(!matches!(compare(a, b)?, Some(Ordering::Less | Ordering::Equal)))),
        ("ge", [a, b]) => Ok(Datum::Bool(compare(a, b)? != Some(Ordering::Less))),
        _ => Err(wrong()),
    }
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| error.to_string())
}

fn number(value: &Datum) -> Result<f64, String> {
    match value {
        Datum::Float(value) => Ok(*value),
        Datum::Int(value) => Ok(*value as f64),
        Datum::Text(text) => float(text).ok_or_else(|| format!("{text:?} is no number")),
        _ => Err("can't convert this to a number".to_owned()),
    }
}

/// Go compares only values of one kind: `gt $value 5` is an error, because `$value` is a float and 5 is an integer.
fn compare(a: &Datum, b: &Datum) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Datum::Float(a), Datum::Float(b)) => Ok(a.partial_cmp(b)),
        (Datum::Int(a), Datum::Int(b)) => Ok(Some(a.cmp(b))),
        (Datum::Text(a), Datum::Text(b)) => Ok(Some(a.cmp(b))),
        (Datum::Bool(a), Datum::Bool(b)) => Ok(Some(a.cmp(b))),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

/// Go's `Sprint`: it puts a space between two values only if neither is a string.
fn print(values: &[Datum]) -> Result<String, String> {
    let mut text = String::new();
    for (at, value) in values.iter().enumerate() {
        let strings =
            at > 0 && !matches!((&values[at - 1], value), (Datum::Text(_), _) | (_, Datum::Text(_)));
        if strings {
            text.push(' ');
        }
        text += &printed(value)?;
    }
    Ok(text)
}

fn title(words: &str) -> String {
    let mut after_letter = false;
    let mut text = String::new();
    for c in words.chars() {
        if after_letter {
            text.push(c)
        } else {
            text.extend(c.to_uppercase())
        }
        after_letter = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    text
}

fn split_host(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').map(|inner| (inner, port)),
        None => (!host.contains(':')).then_some((host, port)),
    }
}

fn strip_domain(address: &str) -> String {
    let (host, port) = split_host(address).unwrap_or((address, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return address.to_owned();
    }
    let short = host.split('.').next().unwrap_or_default();
    if port.is_empty() { short.to_owned() } else { format!("{short}:{port}") }
}

const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

fn humanize(value: f64, base: f64) -> String {
    let large = if base > 1000.0 {
        ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]
    } else {
        ["k", "M", "G", "T", "P", "E", "Z", "Y"]
    };
    // Only decimal prefixes exist for values below 1.
    let plain = if base > 1000.0 { value.abs() <= 1.0 } else { value == 0.0 };
    if plain || !value.is_finite() {
        return go_g(value, Some(4));
    }
    let (mut value, mut prefix) = (value, "");
    if value.abs() >= 1.0 {
        for next in large {
            if value.abs() < base {
                break;
            }
            (prefix, value) = (next, value / base);
        }
    } else {
        (value, prefix) = small(value);
    }
    format!("{}{prefix}", go_g(value, Some(4)))
}

fn small(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        (prefix, value) = (next, value * 1000.0);
    }
    (value, prefix)
}

fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return go_g(value, Some(4));
    }
    if value == 0.0 {
        return format!("{}s", go_g(value, Some(4)));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = small(value);
        return format!("{}{prefix}s", go_g(value, Some(4)));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    // A value that does not fit becomes the least integer, as in Go on amd64.
    let whole = if value < i64::MAX as f64 { value as i64 } else { i64::MIN };
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", go_g(value, Some(4))),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}
