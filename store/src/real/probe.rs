//! Writes the probe's facts to the log. etcd logs the same facts at the same levels.

use crate::seam::{Probe, ProbeEvent};

/// Logs each fact. Applied entries are logged at debug level, since there is one for each write.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogProbe;

impl Probe for LogProbe {
    fn emit(&self, event: ProbeEvent) {
        match event {
            ProbeEvent::Applied { index, term, digest, state, proposal, revision, .. } => {
                let revision = revision.0;
                tracing::debug!(
                    index = index.0,
                    term = term.0,
                    digest,
                    state,
                    proposal,
                    revision,
                    "entry applied"
                );
            }
            // The caller logs it.
            ProbeEvent::Failed { .. } => {}
            ProbeEvent::Acknowledged { term, index } => {
                tracing::trace!(term = term.0, index = index.0, "entries acknowledged");
            }
            // Only a simulation compares the two lists.
            ProbeEvent::Configured { .. } => {}
            ProbeEvent::LogTerms { terms } => tracing::debug!(?terms, "terms of the log's entries"),
            ProbeEvent::Proposed { tag, proposal } => tracing::debug!(tag, proposal, "request proposed"),
            ProbeEvent::Role { term, role, leader } => {
                let leader = leader.map_or_else(|| "none".to_owned(), |id| format!("{:x}", id.0));
                tracing::info!(term = term.0, ?role, leader, "raft role");
            }
            ProbeEvent::TornTailRepaired { bytes } => {
                tracing::warn!(bytes, "cut a torn record off the end of the write-ahead log");
            }
            other => tracing::info!(event = ?other, "member"),
        }
    }
}
