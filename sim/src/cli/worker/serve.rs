//! The worker's side: reads orders and answers records, until standard input ends.

use super::message::{Order, Report, Settings};
use crate::cli::Runner;
use crate::cli::make::Maker;
use crate::scenario::{ScenarioFile, parse};
use crate::text::Refusal;
use crate::workload::Journal;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

/// Serves the parent until it closes the socket.
///
/// # Errors
/// If standard input is not from a parent: the hidden command was called by hand.
pub(in crate::cli) fn serve(runner: Runner) -> Result<(), Refusal> {
    die_with_parent();
    let refused = |error: io::Error| {
        let message =
            format!("this command is `squall run`'s own, which starts its workers with it ({error})");
        Refusal::of(Path::new("worker"), message)
    };
    let socket = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from).map_err(refused)?;
    let journal = io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(refused)?;
    let mut orders = BufReader::new(socket.try_clone().map_err(refused)?);
    let Some(settings) = next::<Settings>(&mut orders).map_err(refused)? else { return Ok(()) };
    let maker = Maker { runner, settings, journal: Some(Arc::new(Journal::new(journal))) };
    let mut file: Option<ScenarioFile> = None;
    while let Some(order) = next::<Order>(&mut orders).map_err(refused)? {
        if let Some(new) = &order.file {
            let scenario = parse(&new.path.0, &new.text)?;
            file = Some(ScenarioFile { path: new.path.0.clone(), text: new.text.clone(), scenario });
        }
        let file = file.as_ref().ok_or_else(|| refused(io::Error::other("an order without a scenario")))?;
        // If the parent is gone, this process is killed too, or reads the end of the socket instead of the next order.
        let done = maker.make(file, &order, &mut |act| drop(send(&socket, &Report::Begins(act))));
        let staged = done.staged.is_some();
        if let Some(staged) = done.staged {
            staged.leave();
        }
        send(&socket, &Report::Done { record: Box::new(done.record), staged, cpu: done.cpu })
            .map_err(refused)?;
    }
    Ok(())
}

/// The next line, or `None` if the parent has closed the socket.
fn next<T: DeserializeOwned>(orders: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = String::new();
    match orders.read_line(&mut line)? {
        0 => Ok(None),
        _ => Ok(Some(serde_json::from_str(&line)?)),
    }
}

fn send(mut socket: &UnixStream, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    socket.write_all(&line)
}

/// Asks the kernel to kill this process when the thread that started it is gone.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    // SAFETY: a plain system call that takes two numbers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}
