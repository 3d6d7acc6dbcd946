//! EDN, Clojure's data notation, as far as histories use it: read one value after another from a stream.
//!
//! A reader of our own, because those on crates.io (`clojure-reader`, `edn-format`, `edn-rs`, which is no longer
//! developed) take the whole text at once, give values without their place in it, and recurse as deep as the input
//! says. Here a value is bounded in bytes and depth before it is held, errors have line and column, and a file is
//! never in memory as a whole.
//!
//! Read: nil, booleans, integers, other numbers (as text), strings, characters, keywords, symbols, lists, vectors,
//! maps, sets, tags (the tagged value stands for itself, so a record is its map), symbolic numbers (`##NaN`), metadata
//! (dropped), comments and discards. Grammar: github.com/edn-format/edn.

use std::collections::VecDeque;
use std::io::BufRead;

use crate::history::{ReadError, ReadProblem};

/// How deep values may be nested.
const MAX_DEPTH: usize = 64;

/// An EDN value.
#[derive(Clone, Debug, PartialEq)]
pub enum Edn {
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// Any other number, as it is written.
    Number(String),
    /// `"text"`
    Str(String),
    /// `\a`
    Char(String),
    /// `:name`, without the colon.
    Keyword(String),
    /// `name`
    Symbol(String),
    /// A list or a vector.
    Seq(Vec<Edn>),
    /// A map, in the order of the text.
    Map(Vec<(Edn, Edn)>),
    /// A set, in the order of the text.
    Set(Vec<Edn>),
}

impl Edn {
    /// The kind of the value, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Edn::Nil => "nil",
            Edn::Bool(_) => "a boolean",
            Edn::Int(_) => "an integer",
            Edn::Number(_) => "a number",
            Edn::Str(_) => "a string",
            Edn::Char(_) => "a character",
            Edn::Keyword(_) => "a keyword",
            Edn::Symbol(_) => "a symbol",
            Edn::Seq(_) => "a list or vector",
            Edn::Map(_) => "a map",
            Edn::Set(_) => "a set",
        }
    }

    /// The text of a keyword, symbol or string, without a keyword's colon and namespace: what a name is in any of the
    /// notations that histories come in.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Edn::Keyword(text) | Edn::Symbol(text) => {
                Some(text.rsplit_once('/').map_or(text, |(_, name)| name))
            }
            Edn::Str(text) => Some(text.strip_prefix(':').unwrap_or(text)),
            _ => None,
        }
    }

    /// A scalar's text, equal for equal scalars and for no others; `None` for a collection.
    pub(super) fn scalar(&self) -> Option<String> {
        Some(match self {
            Edn::Nil => "nil".to_owned(),
            Edn::Bool(value) => value.to_string(),
            Edn::Int(value) => value.to_string(),
            Edn::Number(text) => text.clone(),
            Edn::Str(text) => format!("{text:?}"),
            Edn::Char(text) => format!("\\{text}"),
            Edn::Keyword(text) => format!(":{text}"),
            Edn::Symbol(text) => text.clone(),
            Edn::Seq(_) | Edn::Map(_) | Edn::Set(_) => return None,
        })
    }

    /// Reads one value out of a text that holds nothing else.
    pub(super) fn parse(text: &str) -> Result<Edn, String> {
        let wrong = || format!("`{text}` is not one value");
        let mut reader = EdnReader::new(text.as_bytes(), "", 1, text.len() + 1);
        let Ok(Token::Value(value)) = reader.next_value() else { return Err(wrong()) };
        matches!(reader.next_value(), Ok(Token::End)).then_some(value).ok_or_else(wrong)
    }
}

/// A number that is no `i64`, in one spelling for each value where that is easy to have.
fn other_number(text: &str) -> String {
    let plain = text.strip_suffix(['N', 'M']).unwrap_or(text);
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.strip_prefix('+').unwrap_or(plain)),
    };
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("{sign}{}", digits.trim_start_matches('0'));
    }
    // Rust's shortest form of a float reads back as the same float, so equal floats have equal texts. A decimal (`M`)
    // can have more digits than a float, and keeps its own.
    match plain.parse::<f64>() {
        Ok(value) if !text.ends_with('M') => format!("{value:?}"),
        _ => text.to_owned(),
    }
}

/// A place in a text, both from 1; columns count bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: usize,
}

/// The next token of a stream.
pub(super) enum Token {
    /// A whole value.
    Value(Edn),
    /// `(` or `[`, at the top level, with [`EdnReader::next_opening`] only.
    Open,
    /// `)` or `]`.
    Close,
    /// The end.
    End,
}

