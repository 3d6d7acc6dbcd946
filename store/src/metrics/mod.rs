//! A member's metrics, by etcd's names: operators' alerts and dashboards are written for these series.
//!
//! One [`Metrics`] belongs to a server and is handed to the parts that count. Events (a sync, a call, a lost
//! message) are counted where they happen, in atomics, so that a request meets no lock. State (who leads, how large
//! the store is) is read from the member by [`Scraper`] at the time of a scrape. So a number always agrees with the
//! state.
//!
//! The simulation runs the same code and scrapes in virtual time without HTTP. Therefore nothing here uses its own
//! clock or chance: durations are measured with the member's clock seam, and every iteration has a fixed order.
//!
//! Names, types, label names and buckets are etcd 3.5's; `store/tests/real_server/metrics.rs` compares them with a
//! real one. Metrics of parts that do not exist here are left out: Go's runtime, the v2 store, bbolt's rebalancing
//! and spilling, the gRPC proxy. The `prometheus-client` crate is not used: it produces OpenMetrics, in which every
//! counter must end in `_total` and no gauge should; etcd has `etcd_server_health_success`, a counter, and
//! `etcd_disk_wal_write_bytes_total`, a gauge.
//!
//! Source: Prometheus' text format 0.0.4; the `metrics.go` files of etcd 3.5; go-grpc-prometheus.

mod counted;
mod gather;
mod grpc;
mod instruments;
mod mvcc;
mod text;

pub(crate) use counted::{Metrics, PeerMetrics};
#[cfg(real_server)]
pub(crate) use gather::CLUSTER_VERSION;
pub(crate) use gather::ETCD_VERSION;
pub use gather::Scraper;
pub(crate) use grpc::Counted;
pub(crate) use instruments::{Counter, Gauge, Histogram};
pub use text::{Family, Kind, Part, Sample, Series, SharedLabels, Value, encode};
