//! Durations of etcd's flags.

use std::time::Duration;

/// Reads a duration; `None` for what is none.
pub(super) fn parse(text: &str) -> Option<Duration> {
    crate::duration::parse(text).ok()
}
