//! `series.jsonl`: what was scraped in a run, one series a line, in promtool's notation.
//!
//! A series is a list of values at multiples of the scrape interval; what does not change is written once with its count.
//! So an hour of a thousand series, most of which stand still, is a few hundred kilobytes. Series that rules wrote (`ALERTS`,
//! recorded ones) lie between scrapes where they are evaluated more often, and are left out: the history has the alerts.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};
use squall_alerts::{
    labels::Labels,
    notation::{values, written},
    store::Store,
};

/// What a Prometheus has of a run.
#[derive(Debug, Clone)]
pub struct Scraped {
    /// When its time began, in nanoseconds of the run's.
    pub origin_ns: u64,
    /// How often it scraped.
    pub scrape_interval_ms: i64,
    /// When it scraped last.
    pub scraped_ms: i64,
    /// When it evaluated the rules last.
    pub evaluated_ms: i64,
    /// The series.
    pub store: Store,
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// The version of this format: 1.
    format: u32,
    origin_ns: u64,
    scrape_interval_ms: i64,
    scraped_ms: i64,
    evaluated_ms: i64,
}

/// Each other line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    labels: BTreeMap<String, String>,
    values: String,
}

impl Scraped {
    /// The file's text.
    pub fn to_text(&self) -> String {
        let head = Head {
            format: 1,
            origin_ns: self.origin_ns,
            scrape_interval_ms: self.scrape_interval_ms,
            scraped_ms: self.scraped_ms,
            evaluated_ms: self.evaluated_ms,
        };
        let mut text = serde_json::to_string(&head).expect("numbers") + "\n";
        for series in self.store.all() {
            // One with a sample between scrapes was written by a rule.
            let Ok(values) = series.by_interval(self.scrape_interval_ms) else { continue };
            let labels = series.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let line = Line { labels: labels.collect(), values: written(&values) };
            _ = writeln!(text, "{}", serde_json::to_string(&line).expect("strings"));
        }
        text
    }

    /// Reads the text back.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse(text: &str) -> Result<Scraped, String> {
        let mut lines = text.lines().enumerate();
        let at = |number: usize, what: String| format!("line {}: {what}", number + 1);
        let (_, first) = lines.next().ok_or("it is empty")?;
        let head: Head = serde_json::from_str(first).map_err(|error| at(0, error.to_string()))?;
        if head.format != 1 || head.scrape_interval_ms <= 0 {
            return Err(at(0, "this build reads format 1".to_owned()));
        }
        let mut store = Store::default();
        for (number, line) in lines {
            let line: Line = serde_json::from_str(line).map_err(|error| at(number, error.to_string()))?;
            let id = store.id(&Labels::of(line.labels));
            let values = values(&line.values).map_err(|what| at(number, what))?;
            for (moment, value) in (0..).zip(values) {
                let Some(value) = value else { continue };
                let taken = store.append_to(id, moment * head.scrape_interval_ms, value);
                taken.map_err(|error| at(number, error.to_string()))?;
            }
        }
        Ok(Scraped {
            origin_ns: head.origin_ns,
            scrape_interval_ms: head.scrape_interval_ms,
            scraped_ms: head.scraped_ms,
            evaluated_ms: head.evaluated_ms,
            store,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_alerts::store::STALE;

    #[test]
    fn what_is_written_reads_back() {
        let mut store = Store::default();
        let labels = Labels::of([("__name__", "m"), ("instance", "m1:2379")]);
        for (at, value) in [(0, 1.0), (15_000, 1.0), (45_000, STALE), (60_000, 0.25)] {
            store.append(&labels, at, value).unwrap();
        }
        // A rule that is evaluated between scrapes.
        store.append(&Labels::of([("__name__", "ALERTS")]), 20_000, 1.0).unwrap();
        let scraped = Scraped {
            origin_ns: 7,
            scrape_interval_ms: 15_000,
            scraped_ms: 60_000,
            evaluated_ms: 60_000,
            store,
        };
        let text = scraped.to_text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.ends_with("\"values\":\"1x1 _ stale 0.25\"}\n"), "{text}");
        let again = Scraped::parse(&text).unwrap();
        assert_eq!(again.to_text(), text);
        for (wrong, words) in [
            ("", "empty"),
            ("{}", "line 1: missing field"),
            (&*text.replace("\"format\":1", "\"format\":2"), "format 1"),
            (&*text.replace("stale", "staple"), "line 2: \"staple\""),
        ] {
            let error = Scraped::parse(wrong).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
