//! The messages and services of `store/proto/*.proto`: clients and servers of etcd's v3 API ([`etcdserverpb`],
//! [`mvccpb`]), what raft entries carry (`squall::raft`) and what members say to each other (`squall::peer`).
//!
//! `cargo run -p squall-proto` generates the files of `proto/`, which are committed: compiling the protocol would
//! add a minute to each first build. CI checks that they are current.

#![allow(missing_docs, clippy::all, clippy::disallowed_types)]

include!("proto/modules.rs");
