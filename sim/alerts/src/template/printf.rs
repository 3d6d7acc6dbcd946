//! The part of Go's `printf` that texts of alerts use.

use super::Datum;
use crate::numbers::{go_e, go_fixed, go_g, go_v, quote};

/// A value as `{{ … }}` and `%v` print it.
pub fn printed(value: &Datum) -> Result<String, String> {
    match value {
        Datum::Text(text) => Ok(text.clone()),
        Datum::Float(value) => Ok(go_v(*value)),
        Datum::Int(value) => Ok(value.to_string()),
        Datum::Bool(value) => Ok(value.to_string()),
        Datum::Map(map) => {
            let pairs: Vec<String> = map.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            Ok(format!("map[{}]", pairs.join(" ")))
        }
        Datum::Nil => Ok("<no value>".to_owned()),
        // Go prints addresses for these values, which differ from run to run.
        Datum::Sample(_) | Datum::Samples(_) | Datum::Root => Err("this cannot be printed".to_owned()),
    }
}

/// `printf`. A verb that does not fit its value gives Go's error text: `%!d(float64=2.5)`.
pub fn formatted(format: &str, values: &[Datum]) -> Result<String, String> {
    let (mut text, mut chars, mut next) = (String::new(), format.chars().peekable(), 0);
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let (mut left, mut plus, mut zero) = (false, false, false);
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '0' | ' ' | '#')) {
            match flag {
                '-' => left = true,
                '+' => plus = true,
                '0' => zero = true,
                other => return Err(format!("printf's flag {other:?} is not supported")),
            }
        }
        let mut digits = || {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits
        };
        let width: usize = digits().parse().unwrap_or(0);
        if width > 10_000 {
            return Err("printf's width is too large".to_owned());
        }
        let precision = if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            Some(digits.parse::<usize>().unwrap_or(0).min(1000))
        } else {
            None
        };
        let Some(verb) = chars.next() else {
            text += "%!(NOVERB)";
            break;
        };
        if verb == '%' {
            text.push('%');
            continue;
        }
        let Some(value) = values.get(next) else {
            text += &format!("%!{verb}(MISSING)");
            continue;
        };
        next += 1;
        let mut one = one(verb, precision, value)?;
        let number = matches!(value, Datum::Float(_) | Datum::Int(_));
        if plus && number && !one.starts_with(['-', '+']) {
            one.insert(0, '+');
        }
        let missing = width.saturating_sub(one.chars().count());
        if left {
            text += &one;
            text.extend(std::iter::repeat_n(' ', missing));
        } else if zero && number && one.chars().any(|c| c.is_ascii_digit()) {
            let sign = usize::from(one.starts_with(['-', '+']));
            text += &one[..sign];
            text.extend(std::iter::repeat_n('0', missing));
            text += &one[sign..];
        } else {
            text.extend(std::iter::repeat_n(' ', missing));
            text += &one;
        }
    }
    if next < values.len() {
        let extra = values[next..].iter().map(|value| Ok(format!("{}={}", kind(value), printed(value)?)));
        text += &format!("%!(EXTRA {})", extra.collect::<Result<Vec<String>, String>>()?.join(", "));
    }
    Ok(text)
}

fn one(verb: char, precision: Option<usize>, value: &Datum) -> Result<String, String> {
    Ok(match (verb, value) {
        ('v', Datum::Float(value)) | ('g', Datum::Float(value)) => go_g(*value, precision),
        ('f' | 'F', Datum::Float(value)) => go_fixed(*value, precision.unwrap_or(6)),
        ('e', Datum::Float(value)) => go_e(*value, Some(precision.unwrap_or(6))),
        ('v' | 'd', Datum::Int(value)) => value.to_string(),
        ('x', Datum::Int(value)) => format!("{value:x}"),
        ('v' | 't', Datum::Bool(value)) => value.to_string(),
        ('v' | 's', Datum::Text(text)) => {
            precision.map_or_else(|| text.clone(), |most| text.chars().take(most).collect())
        }
        ('q', Datum::Text(text)) => quote(text),
        ('v', value) => printed(value)?,
        (verb, value) => format!("%!{verb}({}={})", kind(value), printed(value)?),
    })
}

fn kind(value: &Datum) -> &'static str {
    match value {
        Datum::Text(_) => "string",
        Datum::Float(_) => "float64",
        Datum::Int(_) => "int",
        Datum::Bool(_) => "bool",
        Datum::Map(_) => "map[string]string",
        Datum::Sample(_) | Datum::Samples(_) | Datum::Root | Datum::Nil => "<nil>",
    }
}
