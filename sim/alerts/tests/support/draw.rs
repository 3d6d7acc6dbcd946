//! Series and expressions drawn at random.
//!
//! Prometheus sums series in whatever order it walks them, so a sum of inexact numbers has no one value. Where an expression
//! is compared, rounded, counted or made a label, `exact` therefore asks for one whose value does not hang on that order:
//! gauges are multiples of a quarter, and only they are summed there.

use super::Chance;

/// The series of a case, as (series, values) in promtool's notation.
pub fn series(chance: &mut Chance, length: u64) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let wild = chance.once_in(4);
    for job in ["a", "b"] {
        for instance in 1..=1 + chance.below(3) {
            let labels = format!("job=\"{job}\", instance=\"{instance}\"");
            if !chance.once_in(6) {
                all.push((format!("g{{{labels}}}"), gauge(chance, length, wild)));
            }
            if !chance.once_in(4) {
                all.push((
                    format!("k{{{labels}, extra=\"e{}\"}}", chance.below(2)),
                    gauge(chance, length, wild),
                ));
            }
            if !chance.once_in(4) {
                all.push((format!("c_total{{{labels}}}"), counter(chance, length)));
            }
            if chance.once_in(2) {
                let mut sums = vec![0_u64; usize::try_from(length).unwrap()];
                for le in ["0.1", "0.5", "2.5", "+Inf"] {
                    let mut count = 0;
                    let values: Vec<String> = sums
                        .iter_mut()
                        .map(|sum| {
                            count += chance.below(6);
                            *sum += count;
                            // A scrape may miss a bucket, which breaks the order of the counts.
                            if chance.once_in(15) { "_".to_owned() } else { sum.to_string() }
                        })
                        .collect();
                    all.push((format!("h_bucket{{{labels}, le=\"{le}\"}}"), values.join(" ")));
                }
            }
        }
    }
    all.push(("one".to_owned(), gauge(chance, length, false)));
    all
}

fn gauge(chance: &mut Chance, length: u64, wild: bool) -> String {
    // Some go silent for good without being marked stale.
    let ends = if chance.once_in(4) { chance.below(length / 2 + 1) } else { length };
    let values: Vec<String> = (0..ends)
        .map(|_| match chance.below(if wild { 40 } else { 30 }) {
            0 | 1 => "_".to_owned(),
            2 => "stale".to_owned(),
            30 => "NaN".to_owned(),
            31 => "Inf".to_owned(),
            32 => "-Inf".to_owned(),
            33 => "1e300".to_owned(),
            _ => (chance.below(64) as f64 / 4.0 - 8.0).to_string(),
        })
        .collect();
    values.join(" ")
}

fn counter(chance: &mut Chance, length: u64) -> String {
    let mut value = chance.below(50);
    let values: Vec<String> = (0..length)
        .map(|_| match chance.below(25) {
            0 => "_".to_owned(),
            1 if chance.once_in(3) => "stale".to_owned(),
            2 => {
                value = chance.below(3);
                value.to_string()
            }
            _ => {
                value += chance.below(20);
                value.to_string()
            }
        })
        .collect();
    values.join(" ")
}

fn duration(chance: &mut Chance) -> &'static str {
    chance.one(&["1s", "20s", "30s", "45s", "1m", "90s", "2m", "2m30s", "5m", "7m", "10m"])
}

fn offset(chance: &mut Chance) -> String {
    match chance.below(6) {
        0 => format!(" offset {}", duration(chance)),
        1 if chance.once_in(3) => format!(" offset -{}", duration(chance)),
        _ => String::new(),
    }
}

fn matchers(chance: &mut Chance) -> String {
    match chance.below(8) {
        0 => "{job=\"a\"}",
        1 => "{job=~\"a|c\", instance!=\"1\"}",
        2 => "{instance!~\"[23]\"}",
        3 => "{job=~\".+\", extra=\"\"}",
        _ => "",
    }
    .to_owned()
}

fn selector(chance: &mut Chance) -> String {
    if chance.once_in(25) {
        return chance
            .one(&["{__name__=~\"g|k\"}", "{job=\"a\", le=\"\"}", "nothing{job=\"a\", x=~\"y\"}"])
            .to_owned();
    }
    let name = chance.one(&["g", "g", "k", "k", "c_total", "h_bucket", "one"]);
    format!("{name}{}", matchers(chance))
}

