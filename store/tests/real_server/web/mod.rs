//! HTTP beside gRPC: what curl, Prometheus and an orchestrator's probes see. Requests go over plain sockets.

mod attacks;
mod client;
mod gateway;
mod health;
mod metrics;
