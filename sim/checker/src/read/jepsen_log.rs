//! The operations that Jepsen logs as it runs, and `history.txt`, which it leaves behind: the event `PROCESS :type
//! :function VALUE [ERROR]`, or its map, after whatever the logger puts before a message.
//!
//! | Years | A line |
//! |---|---|
//! | to 2014 | `INFO  jepsen.util - 0 :invoke :write 3` |
//! | to 2020 | `INFO [2020-06-02 15:33:01,001] jepsen worker 0 - jepsen.util 0 :invoke :write 1` |
//! | since | `2021-02-26 23:39:01,300{GMT} INFO [jepsen worker 1] jepsen.util: 1 :invoke :write 2` |
//! | `history.txt` | `1 :invoke :write 2` |
//!
//! Tabs or spaces separate the words. All forms have only the logger's name in common, so the reader looks for it. It skips
//! lines of other loggers, other messages of this one, the further lines of a message (a test's map, a stack trace), and
//! events of the nemesis. After the value an error's text may follow, which need not be EDN.
//!
//! A log that was cut off in its last line is refused: half a number is a number.

use std::io::BufRead;

use super::edn::{Edn, EdnReader, Token};
use super::event::{Fields, Kind, Pairing, RawOperation};
use crate::history::lines::Lines;
use crate::history::{ReadError, ReadLimits, ReadProblem};

const LOGGER: &str = "jepsen.util";
const SHAPE: &str = "`PROCESS :invoke|:ok|:fail|:info :FUNCTION VALUE` after `jepsen.util`";

/// What a log holds.
pub(super) struct Log {
    pub(super) operations: Vec<RawOperation>,
    /// Whether all lines have the form of Jepsen's first etcd tests, in which a failed compare-and-set is an answer.
    pub(super) first_form: bool,
}

pub(super) fn read(reader: impl BufRead, file: &str, limits: &ReadLimits) -> Result<Log, ReadError> {
    let mut lines = Lines::new(reader, file, limits.line_bytes);
    let mut pairing = Pairing::new(file, limits);
    let mut first_form = true;
    let (mut any, mut last) = (false, 0);
    while let Some((line, text, complete)) = lines.next_line()? {
        last = line;
        let rule = |what: String| ReadError { file: file.to_owned(), line, problem: ReadProblem::Rule(what) };
        if !complete {
            return Err(rule(format!("the file ends in the middle of this line: expected {SHAPE}")));
        }
        let Some(message) = message(text) else { continue };
        let Some(fields) = fields(message, file, line, limits)? else { continue };
        any = true;
        let event = fields.event(line).map_err(|what| rule(format!("{what}; expected {SHAPE}")))?;
        if event.is_some() {
            first_form &= is_first_form(text) && !message.starts_with(['{', '#']);
        }
        pairing.event(event)?;
    }
    if !any {
        let what = format!("no operation in this log: expected lines with {SHAPE}");
        return Err(ReadError { file: file.to_owned(), line: last.max(1), problem: ReadProblem::Rule(what) });
    }
    Ok(Log { operations: pairing.finish()?, first_form })
}

/// Whether a line is one of a Jepsen log: an event, or a message of one of Jepsen's loggers. A text about such logs, which
/// names the levels and the loggers somewhere in a line, is no log.
pub(super) fn is_log_line(line: &str) -> bool {
    let of_no_level = line.starts_with(LOGGER) && message(line).is_some_and(starts_as_event);
    is_message_of_a_logger(line) || of_no_level || starts_as_event(line)
}

/// Whether a line has the form of a logger: `TIME LEVEL [THREAD] jepsen.LOGGER: TEXT`, or `LEVEL [TIME] THREAD - jepsen.LOGGER
/// TEXT`. The time and the thread may be missing, and the thread in brackets may come first.
fn is_message_of_a_logger(line: &str) -> bool {
    let mut in_brackets = false;
    let mut words = line.split_ascii_whitespace().filter(|word| {
        in_brackets |= word.starts_with('[');
        let counts = !in_brackets;
        in_brackets &= !word.ends_with(']');
        counts
    });
    let is_time = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let level = words.by_ref().find(|word| !is_time(word));
    let mut before = "-";
    let logger = words.find(|word| {
        let found = is_logger(word);
        if !found {
            before = *word;
        }
        found
    });
    level.is_some_and(|level| LEVELS.contains(&level)) && logger.is_some() && before == "-"
}

