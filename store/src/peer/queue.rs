//! The queue of one lane's messages. It is bounded, and drops appends that raft will send again.
//!
//! Raft bounds what is in flight to a follower that answers (`APPENDS_IN_FLIGHT` in `node`). It does not bound what
//! it sends to a follower whose progress it does not know: it then sends the same append again with each answer to a
//! heartbeat. Over a link whose round trip is longer than the heartbeat these copies would fill the queue faster
//! than it drains, and the follower would get the same entries for ever. So:
//! - a new append replaces a waiting append that begins at the same point or later, and all appends behind that one:
//!   raft has gone back to that point, and will send the rest again;
//! - a message that does not fit into [`LANE_BYTES`] or [`LANE_MESSAGES`] is dropped, which the caller reports to
//!   raft.
//!
//! A queue outlives a call to the peer, so that the next call sends what still waits. The transport may still hold
//! and poll the body of an earlier call. So calls are numbered, and only the latest one gets messages.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

/// The most messages that wait in one lane; more are dropped (rafthttp's streamBufSize).
const LANE_MESSAGES: usize = 4096;
/// The most bytes that wait in one lane; more are dropped. This is the most that raft has in flight, and room for a
/// large request.
const LANE_BYTES: usize = 18 << 20;
/// The size, in bytes, at which a frame is full. A frame that was begun is sent as a whole, so it is no larger than
/// raft's appends.
const FRAME_BYTES: usize = 64 << 10;

/// Where an append begins: its term, and the index of the entry before its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AppendFrom {
    pub(super) term: u64,
    pub(super) before: u64,
}

/// The messages of one lane that wait for the transport.
#[derive(Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    messages: VecDeque<(Bytes, Option<AppendFrom>)>,
    /// The bytes of `messages`.
    bytes: usize,
    /// Whether an empty frame is due if no message waits.
    heartbeat: bool,
    /// Whether the queue is closed: no more messages will come.
    closed: bool,
    /// The number of the call that may take messages.
    call: u64,
    /// Frames taken by the transport so far.
    frames: u64,
    /// Wakes the task that waits for something to send: the body of the present call or, between calls, the lane's
    /// task.
    waker: Option<Waker>,
}

impl Queue {
    /// Queues a message; false if it does not fit. `from` says where an append begins.
    pub(super) fn push(&self, message: Bytes, from: Option<AppendFrom>) -> bool {
        let mut waiting = self.waiting();
        if let Some(from) = from {
            waiting.take_back(from);
        }
        let full = waiting.messages.len() >= LANE_MESSAGES
            || !waiting.messages.is_empty() && waiting.bytes + message.len() > LANE_BYTES;
        if full || waiting.closed {
            return false;
        }
        waiting.bytes += message.len();
        waiting.messages.push_back((message, from));
        waiting.wake();
        true
    }

    /// Asks for a frame, which is empty if no message waits.
    pub(super) fn beat(&self) {
        let mut waiting = self.waiting();
        waiting.heartbeat = true;
        waiting.wake();
    }

