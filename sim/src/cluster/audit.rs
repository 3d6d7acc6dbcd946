//! Asks one member after another for the list of members, throughout a run that changes it. The answers go into the
//! history, where the judge checks whether an answer was too old.

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
    /// Asks from a separate machine, in the background, until `stop` is set.
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
