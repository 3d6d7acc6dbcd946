//! The suite's service and its client: raw bytes as messages, a handler for each thing to be tried, counters of what
//! the handlers did.

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes};
use futures_util::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use tonic::{
    Request, Response, Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::NamedService,
};
use tower::service_fn;

use crate::seam::{BoxFuture, Channel, GrpcRequest, GrpcResponse};

/// The refusal's message: percent signs and non-ASCII, which the wire escapes.
pub(super) const REFUSAL: &str = "etcdserver: 100 % refus\u{e9}";
/// Bytes of each message of a flood.
pub(super) const FLOOD_MESSAGE: usize = 4_096;

type BytesStream = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What the handlers did.
#[derive(Default)]
pub(super) struct Seen {
    /// Calls that arrived.
    pub started: AtomicU64,
    /// Handlers and streams begun and not yet done or dropped.
    pub running: AtomicU64,
    /// Messages that floods have produced.
    pub produced: AtomicU64,
}

/// Counts a handler, or the stream that it answered with, while it lives.
struct Running(Arc<Seen>);

impl Running {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.running.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The server's side.
#[derive(Clone)]
pub(super) struct Service {
    seen: Arc<Seen>,
}

impl Service {
    pub fn new() -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        (Self { seen: Arc::clone(&seen) }, seen)
    }
}

impl NamedService for Service {
    const NAME: &'static str = "squall.conformance.Probe";
}

impl tower::Service<GrpcRequest> for Service {
    type Response = GrpcResponse;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<GrpcResponse, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: GrpcRequest) -> Self::Future {
        let seen = Arc::clone(&self.seen);
        seen.started.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            // The suite's own messages go beyond tonic's default of 4 MB.
            let mut grpc = tonic::server::Grpc::new(BytesCodec).max_decoding_message_size(usize::MAX);
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(match method.as_str() {
                "Echo" => grpc.unary(service_fn(echo), request).await,
                "Refuse" => grpc.unary(service_fn(refuse), request).await,
                "Big" => grpc.unary(service_fn(big), request).await,
                "Never" => {
                    let _running = Running::new(&seen);
                    grpc.unary(service_fn(never), request).await
                }
                "RefuseLate" => {
                    let late = service_fn(|_: Request<Bytes>| {
                        let items =
                            [Ok(Bytes::new()), Ok(Bytes::new()), Err(Status::failed_precondition(REFUSAL))];
                        stream_of(stream::iter(items), &seen)
                    });
                    grpc.server_streaming(late, request).await
                }
                "Stall" => {
                    let stall = service_fn(|_: Request<Bytes>| {
                        stream_of(
                            stream::iter([Ok(Bytes::from_static(b"one"))]).chain(stream::pending()),
                            &seen,
                        )
                    });
                    grpc.server_streaming(stall, request).await
                }
                "Flood" => {
                    let flood = service_fn(|_: Request<Bytes>| {
                        let seen = &seen;
                        let counter = Arc::clone(seen);
                        let next = move || {
                            counter.produced.fetch_add(1, Ordering::SeqCst);
                            Ok(Bytes::from(vec![0; FLOOD_MESSAGE]))
                        };
                        stream_of(stream::repeat_with(next), seen)
                    });
                    grpc.server_streaming(flood, request).await
                }
                "Mirror" => {
                    let mirror = service_fn(|request: Request<Streaming<Bytes>>| {
                        stream_of(request.into_inner(), &seen)
                    });
                    grpc.streaming(mirror, request).await
                }
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

/// A streaming answer that counts as running while it lives.
fn stream_of<S>(stream: S, seen: &Arc<Seen>) -> Ready<Result<Response<BytesStream>, Status>>
where
    S: Stream<Item = Result<Bytes, Status>> + Send + 'static,
{
    let running = Running::new(seen);
    let stream = stream.inspect(move |_| _ = &running);
    ready(Ok(Response::new(Box::pin(stream) as BytesStream)))
}

async fn echo(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let probe = request.metadata().get("x-probe").cloned();
    let mut response = Response::new(request.into_inner());
    if let Some(probe) = probe {
        response.metadata_mut().insert("x-probe", probe);
    }
    Ok(response)
}

async fn refuse(_: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    Err(Status::failed_precondition(REFUSAL))
}

async fn big(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    Ok(Response::new(Bytes::from(vec![1; request.into_inner().get_u64() as usize])))
}

async fn never(_: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    pending().await
}

/// The caller's side: each call uses its own clone of a channel.
#[derive(Clone)]
pub(super) struct Client {
    channel: Channel,
}

impl Client {
    pub fn new(channel: Channel) -> Self {
        Self { channel }
    }

    pub async fn unary(&self, method: &str, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        self.at(&format!("/{}/{method}", Service::NAME), request).await
    }

    /// A unary call to any path.
    pub async fn at(&self, path: &str, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        let mut grpc = self.grpc().await?;
        grpc.unary(request, PathAndQuery::try_from(path).unwrap(), BytesCodec).await
    }

    pub async fn server_stream(&self, method: &str, message: Bytes) -> Result<Streaming<Bytes>, Status> {
        self.server_stream_with(method, Request::new(message)).await
    }

    pub async fn server_stream_with(
        &self,
        method: &str,
        request: Request<Bytes>,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut grpc = self.grpc().await?;
        Ok(grpc.server_streaming(request, self.path(method), BytesCodec).await?.into_inner())
    }

    pub async fn bidi<S>(&self, method: &str, outgoing: S) -> Result<Streaming<Bytes>, Status>
    where
        S: Stream<Item = Bytes> + Send + 'static,
    {
        let mut grpc = self.grpc().await?;
        Ok(grpc.streaming(Request::new(outgoing), self.path(method), BytesCodec).await?.into_inner())
    }

    fn path(&self, method: &str) -> PathAndQuery {
        PathAndQuery::try_from(format!("/{}/{method}", Service::NAME)).unwrap()
    }

    async fn grpc(&self) -> Result<tonic::client::Grpc<Channel>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await?;
        Ok(grpc)
    }
}

/// A codec that passes bytes through unchanged.
#[derive(Clone, Copy, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
