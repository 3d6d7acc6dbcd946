//! JSON objects out of a stream, one at a time: on a line each, indented over many lines, one after another without
//! anything between them, or as the elements of an array. A history is the same in all of these forms.
//!
//! This reader finds the objects' borders by counting brackets. That bounds what is held: an object that is longer than
//! the limit is an error before it is in memory. `serde_json` reads what is within the borders, and its places
//! ([`JsonValues::malformed`]) become places in the file.

use std::io::BufRead;

use crate::history::{ReadError, ReadProblem};

/// Where the stream stands between two objects.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Outside of any array.
    Top,
    /// After the `[` of an array.
    Opened,
    /// After an element.
    Element,
    /// After a comma.
    Comma,
}

/// Reads objects from a stream.
pub(super) struct JsonValues<'a, R> {
    reader: R,
    file: &'a str,
    /// The most bytes of one object.
    limit: usize,
    line: u64,
    /// Bytes of this line that were taken.
    column: usize,
    state: State,
    /// Where the open array began.
    array: (u64, usize),
    buffer: Vec<u8>,
    /// Where the object in the buffer began: its line, and the bytes before it there.
    start: (u64, usize),
}

impl<'a, R: BufRead> JsonValues<'a, R> {
    pub(super) fn new(reader: R, file: &'a str, limit: usize) -> Self {
        JsonValues {
            reader,
            file,
            limit,
            line: 1,
            column: 0,
            state: State::Top,
            array: (1, 0),
            buffer: Vec::new(),
            start: (1, 0),
        }
    }

    /// The line in which the last object began.
    pub(super) fn line(&self) -> u64 {
        self.start.0
    }

    /// The text of the next object; `None` at the end.
    pub(super) fn next_object(&mut self) -> Result<Option<&str>, ReadError> {
        if !self.find_object()? {
            return Ok(None);
        }
        self.take_object()?;
        match std::str::from_utf8(&self.buffer) {
            Ok(_) => Ok(Some(std::str::from_utf8(&self.buffer).expect("just checked"))),
            Err(error) => {
                let before = &self.buffer[..error.valid_up_to()];
                let (line, column) = self.place_after(before);
                Err(self.error(line, ReadProblem::NotUtf8(column)))
            }
        }
    }

    /// What `serde_json` says of the last object, with its place in the file.
    pub(super) fn malformed(&self, error: &serde_json::Error) -> ReadError {
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        let first = error.line() <= 1;
        let line = self.start.0 + (error.line() as u64).saturating_sub(1);
        let column = error.column() + if first { self.start.1 } else { 0 };
        self.error(line, ReadProblem::Malformed(column, what.to_owned()))
    }

    /// Any other error of the last object, reported at the line where the object begins.
    pub(super) fn rule(&self, what: impl Into<String>) -> ReadError {
        self.error(self.start.0, ReadProblem::Rule(what.into()))
    }

    pub(super) fn error(&self, line: u64, problem: ReadProblem) -> ReadError {
        ReadError { file: self.file.to_owned(), line, problem }
    }

    /// Goes to the next `{`, through white space, commas and the brackets of arrays. False at the end.
    fn find_object(&mut self) -> Result<bool, ReadError> {
        loop {
            let Some(byte) = self.peek()? else {
                if self.state == State::Top {
                    return Ok(false);
                }
                let (line, column) = self.array;
                let what = "the file ends before the array that opens here is closed".to_owned();
                return Err(self.error(line, ReadProblem::Malformed(column + 1, what)));
            };
            let next = match (byte, self.state) {
                // 0x1e stands before each value in a JSON text sequence (RFC 7464).
                (b' ' | b'\t' | b'\r' | b'\n' | 0x1e, state) => state,
                (0xef, State::Top) if (self.line, self.column) == (1, 0) => {
                    self.byte_order_mark()?;
                    continue;
                }
                (b'{', State::Top | State::Opened | State::Comma) => {
                    self.start = (self.line, self.column);
                    return Ok(true);
                }
                (b'[', State::Top) => {
                    self.array = (self.line, self.column);
                    State::Opened
                }
                (b']', State::Opened | State::Element) => State::Top,
                (b',', State::Element) => State::Comma,
                (found, state) => {
                    let expected = match state {
                        State::Top => "a JSON object or an array of them",
                        State::Opened => "a JSON object or `]`",
                        State::Element => "`,` or `]`",
                        State::Comma => "a JSON object",
                    };
                    let found = char::from(found).escape_default();
                    let what = format!("expected {expected}, found `{found}`");
                    return Err(self.error(self.line, ReadProblem::Malformed(self.column + 1, what)));
                }
            };
            self.state = next;
            self.bump(byte);
        }
    }