const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// Whether a word is the name of one of Jepsen's loggers, as `jepsen.core` or `jepsen.cli$fn`.
fn is_logger(word: &str) -> bool {
    let name = word.strip_suffix(':').unwrap_or(word);
    name.strip_prefix("jepsen.").is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || "._-$".contains(c))
    })
}

fn is_first_form(line: &str) -> bool {
    line.split_once("jepsen.util - ").is_some_and(|(before, _)| !before.contains('['))
}

/// What the logger `jepsen.util` said in this line, or the line itself where no logger stands before an event.
fn message(line: &str) -> Option<&str> {
    let mut rest = line;
    let mut before = ' ';
    while let Some(at) = rest.find(LOGGER) {
        if let Some(last) = rest[..at].chars().next_back() {
            before = last;
        }
        let after = &rest[at + LOGGER.len()..];
        if before.is_whitespace() {
            let message = after.strip_prefix(':').or_else(|| after.strip_prefix(" -")).unwrap_or(after);
            if message.starts_with(char::is_whitespace) {
                return Some(message.trim_start());
            }
        }
        before = 'x';
        rest = after;
    }
    starts_as_event(line).then_some(line)
}

/// Whether a line without a logger begins as an event does: with a process and a type.
fn starts_as_event(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let process = words.next().is_some_and(|word| word == ":nemesis" || word.parse::<u64>().is_ok());
    process
        && words
            .next()
            .and_then(|word| word.strip_prefix(':'))
            .is_some_and(|word| Kind::from_name(word).is_some())
}

/// The event in a message; `None` if there is none.
fn fields(message: &str, file: &str, line: u64, limits: &ReadLimits) -> Result<Option<Fields>, ReadError> {
    let rule = |what: String| ReadError { file: file.to_owned(), line, problem: ReadProblem::Rule(what) };
    if message.starts_with('{') || message.starts_with("#jepsen") {
        let mut reader = EdnReader::new(message.as_bytes(), file, line, limits.line_bytes);
        let entries = match reader.next_value() {
            Ok(Token::Value(Edn::Map(entries))) => entries,
            Err(error) if message.contains(":process") && message.contains(":type") => return Err(error),
            _ => return Ok(None),
        };
        let fields = Fields::of_map(entries);
        let told = fields.process.is_some() && fields.kind.is_some();
        return Ok(told.then_some(fields));
    }
    let mut words = message.split_ascii_whitespace();
    let (process, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let number = process.parse::<i64>().is_ok();
    let typed = kind.strip_prefix(':').is_some_and(|kind| Kind::from_name(kind).is_some());
    if !(typed || number && kind.starts_with(':')) {
        return Ok(None);
    }
    if process.contains("nemesis") {
        // What it says need not be EDN.
        return Ok(Some(Fields { process: Some(Edn::Keyword("nemesis".to_owned())), ..Fields::default() }));
    }
    if !number && !process.starts_with(':') {
        return Err(rule(format!("the process is `{process}`: expected {SHAPE}")));
    }
    let mut reader = EdnReader::new(message.as_bytes(), file, line, limits.line_bytes);
    let mut parts = Vec::with_capacity(4);
    while parts.len() < 4 {
        match reader.next_value()? {
            Token::Value(value) => parts.push(value),
            Token::End => return Err(rule(format!("{} values: expected {SHAPE}", parts.len()))),
            Token::Open | Token::Close => return Err(rule(format!("a bracket too many: expected {SHAPE}"))),
        }
    }
    let error = !matches!(reader.next_value(), Ok(Token::End));
    let mut parts = parts.into_iter();
    Ok(Some(Fields {
        process: parts.next(),
        kind: parts.next(),
        function: parts.next(),
        key: None,
        value: parts.next(),
        error,
    }))
}
