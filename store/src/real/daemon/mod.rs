//! `squalld`: flags in, a running member out, and etcdutl's offline commands.
//!
//! Flags have etcd's names, values and defaults, so that an etcd manifest's command line starts a `squalld`; those of
//! things that are not there are refused, never swallowed. Every error is one paragraph that says where and what to
//! do. Exit status: 0 for a member that was asked to stop or was removed from its cluster, 1 for one that could not
//! start or had to stop, 64 for a command line that makes no sense.
//!
//! Logs go to standard error, results to standard output.

mod flags;
mod offline;
mod serve;
mod urls;

use std::{ffi::OsString, io::IsTerminal, process::ExitCode, sync::Arc};

use clap::{Parser, error::ErrorKind};
use tracing_subscriber::EnvFilter;

use self::flags::{Arguments, Command, SnapshotCommand};
use super::{LogProbe, SystemClock, SystemFiles, TcpNet, TokioTasks};
use crate::{engine::Sled, seam::Env};

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
    }
}

/// Why the daemon ends otherwise than well. The message is a whole paragraph.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The command line, with what is wrong and what would be right.
    Usage(String),
    /// All else.
    Failed(String),
}

/// Runs the daemon with the process's arguments, program name included.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments.into_iter().map(flags::go_style)) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors. A closed pipe does not matter here.
            _ = error.print();
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked_for { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
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

/// One paragraph on one line, however its parts were written.
fn sentence(what: &str) -> String {
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    if what.ends_with(['.', '!', '?']) { what } else { format!("{what}.") }
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
        None => runtime.block_on(serve::serve(arguments.serve.config()?)),
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
