//! A run's series as OpenMetrics with time stamps, which `promtool tsdb create-blocks-from openmetrics` makes into blocks that a
//! Prometheus serves.
//!
//! Virtual time begins at 2026-01-01T00:00:00Z: a fixed moment, so that equal runs are equal files, and a past one, because
//! Prometheus refuses samples of the future. The format has no mark of staleness, so a series of a member that went down is
//! drawn on for five minutes. The families' types are left out, because the format wants counters to end in `_total`, and some
//! of etcd's do not.

use std::{collections::BTreeMap, fmt::Write as _};

use squall_alerts::{
    labels::{Labels, NAME},
    numbers::go_v,
    store::{Series, is_stale},
};

use super::series::Scraped;

/// 2026-01-01T00:00:00Z, in milliseconds since 1970.
const BEGIN_MS: i64 = 1_767_225_600_000;

/// The text. Series of one name stand together, as the format wants it.
pub fn openmetrics(scraped: &Scraped) -> String {
    let mut families: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for series in scraped.store.all() {
        families.entry(series.labels.metric()).or_default().push(series);
    }
    let mut text = String::new();
    for series in families.into_values().flatten() {
        let name = as_text(&series.labels);
        for sample in series.samples.iter().filter(|sample| !is_stale(sample.value)) {
            let at_ms = BEGIN_MS + sample.at_ms;
            let (seconds, millis) = (at_ms.div_euclid(1000), at_ms.rem_euclid(1000));
            // Writing to a string does not fail.
            _ = writeln!(text, "{name} {} {seconds}.{millis:03}", go_v(sample.value));
        }
    }
    text + "# EOF\n"
}

/// A series as the format has it: other than in PromQL, nothing is escaped but these three.
fn as_text(labels: &Labels) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
    let pairs = labels.iter().filter(|(name, _)| *name != NAME);
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if pairs.is_empty() {
        labels.metric().to_owned()
    } else {
        format!("{}{{{}}}", labels.metric(), pairs.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_alerts::store::{STALE, Store};

    #[test]
    fn the_text_is_openmetrics() {
        let mut store = Store::default();
        let b = Labels::of([(NAME, "b"), ("x", "a\"\\\n")]);
        for (labels, at, value) in [
            (&b, 0, 1.0),
            (&Labels::of([(NAME, "a_total")]), 500, f64::INFINITY),
            (&b, 15_000, STALE),
            (&b, 30_000, 0.5),
        ] {
            store.append(labels, at, value).unwrap();
        }
        let scraped =
            Scraped { origin_ns: 0, scrape_interval_ms: 500, scraped_ms: 0, evaluated_ms: 0, store };
        assert_eq!(
            openmetrics(&scraped),
            "a_total +Inf 1767225600.500\nb{x=\"a\\\"\\\\\\n\"} 1 1767225600.000\nb{x=\"a\\\"\\\\\\n\"} 0.5 1767225630.000\n# EOF\n"
        );
    }
}
