//! `squalld`: parses the flags, runs a member, and has etcdutl's offline commands.
//!
//! Settings have etcd's names, values and defaults, so that the settings of an etcd also start a `squalld`: flags,
//! `ETCD_*` variables, or a YAML file (`given`). Flags of features that do not exist are refused, never ignored
//! (`foreign`). Every error is one paragraph that says where and what to do. Exit status: 0 for a member that was
//! asked to stop or was removed from its cluster, 1 for one that could not start (wrong settings included) or had to
//! stop, 64 for an invalid command line.
//!
//! Logs go to standard error, results to standard output.

mod config_file;
mod flags;
mod foreign;
mod given;
mod notify;
mod offline;
mod security;
mod serve;
mod settings;
mod urls;

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
};

use clap::error::{ContextKind, ErrorKind};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use self::{
    flags::{Command, ServeFlags, SnapshotCommand},
    given::{Given, NotGiven},
};
use super::{LogProbe, Reserved, SystemClock, SystemFiles, SystemNet, SystemSecrets, TcpNet, TokioTasks};
use crate::{
    Config,
    engine::Sled,
    seam::{Env, Points},
    server::StartError,
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
    /// A wrong command line: what is wrong, and what would be right.
    Usage(String),
    /// Anything else.
    Failed(String),
}

/// Runs the daemon with the process's arguments, program name included.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let given = match Given::collect(arguments, std::env::vars_os()) {
        Ok(given) => given,
        // Help and version are answers, not errors.
        Err(NotGiven::Answer(answer)) => {
            // A closed pipe does not matter here.
            _ = answer.print();
            return ExitCode::SUCCESS;
        }
        Err(NotGiven::Bad(failure)) => return print_failure(failure),
    };
    match run(given) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => print_failure(failure),
    }
}

/// Prints the reason on standard error.
fn print_failure(failure: Failure) -> ExitCode {
    let (what, status) = match failure {
        Failure::Usage(what) => (what, ExitCode::from(USAGE)),
        Failure::Failed(what) => (what, ExitCode::FAILURE),
    };
    eprintln!("squalld: {}", sentence(&what));
    status
}

/// Turns Clap's several lines into one paragraph: what is wrong, the tip, and where to find help.
fn usage_paragraph(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "`squalld snapshot` needs to be told what to do: `restore` or `status`. `squalld snapshot --help` says \
                more."
            .to_owned();
    }
    // Clap's text about a repeated argument goes on as if a command were expected.
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    if let (ErrorKind::ArgumentConflict, Some(argument)) = (error.kind(), argument)
        && error.get(ContextKind::PriorArg).is_some_and(|prior| prior.to_string() == argument)
    {
        let flag = argument.split(' ').next().unwrap_or_default();
        return format!("{flag} is given twice. Leave one of them out: etcd would take the last.");
    }
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !line.starts_with("Usage: ") && !line.starts_with("For more information")
    });
    let said: Vec<&str> = lines.map(|line| line.strip_prefix("error: ").unwrap_or(line)).collect();
    format!("{}. `squalld --help` says more.", said.join(" ").trim_end_matches('.'))
}

/// An error as a paragraph: the place, what happened, and what to do about it. The store's own errors say what to
/// do. For the system's errors it is added here.
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

/// Joins a paragraph to one line. If two layers have put the same path before a message, it is kept once.
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

fn run(given: Given) -> Result<(), Failure> {
    let Given { arguments, warnings, source } = given;
    let filter = log_filter(&arguments.serve.log_level).map_err(|failure| source.blame(failure))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Fails only if a test in this process has set a subscriber already.
    _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .try_init();
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start the runtime's threads: {error}")))?;
    let done = match arguments.command {
        None => {
            let (config, env, reserved) = member(arguments.serve).map_err(|failure| source.blame(failure))?;
            runtime.block_on(serve::serve(config, env, reserved))
        }
        Some(Command::Snapshot { command: SnapshotCommand::Restore(restore) }) => {
            runtime.block_on(offline::restore(restore))
        }
        Some(Command::Snapshot { command: SnapshotCommand::Status(status) }) => {
            runtime.block_on(offline::status(status))
        }
    };
    // Connections to peers that do not answer must not delay the exit.
    runtime.shutdown_background();
    done
}

/// The filter for the log. etcd's levels above `error` mean the same as `error`.
fn log_filter(level: &str) -> Result<EnvFilter, Failure> {
    let refused = |why: String| {
        Failure::Usage(format!("--log-level {level:?}: {why}. Use error, warn, info, debug or trace."))
    };
    let above = ["dpanic", "panic", "fatal"].iter().any(|above| level.eq_ignore_ascii_case(above));
    let filter = if above { "error" } else { level };
    // A filter takes a lone word for the name of a module, so a misspelled level would silence all others.
    let words = filter.split(',').filter(|part| !part.contains(['=', '[', ']', '{', '}']));
    for word in words.map(str::trim).filter(|word| !word.is_empty()) {
        if word.parse::<LevelFilter>().is_err() {
            return Err(refused(format!("{word:?} is no level (a module is written {word}=trace)")));
        }
    }
    EnvFilter::try_new(filter).map_err(|error| refused(error.to_string()))
}

/// A member's settings, its seams, and the addresses that were reserved for it. Nothing is written before all settings
/// were found to be valid, and the member's addresses are its own: a folder that a failed start has founded would keep
/// the wrong cluster for the corrected one.
fn member(flags: ServeFlags) -> Result<(Config, Env, Reserved), Failure> {
    let listens = flags.listens()?;
    let secrets = Arc::new(SystemSecrets { jwt: flags.jwt()? });
    let security = flags.security.clone();
    let http = flags.http()?;
    let config = flags.config(&listens)?;
    let urls: Vec<String> = config.initial_cluster.iter().map(|(_, url)| url.clone()).collect();
    let security = security.judge(&config.data_dir, &listens, &urls)?;
    let reserved = reserve(&config)?;
    let security = security.make()?;
    security.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let net = SystemNet::new(security.clients, security.members).with_http(http);
    let net = Arc::new(net.with_reserved(reserved.clone()));
    Ok((config, Env { secrets, net, ..env() }, reserved))
}

fn reserve(config: &Config) -> Result<Reserved, Failure> {
    let reserved = Reserved::default();
    for address in config.listen_peer.iter().chain(&config.listen_client).chain(&config.listen_metrics) {
        reserved.add(address).map_err(|source| {
            let error = StartError::Listen { address: address.clone(), source };
            Failure::Failed(paragraph(&error))
        })?;
    }
    Ok(reserved)
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
