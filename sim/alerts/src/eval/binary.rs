//! Binary operators, and which element of one side goes with which of the other.

use std::{collections::BTreeMap, collections::BTreeSet, mem};

use super::{Element, EvalError, Value, unique, without_names};
use crate::{
    labels::Labels,
    query::{Arithmetic, Cardinality, Comparison, Matching, Operator, SetOperation},
};

/// The value of `left operator right`.
pub fn apply(
    operator: Operator,
    returns_bool: bool,
    matching: &Matching,
    left: Value,
    right: Value,
) -> Result<Value, EvalError> {
    match (left, right) {
        (Value::Scalar(left), Value::Scalar(right)) => {
            let (value, holds) = compute(operator, left, right);
            let compares = matches!(operator, Operator::Comparison(_));
            Ok(Value::Scalar(if compares { f64::from(u8::from(holds)) } else { value }))
        }
        (Value::Vector(left), Value::Scalar(right)) => {
            with_scalar(operator, returns_bool, left, |value| compute(operator, value, right))
        }
        (Value::Scalar(left), Value::Vector(right)) => with_scalar(operator, returns_bool, right, |value| {
            let (result, holds) = compute(operator, left, value);
            // A comparison keeps the vector's value, on whichever side it stands.
            (if matches!(operator, Operator::Comparison(_)) { value } else { result }, holds)
        }),
        (Value::Vector(left), Value::Vector(right)) => match operator {
            Operator::Set(operation) => set(operation, matching, left, right).map(Value::Vector),
            _ => matched(operator, returns_bool, matching, left, right).map(Value::Vector),
        },
        _ => Err(EvalError("an operator on a string".to_owned())),
    }
}

/// The result of an operator on two numbers, and whether a comparison holds.
fn compute(operator: Operator, left: f64, right: f64) -> (f64, bool) {
    match operator {
        Operator::Arithmetic(arithmetic) => {
            let value = match arithmetic {
                Arithmetic::Add => left + right,
                Arithmetic::Subtract => left - right,
                Arithmetic::Multiply => left * right,
                Arithmetic::Divide => left / right,
                Arithmetic::Modulo => left % right,
                Arithmetic::Power => left.powf(right),
            };
            (value, true)
        }
        Operator::Comparison(comparison) => {
            let holds = match comparison {
                Comparison::Equal => left == right,
                Comparison::NotEqual => left != right,
                Comparison::Greater => left > right,
                Comparison::Less => left < right,
                Comparison::GreaterOrEqual => left >= right,
                Comparison::LessOrEqual => left <= right,
            };
            (left, holds)
        }
        Operator::Set(_) => (left, true),
    }
}

fn with_scalar(
    operator: Operator,
    returns_bool: bool,
    elements: Vec<Element>,
    result: impl Fn(f64) -> (f64, bool),
) -> Result<Value, EvalError> {
    let kept = elements.into_iter().filter_map(|Element { labels, value }| {
        let (value, holds) = result(value);
        match (returns_bool, holds) {
            (true, _) => Some(Element { labels, value: f64::from(u8::from(holds)) }),
            (false, true) => Some(Element { labels, value }),
            (false, false) => None,
        }
    });
    let kept = kept.collect();
    let drops_names = returns_bool || matches!(operator, Operator::Arithmetic(_));
    Ok(Value::Vector(if drops_names { without_names(kept)? } else { kept }))
}

/// What two elements must agree in to go together.
fn key(matching: &Matching, labels: &Labels) -> Labels {
    if matching.on { labels.only(&matching.labels) } else { labels.without(&matching.labels) }
}

fn set(
    operation: SetOperation,
    matching: &Matching,
    left: Vec<Element>,
    right: Vec<Element>,
) -> Result<Vec<Element>, EvalError> {
    let keys = |elements: &[Element]| -> BTreeSet<Labels> {
        elements.iter().map(|element| key(matching, &element.labels)).collect()
    };
    match operation {
        SetOperation::And | SetOperation::Unless => {
            let keys = keys(&right);
            let wanted = operation == SetOperation::And;
            let keep = |element: &Element| keys.contains(&key(matching, &element.labels)) == wanted;
            Ok(left.into_iter().filter(keep).collect())
        }
        SetOperation::Or => {
            let keys = keys(&left);
            let new = |element: &Element| !keys.contains(&key(matching, &element.labels));
            let mut all = left;
            all.extend(right.into_iter().filter(new));
            unique(all)
        }
    }
}

fn matched(
    operator: Operator,
    returns_bool: bool,
    matching: &Matching,
    mut many: Vec<Element>,
    mut one: Vec<Element>,
) -> Result<Vec<Element>, EvalError> {
    if many.is_empty() || one.is_empty() {
        return Ok(Vec::new());
    }
    let swapped = matching.cardinality == Cardinality::OneToMany;
    if swapped {
        mem::swap(&mut many, &mut one);
    }
    let mut ones: BTreeMap<Labels, &Element> = BTreeMap::new();
    for element in &one {
        let key = key(matching, &element.labels);
        if let Some(other) = ones.get(&key) {
            return Err(EvalError(format!(
                "found duplicate series for the match group {key} on the {} hand-side of the operation: [{}, {}]; \
                 many-to-many matching not allowed: matching labels must be unique on one side",
                if swapped { "left" } else { "right" },
                element.labels,
                other.labels,
            )));
        }
        ones.insert(key, element);
    }
    let one_to_one = matching.cardinality == Cardinality::OneToOne;
    let mut seen = BTreeSet::new();
    let mut result = Vec::new();
    for element in &many {
        let key = key(matching, &element.labels);
        let Some(other) = ones.get(&key).copied() else { continue };
        let (left, right) = if swapped { (other, element) } else { (element, other) };
        let (mut value, holds) = compute(operator, left.value, right.value);
        if returns_bool {
            value = f64::from(u8::from(holds));
        } else if !holds {
            continue;
        }
        let mut labels = element.labels.clone();
        if matches!(operator, Operator::Arithmetic(_)) {
            labels = labels.without_name();
        }
        if one_to_one {
            labels = if matching.on {
                labels.only(&matching.labels)
            } else {
                labels.retain(|name| !matching.labels.iter().any(|ignored| **ignored == *name))
            };
        }
        for name in &matching.include {
            labels = labels.with(name, other.labels.get(name));
        }
        if returns_bool {
            labels = labels.without_name();
        }
        if one_to_one && !seen.insert(key) {
            let what =
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
            return Err(EvalError(what.to_owned()));
        }
        result.push(Element { labels, value });
    }
    // One to one, the match keeps results apart, for it is part of their labels.
    if one_to_one {
        return Ok(result);
    }
    unique(result).map_err(|_| {
        EvalError("multiple matches for labels: grouping labels must ensure unique matches".to_owned())
    })
}
