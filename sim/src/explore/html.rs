//! A campaign's summary as one HTML file that needs nothing beside it.

use std::fmt::Write as _;

use super::{
    summary::{Finding, Summary},
    text::summary_text,
};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8886;--bad:#c33;--good:#2a2}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#8881;padding:.6rem;border-radius:.3rem;font-size:.85rem}
.bad{color:var(--bad)}.good{color:var(--good)}.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.2rem 1rem}
.grid div{display:flex;justify-content:space-between;border-bottom:1px solid var(--line)}details{margin:.5rem 0}";

/// The page.
pub fn summary_html(summary: &Summary) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Squall campaign</title><style>{STYLE}</style><h1>Campaign</h1>"
    );
    let _ = write!(page, "<pre>{}</pre>", escape(head(&summary_text(summary))));
    let _ = write!(page, "<h2>Findings: {}</h2>", summary.findings.len());
    for finding in &summary.findings {
        one(&mut page, finding);
    }
    if !summary.canaries.is_empty() {
        page.push_str(
            "<h2>Canaries</h2><table><tr><th>Planted bug's scenario<th>Found by<th>Seeds<th>CPU-seconds",
        );
        for canary in &summary.canaries {
            let found = canary.found_by.map_or("<span class=\"bad\">not found</span>".to_owned(), |seed| {
                format!("<span class=\"good\">seed {seed}</span>")
            });
            let _ = write!(
                page,
                "<tr><td>{}<td>{found}<td>{}<td>{:.1}",
                escape(&canary.name),
                canary.runs,
                canary.cpu_seconds
            );
        }
        page.push_str("</table>");
    }
    if !summary.seen.is_empty() {
        page.push_str("<h2>Seen, in how many runs</h2><div class=\"grid\">");
        for (name, runs) in &summary.seen {
            let class = if *runs == 0 { " class=\"bad\"" } else { "" };
            let _ = write!(page, "<div{class}><span>{}</span><span>{runs}</span></div>", escape(name));
        }
        page.push_str("</div>");
    }
    page.push_str("</html>\n");
    page
}

/// What stands before the findings.
fn head(text: &str) -> &str {
    text.split("\n\n").next().unwrap_or(text)
}

fn one(page: &mut String, finding: &Finding) {
    let known = if finding.known { " (known to the baseline)" } else { "" };
    let _ = write!(
        page,
        "<details open><summary><b>{}</b>: {}, {} runs{known}</summary><pre>{}</pre>",
        escape(&finding.signature.checker),
        escape(&finding.signature.rule),
        finding.runs,
        escape(&finding.message)
    );
    if let Some(shrunk) = &finding.shrunk {
        let file = format!("findings/{}/{}", finding.id, shrunk.file);
        let _ = write!(
            page,
            "<p>Shrunk to {} faults of {}: <a href=\"{}\">{}</a></p>",
            shrunk.faults,
            shrunk.faults_before,
            escape(&file),
            escape(&shrunk.file)
        );
    }
    if !finding.run_dir.is_empty() {
        let _ = write!(page, "<p>Run folder: <a href=\"{0}/\">{0}</a></p>", escape(&finding.run_dir));
    }
    let seeds: Vec<String> = finding.seeds.iter().map(u64::to_string).collect();
    let _ =
        write!(page, "<p>Seeds: {}</p><pre>{}</pre></details>", seeds.join(", "), escape(&finding.reproduce));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
