//! A small service and its client, and helpers to build worlds.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use squall_store::seam::{BoxFuture, Channel, DialOptions, Env, GrpcRequest, GrpcResponse, Router};
use tonic::{Status, body::Body, server::NamedService};
use tower::{Service, ServiceExt};

use crate::world::{Finished, NodeId, Process, World, WorldConfig};

/// Runs a body in a world with this seed.
pub(super) fn run<T, F, Fut>(seed: u64, body: F) -> Finished<T>
where
    T: Send + 'static,
    F: FnOnce(World) -> Fut + Send + 'static,
    Fut: Future<Output = T>,
{
    World::run(WorldConfig::new(seed), body).unwrap_or_else(|failure| panic!("{failure}"))
}

/// The output of a run without violations.
pub(super) fn sound<T>(finished: Finished<T>) -> T {
    assert_eq!(finished.violations, []);
    finished.output.expect("the run reached its end")
}

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A process that does nothing.
pub(super) fn idle(_: Process) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(std::future::pending())
}

/// Adds a node with an idle process.
pub(super) fn idle_node(world: &World, name: &str) -> (NodeId, Env) {
    let node = world.add_node(name);
    world.start(node, idle);
    (node, world.env(node).expect("it has just started"))
}

/// A service of raw bodies: `/kit/echo`, `/kit/never`, `/kit/slow` (answers after the milliseconds in the request).
#[derive(Clone)]
pub(super) struct Kit {
    env: Env,
    pub(super) calls: Arc<AtomicU64>,
    pub(super) running: Arc<AtomicU64>,
}

impl Kit {
    pub(super) fn new(env: Env) -> Self {
        Self { env, calls: Arc::default(), running: Arc::default() }
    }
}

impl NamedService for Kit {
    const NAME: &'static str = "kit";
}

struct Running(Arc<AtomicU64>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service<GrpcRequest> for Kit {
    type Response = GrpcResponse;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<GrpcResponse, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: GrpcRequest) -> Self::Future {
        let kit = self.clone();
        Box::pin(async move {
            kit.calls.fetch_add(1, Ordering::Relaxed);
            kit.running.fetch_add(1, Ordering::Relaxed);
            let _running = Running(kit.running.clone());
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let Ok(body) = request.into_body().collect().await else {
                return Ok(Status::cancelled("the request's body broke off").into_http());
            };
            let bytes = body.to_bytes();
            match method.as_str() {
                "slow" => {
                    let wait = std::str::from_utf8(&bytes).unwrap().parse().unwrap();
                    kit.env.clock.sleep(ms(wait)).await;
                }
                "never" => std::future::pending().await,
                "panic" => panic!("the kit was asked to panic"),
                _ => {}
            }
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames =
                [Ok::<_, Status>(http_body::Frame::data(bytes)), Ok(http_body::Frame::trailers(trailers))];
            Ok(http::Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames)))))
        })
    }
}

/// Serves a [`Kit`] at port 1 of the process's node until the process ends.
pub(super) fn serve_kit(process: Process) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(async move {
        let address = format!("{}:1", process.node);
        let router = Router::new().add(Kit::new(process.env.clone()));
        let _listener = process.env.net.listen(&address, router).await.map_err(|error| error.to_string())?;
        process.stop_requested().await;
        Ok(())
    })
}

/// A channel to port 1 of a node.
pub(super) fn channel(env: &Env, to: &str) -> Channel {
    env.net.dial(&format!("{to}:1"), DialOptions::default())
}

/// Calls a method of the kit.
pub(super) async fn call(channel: &Channel, method: &str, body: impl Into<Bytes>) -> Result<Bytes, Status> {
    call_with(channel, method, body, None).await
}

/// Calls a method of the kit, with a `grpc-timeout`.
pub(super) async fn call_with(
    channel: &Channel,
    method: &str,
    body: impl Into<Bytes>,
    timeout: Option<&'static str>,
) -> Result<Bytes, Status> {
    let mut request = http::Request::new(Body::new(Full::new(body.into())));
    *request.uri_mut() = format!("/kit/{method}").parse().unwrap();
    if let Some(timeout) = timeout {
        request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
    }
    let response = channel.clone().oneshot(request).await?;
    if let Some(status) = Status::from_header_map(response.headers())
        && status.code() != tonic::Code::Ok
    {
        return Err(status);
    }
    Ok(response.into_body().collect().await?.to_bytes())
}

/// A server, a client, and a connection between them.
pub(super) async fn linked(world: &World) -> (NodeId, NodeId, Channel) {
    let m1 = world.add_node("m1");
    world.start(m1, serve_kit);
    let (c1, env) = idle_node(world, "c1");
    let kit = channel(&env, "m1");
    call(&kit, "echo", "").await.unwrap();
    (m1, c1, kit)
}

/// How long an echo takes.
pub(super) async fn round_trip(world: &World, kit: &Channel) -> Duration {
    let from = world.now();
    call(kit, "echo", "").await.unwrap();
    world.now().since(from)
}

/// Adds a node whose process counts the ticks of a ticker.
pub(super) fn ticking(world: &World, name: &str, period: Duration) -> (NodeId, Arc<AtomicU64>) {
    let node = world.add_node(name);
    let ticks = Arc::new(AtomicU64::new(0));
    let counter = ticks.clone();
    world.start(node, move |process| {
        let counter = counter.clone();
        Box::pin(async move {
            let mut ticker = process.env.clock.ticker(period);
            loop {
                ticker.tick().await;
                counter.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    (node, ticks)
}