fn range(chance: &mut Chance, depth: u64) -> String {
    let range = duration(chance);
    if chance.once_in(4) {
        let step = if chance.once_in(3) { "" } else { duration(chance) };
        // Steps of a second over minutes would only take long.
        let step = if step == "1s" { "20s" } else { step };
        let inner =
            if chance.once_in(2) { selector(chance) } else { vector(chance, depth.saturating_sub(1), true) };
        return format!("({inner})[{range}:{step}]{}", offset(chance));
    }
    let name = chance.one(&["g", "k", "c_total", "c_total", "h_bucket", "one"]);
    format!("{name}{}[{range}]{}", matchers(chance), offset(chance))
}

fn scalar(chance: &mut Chance, depth: u64) -> String {
    match chance.below(8) {
        0 => "time()".to_owned(),
        1 => format!("scalar({})", vector(chance, depth.saturating_sub(1), true)),
        2 => format!("({} {} {})", number(chance), chance.one(&["+", "-", "*", "/", "%"]), number(chance)),
        3 => format!("({} {} bool {})", number(chance), chance.one(&["==", "<", ">="]), number(chance)),
        _ => number(chance),
    }
}

fn number(chance: &mut Chance) -> String {
    chance.one(&["0", "1", "2", "3.5", "-1", "0.25", "100", "-0.5", "Inf", "NaN", "0x10", "1e3"]).to_owned()
}

fn labels(chance: &mut Chance) -> &'static str {
    chance.one(&["job", "instance", "job, instance", "", "extra", "le", "job, le", "nope"])
}

/// An expression whose kind is an instant vector.
pub fn vector(chance: &mut Chance, depth: u64, exact: bool) -> String {
    if depth == 0 {
        return format!("{}{}", selector(chance), offset(chance));
    }
    let deeper = depth - 1;
    match chance.below(24) {
        0 => {
            let name = chance.one(&["abs", "ceil", "floor", "sgn", "sqrt", "sort", "sort_desc", "round"]);
            format!("{name}({})", vector(chance, deeper, true))
        }
        1 if !exact => {
            format!("{}({})", chance.one(&["exp", "ln", "log2", "log10"]), vector(chance, deeper, true))
        }
        2 => match chance.below(4) {
            0 => format!("clamp({}, {}, {})", vector(chance, deeper, exact), number(chance), number(chance)),
            1 => format!("clamp_min({}, {})", vector(chance, deeper, exact), scalar(chance, deeper)),
            2 => format!("clamp_max({}, {})", vector(chance, deeper, exact), scalar(chance, deeper)),
            _ => {
                format!("round({}, {})", vector(chance, deeper, true), chance.one(&["0.5", "0.1", "2", "10"]))
            }
        },
        3..=8 => {
            let name = chance.one(&[
                "rate",
                "rate",
                "increase",
                "increase",
                "irate",
                "delta",
                "idelta",
                "deriv",
                "changes",
                "resets",
                "avg_over_time",
                "sum_over_time",
                "min_over_time",
                "max_over_time",
                "count_over_time",
                "last_over_time",
                "present_over_time",
                "stddev_over_time",
                "stdvar_over_time",
                "absent_over_time",
            ]);
            format!("{name}({})", range(chance, depth))
        }
        9 => format!("predict_linear({}, {})", range(chance, depth), scalar(chance, deeper)),
        10 => format!("quantile_over_time({}, {})", scalar(chance, deeper), range(chance, depth)),
        11 => {
            let q = chance.one(&["0.5", "0.9", "0.99", "0", "1", "-1", "2", "NaN", "0.25"]);
            match chance.below(4) {
                0 => format!("histogram_quantile({q}, h_bucket)"),
                1 => format!("histogram_quantile({q}, {})", vector(chance, deeper, true)),
                2 if !exact => {
                    format!("histogram_quantile({q}, sum by (le) (rate(h_bucket[{}])))", duration(chance))
                }
                _ => format!("histogram_quantile({q}, rate(h_bucket[{}]))", duration(chance)),
            }
        }
        12..=14 => aggregate(chance, deeper, exact),
        15 => {
            let matching = match chance.below(4) {
                0 => format!("on ({}) ", labels(chance)),
                1 => format!("ignoring ({}) ", labels(chance)),
                _ => String::new(),
            };
            let set = chance.one(&["and", "or", "unless"]);
            format!("({} {set} {matching}{})", vector(chance, deeper, exact), vector(chance, deeper, exact))
        }
        16 | 17 => binary(chance, deeper, exact),
        18 | 19 => {
            let (op, needs) = match chance.below(3) {
                0 => (chance.one(&["==", "!=", "<", "<=", ">", ">="]).to_owned(), true),
                1 => (format!("{} bool", chance.one(&["==", "!=", "<", "<=", ">", ">="])), true),
                _ if exact => (chance.one(&["+", "-", "*", "/", "%"]).to_owned(), true),
                _ => (chance.one(&["+", "-", "*", "/", "^"]).to_owned(), exact),
            };
            let (vector, scalar) = (vector(chance, deeper, needs), scalar(chance, deeper));
            if chance.once_in(3) {
                format!("({scalar} {op} {vector})")
            } else {
                format!("({vector} {op} {scalar})")
            }
        }
        20 => format!("-{}", vector(chance, deeper, exact)),
        21 => match chance.below(3) {
            0 => format!(
                "label_replace({}, \"{}\", \"x$1\", \"{}\", \"{}\")",
                vector(chance, deeper, exact),
                chance.one(&["new", "job", "instance"]),
                chance.one(&["job", "instance", "nope"]),
                chance.one(&["(.*)", "(a)", "([0-9]).*", ""]),
            ),
            1 => format!(
                "label_join({}, \"new\", \"-\", \"job\", \"instance\")",
                vector(chance, deeper, exact)
            ),
            _ => format!("label_join({}, \"instance\", \"\", \"nope\")", vector(chance, deeper, exact)),
        },
        22 => match chance.below(4) {
            0 => format!("vector({})", scalar(chance, deeper)),
            1 => format!("absent({})", vector(chance, deeper, true)),
            2 => format!("timestamp({})", vector(chance, deeper, true)),
            _ => format!("timestamp({}{})", selector(chance), offset(chance)),
        },
        _ => format!("({}{})", selector(chance), offset(chance)),
    }
}

