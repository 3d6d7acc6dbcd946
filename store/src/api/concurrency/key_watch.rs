//! A watch that a service of this member uses itself.

use std::sync::Arc;

use bytes::Bytes;
use squall_core::{Event, EventKind, Revision};
use tokio::sync::Notify;

use crate::{
    node::Handle,
    seam::yield_once,
    watch::{Delivery, StreamId, Taken, Wanted},
};

/// A stream of the hub with one watcher. Deliveries wait in the hub, within its bounds, until they are taken.
pub(super) struct KeyWatch {
    node: Handle,
    id: StreamId,
    waiting: Arc<Notify>,
}

impl KeyWatch {
    /// Watches one key, from a revision on.
    pub(super) fn of_key(node: &Handle, key: Bytes, start: Revision) -> KeyWatch {
        KeyWatch::open(node, key, Bytes::new(), start)
    }

    /// Watches the keys from `key` up to `range_end`, from a revision on.
    pub(super) fn open(node: &Handle, key: Bytes, range_end: Bytes, start: Revision) -> KeyWatch {
        let state = node.shared().state();
        let mut watches = node.shared().watches();
        let (id, waiting) = watches.open();
        let wanted = Wanted { key, range_end, ..Default::default() };
        watches
            .create(id, 0, wanted, start, &state)
            .expect("the interval holds something, and the stream is new");
        drop((watches, state));
        KeyWatch { node: node.clone(), id, waiting }
    }

    /// The next changes, and the store's revision when they were handed over; `None` once what would come next is
    /// compacted. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<(Revision, Vec<Event>)> {
        loop {
            let taken = {
                let shared = self.node.shared();
                let state = shared.state();
                shared.watches().take(self.id, &state)
            };
            match taken {
                Taken::Delivery(Delivery::Events { revision, events, .. }) => {
                    return Some((revision, events));
                }
                Taken::Delivery(Delivery::Compacted { .. }) => return None,
                // No progress notice was asked for.
                Taken::Delivery(Delivery::Progress { .. }) => {}
                Taken::Again => yield_once().await,
                Taken::Nothing => self.waiting.notified().await,
            }
        }
    }

    /// Waits until the key may be gone: until it was deleted, or until compaction makes that unknown.
    pub(super) async fn deleted(mut self) {
        while let Some((_, events)) = self.next().await {
            if events.iter().any(|event| event.kind == EventKind::Delete) {
                return;
            }
        }
    }
}

impl Drop for KeyWatch {
    fn drop(&mut self) {
        self.node.shared().watches().close(self.id);
    }
}
