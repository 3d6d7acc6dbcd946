//! The run folder, `OUT/<scenario>/<seed>/`. It is written under a temporary name and renamed, so it is complete or
//! absent. It is checked when it is read back, since people edit, copy and damage folders.

mod beside;
mod read;
mod write;

pub use beside::{Workplace, sweep};
pub use read::{SHRUNK, StoredRun, open, open_history, open_scraped, open_view};
pub(crate) use read::{lacks, record_of};
pub use write::{Staged, history_text, stage, write};
