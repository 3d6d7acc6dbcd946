//! Lines of a history's file, bounded in length, and the errors for malformed ones.

use std::fmt;
use std::io::{self, BufRead, Read};

/// How much a reader takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// The longest line, in bytes.
    pub line_bytes: usize,
    /// The most operations.
    pub operations: usize,
}

impl Default for ReadLimits {
    /// Lines of 64 MiB, 50 million operations.
    fn default() -> Self {
        ReadLimits { line_bytes: 64 << 20, operations: 50_000_000 }
    }
}

/// Why a file is no history, and where.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct ReadError {
    /// The file's name as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong there.
    pub problem: ReadProblem,
}

/// What is wrong in a line.
#[derive(Debug)]
pub enum ReadProblem {
    /// The reader failed.
    Io(io::Error),
    /// A line is longer than the limit, in bytes.
    LineTooLong(usize),
    /// There are more operations than the limit.
    TooManyOperations(usize),
    /// The line is not UTF-8, from this byte on.
    NotUtf8(usize),
    /// The file ends within the line.
    CutOff,
    /// The line is not what it should be: column (from 1), and what was expected.
    Malformed(usize, String),
    /// Any other rule that the line breaks.
    Rule(String),
}

impl fmt::Display for ReadProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadProblem::Io(error) => write!(f, "cannot read: {error}"),
            ReadProblem::LineTooLong(limit) => write!(f, "the line is longer than {limit} bytes"),
            ReadProblem::TooManyOperations(limit) => write!(f, "more than {limit} operations"),
            ReadProblem::NotUtf8(at) => write!(f, "the line is not UTF-8 from its byte {at} on"),
            ReadProblem::CutOff => {
                write!(f, "the file ends in the middle of this line: expected one JSON object a line")
            }
            ReadProblem::Malformed(column, what) => write!(f, "column {column}: {what}"),
            ReadProblem::Rule(what) => f.write_str(what),
        }
    }
}

/// Lines of bounded length, with their numbers. Shared by the readers of line-based formats.
pub(crate) struct Lines<'a, R> {
    reader: R,
    file: &'a str,
    limit: usize,
    buffer: Vec<u8>,
    number: u64,
}

impl<'a, R: BufRead> Lines<'a, R> {
    pub(crate) fn new(reader: R, file: &'a str, limit: usize) -> Self {
        Lines { reader, file, limit, buffer: Vec::new(), number: 0 }
    }

    /// The next line that is not blank, without its end, its number, and whether it had an end.
    pub(crate) fn next_line(&mut self) -> Result<Option<(u64, &str, bool)>, ReadError> {
        loop {
            self.buffer.clear();
            self.number += 1;
            let limit = self.limit as u64 + 1;
            let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.buffer);
            let read = read.map_err(|error| self.error(ReadProblem::Io(error)))?;
            if read == 0 {
                return Ok(None);
            }
            let complete = self.buffer.last() == Some(&b'\n');
            if !complete && self.buffer.len() > self.limit {
                return Err(self.error(ReadProblem::LineTooLong(self.limit)));
            }
            if !self.buffer.trim_ascii().is_empty() {
                let number = self.number;
                return match std::str::from_utf8(&self.buffer) {
                    Ok(_) => {
                        let text = std::str::from_utf8(&self.buffer).expect("just checked");
                        Ok(Some((number, text.trim_ascii(), complete)))
                    }
                    Err(error) => Err(self.error(ReadProblem::NotUtf8(error.valid_up_to()))),
                };
            }
        }
    }

    fn error(&self, problem: ReadProblem) -> ReadError {
        ReadError { file: self.file.to_owned(), line: self.number, problem }
    }
}
