//! Starting and stopping a member.

use std::{sync::Arc, time::Duration};

use squall_core::{ClusterId, MemberId, planted::planted};
use tokio::sync::{mpsc, oneshot};

use super::{
    StartError, data,
    leave::{self, ClientPorts, Others},
};
#[cfg(real_server)]
use crate::web;
use crate::{
    AutoCompaction, Config, api, compactor, corrupt, durable, latest,
    lease::Keeper,
    metrics::Scraper,
    node::{Halt, Handle, INPUT_QUEUE, Ids, Input, Node, NodeParts, Shared, publish},
    peer::{Hub, Links, PeerService, STREAM_WINDOW},
    proto::squall::peer::peer_server::PeerServer,
    seam::{Audience, DirLock, Engine, Env, Listener, Point, ProbeEvent, Router, Task, timeout},
};

/// Pause before a member tries again to publish its name.
const PUBLISH_RETRY: Duration = Duration::from_millis(100);

/// Why a member stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to stop.
    Requested,
    /// It was removed from the cluster. Its data folder cannot be used again.
    Removed,
    /// It has lost data that it had acknowledged (its disk was emptied or rolled back), and refuses to go on. The
    /// text is one paragraph.
    Refused(String),
    /// Its disk or its engine failed, with what they said.
    Failed(String),
}

/// A running member. Dropping it stops everything at once, as a crash would.
pub struct Server {
    env: Env,
    config: Arc<Config>,
    shared: Arc<Shared>,
    inputs: mpsc::Sender<Input>,
    engine: Arc<dyn Engine>,
    exit: latest::Receiver<Option<Exit>>,
    /// The ports at which the other members reach it.
    member_ports: Vec<Box<dyn Listener>>,
    client_ports: ClientPorts,
    /// The addresses that it listens at.
    addresses: Vec<String>,
    scraper: Scraper,
    lock: Box<dyn DirLock>,
    _tasks: Vec<Task>,
}

/// Opens the data folder, brings the member back to where it was, and opens its ports. Returns once it takes part in its
/// cluster; clients are served once it has found a leader ([`ProbeEvent::Ready`]).
///
/// # Errors
/// [`StartError`], whose text is for the operator.
pub async fn start(config: Config, env: Env) -> Result<Server, StartError> {
    let probe = env.probe.clone();
    let started = open(config, env).await;
    if let Err(error) = &started
        && error.is_failure()
    {
        probe.emit(ProbeEvent::Failed { reason: error.to_string(), lost_data: error.is_lost_data() });
    }
    started
}