    fn byte_order_mark(&mut self) -> Result<(), ReadError> {
        for expected in [0xef, 0xbb, 0xbf] {
            if self.peek()? != Some(expected) {
                return Err(self.error(1, ReadProblem::NotUtf8(0)));
            }
            self.reader.consume(1);
        }
        Ok(())
    }

    /// Takes the object that begins here, to the bracket that closes it.
    fn take_object(&mut self) -> Result<(), ReadError> {
        self.buffer.clear();
        let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
        loop {
            let (line, limit, held) = (self.line, self.limit, self.buffer.len());
            let chunk = match fill(&mut self.reader) {
                Ok(chunk) => chunk,
                Err(error) => return Err(self.error(line, ReadProblem::Io(error))),
            };
            if chunk.is_empty() {
                // If a bracket was damaged and the text is no longer UTF-8, the end is not found: report the damage instead.
                if let Err(error) = std::str::from_utf8(&self.buffer)
                    && error.error_len().is_some()
                {
                    let (line, column) = self.place_after(&self.buffer[..error.valid_up_to()]);
                    return Err(self.error(line, ReadProblem::NotUtf8(column)));
                }
                let what =
                    format!("the file ends in the middle of the object that begins in line {}", self.start.0);
                return Err(self.error(line, ReadProblem::Rule(what)));
            }
            let mut end = None;
            for (at, &byte) in chunk.iter().enumerate() {
                if in_string {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => in_string = false,
                        _ => {}
                    }
                    continue;
                }
                match byte {
                    b'"' => in_string = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            end = Some(at + 1);
                            break;
                        }
                    }
                    _ => {}
                }
            }
            let taken = end.unwrap_or(chunk.len());
            if held + taken > limit {
                let what = format!("an object is longer than {limit} bytes");
                let line = self.start.0;
                return Err(self.error(line, ReadProblem::Rule(what)));
            }
            self.buffer.extend_from_slice(&chunk[..taken]);
            self.reader.consume(taken);
            (self.line, self.column) = advance((self.line, self.column), &self.buffer[held..]);
            if end.is_some() {
                if self.state != State::Top {
                    self.state = State::Element;
                }
                return Ok(());
            }
        }
    }

    /// The line and the bytes taken of it after `text`, which begins where the object does.
    fn place_after(&self, text: &[u8]) -> (u64, usize) {
        advance(self.start, text)
    }

    fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        match fill(&mut self.reader) {
            Ok(chunk) => Ok(chunk.first().copied()),
            Err(error) => {
                let problem = ReadProblem::Io(error);
                Err(ReadError { file: self.file.to_owned(), line: self.line, problem })
            }
        }
    }

    fn bump(&mut self, byte: u8) {
        self.reader.consume(1);
        (self.line, self.column) =
            if byte == b'\n' { (self.line + 1, 0) } else { (self.line, self.column + 1) };
    }
}

