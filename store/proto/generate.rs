//! Generates `store/src/proto/*.rs` from the `.proto` files beside this one, with protox, a protobuf compiler in Rust:
//! nobody needs protoc.
//!
//! The generated code is committed. The protocol seldom changes, and a compiler for it is a minute of everybody's first
//! build. CI checks that it is current.
//!
//! ```console
//! $ cargo run -p squall-proto              # write it
//! $ cargo run -p squall-proto -- --check   # exit status 1 where it is not current
//! ```
#![allow(clippy::disallowed_methods, reason = "a tool of the build, outside any simulation")]

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use prost::Message as _;

const FILES: [&str; 9] = [
    "kv.proto",
    "auth.proto",
    "rpc.proto",
    "auth_rpc.proto",
    "lock.proto",
    "election.proto",
    "health.proto",
    "raft.proto",
    "peer.proto",
];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        _ => return Err(format!("unknown arguments {arguments:?}: expected none, or --check").into()),
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = here.join("../src/proto");
    let fresh = generate(here, &std::env::temp_dir().join(format!("squall-proto.{}", std::process::id())))?;
    if check {
        let stale: Vec<&PathBuf> = fresh
            .iter()
            .filter(|(name, text)| read(&committed.join(name)) != Some((*text).clone()))
            .map(|(name, _)| name)
            .collect();
        if stale.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!(
            "not current in store/src/proto: {stale:?}. Run `cargo run -p squall-proto`, and commit the result."
        );
        return Ok(ExitCode::FAILURE);
    }
    for (name, text) in fresh {
        fs::write(committed.join(name), text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every file's name and text. `scratch` is made, and removed.
fn generate(protos: &Path, scratch: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Box<dyn Error>> {
    let mut descriptors = protox::compile(FILES.map(|file| protos.join(file)), [protos])?;
    let gateway = gateway(&descriptors);
    // etcd writes `peerURLs`; the generator would call that `peer_ur_ls`. Names don't travel, numbers do.
    for message in descriptors.file.iter_mut().flat_map(|file| &mut file.message_type) {
        for field in &mut message.field {
            if let Some(stem) = field.name.as_ref().and_then(|name| name.strip_suffix("URLs")) {
                field.name = Some(format!("{stem}_urls"));
            }
        }
    }
    fs::create_dir_all(scratch)?;
    // Services go over the Net seam's channel, so tonic's own transport stays out. Bytes, not Vec<u8>: keys and values
    // are shared with the buffer that they arrived in.
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .out_dir(scratch)
        .include_file("modules.rs")
        .compile_fds(descriptors)?;
    let mut files = BTreeMap::from([(PathBuf::from("gateway.bin"), gateway)]);
    for entry in fs::read_dir(scratch)? {
        let entry = entry?;
        files.insert(PathBuf::from(entry.file_name()), fs::read(entry.path())?);
    }
    fs::remove_dir_all(scratch)?;
    Ok(files)
}

/// What the JSON gateway needs of the descriptors: the clients' services, under the names that etcd gives the fields, and no
/// comments.
fn gateway(descriptors: &protox::prost_reflect::prost_types::FileDescriptorSet) -> Vec<u8> {
    let mut descriptors = descriptors.clone();
    let ours = |name: &str| name == "raft.proto" || name == "peer.proto" || name == "health.proto";
    descriptors.file.retain(|file| !ours(file.name()));
    descriptors.file.iter_mut().for_each(|file| file.source_code_info = None);
    descriptors.encode_to_vec()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok()
}