async fn open(config: Config, env: Env) -> Result<Server, StartError> {
    data::check(&config)?;
    #[cfg(madsim)]
    squall_core::planted::plant(config.planted);
    env.probe.emit(ProbeEvent::Starting);
    let config = Arc::new(config);
    let mut data = data::open(&config, &env).await?;
    data.wal.set_points(env.points.clone());
    env.points.reached(Point::StartAfterReplay).await;
    let (member, cluster, engine) = (data.member, data.cluster, data.engine);
    let removed = data.state.membership().was_removed(member);
    if removed && Others::of(data.state.membership(), member, cluster).ask(&env, Vec::new()).await {
        return Err(StartError::Removed { dir: config.data_dir.clone(), member });
    }

    let (inputs, input_queue) = mpsc::channel(INPUT_QUEUE);
    let last = data.bootstrap.log.last();
    let ids = |salt| Ids::new(member, env.clock.wall(), data.bootstrap.term, last, salt);
    let written = data.bootstrap.log.applied().clone();
    let shared = Arc::new(Shared::new(member, cluster, data.state, written));
    data.wal.set_metrics(shared.metrics.clone(), env.clock.clone());
    let life = ids("life").next();
    let urls = config.advertise_peer_urls.clone();
    let hub = Hub::new(env.clone(), life, data.fresh, urls, inputs.clone(), shared.clone());
    let handle = Handle::new(
        env.clone(),
        config.clone(),
        shared.clone(),
        hub.clone(),
        engine.clone(),
        inputs.clone(),
        ids("proposals"),
    );
    if config.initial_corrupt_check && !data.fresh {
        let checked = corrupt::before_start(&env, &hub, &shared).await;
        checked.map_err(|what| StartError::Corrupt { dir: config.data_dir.clone(), what })?;
    }
    let node = Node::new(NodeParts {
        env: env.clone(),
        config: config.clone(),
        shared: shared.clone(),
        transport: Arc::new(Links(hub.clone())),
        wal: data.wal,
        engine: engine.clone(),
        ids: ids("reads"),
        log: data.bootstrap.log,
        snapshot_index: data.bootstrap.snapshot_index,
        inputs: input_queue,
        own_inputs: inputs.clone(),
        election_spread: config.election_ticks(),
    })
    .map_err(|error| StartError::Config(format!("raft: {error}")))?;

    let scraper = Scraper::new(&handle);
    let peer = PeerServer::new(PeerService::new(hub.clone(), config.snap_dir(), Keeper::new(handle.clone())))
        .max_decoding_message_size(usize::MAX);
    let peer = Router::new().add(peer).with_stream_window(STREAM_WINDOW).for_audience(Audience::Members);
    let client = api::router(&handle);
    #[cfg(real_server)]
    let (peer, client) = (web::for_members(&handle, peer), web::for_clients(&handle, client));
    let member_ports = listen(&env, &config.listen_peer, &peer).await?;
    let mut addresses: Vec<String> = member_ports.iter().map(|port| port.local_address()).collect();
    let client_ports = ClientPorts::default();
    if !removed {
        let routers = [(&config.listen_client, client)];
        #[cfg(real_server)]
        let routers = routers.into_iter().chain([(&config.listen_metrics, web::for_metrics(&handle))]);
        for (places, router) in routers {
            for port in listen(&env, places, &router).await? {
                addresses.push(port.local_address());
                client_ports.add(port);
            }
        }
    }

    let (exited, exit) = latest::channel(None);
    let (probe, files, mark) = (env.probe.clone(), env.files.clone(), config.lost_data_mark());
    let run = async move {
        let exit = match node.run().await {
            Halt::Requested => Exit::Requested,
            Halt::Removed => Exit::Removed,
            Halt::Refused(why) => Exit::Refused(why),
            Halt::Failed(reason) => Exit::Failed(reason),
        };
        if let Exit::Refused(why) = &exit
            && let Err(error) = durable::write(&*files, &mark, why).await
        {
            tracing::error!(%error, mark = %mark.display(), "the mark that this member has lost data is not written");
        }
        if let Exit::Refused(reason) | Exit::Failed(reason) = &exit {
            let lost_data = matches!(exit, Exit::Refused(_));
            probe.emit(ProbeEvent::Failed { reason: reason.clone(), lost_data });
        }
        exited.send_replace(Some(exit));
    };
    let leaving = leave::when_removed(env.clone(), shared.clone(), hub, client_ports.clone(), inputs.clone());
    let mut tasks = vec![
        env.tasks.spawn("node", Box::pin(run)),
        env.tasks.spawn("publish", Box::pin(publish_until_done(handle.clone(), config.clone()))),
        env.tasks.spawn("leave", Box::pin(leaving)),
    ];
    if !config.corrupt_check_interval.is_zero() {
        tasks.push(env.tasks.spawn("corruption check", Box::pin(corrupt::watch_over(handle.clone()))));
    }
    if config.auto_compaction != AutoCompaction::Off {
        tasks.push(env.tasks.spawn("auto-compaction", Box::pin(compactor::run(handle))));
    }
    Ok(Server {
        env,
        config,
        shared,
        inputs,
        engine,
        exit,
        member_ports,
        client_ports,
        addresses,
        scraper,
        lock: data.lock,
        _tasks: tasks,
    })
}

