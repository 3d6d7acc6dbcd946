//! Scrapes: what a target shows at a moment, as samples, with `up` and the ends of series.
//!
//! A target that answers has `up` 1; one that does not has `up` 0, and all its series end at once. A series that a target
//! no longer shows ends too. Labels of the target win over those of the samples, whose own are kept as `exported_…`, as
//! Prometheus does it without `honor_labels`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    labels::{Labels, NAME, is_label_name, is_metric_name},
    numbers::float,
    store::{AppendError, STALE, SeriesId, Store},
};

/// What the scrapes of all targets have left behind. It belongs to one store.
#[derive(Clone, Debug, Default)]
pub struct Scraper {
    /// What each target showed last, by the target's labels.
    targets: BTreeMap<Labels, Vec<Shown>>,
}

/// A series that a target showed.
#[derive(Clone, Debug)]
struct Shown {
    /// As the target has it.
    raw: Labels,
    /// As the store has it.
    id: SeriesId,
}

impl Scraper {
    /// Takes in what a target showed, or that it did not answer. The target's labels are `job` and `instance`, mostly.
    pub fn take(
        &mut self,
        store: &mut Store,
        at_ms: i64,
        target: &Labels,
        shown: Option<&[(Labels, f64)]>,
    ) -> Result<(), AppendError> {
        let before = self.targets.entry(target.clone()).or_default();
        let shown_now = shown.unwrap_or_default();
        // A target shows the same series in the same order, scrape after scrape.
        let mut same = before.len() == shown_now.len();
        let mut now = Vec::with_capacity(shown_now.len());
        for (at, (raw, value)) in shown_now.iter().enumerate() {
            let known = before.get(at).filter(|known| known.raw == *raw);
            same &= known.is_some();
            let id = known.map_or_else(|| store.id(&of_target(raw, target)), |known| known.id);
            store.append_to(id, at_ms, *value)?;
            now.push(Shown { raw: raw.clone(), id });
        }
        if !same {
            let ids: BTreeSet<SeriesId> = now.iter().map(|shown| shown.id).collect();
            for ended in before.iter().filter(|before| !ids.contains(&before.id)) {
                store.append_to(ended.id, at_ms, STALE)?;
            }
            *before = now;
        }
        store.append(&target.with(NAME, "up"), at_ms, f64::from(u8::from(shown.is_some())))
    }
}

fn of_target(labels: &Labels, target: &Labels) -> Labels {
    let mut all = labels.clone();
    for (name, value) in target.iter() {
        let own = all.get(name).to_owned();
        if !own.is_empty() {
            all = all.with(&format!("exported_{name}"), &own);
        }
        all = all.with(name, value);
    }
    all
}

/// The samples of a text in Prometheus' exposition format. Comments are passed over; a time stamp is refused, for the
/// moment of a virtual scrape is the scraper's to say.
pub fn exposition(text: &str) -> Result<Vec<(Labels, f64)>, String> {
    let mut samples = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        samples.push(sample(line).map_err(|what| format!("line {}: {what}: {line}", number + 1))?);
    }
    Ok(samples)
}

fn sample(line: &str) -> Result<(Labels, f64), String> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace()).ok_or("a sample without a value")?;
    let name = &line[..end];
    if !is_metric_name(name) {
        return Err(format!("{name:?} is no metric's name"));
    }
    let mut pairs = vec![(NAME.to_owned(), name.to_owned())];
    let mut rest = line[end..].trim_start();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        while let Some(equals) = rest.find('=').filter(|_| !rest.starts_with('}')) {
            let label = rest[..equals].trim();
            if !is_label_name(label) {
                return Err(format!("{label:?} is no label's name"));
            }
            let (value, after) = label_value(rest[equals + 1..].trim_start())?;
            pairs.push((label.to_owned(), value));
            rest = after.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        rest = rest.strip_prefix('}').ok_or("labels without an end")?;
    }
    let mut words = rest.split_whitespace();
    let value = words.next().ok_or("a sample without a value")?;
    let value = float(value).ok_or_else(|| format!("{value:?} is no number"))?;
    if words.next().is_some() {
        return Err("a time stamp".to_owned());
    }
    Ok((Labels::of(pairs), value))
}

fn label_value(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    if chars.next().is_none_or(|(_, c)| c != '"') {
        return Err("a label's value without quotes".to_owned());
    }
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                _ => return Err("an unknown escape".to_owned()),
            },
            c => value.push(c),
        }
    }
    Err("a label's value without an end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_does_not_answer_is_down_and_its_series_end() {
        let (mut store, mut scraper) = (Store::default(), Scraper::default());
        let target = Labels::of([("job", "etcd"), ("instance", "a")]);
        let shown = [(Labels::of([(NAME, "m"), ("job", "own")]), 1.0), (Labels::of([(NAME, "n")]), 2.0)];
        scraper.take(&mut store, 0, &target, Some(&shown)).unwrap();
        scraper.take(&mut store, 1000, &target, Some(&shown[..1])).unwrap();
        scraper.take(&mut store, 2000, &target, None).unwrap();
        let texts: Vec<String> = store
            .all()
            .iter()
            .map(|series| {
                let values: Vec<Option<f64>> =
                    series.samples.iter().map(|sample| Some(sample.value)).collect();
                format!("{} {}", series.labels, crate::notation::written(&values))
            })
            .collect();
        assert_eq!(
            texts,
            [
                r#"m{exported_job="own", instance="a", job="etcd"} 1x1 stale"#,
                r#"n{instance="a", job="etcd"} 2 stale"#,
                r#"up{instance="a", job="etcd"} 1x1 0"#,
            ]
        );
    }

    #[test]
    fn the_exposition_format_is_read() {
        let text = "# HELP a b\n# TYPE a counter\na 1\nb{x=\"a\\\"b\\n\",le=\"+Inf\",} +Inf\nc { } 2e3\n\n";
        let samples = exposition(text).unwrap();
        let shown: Vec<String> = samples.iter().map(|(labels, value)| format!("{labels} {value}")).collect();
        assert_eq!(shown, ["a 1", r#"b{le="+Inf", x="a\"b\n"} inf"#, "c 2000"]);
        for wrong in ["a", "a{x=1} 1", "a{x=\"1} 1", "a{x=\"1\" 1", "1a 1", "a b", "a 1 1700000000000"] {
            assert!(exposition(wrong).is_err(), "{wrong}");
        }
    }
}
