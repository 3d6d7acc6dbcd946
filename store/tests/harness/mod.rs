//! What the tests of the real build share: `squalld`, `etcd` and `etcdctl` as processes.

mod etcd;
mod etcdctl;
mod squalld;
mod tool;

pub use etcd::*;
pub use etcdctl::*;
pub use squalld::*;
pub use tool::*;