fn aggregate(chance: &mut Chance, deeper: u64, exact: bool) -> String {
    let grouping = match chance.below(3) {
        0 => format!("by ({}) ", labels(chance)),
        1 => format!("without ({}) ", labels(chance)),
        _ => String::new(),
    };
    match chance.below(8) {
        0 => format!("quantile {grouping}({}, {})", chance.one(&["0.5", "0.9", "0", "1", "2"]), {
            vector(chance, deeper, true)
        }),
        1 => format!("count_values {grouping}(\"value\", {})", vector(chance, deeper, true)),
        2 if exact => format!("sum {grouping}({}{})", chance.one(&["g", "k", "c_total"]), matchers(chance)),
        2 | 3 if !exact => {
            let name = chance.one(&["sum", "avg", "stddev", "stdvar"]);
            format!("{name} {grouping}({})", vector(chance, deeper, false))
        }
        _ => {
            let name = chance.one(&["min", "max", "count", "group"]);
            format!("{name} {grouping}({})", vector(chance, deeper, exact))
        }
    }
}

fn binary(chance: &mut Chance, deeper: u64, exact: bool) -> String {
    let (op, needs) = match chance.below(3) {
        0 => (chance.one(&["==", "!=", "<", "<=", ">", ">="]).to_owned(), true),
        1 => (format!("{} bool", chance.one(&["==", ">", "<="])), true),
        _ => (chance.one(&["+", "-", "*", "/"]).to_owned(), exact),
    };
    let matching = match chance.below(7) {
        0 => " on (job, instance)".to_owned(),
        1 => " ignoring (extra)".to_owned(),
        2 => " ignoring (extra, le)".to_owned(),
        3 => " on (job, instance) group_left ()".to_owned(),
        4 => format!(" on (job, instance) group_right ({})", chance.one(&["extra", "", "le"])),
        5 => format!(" ignoring ({}) group_left (extra)", chance.one(&["extra", "le"])),
        _ => String::new(),
    };
    let simple = chance.once_in(2);
    let side = |chance: &mut Chance| {
        if simple { selector(chance) } else { vector(chance, deeper, needs) }
    };
    format!("({} {op}{matching} {})", side(chance), side(chance))
}
