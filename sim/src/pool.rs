//! Does work in parallel and hands out results in order.
//!
//! Threads take the next item from a shared list. The calling thread hands the results on in the list's order,
//! whichever finished first. So the results do not depend on the number of threads. A thread creates what it needs for
//! its work (the worker process that makes its runs), which ends with the thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// One thread a core.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
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
    let (sender, receiver) = mpsc::channel::<(usize, R)>();
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            let sender = sender.clone();
            let (next, start, work) = (&next, &start, &work);
            scope.spawn(move || {
                let mut state = start();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let Some(result) = work(&mut state, item) else {
                        next.store(items.len(), Ordering::Relaxed);
                        return;
                    };
                    if sender.send((index, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for (index, result) in receiver {
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
