//! The simulated arena: the world's machines run the store's own code.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use squall_store::{
    Config,
    metrics::{Family, Scraper},
    offline::{self, RestoreOptions},
    seam::{BoxFuture, Env, ProbeEvent, Role},
    server::{self, Exit, REFUSED_TO_START, StartError},
};

use super::{
    Arena, At, ConnectionsEnd, Damage, DiskImage, Milestone, Modifier, NodeId, PowerLoss, Restored, Status,
    Token, ToolFailure, Unsynced,
};
use crate::world::{Process, World};

/// The world as an arena.
pub(crate) struct Simulated {
    world: World,
    scrapers: Scrapers,
    serve: Serve,
}

/// The program that a member's process runs.
pub(crate) type Serve =
    Arc<dyn Fn(Config, Process, NodeId) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The scraper of each machine's running or last server.
type Scrapers = Arc<Mutex<BTreeMap<NodeId, Scraper>>>;

impl Simulated {
    pub(crate) fn new(world: World) -> Self {
        let scrapers = Scrapers::default();
        let of_servers = scrapers.clone();
        let serve: Serve =
            Arc::new(move |config, process, node| serve(config, process, node, of_servers.clone()));
        Self { world, scrapers, serve }
    }

    /// The world as an arena whose members are no servers, but run this program.
    #[cfg(test)]
    pub(crate) fn with_members(world: World, serve: Serve) -> Self {
        Self { world, scrapers: Scrapers::default(), serve }
    }
}

impl Arena for Simulated {
    fn add_member(&self, name: &str) -> NodeId {
        self.world.add_node(name)
    }

    fn add_client(&self, name: &str) -> (NodeId, Env) {
        // A machine without a server. Its process only provides the seams.
        let node = self.world.add_node(name);
        self.world.start(node, |process| {
            Box::pin(async move {
                process.stop_requested().await;
                Ok(())
            })
        });
        let env = self.world.env(node).expect("a process that has just started runs");
        (node, env)
    }

    fn now(&self) -> At {
        self.world.now()
    }

    fn sleep_until(&self, at: At) -> BoxFuture<'static, ()> {
        let world = self.world.clone();
        Box::pin(async move { world.sleep_until(at).await })
    }

    fn start(&self, node: NodeId, config: Config) {
        let serve = self.serve.clone();
        self.world.start(node, move |process| serve(config.clone(), process, node));
    }

    fn stop(&self, node: NodeId, patience: Duration) -> BoxFuture<'static, ()> {
        let world = self.world.clone();
        Box::pin(async move {
            if !world.stop(node, patience).await {
                world.kill_process(node);
            }
        })
    }

    fn kill(&self, node: NodeId) {
        self.world.kill_process(node);
    }

    fn power_off(&self, node: NodeId, unsynced: Unsynced) -> PowerLoss {
        self.world.power_off(node, unsynced)
    }

    fn reached(&self, milestone: Milestone, count: u64) -> BoxFuture<'static, ()> {
        let world = self.world.clone();
        Box::pin(async move { world.wait_for_reports(count, |event| is(milestone, event)).await })
    }

    fn status(&self, node: NodeId) -> Status {
        self.world.status(node)
    }

    fn life(&self, node: NodeId) -> u32 {
        self.world.incarnation(node)
    }

    fn ended(&self, node: NodeId) -> BoxFuture<'static, ()> {
        let world = self.world.clone();
        Box::pin(async move { world.ended(node).await })
    }

    fn impose(&self, modifier: Modifier) -> Token {
        self.world.impose(modifier)
    }

    fn bites(&self, token: Token) -> u64 {
        self.world.bites(token)
    }

    fn lift(&self, token: Token) -> u64 {
        self.world.lift(token)
    }

    fn end_connections(&self, one: NodeId, other: NodeId, how: ConnectionsEnd) -> u64 {
        match how {
            ConnectionsEnd::Reset => self.world.reset_connections(one, other),
            ConnectionsEnd::Silence => self.world.forget_connections(one, other),
        }
    }

    fn jump_wall_clock(&self, node: NodeId, nanoseconds: i64) {
        self.world.jump_wall_clock(node, nanoseconds);
    }

    fn wipe(&self, node: NodeId, dir: &Path) {
        self.world.wipe(node, dir);
    }

    fn write_file(&self, node: NodeId, path: &Path, content: Bytes) -> std::io::Result<()> {
        self.world.write_file(node, path, content)
    }

    fn copy_disk(&self, node: NodeId) -> DiskImage {
        self.world.copy_disk(node)
    }

    fn put_disk(&self, node: NodeId, image: &DiskImage) {
        self.world.put_disk(node, image);
    }

    fn damage(&self, node: NodeId, dir: &Path, damage: Damage, seed: u64) -> Option<String> {
        self.world.damage(node, dir, damage, seed)
    }

    fn broken_promises(&self, node: NodeId) -> u64 {
        self.world.broken_promises(node)
    }

    fn disk_fails(&self, node: NodeId) -> bool {
        self.world.disk_fails(node)
    }

    fn last_step(&self, node: NodeId) -> Option<(&'static str, At)> {
        self.world.last_point(node).map(|(point, at)| (point.about(), at))
    }

    fn engine_rows(&self, node: NodeId) -> Option<Vec<(Bytes, Bytes)>> {
        self.world.engine_rows(node)
    }

    fn scrape(&self, node: NodeId, from: &[NodeId], wanted: &dyn Fn(&str) -> bool) -> Option<Vec<Family>> {
        let answers = self.world.status(node) == Status::Up
            && from.iter().any(|client| self.world.could_talk(*client, node));
        // The scraper of a server that is gone returns nothing.
        let scraper = self.scrapers.lock().expect("not poisoned").get(&node).filter(|_| answers).cloned();
        scraper?.scrape(wanted)
    }

    fn restore_snapshot(
        &self,
        node: NodeId,
        options: RestoreOptions,
    ) -> BoxFuture<'static, Result<Restored, ToolFailure>> {
        let world = self.world.clone();
        Box::pin(async move {
            let answer = Arc::new(Mutex::new(None));
            let slot = answer.clone();
            world.start(node, move |process| {
                let (slot, options) = (slot.clone(), copy(&options));
                Box::pin(async move {
                    let (files, engines) = (process.env.files.clone(), process.env.engines.as_ref());
                    let done = offline::snapshot_restore(files, engines, &options).await;
                    let done = done.map_err(|error| error.to_string())?;
                    let restored = Restored { revision: done.revision.0, cluster_id: done.cluster_id.0 };
                    *slot.lock().expect("not poisoned") = Some(restored);
                    Ok(())
                })
            });
            world.ended(node).await;
            let answer = answer.lock().expect("not poisoned").take();
            match (world.status(node), answer) {
                (Status::Exited(None), Some(restored)) => Ok(restored),
                (Status::Exited(Some(reason)), _) => Err(ToolFailure::Refused(reason)),
                (Status::Panicked(message), _) => {
                    Err(ToolFailure::Refused(format!("it panicked: {message}")))
                }
                _ => Err(ToolFailure::Killed),
            }
        })
    }
}