    /// Closes the queue. Waiting messages can still be taken.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.wake();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.waiting().closed
    }

    pub(super) fn is_empty(&self) -> bool {
        let waiting = self.waiting();
        waiting.messages.is_empty() && !waiting.heartbeat
    }

    /// Drops the waiting messages.
    pub(super) fn drain(&self) {
        let mut waiting = self.waiting();
        waiting.messages.clear();
        waiting.bytes = 0;
        waiting.heartbeat = false;
    }

    /// Frames taken by the transport so far.
    pub(super) fn frames(&self) -> u64 {
        self.waiting().frames
    }

    /// Gives a new call its number. Earlier calls get no more messages.
    pub(super) fn begin_call(&self) -> u64 {
        let mut waiting = self.waiting();
        waiting.call += 1;
        waiting.waker = None;
        waiting.call
    }

    /// Ready once a message waits, which stays in the queue. False if none will ever come. For use between calls.
    pub(super) fn poll_any(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut waiting = self.waiting();
        if !waiting.messages.is_empty() {
            return Poll::Ready(true);
        }
        if waiting.closed {
            return Poll::Ready(false);
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next frame of a call: as many messages as fit, and at least one; an empty frame is a heartbeat. `None` if
    /// the call is not the present one, or if the queue is closed and empty.
    pub(super) fn poll_frame(&self, call: u64, cx: &mut Context<'_>) -> Poll<Option<Vec<Bytes>>> {
        let mut waiting = self.waiting();
        if waiting.call != call {
            return Poll::Ready(None);
        }
        if waiting.messages.is_empty() && !waiting.heartbeat {
            if waiting.closed {
                return Poll::Ready(None);
            }
            waiting.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        waiting.heartbeat = false;
        waiting.frames += 1;
        let (mut frame, mut size) = (Vec::new(), 0);
        while let Some((message, _)) = waiting.messages.front()
            && (frame.is_empty() || size + message.len() <= FRAME_BYTES)
        {
            let (message, _) = waiting.messages.pop_front().expect("there is a front");
            size += message.len();
            frame.push(message);
        }
        waiting.bytes -= size;
        Poll::Ready(Some(frame))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().expect("no panic happens while the queue is locked")
    }
}

impl Waiting {
    /// Drops the appends at the end of the queue that an append from `from` replaces.
    fn take_back(&mut self, from: AppendFrom) {
        while let Some((message, Some(last))) = self.messages.back()
            && (last.term < from.term || last.before >= from.before)
        {
            self.bytes -= message.len();
            self.messages.pop_back();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    fn append(queue: &Queue, term: u64, before: u64, bytes: usize) -> bool {
        queue.push(vec![before as u8; bytes].into(), Some(AppendFrom { term, before }))
    }

    /// The next frame: the first byte of each message, and the bytes of all.
    fn frame(queue: &Queue, call: u64) -> Poll<Option<(Vec<u8>, usize)>> {
        let frame = queue.poll_frame(call, &mut Context::from_waker(Waker::noop()));
        frame.map(|frame| {
            let frame = frame?;
            Some((frame.iter().map(|message| message[0]).collect(), frame.iter().map(Bytes::len).sum()))
        })
    }

    #[test]
    fn an_append_takes_back_what_waits_from_its_beginning_on() {
        let queue = Queue::default();
        let call = queue.begin_call();
        for before in [1, 2, 3, 4] {
            assert!(append(&queue, 5, before, 10));
        }
        // Raft probes from 3 again, and then again.
        assert!(append(&queue, 5, 3, 10) && append(&queue, 5, 3, 10));
        // The same leader in a later term begins at the end of its log, so appends of the earlier term are of no
        // use.
        assert_eq!(frame(&queue, call), Poll::Ready(Some((vec![1, 2, 3], 30))));
        assert!(append(&queue, 5, 6, 10) && append(&queue, 6, 7, 10));
        assert_eq!(frame(&queue, call), Poll::Ready(Some((vec![7], 10))));
        assert_eq!(frame(&queue, call), Poll::Pending);
    }

    #[test]
    fn only_appends_are_replaced() {
        let queue = Queue::default();
        let call = queue.begin_call();
        assert!(append(&queue, 5, 9, 10));
        assert!(queue.push(Bytes::from_static(&[7]), None));
        assert!(append(&queue, 6, 1, 10));
        assert_eq!(frame(&queue, call), Poll::Ready(Some((vec![9, 7, 1], 21))));
    }

    #[test]
    fn a_full_queue_takes_nothing_but_a_message_takes_the_place_of_its_copy() {
        let queue = Queue::default();
        let call = queue.begin_call();
        assert!(append(&queue, 1, 0, LANE_BYTES + 1), "one message always fits");
        assert!(!append(&queue, 1, 1, 1));
        assert!(append(&queue, 1, 0, LANE_BYTES - KIB), "it takes its own place");
        assert!(append(&queue, 1, 1, KIB));
        assert!(!append(&queue, 1, 2, 1));
        assert!(matches!(frame(&queue, call), Poll::Ready(Some((first, _))) if first == [0]));
        assert!(append(&queue, 1, 2, 1));
        for _ in 2..LANE_MESSAGES {
            assert!(queue.push(Bytes::from_static(&[7]), None));
        }
        assert!(!queue.push(Bytes::from_static(&[7]), None));
    }

    #[test]
    fn frames_are_small_and_go_to_the_present_call_alone() {
        let queue = Queue::default();
        let earlier = queue.begin_call();
        let call = queue.begin_call();
        for before in [1, 2, 3] {
            assert!(append(&queue, 1, before, 40 * KIB));
        }
        queue.beat();
        assert_eq!(frame(&queue, earlier), Poll::Ready(None));
        for before in [1, 2, 3] {
            assert_eq!(frame(&queue, call), Poll::Ready(Some((vec![before], 40 * KIB))));
        }
        assert_eq!(frame(&queue, call), Poll::Pending, "the heartbeat went with the first frame");
        queue.beat();
        assert!(!queue.is_empty());
        assert_eq!(frame(&queue, call), Poll::Ready(Some((vec![], 0))));
        assert!(append(&queue, 1, 4, 1));
        queue.close();
        assert!(!append(&queue, 1, 5, 1));
        assert_eq!(frame(&queue, call), Poll::Ready(Some((vec![4], 1))));
        assert_eq!((frame(&queue, call), queue.frames()), (Poll::Ready(None), 5));
    }
}
