//! A lock with acquire and release, as Knossos' `mutex`: it does not know its owner, so any process may release a held lock.
//! Neither operation is ever read-only. Acquiring a held lock and releasing a free one are not legal.

use super::Model;

/// What a client asks of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MutexInput {
    /// Take the lock.
    Acquire,
    /// Give it back.
    Release,
}

/// A lock's answer: done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MutexOutput;

/// The lock.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Mutex {
    /// Whether it is held before the first operation.
    pub held: bool,
}

impl Model for Mutex {
    type State = bool;
    type Input = MutexInput;
    type Output = MutexOutput;

    fn initial(&self) -> bool {
        self.held
    }

    fn step(&self, held: &bool, input: &MutexInput, _: Option<&MutexOutput>) -> Option<bool> {
        match (input, held) {
            (MutexInput::Acquire, false) => Some(true),
            (MutexInput::Release, true) => Some(false),
            _ => None,
        }
    }

    fn describe(&self, input: &MutexInput, output: Option<&MutexOutput>) -> String {
        let name = match input {
            MutexInput::Acquire => "acquire",
            MutexInput::Release => "release",
        };
        if output.is_some() { name.to_string() } else { format!("{name} ?") }
    }

    fn describe_state(&self, held: &bool) -> String {
        if *held { "held" } else { "free" }.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_free_lock_is_taken_and_only_a_held_one_released() {
        let m = Mutex::default();
        assert_eq!(m.step(&false, &MutexInput::Acquire, Some(&MutexOutput)), Some(true));
        assert_eq!(m.step(&true, &MutexInput::Acquire, Some(&MutexOutput)), None);
        assert_eq!(m.step(&true, &MutexInput::Release, None), Some(false));
        assert_eq!(m.step(&false, &MutexInput::Release, None), None);
    }
}
