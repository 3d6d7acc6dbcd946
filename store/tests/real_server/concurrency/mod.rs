//! The Lock and the Election service over gRPC: the tests hold for squalld and for etcd.

pub mod client;
mod elections;
mod locks;
