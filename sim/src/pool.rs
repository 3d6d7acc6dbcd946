//! Does work in parallel. The threads watch worker processes; no simulation runs on them.
//!
//! [`spread`] hands out pieces of work and passes the results on as they come. [`in_order`] does a list, and passes
//! the results on in the list's order, whichever finished first: so they do not depend on the number of threads. A
//! thread creates what it needs for its work (the worker process that makes its runs), which ends with the thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// One thread a core.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does `work` on `threads` threads, on each piece that `next` hands out, while `body` takes the results as they come.
///
/// `start` creates what a thread keeps from piece to piece. A thread ends when `next` answers `None` (it may wait for a
/// piece before), when `work` answers `None`, or when `body` no longer takes results. `body`'s results end when all
/// threads have ended.
pub fn spread<T, S, R: Send, A>(
    threads: usize,
    start: impl Fn() -> S + Sync,
    next: impl Fn() -> Option<T> + Sync,
    work: impl Fn(&mut S, T) -> Option<R> + Sync,
    body: impl FnOnce(mpsc::Receiver<R>) -> A,
) -> A {
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, start, next, work) = (sender.clone(), &start, &next, &work);
            scope.spawn(move || {
                let mut state = start();
                while let Some(result) = next().and_then(|piece| work(&mut state, piece)) {
                    if sender.send(result).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        body(receiver)
    })
}

/// Does `work` on each of `items`, on `threads` threads at a time, and hands each result to `each`, with the item's
/// index, in the order of `items`.
///
/// `start` creates what a thread keeps from item to item. If `work` answers `None`, no more items are begun; `each`
/// still gets the results of the earlier items, in order.
pub fn in_order<T: Sync, S, R: Send>(
    items: &[T],
    threads: usize,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> Option<R> + Sync,
    mut each: impl FnMut(usize, R),
) {
    let next = AtomicUsize::new(0);
    let next_item = || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        items.get(index).map(|item| (index, item))
    };
    let work = |state: &mut S, (index, item)| {
        let result = work(state, item);
        if result.is_none() {
            next.store(items.len(), Ordering::Relaxed);
        }
        result.map(|result| (index, result))
    };
    spread(threads.min(items.len()), start, next_item, work, |results| {
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for (index, result) in results {
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&next) {
                each(next, result);
                next += 1;
            }
        }
        // After a stop: results that come after an item without a result.
        for (index, result) in waiting {
            each(index, result);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..200).collect();
        for threads in [1, 2, 7, 500] {
            let started = AtomicUsize::new(0);
            let mut seen = Vec::new();
            in_order(
                &items,
                threads,
                || started.fetch_add(1, Ordering::Relaxed),
                |_, item| {
                    // Later items finish sooner.
                    for _ in 0..(200 - item) * 50 {
                        std::hint::spin_loop();
                    }
                    Some(item * item)
                },
                |index, result| seen.push((index as u64, result)),
            );
            assert_eq!(seen, items.iter().map(|item| (*item, item * item)).collect::<Vec<_>>());
            assert!(started.into_inner() <= threads.min(items.len()));
        }
    }

    #[test]
    fn nothing_is_begun_after_a_stop() {
        let begun = Mutex::new(Vec::new());
        let mut seen = Vec::new();
        let items: Vec<u64> = (0..100).collect();
        in_order(
            &items,
            1,
            || (),
            |(), item| {
                begun.lock().unwrap().push(*item);
                (*item < 3).then_some(*item)
            },
            |_, item| seen.push(item),
        );
        assert_eq!((seen, begun.into_inner().unwrap()), (vec![0, 1, 2], vec![0, 1, 2, 3]));
    }
}
