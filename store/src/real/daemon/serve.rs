//! Runs one member until it is told to stop, or must stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, notify::notify, offline, paragraph};
use crate::{
    Config,
    real::Reserved,
    seam::Env,
    server::{self, Exit, Server, StartError},
};

/// Starts the member and waits for its end. It listens at the addresses that were reserved for it.
pub(super) async fn serve(config: Config, env: Env, reserved: Reserved) -> Result<(), Failure> {
    // Installed before anything is opened, so that a signal during a long replay is handled.
    let mut signals = Signals::new()?;
    let dir = config.data_dir.clone();
    offline::take_over(&config, &env).await?;
    let started = tokio::select! {
        biased;
        started = server::start(config, env) => started,
        name = signals.next() => {
            tracing::info!("{name} while starting: nothing was acknowledged, so there is nothing to finish");
            return Ok(());
        }
    };
    let server = match started {
        Ok(server) => server,
        // Treated like a removal while the member runs: nothing is wrong, and a supervisor should not restart it.
        Err(removed @ StartError::Removed { .. }) => {
            tracing::warn!("{removed}");
            return Ok(());
        }
        Err(error) => return Err(Failure::Failed(paragraph(&error))),
    };
    // A removed member does not serve clients.
    reserved.release();
    tracing::info!(
        member = format!("{:x}", server.member_id().0),
        cluster = format!("{:x}", server.cluster_id().0),
        listening = server.local_addresses().join(","),
        "started"
    );
    let announced = async {
        server.ready().await;
        notify("READY=1");
        std::future::pending::<Exit>().await
    };
    let exit = tokio::select! {
        biased;
        exit = server.stopped() => exit,
        name = signals.next() => {
            tracing::info!("{name}: stopping");
            notify("STOPPING=1");
            return stop(server, signals).await;
        }
        exit = announced => exit,
    };
    match exit {
        Exit::Requested => Ok(()),
        Exit::Removed => {
            tracing::warn!(
                "this member was removed from its cluster and has stopped; its data folder {} cannot be used again. \
                 To bring it back, remove the folder, `member add` it, and start it with --initial-cluster-state \
                 existing",
                dir.display()
            );
            Ok(())
        }
        Exit::Refused(why) => Err(Failure::Failed(why)),
        Exit::Failed(reason) => Err(Failure::Failed(format!(
            "the member had to stop: {reason}. What it acknowledged is in its data folder {}; mend the cause and start \
             it again.",
            dir.display()
        ))),
    }
}

/// Stops gracefully. A second signal stops at once.
async fn stop(server: Server, mut signals: Signals) -> Result<(), Failure> {
    let exit = tokio::select! {
        biased;
        exit = server.stop() => exit,
        name = signals.next() => {
            return Err(Failure::Failed(format!(
                "a second {name}: stopped at once. Nothing that was acknowledged is lost; the next start replays more \
                 of the log."
            )));
        }
    };
    match exit {
        Exit::Requested | Exit::Removed => Ok(()),
        Exit::Refused(why) => Err(Failure::Failed(why)),
        Exit::Failed(reason) => {
            Err(Failure::Failed(format!("the member failed while it stopped: {reason}.")))
        }
    }
}

/// The signals that ask a daemon to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let handle =
            |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot handle signals: {error}")));
        Ok(Self { terminate: handle(SignalKind::terminate())?, interrupt: handle(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
