//! Locks and elections that the server holds on a client's behalf, asked over gRPC as any client may: squalld's answers and
//! etcd's.

pub mod client;
mod elections;
mod locks;
