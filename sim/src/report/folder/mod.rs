//! The run folder, `OUT/<scenario>/<seed>/`. It is written under a temporary name and renamed, so it is there in full or
//! not at all; and what is read back is checked, since people edit, copy and damage folders.

mod beside;
mod read;
mod write;

pub use beside::{Workplace, sweep};
pub use read::{SHRUNK, StoredRun, open, open_history, open_scraped, open_view};
pub(crate) use read::{lacks, record_of};
pub use write::{Staged, history_text, stage, write};
