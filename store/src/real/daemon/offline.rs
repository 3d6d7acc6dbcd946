//! `squalld snapshot restore` and `squalld snapshot status`: etcdutl's commands over the offline operations.

use super::{
    Failure, env,
    flags::{RestoreFlags, StatusFlags, WriteOut},
    paragraph,
};
use crate::offline::{OfflineError, RestoreOptions, snapshot_restore, snapshot_status};

/// Makes a data folder from a snapshot, and says what it made.
pub(super) async fn restore(flags: RestoreFlags) -> Result<(), Failure> {
    let (initial_cluster, advertise_peer_urls) = flags.members()?;
    let options = RestoreOptions {
        data_dir: flags.data_dir(),
        snapshot: flags.snapshot,
        name: flags.name,
        initial_cluster,
        initial_cluster_token: flags.initial_cluster_token,
        advertise_peer_urls,
        skip_hash_check: flags.skip_hash_check,
    };
    let env = env();
    let restored = snapshot_restore(env.files.clone(), &*env.engines, &options).await.map_err(failure)?;
    println!(
        "restored {} into {}: member {:x} of cluster {:x}, revision {}",
        options.snapshot.display(),
        options.data_dir.display(),
        restored.member_id.0,
        restored.cluster_id.0,
        restored.revision.0,
    );
    Ok(())
}

/// Prints what a snapshot holds, as etcdutl does.
pub(super) async fn status(flags: StatusFlags) -> Result<(), Failure> {
    let status = snapshot_status(&*env().files, &flags.snapshot).await.map_err(failure)?;
    match flags.write_out {
        WriteOut::Simple => println!(
            "{:08x}, {}, {}, {} B",
            status.hash, status.revision.0, status.total_keys, status.total_size
        ),
        WriteOut::Json => println!(
            "{}",
            serde_json::json!({
                "hash": status.hash,
                "revision": status.revision.0,
                "totalKey": status.total_keys,
                "totalSize": status.total_size,
            })
        ),
    }
    Ok(())
}

fn failure(error: OfflineError) -> Failure {
    match error {
        OfflineError::Options(what) => Failure::Usage(what),
        other => Failure::Failed(paragraph(&other)),
    }
}
