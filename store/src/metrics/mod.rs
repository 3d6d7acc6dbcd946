//! What a member counts of itself, by etcd's names: the series that operators' alerts and dashboards are written for.
//!
//! One [`Metrics`] belongs to a server and is handed to the parts that count. What happens (a sync, a call, a lost message)
//! is counted where it happens, in atomics: no lock on the way of a request. What is (who leads, how large the store is) is
//! read from the member's state when somebody looks, by [`Scraper`]. So a number cannot drift away from what it describes.
//!
//! The simulation runs the same code and scrapes in virtual time without HTTP. Therefore nothing here has a clock or
//! chance of its own: whoever measures a duration takes it from the member's clock seam, and everything that is iterated
//! has an order.
//!
//! Names, types, label names and buckets are etcd 3.5's; `store/tests/real_server/metrics.rs` compares them with a real one.
//! Left out is what describes a part that is not here: Go's runtime, the v2 store, bbolt's rebalancing and spilling, the gRPC
//! proxy. The `prometheus-client` crate is not used: it speaks OpenMetrics, in which every counter ends in `_total` and no
//! gauge should; etcd has `etcd_server_health_success`, a counter, and `etcd_disk_wal_write_bytes_total`, a gauge.
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
pub use gather::Scraper;
pub(crate) use grpc::Counted;
pub(crate) use instruments::{Counter, Gauge, Histogram};
pub use text::{Family, Kind, Part, Sample, Series, Value, encode};
