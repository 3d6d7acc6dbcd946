//! The processes that search for planted errors: this program with another command, which prints a line of JSON for
//! each run.

use std::{
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// A command for this program, without arguments yet, with its output piped.
pub(super) fn squall() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(command)
}

/// The JSON objects that a process prints, one on each line.
pub(super) fn lines(child: &mut Child) -> impl Iterator<Item = Value> + use<> {
    let output = child.stdout.take().expect("it was asked for");
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(&line).ok())
}

/// The checkers of a run's failures.
pub(super) fn checkers(run: &Value) -> impl Iterator<Item = &str> {
    let failures = run["failures"].as_array().map(Vec::as_slice).unwrap_or_default();
    failures.iter().filter_map(|failure| failure["checker"].as_str())
}

/// The checkers whose failures accuse the store. A failure of a vacuous run does not.
pub(super) fn accusers(run: &Value) -> impl Iterator<Item = &str> {
    checkers(run).filter(|checker| *checker != "vacuous")
}