fn copy(options: &RestoreOptions) -> RestoreOptions {
    RestoreOptions {
        snapshot: PathBuf::from(&options.snapshot),
        data_dir: PathBuf::from(&options.data_dir),
        name: options.name.clone(),
        initial_cluster: options.initial_cluster.clone(),
        initial_cluster_token: options.initial_cluster_token.clone(),
        advertise_peer_urls: options.advertise_peer_urls.clone(),
        skip_hash_check: options.skip_hash_check,
    }
}

/// Whether a member's event is the milestone.
fn is(milestone: Milestone, event: &ProbeEvent) -> bool {
    match milestone {
        Milestone::LeaderChange => matches!(event, ProbeEvent::Role { role: Role::Leader, .. }),
        Milestone::Applied => matches!(event, ProbeEvent::Applied { .. }),
        Milestone::SnapshotInstallBegan => matches!(event, ProbeEvent::SnapshotSent { .. }),
        Milestone::SnapshotInstalled => matches!(event, ProbeEvent::SnapshotInstalled { .. }),
        Milestone::SnapshotSaved => matches!(event, ProbeEvent::SnapshotSaved { .. }),
        Milestone::WalSegmentCut => matches!(event, ProbeEvent::SegmentCut),
        Milestone::TornTailRepaired => matches!(event, ProbeEvent::TornTailRepaired { .. }),
        Milestone::CompactionFinished => matches!(event, ProbeEvent::CompactionFinished { .. }),
        Milestone::Ready => matches!(event, ProbeEvent::Ready),
        // The operator counts its steps itself.
        Milestone::OperatorStep => false,
    }
}

/// A member's process: runs the server until it ends or is asked to end.
fn serve(
    config: Config,
    process: Process,
    node: NodeId,
    scrapers: Scrapers,
) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(async move {
        // The previous life's scraper may still hold that life's server.
        scrapers.lock().expect("not poisoned").remove(&node);
        let server = match server::start(config, process.env.clone()).await {
            Ok(server) => server,
            Err(StartError::Removed { .. }) => return Ok(()),
            Err(refusal) if refusal.is_lost_data() => return Err(format!("{REFUSED_TO_START}{refusal}")),
            Err(refusal) => return Err(refusal.to_string()),
        };
        scrapers.lock().expect("not poisoned").insert(node, server.scraper());
        let exit = tokio::select! {
            biased;
            exit = server.stopped() => exit,
            () = process.stop_requested() => {
                server.stop().await;
                Exit::Requested
            }
        };
        match exit {
            Exit::Requested | Exit::Removed => Ok(()),
            Exit::Refused(why) => Err(format!("{REFUSED_TO_START}{why}")),
            Exit::Failed(reason) => Err(reason),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::WorldConfig;

    /// A member that writes without a sync, and then ignores the request to stop.
    fn deaf(_: Config, process: Process, _: NodeId) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async move {
            let created = process.env.files.create(Path::new("unsynced")).await;
            let mut file = created.map_err(|error| error.to_string())?;
            file.append(Bytes::from_static(b"kept")).await.map_err(|error| error.to_string())?;
            std::future::pending().await
        })
    }

    #[test]
    fn a_stop_that_hangs_becomes_a_kill_that_keeps_the_page_cache() {
        const PATIENCE: Duration = Duration::from_secs(5);
        let finished = World::run(WorldConfig::new(1), |world| async move {
            let arena = Simulated::with_members(world.clone(), Arc::new(deaf));
            let node = arena.add_member("m1");
            arena.start(node, Config::default());
            world.sleep(Duration::from_secs(1)).await;
            let asked = world.now();
            arena.stop(node, PATIENCE).await;
            assert_eq!(world.now().since(asked), PATIENCE);
            // Down, not off: a power cut would have taken the machine, and the bytes.
            assert_eq!(arena.status(node), Status::Down);
            assert_eq!(world.read_file(node, Path::new("unsynced")).expect("it is there"), "kept");
        });
        let finished = finished.expect("the world runs");
        assert_eq!(finished.violations, []);
        finished.output.expect("the body ends");
    }
}
