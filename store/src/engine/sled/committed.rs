//! The count of a generation's committed batches, in a file beside sled.
//!
//! sled recovers its log up to the first place that does not verify, and takes that as the whole content. So damage
//! near the start of its file leaves a store with no rows and no error (measured). Therefore every batch stores the
//! number of batches so far, and after each commit this number is written to this file too. The file is overwritten
//! in place: it is one sector, which a disk writes whole or not at all. A store that opens with a lower count has
//! lost what was committed.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use super::generations::io_error;
use crate::seam::EngineError;

const FILE: &str = "committed";

/// Writes the count durably.
pub fn write(generation: &Path, count: u64) -> Result<(), EngineError> {
    let path = generation.join(FILE);
    let mut content = count.to_le_bytes().to_vec();
    content.extend_from_slice(&crc32c::crc32c(&count.to_le_bytes()).to_le_bytes());
    let write = || {
        // The file is not truncated first, so that its twelve bytes are replaced at once.
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        file.write_all(&content)?;
        file.sync_data()
    };
    write().map_err(io_error("writing", &path))
}

/// Reads the count. `None` where the file is missing or damaged.
pub fn read(generation: &Path) -> Result<Option<u64>, EngineError> {
    let path = generation.join(FILE);
    let content = match fs::read(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("reading", &path)(error)),
    };
    let count = content.first_chunk::<8>().copied().unwrap_or_default();
    let sound = content.len() == 12 && content[8..] == crc32c::crc32c(&count).to_le_bytes();
    Ok(sound.then(|| u64::from_le_bytes(count)))
}
