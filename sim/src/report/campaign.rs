//! The report of a campaign: one page from a summary, however many runs it had.
//!
//! The summary itself is computed elsewhere from the set of results (`squall merge`). A page of 100,000 runs must open
//! at once, so it shows the runs in at most [`COLUMNS`] columns.

use super::html::page;
use super::result::Verdict;
use crate::faults::Action;
use crate::scenario::COUNTERS;
use serde::Serialize;
use serde_json::{Map, Value, json};

const PAGE: &str = include_str!("page/campaign.html");
const STYLE: &str = concat!(include_str!("page/base.css"), include_str!("page/campaign.css"));
const SCRIPT: &str = concat!(include_str!("page/base.js"), include_str!("page/campaign.js"));

/// The most columns of the picture of all runs.
const COLUMNS: u64 = 240;

/// A single run, as the page shows it.
#[derive(Debug, Clone, Copy)]
pub struct CampaignRun {
    /// Its iteration.
    pub index: u64,
    /// The checkers' verdict.
    pub verdict: Verdict,
    /// The processor time that it took.
    pub cpu_seconds: f64,
}

/// A column of the picture: consecutive runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Column {
    from: u64,
    to: u64,
    runs: u64,
    valid: u64,
    invalid: u64,
    unknown: u64,
    cpu_seconds: f64,
}

/// The page. `summary` is the campaign's summary as JSON (`campaign.json`), `runs` are in the order of the iterations.
pub fn campaign_html(summary: &Value, runs: impl Iterator<Item = CampaignRun>) -> String {
    let mut words = Map::new();
    for action in Action::ALL {
        words.insert(format!("bites.{}", action.name()), json!(action.about()));
    }
    words.extend(COUNTERS.iter().map(|(name, what)| ((*name).to_owned(), json!(what))));
    words.retain(|name, _| summary["seen"].get(name).is_some());
    let head = json!({ "summary": summary, "points": columns(runs), "words": words });
    let seeds = summary["campaigns"].as_array().into_iter().flatten();
    let seeds: Vec<String> = seeds.map(|campaign| campaign["seed"].to_string()).collect();
    page(PAGE, STYLE, SCRIPT, &format!("Squall campaign {}", seeds.join(", ")), &[("head", head)])
}

fn columns(runs: impl Iterator<Item = CampaignRun>) -> Vec<Column> {
    let runs: Vec<CampaignRun> = runs.collect();
    let width = (runs.len() as u64).div_ceil(COLUMNS).max(1);
    let column = |runs: &[CampaignRun]| {
        let of = |verdict: Verdict| runs.iter().filter(|run| run.verdict == verdict).count() as u64;
        Column {
            from: runs.first().map_or(0, |run| run.index),
            to: runs.last().map_or(0, |run| run.index),
            runs: runs.len() as u64,
            valid: of(Verdict::Valid),
            invalid: of(Verdict::Invalid),
            unknown: of(Verdict::Unknown),
            cpu_seconds: runs.iter().map(|run| run.cpu_seconds).sum(),
        }
    };
    runs.chunks(width as usize).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_runs_are_a_small_page() {
        let run = |index| CampaignRun {
            index,
            verdict: if index % 1_000 == 7 { Verdict::Invalid } else { Verdict::Valid },
            cpu_seconds: 0.25,
        };
        let columns = columns((0..100_000).map(run));
        assert!(columns.len() as u64 <= COLUMNS, "{}", columns.len());
        assert_eq!(columns.iter().map(|column| column.runs).sum::<u64>(), 100_000);
        assert_eq!(columns.iter().map(|column| column.invalid).sum::<u64>(), 100);
        assert_eq!((columns[0].from, columns.last().unwrap().to), (0, 99_999));
        let text = campaign_html(&json!({ "campaigns": [{ "seed": 7 }] }), (0..100_000).map(run));
        assert!(text.len() < 200_000, "{} bytes", text.len());
        assert!(text.contains("<title>Squall campaign 7</title>"));
    }

    #[test]
    fn no_runs_make_no_column() {
        assert_eq!(columns([].into_iter()), []);
    }
}
