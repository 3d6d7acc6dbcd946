//! Plays a recording: carries out its operations on a store and finds the first answer that differs.
//!
//! The operations are drawn again. The recorded answers, not the store's, decide which operations follow, so they are
//! the recorded ones even if the store answers wrongly.

use std::time::Duration;

use squall_store::seam::{BoxFuture, Channel};

use crate::{
    answer::Answer,
    compare::{self, Difference},
    condense,
    draw::Drawer,
    operation::{Call, Operation},
    recording::{self, Delivered, Entry, Recording},
    server::{PATIENCE, Server},
    watching::Received,
    world::World,
};

/// A recording that is being played.
pub struct Player {
    recording: Recording,
    server: Server,
    drawer: Drawer,
    world: World,
    number: usize,
}

/// How an operation went.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// Its number, from 0 on.
    pub number: usize,
    /// The caller and the call.
    pub asked: String,
    /// Where the answer or the received changes differ from the recorded ones. After a difference, what follows
    /// proves nothing.
    pub difference: Option<Difference>,
}

/// The recording was made with another version of the drawer. No store can cause this: the recorded answers decide
/// what is drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the recording is out of date: its operation {number} was a {was}, and what is drawn now is another one, a {is}; make it \
     anew (docs/squalld.md says how)"
)]
pub struct OutOfDate {
    /// The operation's number.
    pub number: usize,
    /// The call that was recorded.
    pub was: String,
    /// The call that is drawn.
    pub is: String,
}

/// Restarts the server, and returns a channel to it.
pub type Restart<'a> = &'a (dyn Fn() -> BoxFuture<'static, Channel> + Send + Sync);

impl Player {
    /// Begins to play, on a new store.
    pub fn new(recording: Recording, server: Server) -> Player {
        let opening = &recording.opening;
        let drawer = Drawer::new(opening.seed, opening.services.clone());
        Player { drawer, server, world: World::new(), number: 0, recording }
    }

    /// The time of the next operation, since the run began; `None` at the end.
    pub fn next_at(&self) -> Option<Duration> {
        self.recording.entries.get(self.number).map(|entry| Duration::from_millis(entry.ms))
    }

    /// Carries out the next operation.
    ///
    /// # Errors
    /// If the drawn operation is not the recorded one.
    ///
    /// # Panics
    /// At the end.
    pub async fn play(&mut self, restart: Restart<'_>) -> Result<Played, OutOfDate> {
        let entry = self.recording.entries[self.number].clone();
        let operation = self.drawer.draw(&self.world);
        if recording::drawn(&operation) != entry.drawn {
            return Err(OutOfDate { number: self.number, was: entry.call, is: operation.call.name() });
        }
        let difference = self.take(&operation, &entry, restart).await;
        let played = Played { number: self.number, asked: operation.asked(), difference };
        self.number += 1;
        Ok(played)
    }

    async fn take(
        &mut self,
        operation: &Operation,
        entry: &Entry,
        restart: Restart<'_>,
    ) -> Option<Difference> {
        let call = &operation.call;
        if call.needs_quiet() {
            if let Some(difference) = self.settle(&entry.before).await {
                return Some(difference);
            }
            if let Some(difference) = self.compare_watchers(&entry.told).await {
                return Some(difference);
            }
            if self.world.must_catch_up(call) {
                self.server.caught_up(self.world.revision).await;
            }
        }
        let answer = if *call == Call::Restart {
            if let Err(silent) = self.server.reconnect(restart().await).await {
                let etcd = "(it serves again)".to_owned();
                return Some(Difference { etcd, squalld: silent.to_string() });
            }
            Answer::said(&(), 0)
        } else {
            self.perform(operation, &entry.said).await
        };
        if let Some(difference) = compare::texts(call, &entry.said, &answer.condensed()) {
            return Some(difference);
        }
        // `None` if etcd was not asked: then the operation changes nothing.
        let learnt = entry.learnt?;
        self.world.learn(operation, &learnt.to_answer(), &self.server);
        self.settle(&entry.changes).await
    }

    async fn perform(&mut self, operation: &Operation, expected: &str) -> Answer {
        let mut answer = self.server.perform(operation, &self.world).await;
        // A compaction deletes in the background, and the hash covers what is not yet deleted.
        for _ in 0..20 {
            let settles = matches!(operation.call, Call::HashKv(_)) && !answer.is_refused();
            if !settles || answer.condensed() == expected {
                break;
            }
            self.server.seams.clock.sleep(Duration::from_millis(20)).await;
            answer = self.server.perform(operation, &self.world).await;
        }
        answer
    }

    /// Compares the new changes that the recorder has received. Also done if none is expected, to find one too many.
    async fn settle(&mut self, expected: &[String]) -> Option<Difference> {
        let seen = self.world.events;
        let enough =
            |received: &Received| received.events.get(&0).map_or(0, Vec::len) >= seen + expected.len();
        self.server.recorder.wait(PATIENCE, enough).await;
        self.server.recorded(self.world.revision).await;
        let new = self.server.changes_after(seen);
        let told = condense::messages(&new);
        if told != expected {
            return Some(difference_of_changes("", expected, &told));
        }
        self.world.changed(&new);
        None
    }

    /// Compares the new changes that each watcher has received.
    async fn compare_watchers(&mut self, expected: &[Delivered]) -> Option<Difference> {
        for (stream, watchers) in &mut self.world.streams {
            let watching = self.server.stream(*stream);
            for (id, watcher) in watchers {
                let enough =
                    |received: &Received| watcher.not_compared(*id, received).len() >= watcher.missing();
                watching.wait(PATIENCE, enough).await;
                let new = watcher.not_compared(*id, &watching.received());
                watcher.compared += new.len();
                let told = Delivered::of(*stream, *id, &new);
                let is_same = |other: &&Delivered| (other.stream, other.id) == (told.stream, told.id);
                let expected = expected.iter().find(is_same);
                if expected == Some(&told) || (expected.is_none() && told.count == 0) {
                    continue;
                }
                let count = expected.map_or(0, |told| told.count);
                // The recording has only a hash of these changes. The recorder has received the changes themselves.
                let history = self.server.changes_after(0);
                let all = history.iter().filter(|event| watcher.wants(event));
                let wanted = condense::messages(all.skip(watcher.compared - new.len()).take(count));
                let what = format!("watcher {id} of stream {stream}: {:?}\n", watcher.request());
                return Some(difference_of_changes(&what, &wanted, &condense::messages(&new)));
            }
        }
        None
    }

    /// Turns auth off and removes the run's alarms and learners, so that others can use the store.
    pub async fn tidy_up(&mut self) {
        for operation in self.world.tidying() {
            _ = self.server.perform(&operation, &self.world).await;
        }
    }
}

/// The difference between two lists of changes, given as texts. `what` goes before each.
fn difference_of_changes(what: &str, expected: &[String], told: &[String]) -> Difference {
    let text =
        |changes: &[String]| format!("{what}told of {} changes:\n{}", changes.len(), changes.join("\n"));
    Difference::between(&text(expected), &text(told))
}
