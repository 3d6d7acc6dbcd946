//! The seams for clients and the operator in this arena: the system's clock, tasks of the run's runtime, and a network
//! that can dial. Seams that only a member uses refuse every call.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use squall_store::{
    seam::{
        BoxFuture, Channel, DialOptions, DirLock, Engine, EngineError, Engines, Env, File, Files, Listener,
        Net, Points, Probe, ProbeEvent, Router, Secrets, Task, Tasks,
    },
    system::{HttpChannel, SystemClock},
};

use super::{arena::Ground, channel::OverLinks};
use crate::arena::NodeId;

/// The seams of a client's machine.
pub(super) fn env(ground: &Ground, node: NodeId) -> Env {
    Env {
        clock: Arc::new(SystemClock),
        net: Arc::new(Dialler { ground: ground.clone(), node }),
        files: Arc::new(Nothing),
        engines: Arc::new(Nothing),
        tasks: Arc::new(RuntimeTasks),
        probe: Arc::new(Nothing),
        points: Points::default(),
        secrets: Arc::new(Nothing),
    }
}

struct RuntimeTasks;

impl Tasks for RuntimeTasks {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) -> Task {
        let task = system_tokio::spawn(future).abort_handle();
        Task::new(move || task.abort())
    }

    fn first_branch(&self, _count: usize) -> usize {
        0
    }
}

struct Dialler {
    ground: Ground,
    node: NodeId,
}

impl Net for Dialler {
    fn listen<'a>(
        &'a self,
        _address: &'a str,
        _router: Router,
    ) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err(refused()) })
    }

    fn dial(&self, address: &str, options: DialOptions) -> Channel {
        let dial = OverLinks { ground: self.ground.clone(), from: self.node, address: address.to_owned() };
        Channel::new(HttpChannel::new(dial, options))
    }
}

/// The seams that a client does not use. They refuse every call.
struct Nothing;

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a client's machine has no such thing")
}

macro_rules! refuses {
    ($( $name:ident -> $answer:ty; )*) => {
        $( fn $name<'a>(&'a self, _path: &'a Path) -> BoxFuture<'a, io::Result<$answer>> {
            Box::pin(async { Err(refused()) })
        } )*
    };
}

impl Files for Nothing {
    refuses! {
        create -> Box<dyn File>;
        open -> Box<dyn File>;
        read -> Bytes;
        list -> Vec<String>;
        exists -> bool;
        create_dir_all -> ();
        remove -> ();
        remove_dir_all -> ();
        sync_dir -> ();
        lock -> Box<dyn DirLock>;
    }

    fn rename<'a>(&'a self, _from: &'a Path, _to: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async { Err(refused()) })
    }
}

impl Engines for Nothing {
    fn open<'a>(&'a self, _dir: &'a Path) -> BoxFuture<'a, Result<Arc<dyn Engine>, EngineError>> {
        Box::pin(async { Err(EngineError::Io { context: "opening".to_owned(), source: refused() }) })
    }
}

impl Probe for Nothing {
    fn emit(&self, _event: ProbeEvent) {}
}

impl Secrets for Nothing {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}
