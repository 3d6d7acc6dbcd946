//! A mutex for state that one thread uses. A run stays on one thread, but the seams' traits require `Send + Sync`.

use std::sync::{Mutex, MutexGuard, TryLockError};

/// A mutex that panics instead of waiting. If it is locked already, the world has called back into itself, and waiting
/// would be a deadlock. A panic elsewhere does not poison it, since a member's panic is an event of the run.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        match self.0.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("the world's state was entered twice"),
        }
    }
}
