//! Input that means no good: nothing panics, hangs or overflows; what is refused is refused with a word.

use proptest::prelude::*;
use squall_alerts::{
    eval::Context,
    labels::{Labels, NAME},
    notation, numbers,
    promtool::TestFile,
    query,
    rules::RuleFile,
    scrape,
    store::Store,
    template::Template,
};

/// Pieces that the readers know, so that what is drawn comes far before it is refused.
const PIECES: [&str; 48] = [
    "up",
    "sum",
    "by",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "5m",
    ":",
    "1m",
    ",",
    "=",
    "=~",
    "!=",
    "\"a\"",
    "'",
    "`",
    "\"",
    "\\",
    "rate",
    "offset",
    "-",
    "+",
    "*",
    "^",
    "%",
    "and",
    "on",
    "group_left",
    "bool",
    "1e9",
    "NaN",
    "0x",
    ".",
    "@",
    "#",
    "\n",
    "é",
    "{{",
    "}}",
    "$labels",
    ".x",
    "|",
    "if",
    "end",
    "_x5",
];

fn store() -> Store {
    let mut store = Store::default();
    for at in 0..20 {
        for name in ["up", "sum", "by"] {
            store.append(&Labels::of([(NAME, name), ("a", "a")]), at * 15_000, at as f64).unwrap();
        }
    }
    store
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..14), spaced in any::<bool>(), noise in ".{0,6}") {
        let text = pieces.join(if spaced { " " } else { "" }) + &noise;
        if let Ok(expr) = query::parse(&text) {
            _ = Context::new(&store()).value(&expr, 200_000);
        }
        _ = query::metric(&text);
        _ = Template::parse(&text);
        _ = notation::values(&text);
        _ = scrape::exposition(&text);
        _ = numbers::duration_ms(&text);
        _ = RuleFile::parse(&text);
        _ = TestFile::parse(&text);
    }

    #[test]
    fn what_is_written_reads_back(values in prop::collection::vec(prop::option::of(any::<f64>()), 0..40)) {
        let values: Vec<Option<f64>> = values.into_iter().map(|v| v.map(|v| if v.is_nan() { f64::NAN } else { v })).collect();
        let back = notation::values(&notation::written(&values)).unwrap();
        let bits = |values: &[Option<f64>]| -> Vec<Option<u64>> { values.iter().map(|v| v.map(f64::to_bits)).collect() };
        prop_assert_eq!(bits(&back), bits(&values));
    }
}

#[test]
fn a_subquery_without_end_is_an_error() {
    let store = store();
    for query in ["sum_over_time(up[1y:1ms])", "sum_over_time(sum_over_time(up[1d:1s])[1d:1s])"] {
        let expr = query::parse(query).unwrap();
        let error = Context::new(&store).value(&expr, 300_000).expect_err(query).to_string();
        assert!(error.contains("steps"), "{error}");
    }
}

#[test]
fn what_nests_without_end_is_refused() {
    for text in [format!("{{{{ {}1{} }}}}", "(".repeat(9000), ")".repeat(9000)), "{{ if 1 }}".repeat(9000)] {
        assert!(Template::parse(&text).is_err());
    }
}
