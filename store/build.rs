//! Compiles `proto/*.proto` with protox, a protobuf compiler in Rust, so that building needs no protoc.

use std::{error::Error, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = Path::new("proto");
    let files = ["kv.proto", "auth.proto", "rpc.proto", "auth_rpc.proto", "raft.proto", "peer.proto"];
    println!("cargo:rerun-if-changed=proto");

    let mut descriptors = protox::compile(files.map(|file| dir.join(file)), [dir])?;
    // etcd writes `peerURLs`; the generator would call that `peer_ur_ls`. Names don't travel, numbers do.
    for message in descriptors.file.iter_mut().flat_map(|file| &mut file.message_type) {
        for field in &mut message.field {
            if let Some(stem) = field.name.as_ref().and_then(|name| name.strip_suffix("URLs")) {
                field.name = Some(format!("{stem}_urls"));
            }
        }
    }
    // Services go over the Net seam's channel, so tonic's own transport stays out. Bytes, not Vec<u8>: keys and values
    // are shared with the buffer that they arrived in.
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .include_file("proto.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
