//! Our evaluator against Prometheus' own: promtool 2.42.
//!
//! Random series and random expressions are written as a unit test that expects nothing, so promtool tells what it got
//! instead; and random rules over random series are exported with our verdicts, which promtool must confirm.
#![allow(clippy::disallowed_methods, reason = "the tests run another program")]

#[path = "support/draw.rs"]
mod draw;
#[path = "support/promtool.rs"]
mod promtool;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

use promtool::{promtool, test_rules};
use squall_alerts::{
    Evaluator,
    eval::Context,
    labels::Labels,
    notation::values,
    numbers::{duration_text, float, quote},
    promtool::export,
    query,
    rules::{Phase, RuleFile, Surroundings},
    store::Store,
};
use support::Chance;

/// SQUALL_ORACLE_CASES says how many files each test draws; SQUALL_ORACLE_SEED where they begin.
fn setting(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn the_files_of_rule_tests_pass_with_promtool_too() {
    let Some(promtool) = promtool() else { return };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for name in ["etcd-mixin-test.yaml", "etcd-mixin-each.yaml", "etcd-document-each.yaml"] {
        let (passed, text) = test_rules(&promtool, &data.join(name));
        assert!(passed, "{text}");
    }
}

#[derive(Default)]
struct Tally {
    expressions: usize,
    elements: usize,
    same_bits: usize,
    empty: usize,
    errors: usize,
    stricter: usize,
}

#[test]
fn random_expressions_have_the_values_that_prometheus_gives_them() {
    let Some(promtool) = promtool() else { return };
    let (first, cases) = (setting("SQUALL_ORACLE_SEED", 1), setting("SQUALL_ORACLE_CASES", 60));
    let mut tally = Tally::default();
    for seed in first..first + cases {
        expressions(&promtool, seed, &mut tally);
    }
    let Tally { expressions, elements, same_bits, empty, errors, stricter } = tally;
    println!(
        "{expressions} expressions agree with promtool: {elements} elements, {same_bits} of them to the last bit; {empty} \
         empty, {errors} errors in both, {stricter} that only Prometheus refuses in a subquery"
    );
    assert!(expressions as u64 >= cases * 50 && elements as u64 > cases * 50, "the draw has gone thin");
    assert!(errors < expressions / 4 && empty < expressions / 2, "the draw has gone thin");
}

/// One file: series, and sixty expressions at random moments.
fn expressions(promtool: &Path, seed: u64, tally: &mut Tally) {
    let mut chance = Chance(seed);
    let interval_ms = [15_000, 20_000, 60_000][usize::try_from(chance.below(3)).unwrap()];
    let length = 20 + chance.below(40);
    let series = draw::series(&mut chance, length);
    let last_ms = interval_ms * i64::try_from(length).unwrap();
    let mut cases: Vec<(String, i64)> = Vec::new();
    while cases.len() < 60 {
        let depth = 1 + chance.below(3);
        let expr = match chance.below(12) {
            // Which of two equal elements is kept is open, so these stand alone and are compared by value.
            0 => format!("topk({}, {})", chance.below(4), draw::vector(&mut chance, depth, true)),
            1 => {
                format!("bottomk by (job) ({}, {})", chance.below(3), draw::vector(&mut chance, depth, true))
            }
            _ => draw::vector(&mut chance, depth, false),
        };
        // Half of them where samples lie, for what holds just at an end of a range.
        let beat_ms = if chance.once_in(2) { interval_ms } else { 500 };
        let at_ms = i64::try_from(chance.below(u64::try_from(last_ms / beat_ms).unwrap())).unwrap() * beat_ms;
        cases.push((expr, at_ms));
    }
    let mut text = format!(
        "evaluation_interval: 1m\ntests:\n- interval: {}\n  input_series:\n",
        duration_text(interval_ms)
    );
    for (series, values) in &series {
        text += &format!("  - {{series: {}, values: {}}}\n", quote(series), quote(values));
    }
    text += "  promql_expr_test:\n";
    for (expr, at_ms) in &cases {
        text += &format!("  - {{expr: {}, eval_time: {}}}\n", quote(expr), duration_text(*at_ms));
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("oracle-{seed}.yaml"));
    fs::write(&file, &text).unwrap();
    let (_, report) = test_rules(promtool, &file);
    let theirs = Report::read(&report);
    assert!(!report.contains("FAILED") || !theirs.0.is_empty(), "{report}");

    // promtool loads samples only up to the last minute at which it evaluates rules.
    let loaded_to_ms = cases.iter().map(|(_, at_ms)| *at_ms).max().unwrap() / 60_000 * 60_000;
    let mut store = Store::default();
    for at in 0..length {
        let at_ms = interval_ms * i64::try_from(at).unwrap();
        for (series, written) in &series {
            if at_ms <= loaded_to_ms
                && let Some(Some(value)) = values(written).unwrap().get(usize::try_from(at).unwrap())
            {
                store.append(&query::metric(series).unwrap(), at_ms, *value).unwrap();
            }
        }
    }
    let context = Context { default_step_ms: 60_000, ..Context::new(&store) };
    for (expr, at_ms) in &cases {
        tally.expressions += 1;
        let said = theirs.0.get(&(quote(expr), duration_text(*at_ms)));
        let parsed = query::parse(expr).map_err(|error| error.to_string());
        let ours =
            parsed.and_then(|parsed| context.vector(&parsed, *at_ms).map_err(|error| error.to_string()));
        let at = format!("{}\n{expr} at {at_ms} ms\nours: {ours:?}\nprometheus: {said:?}", file.display());
        match (ours, said) {
            (Err(_), Some(Answer::Error(_))) => tally.errors += 1,
            // See the essay of `eval`.
            (Ok(_), Some(Answer::Error(what))) if what.contains("same labelset") && expr.contains(':') => {
                tally.stricter += 1;
            }
            (Ok(ours), None) => {
                assert!(ours.is_empty(), "{at}");
                tally.empty += 1;
            }
            (Ok(ours), Some(Answer::Elements(theirs))) => {
                let kept = expr.starts_with("topk") || expr.starts_with("bottomk");
                let key = |labels: &Labels| if kept { Labels::default() } else { labels.clone() };
                let mut ours: Vec<(Labels, f64)> = ours.iter().map(|e| (key(&e.labels), e.value)).collect();
                let mut theirs: Vec<(Labels, f64)> = theirs.iter().map(|(l, v)| (key(l), *v)).collect();
                for side in [&mut ours, &mut theirs] {
                    // A NaN has a sign, which nobody sees but the sort.
                    side.iter_mut().filter(|(_, v)| v.is_nan()).for_each(|(_, v)| *v = f64::NAN);
                    side.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
                }
                assert_eq!(ours.len(), theirs.len(), "{at}");
                for (ours, theirs) in ours.iter().zip(&theirs) {
                    assert!(ours.0 == theirs.0 && near(ours.1, theirs.1), "{at}");
                    tally.elements += 1;
                    let same =
                        ours.1.to_bits() == theirs.1.to_bits() || (ours.1.is_nan() && theirs.1.is_nan());
                    tally.same_bits += usize::from(same);
                }
            }
            _ => panic!("{at}"),
        }
    }
}

/// Equal but for what the order of a sum may do.
fn near(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

#[derive(Debug)]
enum Answer {
    Error(String),
    Elements(Vec<(Labels, f64)>),
}

/// What promtool got instead of nothing, by expression and moment.
struct Report(BTreeMap<(String, String), Answer>);

impl Report {
    fn read(report: &str) -> Self {
        let mut answers = BTreeMap::new();
        let mut key = None;
        for line in report.lines() {
            if let Some(rest) = line.strip_prefix("    expr: ") {
                let end = rest.rfind("\", time: ").unwrap_or_else(|| panic!("{line}"));
                let (expr, after) = rest.split_at(end + 1);
                // An error may quote the expression and its time once more, so the first mark counts there.
                let (expr, after) = match rest.find("\", time: ") {
                    Some(first) if rest[first..].contains(", err: ") => rest.split_at(first + 1),
                    _ => (expr, after),
                };
                let after = after.trim_start_matches(", time: ");
                let (time, error) = after.split_once(", err: ").unwrap_or((after.trim_end_matches(','), ""));
                let this = (expr.to_owned(), time.to_owned());
                if !error.is_empty() {
                    answers.insert(this.clone(), Answer::Error(error.to_owned()));
                }
                key = Some(this);
            } else if let Some(got) = line.trim_start().strip_prefix("got: ")
                && let Some(key) = key.take()
            {
                answers.insert(key, Answer::Elements(elements(got)));
            }
        }
        Self(answers)
    }
}

/// `{a="b"} 1E+00, {a="c"} NaN`
fn elements(got: &str) -> Vec<(Labels, f64)> {
    let (mut found, mut rest) = (Vec::new(), got);
    while !rest.is_empty() {
        let (mut quoted, mut escaped) = (false, false);
        let end = rest.find(|c| {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                '}' => return !quoted,
                _ => {}
            }
            false
        });
        let (labels, after) = rest.split_at(end.unwrap_or_else(|| panic!("{got}")) + 1);
        let (value, next) = after.split_once(", ").unwrap_or((after, ""));
        let value = value.trim();
        found
            .push((query::metric(labels).unwrap(), float(value).unwrap_or_else(|| panic!("{value}: {got}"))));
        rest = next;
    }
    found
}

#[test]
fn random_alerts_fire_when_prometheus_says_so() {
    let Some(promtool) = promtool() else { return };
    let (first, cases) = (setting("SQUALL_ORACLE_SEED", 1), setting("SQUALL_ORACLE_CASES", 12));
    let (mut verdicts, mut firing, mut failed) = (0, 0, 0);
    for seed in first..first + cases {
        let mut chance = Chance(seed ^ 0x5eed);
        let evaluation_ms = [15_000, 30_000, 60_000][usize::try_from(chance.below(3)).unwrap()];
        let length = 40 + chance.below(40);
        let series = draw::series(&mut chance, length);
        let rules = rules(&mut chance);
        let files = [RuleFile::parse(&rules).unwrap_or_else(|error| panic!("{error}\n{rules}"))];
        let surroundings = Surroundings { evaluation_interval_ms: evaluation_ms, ..Surroundings::default() };
        let mut evaluator = Evaluator::new(&files, surroundings);
        let mut scraped = Store::default();
        let mut told = Vec::new();
        let mut failures = Vec::new();
        for tick in 0..i64::try_from(length).unwrap() {
            let at_ms = tick * 15_000;
            for (series, written) in &series {
                if let Some(Some(value)) = values(written).unwrap().get(usize::try_from(tick).unwrap()) {
                    let labels = query::metric(series).unwrap();
                    evaluator.observe(at_ms, &[(labels.clone(), *value)]).unwrap();
                    scraped.append(&labels, at_ms, *value).unwrap();
                }
            }
            if at_ms % evaluation_ms == 0 && failures.is_empty() {
                let (alerts, failed) = evaluator.evaluate(at_ms);
                failures.extend(failed);
                verdicts += alerts.len();
                let alerts = alerts.into_iter().filter(|alert| alert.phase == Phase::Firing);
                let fire: BTreeSet<(String, Labels)> =
                    alerts.map(|alert| (alert.alert, alert.labels)).collect();
                firing += fire.len();
                told.push((at_ms, fire));
            }
        }
        let rules_name = format!("oracle-rules-{seed}.yaml");
        let exported = export(&files, &rules_name, &scraped, 15_000, evaluation_ms, &told).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::write(folder.join(&rules_name), &exported.rules).unwrap();
        let test = folder.join(format!("oracle-alerts-{seed}.yaml"));
        fs::write(&test, &exported.test).unwrap();
        let (passed, report) = test_rules(&promtool, &test);
        if failures.is_empty() {
            assert!(passed, "{}\n{report}", test.display());
        } else {
            // promtool ends a test at the first rule without a value.
            failed += 1;
            let failure = &failures[0];
            let known = report.contains(&format!("time: {}", duration_text(failure.at_ms)));
            assert!(!passed && known && report.contains("err:"), "{failure}\n{report}");
        }
    }
    println!(
        "{verdicts} alerts, {firing} of them firing, in {cases} files confirmed by promtool; {failed} ended by an error"
    );
    assert!(firing as u64 > cases * 5 && failed < cases, "the draw has gone thin");
}

/// Two groups of rules: recorded series, alerts on them and on each other's.
fn rules(chance: &mut Chance) -> String {
    let mut text = "groups:\n".to_owned();
    for group in 0..2 {
        text += &format!("- name: g{group}\n  rules:\n");
        for rule in 0..4 {
            let expr = match chance.below(4) {
                0 => "r0 > 0".to_owned(),
                1 => format!("ALERTS{{alertname=~\"A{}.*\"}}", chance.below(2)),
                _ => draw::vector(chance, 2, true),
            };
            if rule == 0 {
                let expr = quote(&draw::vector(chance, 1, true));
                text += &format!("  - {{record: r{group}, expr: {expr}, labels: {{by: \"g{group}\"}}}}\n");
                continue;
            }
            let hold = chance.one(&["0s", "30s", "1m", "2m", "100s"]);
            let keep = chance.one(&["0s", "0s", "30s", "2m"]);
            text += &format!(
                "  - alert: A{group}{rule}\n    expr: {}\n    for: {hold}\n    keep_firing_for: {keep}\n    labels: \
                 {{severity: s{rule}, job: '{{{{ $labels.job }}}}!'}}\n    annotations: {{v: '{{{{ $value }}}}'}}\n",
                quote(&expr)
            );
        }
    }
    text
}

/// Templates over values of all sizes: the annotations that we expand are what promtool must get.
#[test]
fn templates_say_what_prometheus_says() {
    let Some(promtool) = promtool() else { return };
    let templates = [
        "{{ $value }} {{ .Value }} {{ $labels.a }} {{ $labels.none }} {{ .Labels.a }}",
        "{{ humanize $value }} {{ humanize1024 $value }} {{ humanizePercentage $value }}",
        "{{ humanizeDuration $value }} {{ $value | printf \"%.2f\" }} {{ printf \"%8.3f|%-8.1f|%+.1e|%08.2f\" $value $value $value $value }}",
        "{{ printf \"%g %.3g %v %s %d %q\" $value $value $value \"x\" 3 \"y\" }} {{ printf \"%d %s\" $value 3 }}",
        "{{ if gt $value 100.0 }}large{{ else if gt $value 1.0 }}middling{{ else }}small{{ end }}",
        "{{ with query \"m{a='0'}\" }}{{ . | first | value | humanize }} {{ . | first | label \"a\" }}{{ end }}",
        "{{ range query \"sort(m) > 0\" }}{{ .Labels.a }}={{ .Value }};{{ end }}",
        "{{ range $i, $s := query \"topk(2, m)\" }}{{ $i }}:{{ $s.Value }} {{ else }}none{{ end }}",
        "{{ with query \"nothing\" }}some{{ else }}none{{ end }} {{- /* cut */ -}} x {{- \" y \" -}} z",
        "{{ $labels.a | toUpper | reReplaceAll \"(.)\" \"<$1>\" }} {{ title \"two words\" }} {{ match \"^m\" \"mm\" }}",
        "{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ $x = 3 }}{{ $x }}{{ end }}{{ $x }} {{ len $labels }}",
        "{{ and 1 0 }} {{ or \"\" \"b\" }} {{ not 0 }} {{ eq $labels.a \"1\" \"2\" }} {{ print 1 2 \"c\" 3 }} {{ index $labels \"a\" }}",
        "{{ parseDuration \"1h30m\" }} {{ stripPort \"a.b:80\" }} {{ stripDomain \"a.b:80\" }} {{ stripDomain \"10.0.0.1:80\" }}",
    ];
    let numbers = [
        "0",
        "1",
        "-1",
        "0.5",
        "3.14159",
        "999.96",
        "1000",
        "123456",
        "1234567",
        "1e20",
        "1e21",
        "1e-4",
        "0.00001234",
        "86399.5",
        "90061",
        "-3700.5",
        "9999.5",
        "0.99995",
        "1024",
        "1048576",
        "NaN",
        "Inf",
        "-Inf",
    ];
    let mut rules = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: m\n    annotations:\n".to_owned();
    for (at, template) in templates.iter().enumerate() {
        rules += &format!("      t{at}: {}\n", quote(template));
    }
    let files = [RuleFile::parse(&rules).unwrap_or_else(|error| panic!("{error}"))];
    let mut evaluator = Evaluator::new(&files, Surroundings::default());
    let mut test =
        "rule_files: [oracle-templates-rules.yaml]\ntests:\n- interval: 1m\n  input_series:\n".to_owned();
    for (at, number) in numbers.iter().enumerate() {
        let series = format!("m{{a=\"{at}\"}}");
        test += &format!("  - {{series: {}, values: \"{number}\"}}\n", quote(&series));
        evaluator.observe(0, &[(query::metric(&series).unwrap(), float(number).unwrap())]).unwrap();
    }
    test += "  alert_rule_test:\n  - eval_time: 0m\n    alertname: A\n    exp_alerts:\n";
    let (alerts, failures) = evaluator.evaluate(0);
    assert!(failures.is_empty() && alerts.len() == numbers.len(), "{failures:?}");
    for alert in alerts {
        test +=
            &format!("    - exp_labels: {{a: {}}}\n      exp_annotations:\n", quote(alert.labels.get("a")));
        for (name, text) in alert.annotations {
            test += &format!("        {name}: {}\n", quote(&text));
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::write(folder.join("oracle-templates-rules.yaml"), rules).unwrap();
    let file = folder.join("oracle-templates.yaml");
    fs::write(&file, test).unwrap();
    let (passed, report) = test_rules(&promtool, &file);
    assert!(passed, "{report}");
}
