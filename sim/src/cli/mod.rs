//! The command line: `run`, `fuzz`, `merge`, `shrink`, `replay`, `report`, `list`, `schema`, `check`, `alerts`,
//! `mutants`.
//!
//! Everything printed to standard output is a result; progress and warnings go to standard error. Results are printed
//! in the order of scenarios and then seeds, whichever finished first, so that the output of two runs can be compared.
//! Nothing runs before all arguments have been checked: every path, every file, every flag.
//!
//! The exit status is that of the worst event ([`Status`]). The runner is passed in as a function. So this module can
//! be tested without a world, and the world does not depend on terminals. `run` makes its runs in worker processes
//! ([`worker`]), `replay` makes its run in this process.

mod alerts;
mod args;
mod batch;
mod campaign;
mod check;
mod fuzz;
mod interrupt;
mod list;
mod logs;
mod make;
mod merge;
mod mutants;
mod output;
mod progress;
mod replay;
mod report;
mod run;
mod schema;
mod shard;
mod shrink;
mod status;
mod tally;
mod worker;

use crate::report::{RunOptions, RunResult};
use crate::scenario::Scenario;
use crate::text::Refusal;
use clap::Parser;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::Command;

pub use interrupt::Interruption;
pub use status::Status;

/// A function that makes a run. The same scenario, seed and plan must give the same result on any thread.
pub type Runner = fn(&Scenario, u64, &RunOptions) -> RunResult;

/// The outputs of a command.
pub struct Streams<'a> {
    /// Results.
    pub out: &'a mut (dyn Write + Send),
    /// Progress and warnings.
    pub err: &'a mut (dyn Write + Send),
    /// Whether to draw a progress bar (on the process's standard error).
    pub bar: bool,
    /// Whether results are coloured.
    pub colour: bool,
}

/// The program that a command belongs to.
pub struct Program {
    /// Makes a run.
    pub runner: Runner,
    /// The command line of a worker process: this program again.
    pub worker: fn() -> Command,
    /// Signals that ask the command to end early.
    pub interruption: Interruption,
}

/// Runs the command that the process was started with, and returns its exit status.
pub fn main(runner: Runner) -> u8 {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = std::io::stdout().is_terminal() && !no_colour;
    let bar = std::io::stderr().is_terminal();
    let mut out = Output { inner: std::io::stdout(), failed: None };
    let streams = Streams { out: &mut out, err: &mut std::io::stderr(), bar, colour };
    let program = Program { runner, worker: worker_command, interruption: Interruption::by_signals() };
    let mut status = run_command(std::env::args_os(), &program, streams);
    if let Some(error) = out.failed {
        eprintln!("squall: standard output: {error}: results are lost");
        if status == Status::Ok {
            status = Status::Usage;
        }
    }
    if let Status::Interrupted(signal) = status {
        // As if the signal had ended the process: a shell's loop checks that.
        let _default = signal_hook::low_level::emulate_default_handler(signal.into());
    }
    status.code()
}

/// An output that remembers its first failure. A reader that has gone (`| head`) is none.
struct Output<W> {
    inner: W,
    failed: Option<io::Error>,
}

impl<W: Write> Output<W> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            let harmless = [io::ErrorKind::BrokenPipe, io::ErrorKind::Interrupted];
            if self.failed.is_none() && !harmless.contains(&error.kind()) {
                self.failed = Some(io::Error::new(error.kind(), error.to_string()));
            }
        })
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.inner.flush();
        self.note(flushed)
    }
}

/// This program as a worker. `/proc/self/exe` is the running file, even after a build has put another one in its
/// place.
fn worker_command() -> Command {
    let this = std::path::Path::new("/proc/self/exe");
    let path = if this.exists() { this.to_owned() } else { std::env::current_exe().unwrap_or_default() };
    let mut command = Command::new(path);
    std::os::unix::process::CommandExt::arg0(&mut command, "squall").arg("worker");
    command
}

/// Runs the command `arguments` (its first item is the program's name).
pub fn run_command(
    arguments: impl IntoIterator<Item = OsString>,
    program: &Program,
    mut streams: Streams,
) -> Status {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match args::Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let styled = error.render();
            // Help and version are results; anything else is a usage error. Clap would exit with 2, which means
            // "unknown" here.
            return if error.use_stderr() {
                let _ = writeln!(streams.err, "squall: {}", usage_paragraph(&error, &arguments));
                Status::Usage
            } else {
                let text = if streams.colour { styled.ansi().to_string() } else { styled.to_string() };
                let _ = write!(streams.out, "{text}");
                Status::Ok
            };
        }
    };
    let outcome = match cli.command {
        args::Command::Run(args) => run::run(&args, program, &mut streams),
        args::Command::Fuzz(args) => fuzz::fuzz(&args, program, &mut streams),
        args::Command::Shrink(args) => shrink::shrink(&args, program, &mut streams),
        args::Command::Merge(args) => merge::merge(&args, &mut streams),
        args::Command::Replay(args) => replay::replay(&args, program.runner, &mut streams),
        args::Command::List(args) => list::list(&args, &mut streams),
        args::Command::Check(args) => check::check(&args, &mut streams),
        args::Command::Alerts(args) => alerts::alerts(&args, &mut streams),
        args::Command::Report(args) => report::report(&args, &mut streams),
        args::Command::Schema(args) => schema::schema(&args, &mut streams),
        args::Command::Mutants(args) => mutants::mutants(&args, &mut streams),
        args::Command::Worker => worker::serve(program.runner).map(|()| Status::Ok),
    };
    let status = outcome.unwrap_or_else(|refusal: Refusal| {
        let _ = writeln!(streams.err, "squall: {refusal}");
        Status::Usage
    });
    let _ = streams.out.flush();
    status
}

/// Clap's lines as one paragraph, like every other refusal: what is wrong, a tip, and where help is.
fn usage_paragraph(error: &clap::Error, arguments: &[OsString]) -> String {
    use clap::error::ErrorKind;
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "expected a command: `run`, `fuzz`, `merge`, `shrink`, `replay`, `report`, `list`, `schema`, `check`, `alerts` or `mutants`; `squall --help` explains them"
            .to_owned();
    }
    let text = error.render().to_string();
    let command = arguments.get(1).and_then(|word| word.to_str()).filter(|word| is_command(word));
    let by_command = command.map_or_else(|| "squall".to_owned(), |word| format!("squall {word}"));
    let mut usage = by_command.as_str();
    let mut said = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(line) = line.strip_prefix("Usage: ") {
            // The command's name, before its options and arguments.
            usage = [" <", " [", " -"]
                .iter()
                .filter_map(|sign| line.find(sign))
                .min()
                .map_or(line, |end| &line[..end]);
        } else if !line.starts_with("For more information") {
            said.push(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    let mut said = said.join(" ");
    // The standard library's messages about numbers, in words for people.
    for (raw, words) in [
        ("invalid digit found in string", "expected a whole number"),
        ("number too large to fit in target type", "the number is too large"),
        ("cannot parse integer from empty string", "expected a whole number"),
    ] {
        said = said.replace(raw, words);
    }
    format!("{said}; `{usage} --help` says more")
}

fn is_command(word: &str) -> bool {
    <args::Cli as clap::CommandFactory>::command().find_subcommand(word).is_some()
}

#[cfg(test)]
mod tests;