fn fill(reader: &mut impl BufRead) -> std::io::Result<&[u8]> {
    // The buffer is asked for twice, since a borrow that is returned from a loop is held for all of it.
    loop {
        match reader.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    reader.fill_buf()
}

fn advance((line, column): (u64, usize), text: &[u8]) -> (u64, usize) {
    match text.iter().rposition(|&byte| byte == b'\n') {
        None => (line, column + text.len()),
        Some(last) => {
            let lines = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
            (line + lines, text.len() - last - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn read(text: &[u8], buffer: usize) -> Result<Vec<(u64, String)>, String> {
        let mut values = JsonValues::new(BufReader::with_capacity(buffer, text), "f", 60);
        let mut found = Vec::new();
        loop {
            match values.next_object().map_err(|error| error.to_string())?.map(str::to_owned) {
                Some(text) => found.push((values.line(), text)),
                None => return Ok(found),
            }
        }
    }

    #[test]
    fn objects_are_found_in_every_form() {
        let a = r#"{"a":"}]\"{"}"#;
        let forms = [
            format!("{a}\n{a}\n"),
            format!("{a}{a}"),
            format!(" \n\t{a}\r\n\n{a}"),
            format!("[{a},\n {a}]\n"),
            format!("\u{feff}[{a}]\n[ ]{a}"),
            format!("\u{1e}{a}\n\u{1e}{a}\n"),
        ];
        for form in forms {
            for buffer in [1, 2, 7, 4096] {
                let found = read(form.as_bytes(), buffer).unwrap();
                assert_eq!(found.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), [a, a], "{form}");
            }
        }
        let nested = "{\n \"a\": [\n  {}\n ]\n}\n{}";
        assert_eq!(
            read(nested.as_bytes(), 3).unwrap().iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [1, 6]
        );
    }

    #[test]
    fn what_is_no_stream_of_objects_is_refused_with_its_place() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100));
        let table: [(&[u8], &str); 11] = [
            (b"[{} {}]", "f:1: column 5: expected `,` or `]`, found `{`"),
            (b"[{},]", "f:1: column 5: expected a JSON object, found `]`"),
            (b"{}\n, {}", "f:2: column 1: expected a JSON object or an array of them, found `,`"),
            (b"\n[[{}]]", "f:2: column 2: expected a JSON object or `]`, found `[`"),
            (b"7", "f:1: column 1: expected a JSON object or an array of them, found `7`"),
            (b"\n [{}", "f:2: column 2: the file ends before the array that opens here is closed"),
            (b"{}\n{\"a\":\n", "f:3: the file ends in the middle of the object that begins in line 2"),
            (b"{\"a\n", "f:2: the file ends in the middle of the object that begins in line 1"),
            (b"{}\n {\n  \"a\xff\"}", "f:3: the line is not UTF-8 from its byte 4 on"),
            (b"\xef\xbb{}", "f:1: the line is not UTF-8 from its byte 0 on"),
            (long.as_bytes(), "f:1: an object is longer than 60 bytes"),
        ];
        for (text, expected) in table {
            for buffer in [1, 5, 4096] {
                assert_eq!(read(text, buffer), Err(expected.to_owned()));
            }
        }
    }

    #[test]
    fn an_object_without_end_is_refused_before_it_is_in_memory() {
        let endless = std::io::Read::take(std::io::repeat(b'{'), 1 << 40);
        let mut values = JsonValues::new(BufReader::new(endless), "f", 1 << 20);
        let error = values.next_object().unwrap_err().to_string();
        assert_eq!(error, "f:1: an object is longer than 1048576 bytes");
    }

    #[test]
    fn errors_within_an_object_have_their_place_in_the_file() {
        for (text, expected) in [
            ("[{}, {\"a\":x}]", "f:1: column 11: expected value"),
            ("{}\n{\n \"a\": x}", "f:3: column 7: expected value"),
        ] {
            let mut values = JsonValues::new(text.as_bytes(), "f", 100);
            values.next_object().unwrap();
            let second = values.next_object().unwrap().unwrap().to_owned();
            let error = serde_json::from_str::<serde_json::Value>(&second).unwrap_err();
            assert_eq!(values.malformed(&error).to_string(), expected);
        }
    }
}
