//! `squalld snapshot restore` and `squalld snapshot status`: etcdutl's commands over the offline operations.

use super::{
    Failure, env,
    flags::{RestoreFlags, StatusFlags, WriteOut},
    paragraph,
};
use crate::{
    Config,
    offline::{OfflineError, RestoreOptions, adopt_restored, snapshot_restore, snapshot_status},
    seam::Env,
};

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
    let (revision, hash) = (status.revision.0, format!("{:08x}", status.hash));
    match flags.write_out {
        WriteOut::Table => print!(
            "{}",
            table(&[
                ("HASH", hash),
                ("REVISION", revision.to_string()),
                ("TOTAL KEYS", status.total_keys.to_string()),
                ("TOTAL SIZE", size(status.total_size)),
            ])
        ),
        WriteOut::Fields => println!(
            "\"Hash\" : {}\n\"Revision\" : {revision}\n\"Keys\" : {}\n\"Size\" : {}",
            status.hash, status.total_keys, status.total_size
        ),
        WriteOut::Simple => {
            println!("{hash}, {revision}, {}, {}", status.total_keys, size(status.total_size))
        }
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

/// Formats one row under its headings as etcdutl does: headings are centred, values right-aligned.
fn table(cells: &[(&str, String)]) -> String {
    let widths: Vec<usize> = cells.iter().map(|(heading, value)| heading.len().max(value.len())).collect();
    let line: String =
        widths.iter().map(|width| format!("+{:-<1$}", "", width + 2)).collect::<String>() + "+\n";
    let row = |cell: &dyn Fn(usize) -> String| (0..cells.len()).map(cell).collect::<String>() + "|\n";
    let headings = row(&|at| format!("| {:^1$} ", cells[at].0, widths[at]));
    let values = row(&|at| format!("| {:>1$} ", cells[at].1, widths[at]));
    format!("{line}{headings}{line}{values}{line}")
}

/// A size as etcd's tools print it: two digits, in powers of a thousand.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let rounded = if unit > 0 && value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{rounded} {}", UNITS[unit])
}

/// Takes over a data folder that etcd's `snapshot restore` has made, before the member starts.
pub(super) async fn take_over(config: &Config, env: &Env) -> Result<(), Failure> {
    let (dir, name) = (&config.data_dir, &config.name);
    let adopted = adopt_restored(env.files.clone(), &*env.engines, dir, name).await.map_err(failure)?;
    if let Some(adopted) = adopted {
        tracing::info!(
            dir = %dir.display(),
            member = format!("{:x}", adopted.member_id.0),
            cluster = format!("{:x}", adopted.cluster_id.0),
            revision = adopted.revision.0,
            "took over a data folder that etcd's snapshot restore had made"
        );
    }
    Ok(())
}

fn failure(error: OfflineError) -> Failure {
    match error {
        OfflineError::Options(what) => Failure::Usage(what),
        other => Failure::Failed(paragraph(&other)),
    }
}
