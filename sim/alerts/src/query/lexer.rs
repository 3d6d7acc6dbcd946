//! Splits a text into tokens.

use super::{QueryError, Span};
use crate::numbers;

/// A token of the language. A keyword is a [`Token::Word`]: a metric may be named `sum` or `by`, so the parser decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A name: a keyword, a function, a metric or a label.
    Word(String),
    Number(f64),
    /// A duration in milliseconds, never zero.
    Duration(i64),
    Text(String),
    /// Punctuation and operators, as written.
    Sign(&'static str),
    End,
}

/// Longer signs come first, so that `>=` is not read as `>` and `=`.
const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "=~", "!~", "(", ")", "{", "}", "[", "]", ",", ":", "+", "-", "*", "/", "%", "^",
    "=", "<", ">", "@",
];

/// The tokens of a text, each with its byte range; the last one is [`Token::End`].
pub fn tokens(text: &str) -> Result<Vec<(Token, Span)>, QueryError> {
    let mut found = Vec::new();
    let mut at = 0;
    // A colon in brackets separates a subquery's range from its step; elsewhere it begins or continues a metric's name.
    let mut in_brackets = false;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let refuse = |what: String| QueryError { text: text.to_owned(), at, what };
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if c == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (token, length) =
            if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
                number_or_duration(rest).map_err(refuse)?
            } else if c == '"' || c == '\'' || c == '`' {
                string(rest, c).map_err(refuse)?
            } else if c.is_ascii_alphabetic() || c == '_' || (c == ':' && !in_brackets) {
                let more = |c: char| c.is_ascii_alphanumeric() || c == '_' || (c == ':' && !in_brackets);
                let length = rest.find(|c| !more(c)).unwrap_or(rest.len());
                (Token::Word(rest[..length].to_owned()), length)
            } else {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| refuse(format!("unexpected character {c:?}")))?;
                match sign {
                    "[" => in_brackets = true,
                    "]" => in_brackets = false,
                    _ => {}
                }
                (Token::Sign(sign), sign.len())
            };
        found.push((token, Span { begin: at, end: at + length }));
        at += length;
    }
    found.push((Token::End, Span { begin: at, end: at }));
    Ok(found)
}

fn number_or_duration(rest: &str) -> Result<(Token, usize), String> {
    let bytes = rest.as_bytes();
    let is = |at: usize, set: &str| bytes.get(at).is_some_and(|b| set.contains(char::from(*b)));
    let digits = |mut at: usize, set: &str| {
        while is(at, set) {
            at += 1;
        }
        at
    };
    let hexadecimal = is(0, "0") && is(1, "xX");
    let mut end = if hexadecimal { digits(2, "0123456789abcdefABCDEF") } else { digits(0, "0123456789") };
    if !hexadecimal {
        if is(end, ".") {
            end = digits(end + 1, "0123456789");
        }
        if is(end, "eE") {
            let sign = usize::from(is(end + 1, "+-"));
            end = digits(end + 1 + sign, "0123456789");
        }
    }
    let more = |c: char| c.is_alphanumeric() || c == '_';
    if !rest[end..].starts_with(more) {
        let text = &rest[..end];
        let value = numbers::number(text).ok_or_else(|| format!("{text:?} is no number"))?;
        return Ok((Token::Number(value), end));
    }
    let length = rest.find(|c| !more(c)).unwrap_or(rest.len());
    let text = &rest[..length];
    match numbers::duration_ms(text) {
        Ok(0) => Err("a duration must be greater than 0".to_owned()),
        Ok(ms) => Ok((Token::Duration(ms), length)),
        Err(_) => Err(format!("{text:?} is neither a number nor a duration")),
    }
}

/// Reads a string. In single or double quotes it has Go's escapes; in backticks it has none.
fn string(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((Token::Text(value), at + 1)),
            '\n' if quote != '`' => break,
            '\\' if quote != '`' => {
                let (_, escape) = chars.next().ok_or("a string that does not end")?;
                value.push(match escape {
                    'a' => '\x07',
                    'b' => '\x08',
                    'f' => '\x0c',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\x0b',
                    '\\' => '\\',
                    c if c == quote => c,
                    'x' | 'u' | 'U' | '0'..='7' => {
                        let (radix, count, first) = match escape {
                            'x' => (16, 2, None),
                            'u' => (16, 4, None),
                            'U' => (16, 8, None),
                            digit => (8, 2, Some(digit)),
                        };
                        let digits: String =
                            first.into_iter().chain(chars.by_ref().take(count).map(|(_, c)| c)).collect();
                        let code = u32::from_str_radix(&digits, radix).ok();
                        // A byte above 127 would be a part of a character, but label values are text.
                        code.filter(|code| *code < 128 || matches!(escape, 'u' | 'U'))
                            .and_then(char::from_u32)
                            .ok_or_else(|| format!("the escape \\{escape}{digits} is no character"))?
                    }
                    other => return Err(format!("unknown escape \\{other} in a string")),
                });
            }
            c => value.push(c),
        }
    }
    Err("a string that does not end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Token> {
        tokens(text).unwrap().into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn a_colon_is_a_name_outside_brackets_and_a_sign_within() {
        use Token::{Duration, End, Sign, Word};
        assert_eq!(
            words("a:b[5m:1m] # rest"),
            [Word("a:b".into()), Sign("["), Duration(300_000), Sign(":"), Duration(60_000), Sign("]"), End]
        );
    }

    #[test]
    fn strings_have_gos_escapes_or_none() {
        assert_eq!(words(r#""a\"\n\x41\101\u00e9""#)[0], Token::Text("a\"\nAAé".into()));
        assert_eq!(words(r"`a\n`")[0], Token::Text(r"a\n".into()));
        for wrong in [r#""a"#, r#""\q""#, "'a\nb'", r#""\xff""#, "5mm", "$", "1.2.3x", "0s"] {
            assert!(tokens(wrong).is_err(), "{wrong}");
        }
    }
}
