//! Follows an election: reports its leaders' values, one after another. The value of an earlier leader may be left
//! out if a later leader has set one since. The newest value is always reported.

use std::{collections::VecDeque, pin::pin};

use bytes::Bytes;
use futures_util::{Stream, stream};
use squall_core::{EventKind, Revision, planted::planted};
use tonic::Status;

use super::{Caller, key_watch::KeyWatch, oldest, range_of};
use crate::{
    api::{convert, leader_lost::LeaderLost},
    proto::{etcdserverpb::ResponseHeader, mvccpb::KeyValue, v3electionpb::LeaderResponse},
    seam::first_of,
};

struct Observer {
    caller: Caller,
    /// The election's name.
    name: Bytes,
    /// The watch of the present leader's key; `None` while the leader is looked for.
    leader: Option<KeyWatch>,
    /// Answers that were found and not reported yet.
    outbox: VecDeque<LeaderResponse>,
}

/// The answers of one observation. An error ends it.
pub(super) fn leaders(
    caller: Caller,
    name: Bytes,
    leader_lost: LeaderLost,
) -> impl Stream<Item = Result<LeaderResponse, Status>> + Send {
    let tasks = caller.service.node.env().tasks.clone();
    let observer = Observer { caller, name, leader: None, outbox: VecDeque::new() };
    stream::unfold(Some((observer, leader_lost)), move |observing| {
        let tasks = tasks.clone();
        async move {
            let (mut observer, mut leader_lost) = observing?;
            let answer = {
                let lost = pin!(async { Err(leader_lost.lost().await) });
                let next = pin!(observer.next());
                first_of(&*tasks, [next, lost]).await
            };
            let goes_on = answer.is_ok().then_some((observer, leader_lost));
            Some((answer, goes_on))
        }
    })
}

impl Observer {
    async fn next(&mut self) -> Result<LeaderResponse, Status> {
        loop {
            if let Some(response) = self.outbox.pop_front() {
                return Ok(response);
            }
            match &mut self.leader {
                None => self.look().await?,
                Some(watch) => {
                    let Some((revision, events)) = watch.next().await else {
                        self.leader = None;
                        continue;
                    };
                    for event in events {
                        if event.kind == EventKind::Delete {
                            if planted!(ObserverStaysWithTheFirst) {
                                continue;
                            }
                            self.leader = None;
                            break;
                        }
                        self.send_leader(revision, convert::key_value(event.kv));
                    }
                }
            }
        }
    }

    /// Finds the leader, or waits for the first.
    async fn look(&mut self) -> Result<(), Status> {
        let found = self.caller.range(oldest(&self.name)).await?;
        let now = Revision(found.header.unwrap_or_default().revision);
        if let Some(leader) = found.kvs.into_iter().next() {
            self.follow(now, leader);
            return Ok(());
        }
        let (key, range_end) = range_of(&self.name);
        let mut first = KeyWatch::open(&self.caller.service.node, key, range_end, now.next());
        while let Some((_, events)) = first.next().await {
            // A candidate that is gone again is no leader; its key's deletion shows that.
            if let Some(put) = events.into_iter().find(|event| event.kind == EventKind::Put) {
                self.follow(put.kv.mod_revision, convert::key_value(put.kv));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Follows this leader from revision `at` on.
    fn follow(&mut self, at: Revision, leader: KeyValue) {
        let node = &self.caller.service.node;
        self.leader = Some(KeyWatch::of_key(node, leader.key.clone(), at.next()));
        self.send_leader(at, leader);
    }

    fn send_leader(&mut self, revision: Revision, leader: KeyValue) {
        let header: Option<ResponseHeader> = self.caller.service.header(revision);
        self.outbox.push_back(LeaderResponse { header, kv: Some(leader) });
    }
}