/// Reads values from a stream.
pub(super) struct EdnReader<'a, R> {
    reader: R,
    file: &'a str,
    place: Place,
    /// The most bytes of one value.
    limit: usize,
    /// Bytes of the value being read.
    taken: usize,
    /// Bytes looked at and not yet taken: two at most.
    ahead: VecDeque<u8>,
}

impl<'a, R: BufRead> EdnReader<'a, R> {
    pub(super) fn new(reader: R, file: &'a str, line: u64, limit: usize) -> Self {
        EdnReader { reader, file, place: Place { line, column: 1 }, limit, taken: 0, ahead: VecDeque::new() }
    }

    /// Where the next token begins, white space and comments skipped.
    pub(super) fn next_place(&mut self) -> Result<Place, ReadError> {
        self.taken = 0;
        self.skip_blank(0)?;
        Ok(self.place)
    }

    /// The next token at the top level: lists and vectors are opened, not read.
    pub(super) fn next_opening(&mut self) -> Result<Token, ReadError> {
        self.next(true)
    }

    /// The next value, or the end of what was opened.
    pub(super) fn next_value(&mut self) -> Result<Token, ReadError> {
        self.next(false)
    }

    pub(super) fn malformed(&self, place: Place, what: impl Into<String>) -> ReadError {
        let problem = ReadProblem::Malformed(place.column, what.into());
        ReadError { file: self.file.to_owned(), line: place.line, problem }
    }

    fn next(&mut self, open: bool) -> Result<Token, ReadError> {
        self.next_place()?;
        Ok(match self.peek()? {
            None => Token::End,
            Some(b')' | b']') => {
                self.bump()?;
                Token::Close
            }
            Some(b'(' | b'[') if open => {
                self.bump()?;
                Token::Open
            }
            Some(_) => Token::Value(self.value(0)?),
        })
    }

    fn value(&mut self, depth: usize) -> Result<Edn, ReadError> {
        self.skip_blank(depth)?;
        let place = self.place;
        if depth > MAX_DEPTH {
            return Err(self.malformed(place, format!("values nested more than {MAX_DEPTH} deep")));
        }
        match self.peek()? {
            None => Err(self.cut_off()),
            Some(b'(') => self.sequence(b')', depth).map(Edn::Seq),
            Some(b'[') => self.sequence(b']', depth).map(Edn::Seq),
            Some(b'{') => self.map(depth),
            Some(b'"') => self.string().map(Edn::Str),
            Some(b'\\') => {
                self.bump()?;
                let mut name = Vec::new();
                // The first character may be any, a bracket too.
                if let Some(first) = self.peek()? {
                    self.bump()?;
                    name.push(first);
                }
                self.word(&mut name)?;
                self.text(name, place).map(Edn::Char)
            }
            Some(b'#') => {
                self.bump()?;
                match self.peek()? {
                    Some(b'{') => self.sequence(b'}', depth).map(Edn::Set),
                    _ => {
                        let mut tag = Vec::new();
                        self.word(&mut tag)?;
                        if tag.is_empty() {
                            return Err(self.malformed(place, "expected a tag, a set or a discard after `#`"));
                        }
                        // `##NaN`, `##Inf` and `##-Inf` are numbers, not tags of what follows.
                        if let Some(name) = tag.strip_prefix(b"#") {
                            return self
                                .text(name.to_vec(), place)
                                .map(|name| Edn::Number(format!("##{name}")));
                        }
                        self.value(depth + 1)
                    }
                }
            }
            Some(b'^') => {
                self.bump()?;
                self.value(depth + 1)?;
                self.value(depth + 1)
            }
            Some(b')' | b']' | b'}') => {
                Err(self.malformed(place, "expected a value, found a closing bracket"))
            }
            Some(_) => {
                let mut word = Vec::new();
                self.word(&mut word)?;
                if word.is_empty() {
                    return Err(self.malformed(place, "expected a value"));
                }
                let word = self.text(word, place)?;
                self.atom(word, place)
            }
        }
    }

    fn atom(&self, word: String, place: Place) -> Result<Edn, ReadError> {
        Ok(match word.as_str() {
            "nil" => Edn::Nil,
            "true" => Edn::Bool(true),
            "false" => Edn::Bool(false),
            _ => {
                if let Some(name) = word.strip_prefix(':') {
                    if name.is_empty() {
                        return Err(self.malformed(place, "expected a keyword's name after `:`"));
                    }
                    return Ok(Edn::Keyword(name.to_owned()));
                }
                let digits = word.strip_prefix(['+', '-']).unwrap_or(&word);
                if !digits.starts_with(|c: char| c.is_ascii_digit()) {
                    return Ok(Edn::Symbol(word));
                }
                let plain = word.strip_suffix('N').unwrap_or(&word);
                match plain.strip_prefix('+').unwrap_or(plain).parse() {
                    Ok(number) => Edn::Int(number),
                    Err(_) => Edn::Number(other_number(&word)),
                }
            }
        })
    }

