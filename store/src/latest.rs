//! A channel that holds one value, the latest: the deterministic stand-in for `tokio::sync::watch`.
//!
//! tokio's channel spreads its waiters over eight lists and picks a list with a generator that is seeded from a counter
//! of the whole process. So the order in which waiting tasks wake depends on what ran in the process before, and a second
//! run of one seed differs from the first. Here all waiters are in one queue, in the order in which they came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Changes the value.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// Reads the value, and waits for changes.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// The sender is gone, so the value will not change again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    value: T,
    closed: bool,
}

impl<T> Shared<T> {
    /// While the lock is held only the closures below are called, which only compare and replace.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value with one receiver.
pub(crate) fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    /// A value without receivers.
    pub(crate) fn new(value: T) -> Self {
        let state = Mutex::new(State { value, closed: false });
        Sender(Arc::new(Shared { state, changed: Notify::new() }))
    }

    /// A receiver that has seen the present value.
    pub(crate) fn subscribe(&self) -> Receiver<T> {
        Receiver(self.0.clone())
    }

    /// Replaces the value and wakes all waiting tasks.
    pub(crate) fn send_replace(&self, value: T) {
        self.send_if_modified(|old| {
            *old = value;
            true
        });
    }

    /// Lets `modify` change the value. Wakes all waiting tasks if it returns true.
    pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) {
        let mut state = self.0.lock();
        if modify(&mut state.value) {
            drop(state);
            self.0.changed.notify_waiters();
        }
    }
}

impl<T: Clone> Sender<T> {
    /// The value as it is now.
    pub(crate) fn get(&self) -> T {
        self.0.lock().value.clone()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_waiters();
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver(self.0.clone())
    }
}

impl<T: Clone> Receiver<T> {
    /// The present value.
    pub(crate) fn get(&self) -> T {
        self.0.lock().value.clone()
    }

    /// Waits until `wanted` returns true for the value, and returns the value. Cancel safe.
    ///
    /// # Errors
    /// [`Closed`] if the sender is gone and `wanted` returns false.
    pub(crate) async fn wait_for(&mut self, wanted: impl Fn(&T) -> bool) -> Result<T, Closed> {
        loop {
            // Created before the value is read, so that a change in between is not missed.
            let notified = self.0.changed.notified();
            {
                let state = self.0.lock();
                if wanted(&state.value) {
                    return Ok(state.value.clone());
                }
                if state.closed {
                    return Err(Closed);
                }
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    /// Records the order in which wakers are called.
    struct Noted {
        me: usize,
        order: Arc<Mutex<Vec<usize>>>,
    }

    impl Wake for Noted {
        fn wake(self: Arc<Self>) {
            self.order.lock().unwrap().push(self.me);
        }
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn waiters_wake_in_the_order_in_which_they_came() {
        // Many rounds, since a few could be right by chance.
        for _ in 0..20 {
            let sender = Sender::new(0);
            let order = Arc::new(Mutex::new(Vec::new()));
            let mut receivers: Vec<_> = (0..20).map(|_| sender.subscribe()).collect();
            let mut waits: Vec<_> =
                receivers.iter_mut().map(|one| Box::pin(one.wait_for(|v| *v == 1))).collect();
            for (me, wait) in waits.iter_mut().enumerate() {
                let waker = Waker::from(Arc::new(Noted { me, order: order.clone() }));
                assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            sender.send_replace(1);
            assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
            for wait in &mut waits {
                assert_eq!(poll(wait.as_mut()), Poll::Ready(Ok(1)));
            }
        }
    }

    #[test]
    fn a_change_is_never_missed() {
        let (sender, mut receiver) = channel(0);
        assert!(poll(pin!(receiver.wait_for(|v| *v == 5))).is_pending());
        sender.send_replace(5);
        assert_eq!((sender.get(), receiver.get()), (5, 5));
        // The value changed before the wait began: no wake-up follows, and none is needed.
        assert_eq!(poll(pin!(receiver.wait_for(|v| *v == 5))), Poll::Ready(Ok(5)));
        let mut other = receiver.clone();
        let mut wait = pin!(other.wait_for(|v| *v == 6));
        assert!(poll(wait.as_mut()).is_pending());
        sender.send_if_modified(|_| false);
        assert!(poll(wait.as_mut()).is_pending());
        sender.send_if_modified(|v| std::mem::replace(v, 6) != 6);
        assert_eq!(poll(wait), Poll::Ready(Ok(6)));
    }

    #[test]
    fn a_waiting_receiver_learns_that_the_sender_is_gone() {
        let (sender, mut receiver) = channel(0);
        let woken = Arc::new(AtomicUsize::new(0));
        struct Count(Arc<AtomicUsize>);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let waker = Waker::from(Arc::new(Count(woken.clone())));
        {
            let mut wait = pin!(receiver.wait_for(|v| *v == 1));
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            drop(sender);
            assert_eq!(woken.load(Ordering::Relaxed), 1);
            assert_eq!(poll(wait), Poll::Ready(Err(Closed)));
        }
        assert_eq!(poll(pin!(receiver.wait_for(|v| *v == 0))), Poll::Ready(Ok(0)));
    }
}
