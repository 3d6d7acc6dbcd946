//! `squalld`: parses the flags, runs a member, and has etcdutl's offline commands.
//!
//! Flags have etcd's names, values and defaults, so that an etcd manifest's command line starts a `squalld`. Flags
//! of features that do not exist are refused, never ignored. Every error is one paragraph that says where and what to
//! do. Exit status: 0 for a member that was asked to stop or was removed from its cluster, 1 for one that could not
//! start or had to stop, 64 for a command line that makes no sense.
//!
//! Logs go to standard error, results to standard output.

mod duration;
mod flags;
mod offline;
mod serve;
mod urls;

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, error::ErrorKind};
use tracing_subscriber::EnvFilter;

use self::flags::{Arguments, Command, SnapshotCommand};
use super::{LogProbe, SystemClock, SystemFiles, SystemSecrets, TcpNet, TokioTasks};
use crate::{
    engine::Sled,
    seam::{Env, Points},
};

/// Bad arguments (BSD's `EX_USAGE`), as everywhere in this project.
const USAGE: u8 = 64;

/// The real sides of all seams.
pub fn env() -> Env {
    Env {
        clock: Arc::new(SystemClock),
        net: Arc::new(TcpNet),
        files: Arc::new(SystemFiles),
        engines: Arc::new(Sled::new()),
        tasks: Arc::new(TokioTasks),
        probe: Arc::new(LogProbe),
        points: Points::default(),
        secrets: Arc::new(SystemSecrets::default()),
    }
}

/// Why the daemon ends with an error. The message is a whole paragraph.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The command line, with what is wrong and what would be right.
    Usage(String),
    /// Anything else.
    Failed(String),
}

/// Runs the daemon with the process's arguments, program name included.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments.into_iter().map(flags::go_style)) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors.
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                // A closed pipe does not matter here.
                _ = error.print();
                return ExitCode::SUCCESS;
            }
            eprintln!("squalld: {}", usage_paragraph(&error));
            return ExitCode::from(USAGE);
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(what)) => {
            eprintln!("squalld: {}", sentence(&what));
            ExitCode::from(USAGE)
        }
        Err(Failure::Failed(what)) => {
            eprintln!("squalld: {}", sentence(&what));
            ExitCode::FAILURE
        }
    }
}

/// Clap's several lines as one paragraph: what is wrong, its tip, and where help is.
fn usage_paragraph(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "`squalld snapshot` needs to be told what to do: `restore` or `status`. `squalld snapshot --help` says \
                more."
            .to_owned();
    }
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !line.starts_with("Usage: ") && !line.starts_with("For more information")
    });
    let said: Vec<&str> = lines.map(|line| line.strip_prefix("error: ").unwrap_or(line)).collect();
    format!("{}. `squalld --help` says more.", said.join(" ").trim_end_matches('.'))
}

/// An error as a paragraph: the place, what happened, and what to do about it. The store's own errors say what to do; to
/// the system's errors it is added here.
fn paragraph(error: &(dyn std::error::Error + 'static)) -> String {
    let said = error.to_string();
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let refused = causes.find_map(|cause| cause.downcast_ref::<io::Error>());
    match refused {
        Some(refused) if !said.ends_with('.') => format!("{said}. {}", remedy(refused.kind())),
        _ => said,
    }
}

fn remedy(kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind::{
        IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull,
    };
    match kind {
        NotFound => "Check the path: something on it does not exist.",
        NotADirectory | IsADirectory => "Check the path: a folder and a file are mixed up on it.",
        PermissionDenied | ReadOnlyFilesystem => {
            "Give the user that runs squalld the right to read and write there."
        }
        StorageFull => "Make room on that disk, then start again: nothing that was acknowledged is lost.",
        _ => "Mend what the system complains of, then start again: nothing that was acknowledged is lost.",
    }
}

/// Joins a paragraph to one line. A path that two layers have put before one message is kept once.
fn sentence(what: &str) -> String {
    let mut line = String::new();
    for part in what.split_whitespace().collect::<Vec<_>>().join(" ").split(": ") {
        if !line.is_empty() {
            if part.len() > 3 && line.ends_with(part) {
                continue;
            }
            line.push_str(": ");
        }
        line.push_str(part);
    }
    if !line.ends_with(['.', '!', '?']) {
        line.push('.');
    }
    line
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&arguments.serve.log_level).map_err(|error| {
        let given = &arguments.serve.log_level;
        Failure::Usage(format!("--log-level {given:?}: {error}. Use error, warn, info, debug or trace."))
    })?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Fails only where a subscriber is set already, by a test in this process.
    _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start the runtime's threads: {error}")))?;
    let done = match arguments.command {
        None => {
            let secrets = Arc::new(SystemSecrets { jwt: arguments.serve.jwt()? });
            let env = Env { secrets, ..env() };
            runtime.block_on(serve::serve(arguments.serve.config()?, env))
        }
        Some(Command::Snapshot { command: SnapshotCommand::Restore(restore) }) => {
            runtime.block_on(offline::restore(restore))
        }
        Some(Command::Snapshot { command: SnapshotCommand::Status(status) }) => {
            runtime.block_on(offline::status(status))
        }
    };
    // Connections to peers that do not answer must not hold up the exit.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_a_path_once_and_ends() {
        let cases = [
            ("reading /x/y: /x/y: No such file", "reading /x/y: No such file."),
            ("listening on a:1: in use. Choose", "listening on a:1: in use. Choose."),
            ("two\n  lines", "two lines."),
            ("a: b: a: b.", "a: b: a: b."),
        ];
        for (given, expected) in cases {
            assert_eq!(sentence(given), expected);
        }
    }

    #[test]
    fn the_systems_refusals_come_with_a_remedy() {
        let refusal = |kind: io::ErrorKind| crate::server::StartError::Io {
            dir: "/d".into(),
            source: io::Error::new(kind, "/d/member: the system's words"),
        };
        let full = paragraph(&refusal(io::ErrorKind::StorageFull));
        assert_eq!(
            full,
            "data folder /d: /d/member: the system's words. Make room on that disk, then start again: nothing that was \
             acknowledged is lost."
        );
        assert!(paragraph(&refusal(io::ErrorKind::PermissionDenied)).contains("the right to read and write"));
        let own = crate::server::StartError::Locked("/d".into());
        assert_eq!(paragraph(&own), own.to_string());
    }
}
