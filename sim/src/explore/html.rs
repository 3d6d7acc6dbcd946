//! A campaign's summary as one HTML file that needs nothing beside it ([`crate::report::campaign_html`]).

use super::{folder::Results, summary::Summary};
use crate::report::{CampaignRun, campaign_html};

/// The page. `results` are those that `summary` is of.
pub fn summary_html(summary: &Summary, results: &Results) -> String {
    let runs = results.lines.values().filter(|line| !line.canary).map(|line| CampaignRun {
        index: line.index,
        verdict: line.verdict,
        cpu_seconds: line.cpu_seconds,
    });
    campaign_html(&serde_json::to_value(summary).expect("a summary is JSON"), runs)
}
