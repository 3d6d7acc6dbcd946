//! Watch streams: the requests on them, and the control responses.

use std::time::Duration;

use squall_store::proto::etcdserverpb::{
    self as pb, WatchRequest, WatchResponse, watch_request::RequestUnion,
};

use crate::{
    answer::{Answer, NO_ID},
    operation::{Call, Caller},
    server::{PATIENCE, Server},
    watching::{Received, Watching},
    world::World,
};

/// How long to wait for a response that may not come.
const GRACE: Duration = Duration::from_millis(60);

impl Server {
    pub(super) async fn watch(&mut self, caller: &Caller, call: &Call, world: &World) -> Answer {
        let nothing = Answer::said(&(), 0);
        match call {
            Call::WatchOpen { stream, wants_leader } => {
                let mut metadata = self.metadata(caller);
                if *wants_leader {
                    metadata.insert("hasleader", "true".parse().expect("ASCII"));
                }
                let watching = Watching::open(&self.seams, &self.channel, metadata);
                watching.send_barrier();
                let opened = watching.wait(PATIENCE, |received| !received.control.is_empty()).await;
                let answer = if opened { self.control(&watching, 1) } else { Answer::silence() };
                self.streams.insert(*stream, watching);
                answer
            }
            Call::WatchCreate { stream, request } => {
                let watching = &self.streams[stream];
                let before = watching.received().control.len();
                watching.send(RequestUnion::CreateRequest(request.clone()));
                let made = watching.wait(PATIENCE, |received| received.control.len() > before).await;
                if !made {
                    return Answer::silence();
                }
                let made = watching.received().control.get(before).cloned();
                // The server finds out that a revision is compacted only when it reads the history.
                let reads_gone = request.start_revision > 0 && request.start_revision < world.compacted;
                let id = match made {
                    Some(response) if response.canceled => NO_ID,
                    Some(response) => {
                        if reads_gone {
                            watching.wait(PATIENCE, |received| received.control.len() > before + 1).await;
                        }
                        response.watch_id
                    }
                    None => NO_ID,
                };
                self.control(watching, before).with_id(id)
            }
            Call::WatchCancel { stream, id } => {
                let watching = &self.streams[stream];
                let before = watching.received().control.len();
                watching.send(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: *id }));
                self.after_barrier(watching, before).await
            }
            Call::WatchProgress { stream } => {
                let watching = &self.streams[stream];
                let (before, told) = {
                    let received = watching.received();
                    (received.control.len(), received.progress.len())
                };
                watching.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}));
                let patience = if world.tells_progress(*stream) { PATIENCE } else { GRACE };
                watching.wait(patience, |received| received.progress.len() > told).await;
                let answer = self.after_barrier(watching, before).await;
                let mut progress = watching.received().progress[told..].to_vec();
                for response in &mut progress {
                    self.ids.header(&mut response.header);
                }
                match answer.said {
                    Ok(text) => Answer { said: Ok(format!("{text}\n{progress:#?}")), ..answer },
                    Err(_) => answer,
                }
            }
            Call::WatchNothing { stream } => {
                let watching = &self.streams[stream];
                let before = watching.received().control.len();
                watching.send_raw(WatchRequest { request_union: None });
                self.after_barrier(watching, before).await
            }
            Call::WatchClose { stream } => {
                self.streams.remove(stream);
                nothing
            }
            call => unreachable!("{call:?} is no call of this service"),
        }
    }

    /// The responses since `before`, once all requests are answered.
    async fn after_barrier(&self, watching: &Watching, before: usize) -> Answer {
        watching.send_barrier();
        let is_barrier = |response: &WatchResponse| response.created && response.canceled;
        let barrier = |received: &Received| received.control[before..].iter().any(is_barrier);
        if !watching.wait(PATIENCE, barrier).await {
            return Answer::silence();
        }
        // The barrier's own answer is left out.
        {
            let control = &mut watching.received().control;
            if let Some(at) = control.iter().skip(before).position(is_barrier) {
                control.remove(before + at);
            }
        }
        self.control(watching, before)
    }

    /// The control responses from a place on, or the reason why the stream has ended.
    fn control(&self, watching: &Watching, from: usize) -> Answer {
        let received = watching.received();
        if let Some(ended) = &received.ended {
            return match ended {
                Some(status) => Answer::refused(status),
                None => Answer::said(&"the stream has ended", 0),
            };
        }
        let mut control = received.control[from..].to_vec();
        for response in &mut control {
            self.ids.header(&mut response.header);
        }
        Answer::said(&control, 0)
    }
}
