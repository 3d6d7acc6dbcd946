//! Defragmentation: the engine's content is written anew, and what it no longer needs is given back.
//!
//! The copy becomes a new generation of the engine's content. It takes the old generation's place once it is durable
//! ([`crate::seam::Engine::replace`]). A crash leaves one of the two, and each holds the applied index that belongs
//! to it (etcd #14685 shows what happens otherwise). The loop does all of it as one step, so that nothing is applied
//! and no snapshot is installed meanwhile (etcd #20271). The member serves nothing during that time, as in etcd.

#[cfg(madsim)]
use bytes::Bytes;
#[cfg(madsim)]
use squall_core::planted::planted;
use tokio::sync::oneshot;

use super::{Halt, driver::Node};
use crate::{seam::Point, snapshot::Rows};

/// What planted errors keep for later.
#[cfg(madsim)]
#[derive(Default)]
pub(crate) struct Copied {
    /// The row with the applied index, as of the last commit.
    pub applied: Option<Bytes>,
    /// The copy that a defragmentation made, and when it was made.
    pub rows: Option<(crate::seam::Monotonic, Rows)>,
}

impl Node {
    /// Writes the engine's content anew. `done` is answered once the new content is durable, and dropped if the
    /// engine fails.
    pub(super) async fn defragment(&mut self, done: oneshot::Sender<()>) -> Result<(), Halt> {
        let failed = |error: &dyn std::fmt::Display| Halt::Failed(format!("defragmentation: {error}"));
        let (metrics, began) = (self.shared.metrics.clone(), self.env.clock.monotonic());
        metrics.defragmenting.set(1);
        self.env.points.reached(Point::DefragBeforeCopy).await;
        let rows: Rows = {
            let mut state = self.shared.state();
            self.engine.write(&state.defragment());
            self.engine.view().map_err(|error| failed(&error))?.0
        };
        #[cfg(madsim)]
        let rows = self.spoil_copy(rows);
        let renaming = self.env.points.reached_before_io(Point::DefragBeforeRename).await;
        renaming.map_err(|error| failed(&error))?;
        self.engine.replace(rows).await.map_err(|error| failed(&error))?;
        self.env.points.reached(Point::DefragAfterRename).await;
        metrics.defragmenting.set(0);
        metrics.defragmentation.observe(self.env.clock.monotonic().since(began));
        let _ = done.send(());
        Ok(())
    }

    /// Applies planted errors to a copy.
    #[cfg(madsim)]
    fn spoil_copy(&mut self, mut rows: Rows) -> Rows {
        if planted!(DefragmentDuringInstall) {
            self.copied.rows = Some((self.env.clock.monotonic(), rows.clone()));
        }
        if planted!(DefragmentKeepsOldIndex)
            && let Some(applied) = self.copied.applied.clone()
            && let Some(row) = rows.iter_mut().find(|row| row.0 == "mapplied")
        {
            row.1 = applied;
        }
        rows
    }

    /// Keeps what planted errors need of a commit.
    #[cfg(madsim)]
    pub(super) fn note_commit(&mut self) {
        if planted!(DefragmentKeepsOldIndex)
            && let Ok(view) = self.engine.view()
        {
            self.copied.applied = view.get(b"mapplied").cloned();
        }
    }
}
