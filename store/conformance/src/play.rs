//! Plays a recording: carries its operations out on a store and tells where the first answer differs.
//!
//! The operations are drawn again. What was recorded, not what the store answers, decides which ones follow; so they are the
//! recorded ones even where the store errs.

use std::time::Duration;

use squall_store::{
    proto::mvccpb::Event,
    seam::{BoxFuture, Channel},
};

use crate::{
    answer::{Answer, NO_ID},
    compare::{self, Difference},
    condense,
    draw::Drawer,
    operation::{Call, Operation},
    recording::{self, Entry, Recording, Told},
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
    /// Who asked for what.
    pub asked: String,
    /// Where the answer, or what was told of, differs from what is recorded. Nothing can be learnt from what follows then.
    pub difference: Option<Difference>,
}

/// A recording and what draws its operations do not belong together any more. No store can bring that about: what was recorded
/// decides what is drawn.
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

/// What restarts the server and answers a channel to it.
pub type Restart<'a> = &'a (dyn Fn() -> BoxFuture<'static, Channel> + Send + Sync);

impl Player {
    /// Begins, on a store that is new.
    pub fn new(recording: Recording, server: Server) -> Player {
        let opening = &recording.opening;
        let drawer = Drawer::new(opening.seed, opening.services.clone());
        Player { drawer, server, world: World::new(), number: 0, recording }
    }

    /// When the next operation is to be asked, since the run began; `None` at the end.
    pub fn next_at(&self) -> Option<Duration> {
        self.recording.entries.get(self.number).map(|entry| Duration::from_millis(entry.ms))
    }

    /// Asks the next one.
    ///
    /// # Errors
    /// Where another operation is drawn than was recorded.
    ///
    /// # Panics
    /// At the end.
    pub async fn play(&mut self, restart: Restart<'_>) -> Result<Played, OutOfDate> {
        let entry = self.recording.entries[self.number].clone();
        let operation = self.drawer.draw(&self.world);
        let played = Played { number: self.number, asked: operation.asked(), difference: None };
        if recording::drawn(&operation) != entry.drawn {
            return Err(OutOfDate { number: self.number, was: entry.call, is: operation.call.name() });
        }
        let difference = self.take(&operation, &entry, restart).await;
        self.number += 1;
        Ok(Played { difference, ..played })
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
        let learnt = entry.learnt?;
        let history = self.server.changes();
        let before = self.world.events.min(history.len());
        self.world.learn(operation, &learnt.as_answer(), &history[..before]);
        self.settle(&entry.changes).await
    }

    async fn perform(&mut self, operation: &Operation, expected: &str) -> Answer {
        let mut answer = self.server.perform(operation, &self.world).await;
        // What a compaction takes away goes in the background, and a hash is of what is there.
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

    /// Compares what the recorder has been told since. Also where nothing is expected: what comes too much comes soon.
    async fn settle(&mut self, expected: &[String]) -> Option<Difference> {
        let seen = self.world.events;
        let enough =
            |received: &Received| received.events.get(&0).map_or(0, Vec::len) >= seen + expected.len();
        self.server.recorder.wait(PATIENCE, enough).await;
        self.server.recorded(self.world.revision).await;
        let new = self.server.changes().split_off(seen);
        let told: Vec<String> = new.iter().map(condense::message).collect();
        if told != expected {
            let text =
                |changes: &[String]| format!("told of {} changes:\n{}", changes.len(), changes.join("\n"));
            return Some(Difference::between(&text(expected), &text(&told)));
        }
        self.world.changed(&new);
        None
    }

    /// Compares what each watcher has been told since.
    async fn compare_watchers(&mut self, expected: &[Told]) -> Option<Difference> {
        let history = self.server.changes();
        for (stream, watchers) in &mut self.world.streams {
            let watching = self.server.stream(*stream);
            for (id, watcher) in watchers {
                let enough = |received: &Received| watcher.untold(*id, received).len() >= watcher.missing();
                watching.wait(PATIENCE, enough).await;
                let new = watcher.untold(*id, &watching.received());
                watcher.compared += new.len();
                let told = Told::of(*stream, *id, &new);
                let is_same = |other: &&Told| (other.stream, other.id) == (told.stream, told.id);
                let expected = expected.iter().find(is_same);
                if expected == Some(&told) || (expected.is_none() && told.count == 0) {
                    continue;
                }
                let count = expected.map_or(0, |told| told.count);
                // The recording holds a hash alone; which changes these are, everybody was told.
                let all = history.iter().filter(|event| watcher.wants(event));
                let wanted: Vec<&Event> = all.skip(watcher.compared - new.len()).take(count).collect();
                let what = format!("watcher {id} of stream {stream}: {:?}", watcher.request());
                let text = |changes: Vec<String>| {
                    format!("{what}\ntold of {} changes:\n{}", changes.len(), changes.join("\n"))
                };
                let wanted = text(wanted.into_iter().map(condense::message).collect());
                return Some(Difference::between(
                    &wanted,
                    &text(new.iter().map(condense::message).collect()),
                ));
            }
        }
        None
    }

    /// Leaves the store as others can use it: without users, alarms and learners.
    pub async fn tidy_up(&mut self) {
        for operation in self.world.tidying() {
            _ = self.server.perform(&operation, &self.world).await;
        }
    }
}

impl recording::Learnt {
    /// As much of etcd's answer as a world learns from.
    fn as_answer(self) -> Answer {
        let answer = if self.refused { Answer::silence() } else { Answer::said(&(), 0) };
        Answer { revision: self.revision, id: self.id.unwrap_or(NO_ID), ..answer }
    }
}

impl Told {
    /// Of so many changes.
    pub fn of(stream: usize, id: i64, changes: &[Event]) -> Told {
        let texts: Vec<String> = changes.iter().map(condense::message).collect();
        Told { stream, id, count: changes.len(), hash: condense::hash(&texts.join("\n")) }
    }
}
