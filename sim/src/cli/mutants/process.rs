//! The processes that look for planted errors: this program again, with another command, which prints a line of JSON for
//! each run.

use std::{
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// This program again, still without arguments; what it prints can be read.
pub(super) fn squall() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(command)
}

/// The objects that a process prints, a line each.
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

/// The checkers that accuse in a run. That a run shows too little says nothing about the store.
pub(super) fn accusers(run: &Value) -> impl Iterator<Item = &str> {
    checkers(run).filter(|checker| *checker != "vacuous")
}
