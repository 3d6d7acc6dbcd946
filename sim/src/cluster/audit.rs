//! Asks one member after another who the members are, all through a run in which that changes. The answers go into the
//! history, where the judge sees whether one was older than it may be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{Operator, member::Cluster};

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(120);
/// How long a member may take to answer.
const PATIENCE: Duration = Duration::from_millis(700);

impl Cluster {
    /// Starts to ask, from a machine of its own, until `stop` is set.
    pub(crate) fn ask_for_members(&self, stop: Arc<AtomicBool>) {
        let env = self.add_client("auditor");
        let operator = Operator::new(env.clone()).recording(self.inner.recorder.clone());
        let endpoints = self.endpoints();
        let asking = async move {
            for endpoint in endpoints.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let _answer = operator.try_members(endpoint, PATIENCE).await;
                operator.wait(PAUSE).await;
            }
        };
        env.tasks.spawn("auditor", Box::pin(asking)).detach();
    }
}
