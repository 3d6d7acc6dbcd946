//! The network: listen with a set of gRPC services, dial a gRPC channel. Members talk to each other and clients to
//! members through the same two calls.
//!
//! Both sides enforce what tonic leaves to its transport: `grpc-timeout` deadlines, message-size limits, and
//! cancellation (a dropped call stops its handler). Only bytes cross.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::ready,
    io,
    task::{Context, Poll},
    time::Duration,
};

use tonic::{body::Body, server::NamedService};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use super::BoxFuture;

/// A gRPC request on the wire: HTTP/2's head and a body of frames.
pub type GrpcRequest = http::Request<Body>;
/// A gRPC response on the wire.
pub type GrpcResponse = http::Response<Body>;
/// The error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A channel to one address, for tonic's generated clients. It connects when first used and again after a failure.
/// Cloning shares the connection. A transport's failure is already a status (`Unavailable`, `DeadlineExceeded`).
/// With a `Box<dyn Error>` instead, the compiler could not see that a task that holds a call is `Send`.
pub type Channel = BoxCloneSyncService<GrpcRequest, GrpcResponse, tonic::Status>;

/// How to dial.
#[derive(Debug, Clone)]
pub struct DialOptions {
    /// How long to wait for a connection before a call fails with `Unavailable`.
    pub connect_timeout: Duration,
    /// Largest message to accept, in bytes.
    pub max_receive_bytes: usize,
}

impl Default for DialOptions {
    fn default() -> Self {
        // etcd's client waits 2 s for a dial; it accepts any size of response.
        Self { connect_timeout: Duration::from_secs(2), max_receive_bytes: i32::MAX as usize }
    }
}

/// The common name in the certificate that the caller has proven to hold, where the listener asked for one. It is in
/// a request's extensions, which no caller can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateName(pub String);

/// The callers that a listener serves. Each kind has its own certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// Clients.
    #[default]
    Clients,
    /// The other members.
    Members,
}

/// A member's (or client's) network. An address is `host:port`; the real side takes URLs too, which ask for TLS
/// (`https://host:port`) or a Unix socket (`unix://path`, `unixs://path`).
pub trait Net: Send + Sync {
    /// Serves `router` at `address` until the listener is dropped. `AddrInUse` if the address is taken.
    fn listen<'a>(&'a self, address: &'a str, router: Router)
    -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;

    /// A channel to a member at `address`. Never fails here: a bad or dead address fails each call.
    fn dial(&self, address: &str, options: DialOptions) -> Channel;
}

/// A listening socket. Dropping it closes it and every connection that it accepted.
pub trait Listener: Send + Sync {
    /// The address that is bound, `host:port`. If port 0 was asked for, it has the port that was found.
    fn local_address(&self) -> String;
}

/// The time that a call may take, from its `grpc-timeout` header (gRPC over HTTP/2: one to eight digits and a unit);
/// `None` if there is no readable header. Both sides of the seam enforce the time, so both use this function.
pub fn grpc_timeout(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3_600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Whether a request is a gRPC request.
pub fn is_grpc(headers: &http::HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

type Handler = BoxCloneSyncService<GrpcRequest, GrpcResponse, Infallible>;

/// How many bytes a caller may send on one stream before the handler has read them: HTTP/2's default.
pub const DEFAULT_STREAM_WINDOW: u32 = 65_535;

/// What a listener offers: services, by gRPC service name (a call to an unknown service gets `Unimplemented`), and
/// how many bytes a caller may send ahead.
#[derive(Clone)]
pub struct Router {
    services: BTreeMap<&'static str, Handler>,
    web: Option<Handler>,
    stream_window: u32,
    audience: Audience,
}

impl Default for Router {
    fn default() -> Self {
        Self {
            services: BTreeMap::new(),
            web: None,
            stream_window: DEFAULT_STREAM_WINDOW,
            audience: Audience::default(),
        }
    }
}

impl Router {
    /// No services.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service that tonic generated.
    #[expect(clippy::should_implement_trait, reason = "a builder's step; nobody takes it for addition")]
    pub fn add<S>(mut self, service: S) -> Self
    where
        S: Service<GrpcRequest, Response = GrpcResponse, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.services.insert(S::NAME, BoxCloneSyncService::new(service));
        self
    }

    /// Gives requests that are not gRPC (by their content type, as in etcd) to this service.
    pub fn with_web<S>(mut self, web: S) -> Self
    where
        S: Service<GrpcRequest, Response = GrpcResponse, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.web = Some(BoxCloneSyncService::new(web));
        self
    }

    /// Lets a caller send `bytes` bytes on one stream before the handler has read them. At most one window crosses a
    /// link in each round trip, so streams that carry much over long links need more than [`DEFAULT_STREAM_WINDOW`],
    /// which is also the minimum.
    pub fn with_stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes.max(DEFAULT_STREAM_WINDOW);
        self
    }

    /// Sets the callers that the listener serves. The default is clients.
    pub fn for_audience(mut self, audience: Audience) -> Self {
        self.audience = audience;
        self
    }

    /// See [`Router::for_audience`].
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// See [`Router::with_stream_window`].
    pub fn stream_window(&self) -> u32 {
        self.stream_window
    }
}

/// The service and the method that a call's path names.
fn names(uri: &http::Uri) -> Option<(&str, &str)> {
    uri.path().trim_start_matches('/').rsplit_once('/')
}

fn unimplemented(what: String) -> GrpcResponse {
    tonic::Status::unimplemented(what).into_http()
}

impl Service<GrpcRequest> for Router {
    type Response = GrpcResponse;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<GrpcResponse, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: GrpcRequest) -> Self::Future {
        if let Some(web) = self.web.as_ref().filter(|_| !is_grpc(request.headers())) {
            return Box::pin(web.clone().oneshot(request));
        }
        let uri = request.uri().clone();
        let Some((name, _)) = names(&uri) else {
            let refused = unimplemented(format!("malformed method name: {:?}", uri.path()));
            return Box::pin(ready(Ok(refused)));
        };
        let Some(service) = self.services.get(name) else {
            let refused = unimplemented(format!("unknown service {name}"));
            return Box::pin(ready(Ok(refused)));
        };
        let answered = service.clone().oneshot(request);
        Box::pin(async move {
            let response = answered.await?;
            // A generated service gives no message for an unknown method; other gRPC servers name the method.
            let headers = response.headers();
            let silent = headers.get("grpc-status").is_some_and(|status| status == "12")
                && !headers.contains_key("grpc-message");
            Ok(match names(&uri) {
                Some((name, method)) if silent => {
                    unimplemented(format!("unknown method {method} for service {name}"))
                }
                _ => response,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_and_invalid_timeouts() {
        let cases = [
            ("2H", Some(Duration::from_secs(7_200))),
            ("3M", Some(Duration::from_secs(180))),
            ("4999999u", Some(Duration::from_micros(4_999_999))),
            ("5S", Some(Duration::from_secs(5))),
            ("82m", Some(Duration::from_millis(82))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("0S", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("5", None),
            ("-5S", None),
            ("5s", None),
            ("5\u{e9}", None),
        ];
        for (header, expected) in cases {
            let mut headers = http::HeaderMap::new();
            let value = http::HeaderValue::from_bytes(header.as_bytes()).expect("visible bytes");
            headers.insert("grpc-timeout", value);
            assert_eq!(grpc_timeout(&headers), expected, "{header:?}");
        }
        assert_eq!(grpc_timeout(&http::HeaderMap::new()), None);
    }
}
