//! Functions of an element for each series.

use std::sync::Arc;

use regex::Regex;

use super::{Element, EvalError, Moment, histogram, mapped, memo::Place, unique, without_names};
use crate::{
    labels::{Labels, NAME},
    numbers::{go_max, go_min},
    query::{Expr, MatchOp, Node},
};

/// The value of a call that takes no range and returns a vector.
pub fn call(
    moment: &Moment<'_>,
    name: &str,
    arguments: &[Expr],
    regex: Option<&Regex>,
    place: Place<'_>,
) -> Result<Vec<Element>, EvalError> {
    let elements = |at: usize| moment.elements(&arguments[at]);
    let number = |at: usize| moment.scalar(&arguments[at]);
    match name {
        "abs" => mapped(elements(0)?, f64::abs),
        "ceil" => mapped(elements(0)?, f64::ceil),
        "floor" => mapped(elements(0)?, f64::floor),
        "exp" => mapped(elements(0)?, f64::exp),
        "sqrt" => mapped(elements(0)?, f64::sqrt),
        "ln" => mapped(elements(0)?, f64::ln),
        "log2" => mapped(elements(0)?, f64::log2),
        "log10" => mapped(elements(0)?, f64::log10),
        "sgn" => mapped(elements(0)?, |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        }),
        "round" => {
            // Inverted once, so that rounding to 0.1 is no division by it.
            let inverse = 1.0 / if arguments.len() > 1 { number(1)? } else { 1.0 };
            mapped(elements(0)?, |value| (value * inverse + 0.5).floor() / inverse)
        }
        "clamp" => {
            let (least, most) = (number(1)?, number(2)?);
            let elements = elements(0)?;
            if most < least {
                return Ok(Vec::new());
            }
            mapped(elements, |value| go_max(least, go_min(most, value)))
        }
        "clamp_max" => {
            let most = number(1)?;
            mapped(elements(0)?, |value| go_min(most, value))
        }
        "clamp_min" => {
            let least = number(1)?;
            mapped(elements(0)?, |value| go_max(least, value))
        }
        "sort" | "sort_desc" => {
            let mut elements = elements(0)?;
            // NaN goes last either way.
            elements.sort_by(|a, b| {
                let (a, b) = (a.value, b.value);
                let order = if name == "sort" { a.partial_cmp(&b) } else { b.partial_cmp(&a) };
                order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            });
            Ok(elements)
        }
        "vector" => Ok(vec![Element { labels: Labels::default(), value: number(0)? }]),
        "absent" => {
            let present = !elements(0)?.is_empty();
            let labels = labels_of_absence(arguments[0].bare());
            Ok(if present { Vec::new() } else { vec![Element { labels, value: 1.0 }] })
        }
        "timestamp" => timestamps(moment, &arguments[0]),
        "histogram_quantile" => unique(histogram::quantiles(number(0)?, &elements(1)?, place)),
        "label_replace" => {
            let regex = regex.ok_or_else(|| EvalError("label_replace without its expression".to_owned()))?;
            unique(replaced(elements(0)?, arguments, regex))
        }
        "label_join" => {
            let (target, separator) = (arguments[1].text(), arguments[2].text());
            let joined = elements(0)?.into_iter().map(|Element { labels, value }| {
                let parts: Vec<&str> =
                    arguments[3..].iter().map(|source| labels.get(source.text())).collect();
                Element { labels: labels.with(target, &parts.join(separator)), value }
            });
            unique(joined.collect())
        }
        _ => Err(EvalError(format!("the function {name} is not supported"))),
    }
}

/// When the samples of a selector were taken; of any other expression, the moment of the evaluation.
fn timestamps(moment: &Moment<'_>, argument: &Expr) -> Result<Vec<Element>, EvalError> {
    if let Node::Instant(selector) = &argument.bare().node {
        let found = moment.instant(argument.bare(), selector, |sample| sample.at_ms as f64 / 1000.0);
        return without_names(found);
    }
    let now = moment.at_ms as f64 / 1000.0;
    mapped(moment.elements(argument)?, |_| now)
}

fn replaced(elements: Vec<Element>, arguments: &[Expr], regex: &Regex) -> Vec<Element> {
    let [_, target, replacement, source, ..] = arguments else { return elements };
    let replace = |Element { labels, value }: Element| {
        let Some(captures) = regex.captures(labels.get(source.text())) else {
            return Element { labels, value };
        };
        let mut text = String::new();
        captures.expand(replacement.text(), &mut text);
        Element { labels: labels.with(target.text(), &text), value }
    };
    elements.into_iter().map(replace).collect()
}

/// The labels that a selector's absence bears: those it asks for by `=`, unless it says more about them.
pub fn labels_of_absence(expr: &Expr) -> Labels {
    let selector = match &expr.node {
        Node::Instant(selector) | Node::Range { selector, .. } => selector,
        _ => return Labels::default(),
    };
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in selector.matchers.iter().filter(|matcher| *matcher.name != *NAME) {
        if matches!(matcher.op, MatchOp::Equal) && !seen.contains(&&*matcher.name) {
            pairs.push((matcher.name.clone(), matcher.value.clone()));
            seen.push(&matcher.name);
        } else {
            pairs.retain(|(name, _)| *name != matcher.name);
        }
    }
    Labels::of(pairs)
}