    fn sequence(&mut self, close: u8, depth: usize) -> Result<Vec<Edn>, ReadError> {
        self.bump()?;
        let mut values = Vec::new();
        loop {
            self.skip_blank(depth)?;
            if self.peek()? == Some(close) {
                self.bump()?;
                return Ok(values);
            }
            values.push(self.value(depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Edn, ReadError> {
        let place = self.place;
        let values = self.sequence(b'}', depth)?;
        if values.len() % 2 == 1 {
            return Err(self.malformed(place, "a map with a key and no value"));
        }
        let mut entries: Vec<(Edn, Edn)> = Vec::with_capacity(values.len() / 2);
        let mut values = values.into_iter();
        while let (Some(key), Some(value)) = (values.next(), values.next()) {
            // Maps of histories have a handful of keys; a large one is not worth a quadratic search.
            if entries.len() < 32 && entries.iter().any(|(known, _)| *known == key) {
                return Err(self.malformed(place, "a map with one key twice"));
            }
            entries.push((key, value));
        }
        Ok(Edn::Map(entries))
    }

    fn string(&mut self) -> Result<String, ReadError> {
        let place = self.place;
        self.bump()?;
        let mut bytes = Vec::new();
        loop {
            let at = self.place;
            let Some(byte) = self.peek()? else { return Err(self.cut_off()) };
            self.bump()?;
            match byte {
                b'"' => return self.text(bytes, place),
                b'\\' => {
                    let Some(escape) = self.peek()? else { return Err(self.cut_off()) };
                    self.bump()?;
                    match escape {
                        b'n' => bytes.push(b'\n'),
                        b't' => bytes.push(b'\t'),
                        b'r' => bytes.push(b'\r'),
                        b'b' => bytes.push(8),
                        b'f' => bytes.push(12),
                        b'"' | b'\\' => bytes.push(escape),
                        b'u' => {
                            let code = self.four_digits(at)?;
                            // The halves of a pair come one after another; a lone half is no character, and stays
                            // as it was written, so that two different ones do not become equal.
                            let low = match code {
                                0xd800..0xdc00
                                    if self.peek()? == Some(b'\\') && self.second()? == Some(b'u') =>
                                {
                                    self.bump()?;
                                    self.bump()?;
                                    Some(self.four_digits(at)?)
                                }
                                _ => None,
                            };
                            let whole = match low {
                                Some(low @ 0xdc00..0xe000) => {
                                    0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
                                }
                                _ => code,
                            };
                            match char::from_u32(whole) {
                                Some(found) => {
                                    bytes.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes())
                                }
                                None => {
                                    for half in std::iter::once(code).chain(low) {
                                        bytes.extend_from_slice(format!("\\u{half:04x}").as_bytes());
                                    }
                                }
                            }
                        }
                        _ => {
                            return Err(
                                self.malformed(at, "expected one of \\n \\t \\r \\b \\f \\\" \\\\ \\uXXXX")
                            );
                        }
                    }
                }
                byte => bytes.push(byte),
            }
        }
    }

    fn four_digits(&mut self, at: Place) -> Result<u32, ReadError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek()? else { return Err(self.cut_off()) };
            self.bump()?;
            let Some(digit) = char::from(digit).to_digit(16) else {
                return Err(self.malformed(at, "expected four hexadecimal digits after `\\u`"));
            };
            code = code * 16 + digit;
        }
        Ok(code)
    }

    /// Appends bytes up to the next delimiter.
    fn word(&mut self, into: &mut Vec<u8>) -> Result<(), ReadError> {
        while let Some(byte) = self.peek()? {
            if byte.is_ascii_whitespace()
                || matches!(byte, b',' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'"' | b';')
            {
                break;
            }
            into.push(byte);
            self.bump()?;
        }
        Ok(())
    }

    fn text(&self, bytes: Vec<u8>, place: Place) -> Result<String, ReadError> {
        String::from_utf8(bytes).map_err(|error| ReadError {
            file: self.file.to_owned(),
            line: place.line,
            problem: ReadProblem::NotUtf8(place.column - 1 + error.utf8_error().valid_up_to()),
        })
    }

    /// Skips white space, commas, comments and discarded values.
    fn skip_blank(&mut self, depth: usize) -> Result<(), ReadError> {
        while let Some(byte) = self.peek()? {
            match byte {
                b',' => self.bump_free(),
                _ if byte.is_ascii_whitespace() => self.bump_free(),
                b';' => {
                    while self.peek()?.is_some_and(|byte| byte != b'\n') {
                        self.bump_free();
                    }
                }
                b'#' if self.second()? == Some(b'_') => {
                    let place = self.place;
                    self.bump()?;
                    self.bump()?;
                    if depth >= MAX_DEPTH {
                        return Err(
                            self.malformed(place, format!("values nested more than {MAX_DEPTH} deep"))
                        );
                    }
                    self.value(depth + 1)?;
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn cut_off(&self) -> ReadError {
        let problem = ReadProblem::Rule("the file ends in the middle of a value".to_owned());
        ReadError { file: self.file.to_owned(), line: self.place.line, problem }
    }

    fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        self.look(0)
    }

    fn second(&mut self) -> Result<Option<u8>, ReadError> {
        self.look(1)
    }

    /// The byte `ahead` (0 or 1) places on, wherever the reader's buffer happens to end.
    fn look(&mut self, ahead: usize) -> Result<Option<u8>, ReadError> {
        while self.ahead.len() <= ahead {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let problem = ReadProblem::Io(error);
                    return Err(ReadError { file: self.file.to_owned(), line: self.place.line, problem });
                }
            };
            let Some(&byte) = buffer.first() else { return Ok(None) };
            self.reader.consume(1);
            self.ahead.push_back(byte);
        }
        Ok(self.ahead.get(ahead).copied())
    }

    /// Takes a byte that counts against the value's limit.
    fn bump(&mut self) -> Result<(), ReadError> {
        self.taken += 1;
        if self.taken > self.limit {
            let problem = ReadProblem::Rule(format!("a value is longer than {} bytes", self.limit));
            return Err(ReadError { file: self.file.to_owned(), line: self.place.line, problem });
        }
        self.bump_free();
        Ok(())
    }

    /// Takes the byte that was looked at.
    fn bump_free(&mut self) {
        if let Some(byte) = self.ahead.pop_front() {
            if byte == b'\n' {
                self.place = Place { line: self.place.line + 1, column: 1 };
            } else {
                self.place.column += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn read_all(text: &str, buffer: usize) -> Result<Vec<Edn>, String> {
        let mut reader = EdnReader::new(BufReader::with_capacity(buffer, text.as_bytes()), "f", 1, 1000);
        let mut values = Vec::new();
        loop {
            match reader.next_value().map_err(|error| error.to_string())? {
                Token::Value(value) => values.push(value),
                Token::End => return Ok(values),
                Token::Open | Token::Close => return Err("bracket".to_owned()),
            }
        }
    }

    #[test]
    fn values_of_every_kind_whatever_the_buffer() {
        let text = "{:a 1, \"b\\n\\u00e9\" nil} ; comment\n#_ [gone #_ too] (x -2 +3 4N 1.5) #{true} #inst \"t\" \\( :k/w";
        let keyword = |name: &str| Edn::Keyword(name.to_owned());
        let expected = vec![
            Edn::Map(vec![(keyword("a"), Edn::Int(1)), (Edn::Str("b\n\u{e9}".to_owned()), Edn::Nil)]),
            Edn::Seq(vec![
                Edn::Symbol("x".to_owned()),
                Edn::Int(-2),
                Edn::Int(3),
                Edn::Int(4),
                Edn::Number("1.5".to_owned()),
            ]),
            Edn::Set(vec![Edn::Bool(true)]),
            Edn::Str("t".to_owned()),
            Edn::Char("(".to_owned()),
            keyword("k/w"),
        ];
        for buffer in [1, 2, 3, 64] {
            assert_eq!(read_all(text, buffer).unwrap(), expected);
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        let deep = "[".repeat(100);
        let long = format!("\"{}\"", "x".repeat(2000));
        let table = [
            ("{:a 1", "f:1: the file ends in the middle of a value"),
            ("\n {:a}", "f:2: column 2: a map with a key and no value"),
            ("{:a 1 :a 2}", "f:1: column 1: a map with one key twice"),
            ("[1 }", "f:1: column 4: expected a value, found a closing bracket"),
            (": x", "f:1: column 1: expected a keyword's name after `:`"),
            ("\"\\q\"", "f:1: column 2: expected one of \\n \\t \\r \\b \\f \\\" \\\\ \\uXXXX"),
            ("# x", "f:1: column 1: expected a tag, a set or a discard after `#`"),
            (&deep, "f:1: column 66: values nested more than 64 deep"),
            (&long, "f:1: a value is longer than 1000 bytes"),
        ];
        for (text, expected) in table {
            assert_eq!(read_all(text, 64), Err(expected.to_owned()), "{text}");
        }
        let mut reader = EdnReader::new(&b"  \"a\xff\""[..], "f", 1, 1000);
        let error = reader.next_value().err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("f:1: the line is not UTF-8 from its byte 3 on"));
    }
}