async fn listen(
    env: &Env,
    addresses: &[String],
    router: &Router,
) -> Result<Vec<Box<dyn Listener>>, StartError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = env.net.listen(address, router.clone()).await;
        listeners.push(listener.map_err(|source| StartError::Listen { address: address.clone(), source })?);
    }
    Ok(listeners)
}

/// Tells the cluster this member's name and client URLs, through the log. When this succeeds, the member can serve
/// clients.
///
/// A follower's proposal travels to the leader as one message, which may be lost, and clients wait meanwhile. So the
/// first attempts are short. Publishing twice does no harm. Each attempt waits twice as long as the one before, in
/// case the cluster is only slow.
async fn publish_until_done(node: Handle, config: Arc<Config>) {
    let (shared, clock) = (node.shared(), &*node.env().clock);
    let mut patience = config.election_timeout;
    node.env().points.reached(Point::StartBeforePublish).await;
    loop {
        let request = publish(shared.member, config.name.clone(), config.advertise_client_urls.clone());
        match timeout(clock, patience, node.propose(request, None)).await {
            Ok(Ok(_)) => break,
            Ok(Err(squall_core::Refusal::Stopped)) => return,
            Ok(Err(refusal)) => tracing::warn!(%refusal, "the member's name is not published yet"),
            Err(_) => tracing::info!(?patience, "the member's name is not published yet"),
        }
        if planted!(PublishOnce) {
            return;
        }
        patience = (2 * patience).min(config.request_timeout());
        clock.sleep(PUBLISH_RETRY).await;
    }
    node.env().points.reached(Point::StartBeforeReady).await;
    shared.ready.send_replace(true);
    node.env().probe.emit(ProbeEvent::Ready);
}

impl Server {
    /// This member's id.
    pub fn member_id(&self) -> MemberId {
        self.shared.member
    }

    /// The scraper of its metrics.
    pub fn scraper(&self) -> Scraper {
        self.scraper.clone()
    }

    /// Its cluster's id.
    pub fn cluster_id(&self) -> ClusterId {
        self.shared.cluster
    }

    /// Waits until this member takes part in its cluster and serves clients; for ever if it stops before that.
    /// Cancel safe.
    pub async fn ready(&self) {
        let mut ready = self.shared.ready.subscribe();
        if ready.wait_for(|ready| *ready).await.is_err() {
            std::future::pending().await
        }
    }

    /// The addresses that it has listened at since its start: those for members first, then those for clients.
    pub fn local_addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    /// Waits until the member stops, for whatever reason. Cancel safe.
    pub async fn stopped(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.expect("waited for"),
            Err(_) => Exit::Failed("the node's task is gone".into()),
        }
    }

    /// Stops the member gracefully: hands the leadership over if it has it, stops the loop, makes the engine durable
    /// and closes it. A removed member stays for another moment, since the others may not know of the removal yet
    /// and may need its vote.
    pub async fn stop(self) -> Exit {
        if self.shared.leaving.get() {
            let patience = leave::FAREWELL + 2 * self.config.election_timeout;
            if timeout(&*self.env.clock, patience, self.stopped()).await.is_err() {
                tracing::warn!("stopping though the other members may still need this one's vote");
            }
        }
        let (done, handed_over) = oneshot::channel();
        let transfer = async {
            if self.inputs.send(Input::TransferLeadership(done)).await.is_ok() {
                let _ = handed_over.await;
            }
        };
        // raft gives up a transfer after an election time-out.
        if timeout(&*self.env.clock, self.config.election_timeout, transfer).await.is_err() {
            tracing::warn!("stopping without having handed over the leadership");
        }
        let _ = self.inputs.send(Input::Stop).await;
        let mut exit = self.stopped().await;
        drop(self.member_ports);
        self.client_ports.close();
        if let Err(error) = self.engine.commit().await
            && exit == Exit::Requested
        {
            exit = Exit::Failed(format!("engine: {error}"));
        }
        self.engine.close().await;
        drop(self.lock);
        exit
    }
}
