//! HTTP beside gRPC: health, version, metrics, and the JSON gateway, on the ports that speak gRPC too.
//!
//! Requests that are not gRPC by their content type come here ([`crate::seam::Router`]), over HTTP/1.1 or HTTP/2.
//! Paths, methods, statuses and bodies are etcd's, as far as some program reads them: an orchestrator's probes,
//! Prometheus, `etcdctl check`, clients without gRPC. Any other path is answered 404.
//!
//! Clients' port: everything. Metrics port (`--listen-metrics-urls`): metrics and health. Members' port: `/version` and
//! `/members`. Left out: etcd's `/debug/*`, and the v2 API.
//!
//! Only the real build has it: the simulation scrapes without HTTP, and its clients speak gRPC.
//!
//! Source: etcd's `embed/serve.go`, `api/etcdhttp/{base,health,version,metrics,peer}.go`.

mod gateway;
mod health;
mod members;
mod reply;

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::Method;
use http_body_util::{BodyExt, Limited};
use tonic::body::Body;

use self::{gateway::Gateway, health::Probe};
use crate::{
    metrics::{CLUSTER_VERSION, ETCD_VERSION, Scraper, encode},
    node::Handle,
    seam::{GrpcRequest, GrpcResponse, Router, timeout},
};

/// How many bytes of an unused body are read, and for how long.
const DRAINED_BYTES: usize = 256 << 10;
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// The kinds of ports, which serve different paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Clients,
    Metrics,
    Members,
}

/// The service that answers on one port.
#[derive(Clone)]
struct Web {
    node: Handle,
    scraper: Scraper,
    port: Port,
    /// Present only on the clients' port.
    gateway: Option<Arc<Gateway>>,
}

/// The clients' port: `grpc`, and all of this module beside it.
pub(crate) fn for_clients(node: &Handle, grpc: Router) -> Router {
    let gateway = Gateway::new(grpc.clone(), node);
    with_web(grpc, node, Port::Clients, Some(Arc::new(gateway)))
}

/// The members' port.
pub(crate) fn for_members(node: &Handle, grpc: Router) -> Router {
    with_web(grpc, node, Port::Members, None)
}

/// The metrics port.
pub(crate) fn for_metrics(node: &Handle) -> Router {
    with_web(Router::new(), node, Port::Metrics, None)
}

fn with_web(grpc: Router, node: &Handle, port: Port, gateway: Option<Arc<Gateway>>) -> Router {
    let web = Web { node: node.clone(), scraper: Scraper::new(node), port, gateway };
    grpc.with_web(tower::service_fn(move |request| {
        let web = web.clone();
        async move {
            let allows_origins = web.port == Port::Clients;
            let mut response = web.answer(request).await;
            if allows_origins {
                reply::allow_origins(&mut response);
            }
            Ok::<_, Infallible>(response)
        }
    }))
}

impl Web {
    async fn answer(&self, request: GrpcRequest) -> GrpcResponse {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        if self.port == Port::Clients && method == Method::OPTIONS {
            return reply::empty();
        }
        if let Some((gateway, path)) = self.gateway.as_ref().zip(gateway::api_path(path)) {
            return gateway.answer(path, request).await;
        }
        drain(&self.node, request.into_body()).await;
        let probe = Probe::of(path);
        let known = match path {
            "/version" => self.port != Port::Metrics,
            "/members" => self.port == Port::Members,
            "/metrics" | "/health" => self.port != Port::Members,
            _ => probe.is_some() && self.port != Port::Members,
        };
        if !known {
            return reply::text(404, "404 page not found\n");
        }
        // As in etcd, a scrape may use any method.
        if method != Method::GET && path != "/metrics" {
            return reply::only_get();
        }
        match (path, probe) {
            ("/version", _) => reply::json(200, version()),
            ("/members", _) => members::list(&self.node),
            ("/health", _) => health::health(&self.node, query).await,
            (_, Some(probe)) => health::probe(&self.node, query, probe).await,
            _ => self.metrics(),
        }
    }

    fn metrics(&self) -> GrpcResponse {
        let Some(mut families) = self.scraper.scrape(|_| true) else {
            return reply::text(503, "the member has stopped\n");
        };
        families.extend(crate::real::process_metrics());
        families.sort_by_key(|family| family.name);
        reply::with_type(200, "text/plain; version=0.0.4; charset=utf-8", reply::full(encode(&families)))
    }
}

/// Reads an unused body if it is short and arrives soon, as Go's server does. If a connection is closed with unread
/// data it is reset, and its client may never see the answer.
async fn drain(node: &Handle, body: Body) {
    let body = Limited::new(body, DRAINED_BYTES).collect();
    // If more is left after that, the client may lose the answer.
    _ = timeout(&*node.env().clock, DRAIN_PATIENCE, body).await;
}

fn version() -> String {
    format!(r#"{{"etcdserver":"{ETCD_VERSION}","etcdcluster":"{CLUSTER_VERSION}"}}"#)
}
