//! The operations that `jepsen.util` logs: `INFO  jepsen.util - PROCESS :type :function VALUE`, a line an event, with
//! tabs or spaces between. Lines of other loggers, and of the nemesis, are passed over. The value is `nil`, an
//! integer, `[from to]`, or a keyword such as `:timed-out`.
//!
//! A log that was cut off in its last line is refused: half a number is a number.

use std::io::BufRead;

use super::edn::{Edn, EdnReader, Token};
use super::event::{Kind, Pairing, RawEvent, RawOperation};
use crate::history::lines::Lines;
use crate::history::{ReadError, ReadLimits, ReadProblem};

const LOGGER: &str = "jepsen.util - ";
const SHAPE: &str = "`INFO jepsen.util - PROCESS :invoke|:ok|:fail|:info :FUNCTION VALUE`";

pub(super) fn read(
    reader: impl BufRead,
    file: &str,
    limits: &ReadLimits,
) -> Result<Vec<RawOperation>, ReadError> {
    let mut lines = Lines::new(reader, file, limits.line_bytes);
    let mut pairing = Pairing::new(file, limits);
    while let Some((line, text, complete)) = lines.next_line()? {
        if !complete {
            let what = format!("the file ends in the middle of this line: expected {SHAPE}");
            return Err(ReadError { file: file.to_owned(), line, problem: ReadProblem::Rule(what) });
        }
        let Some(place) = text.find(LOGGER) else {
            // `LEVEL  some.logger - message`
            let level = text.split_ascii_whitespace().next().unwrap_or_default();
            if text.contains(" - ")
                && matches!(level, "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR" | "FATAL")
            {
                continue;
            }
            let problem = ReadProblem::Malformed(1, format!("expected {SHAPE}"));
            return Err(ReadError { file: file.to_owned(), line, problem });
        };
        match event(&text[place + LOGGER.len()..], file, line, limits)? {
            Some(event) => pairing.event(event)?,
            None => pairing.skip(),
        }
    }
    Ok(pairing.finish())
}

fn event(text: &str, file: &str, line: u64, limits: &ReadLimits) -> Result<Option<RawEvent>, ReadError> {
    let mut reader = EdnReader::new(text.as_bytes(), file, line, limits.line_bytes);
    let mut words = Vec::with_capacity(4);
    loop {
        match reader.next_value()? {
            Token::Value(value) => words.push(value),
            Token::End => break,
            Token::Open | Token::Close => {
                let problem = ReadProblem::Rule(format!("a bracket too many: expected {SHAPE}"));
                return Err(ReadError { file: file.to_owned(), line, problem });
            }
        }
    }
    let wrong = |what: String| {
        Err(ReadError {
            file: file.to_owned(),
            line,
            problem: ReadProblem::Rule(format!("{what}: expected {SHAPE}")),
        })
    };
    if matches!(words.first(), Some(Edn::Keyword(name)) if name == "nemesis") {
        return Ok(None);
    }
    let [process, kind, function, value] = match <[Edn; 4]>::try_from(words) {
        Ok(words) => words,
        Err(words) => return wrong(format!("{} values", words.len())),
    };
    let process = match process {
        Edn::Int(process) if process >= 0 => process as u64,
        other => return wrong(format!("the process is {}", other.kind())),
    };
    let kind = match &kind {
        Edn::Keyword(name) => match Kind::from_keyword(name) {
            Some(kind) => kind,
            None => return wrong(format!("unknown type `:{name}`")),
        },
        other => return wrong(format!("the type is {}", other.kind())),
    };
    let function = match function {
        Edn::Keyword(name) => name,
        other => return wrong(format!("the function is {}", other.kind())),
    };
    Ok(Some(RawEvent { line, process, kind, function, key: None, value }))
}
