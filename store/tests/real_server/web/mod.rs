//! HTTP beside gRPC: the view of curl, Prometheus and an orchestrator's probes. Requests go over plain sockets.

mod attacks;
pub mod client;
mod gateway;
mod health;
mod metrics;
