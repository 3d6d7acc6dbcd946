//! A register with a version. Every write and every compare-and-set that took place raises the version by one.
//! It is the object of Jepsen's etcd register test, and the version is etcd's. An answer shows the version with the value.
//! If it does not, any version fits.

use super::Model;
use super::cas_register::RegisterInput;
use super::value::{Names, Value};

/// What a versioned register answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VersionedOutput {
    /// What was read: value and version, each if the answer shows it.
    Read {
        /// The version.
        version: Option<u64>,
        /// The value.
        value: Option<Value>,
    },
    /// It was written, and this is the version since, if the answer shows it.
    Written(Option<u64>),
}

/// The register.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VersionedRegister {
    /// The value before the first operation. Its version is 0.
    pub initial: Value,
    /// The texts of the values that are no integers.
    pub names: Names,
}

impl Model for VersionedRegister {
    /// Version and value.
    type State = (u64, Value);
    type Input = RegisterInput;
    type Output = VersionedOutput;

    fn initial(&self) -> (u64, Value) {
        (0, self.initial)
    }

    fn step(
        &self,
        &(version, value): &(u64, Value),
        input: &RegisterInput,
        output: Option<&VersionedOutput>,
    ) -> Option<(u64, Value)> {
        let after = match input {
            RegisterInput::Read => {
                let fits = match output {
                    None => true,
                    Some(VersionedOutput::Read { version: told, value: read }) => {
                        told.is_none_or(|told| told == version) && read.is_none_or(|read| read == value)
                    }
                    Some(VersionedOutput::Written(_)) => false,
                };
                return fits.then_some((version, value));
            }
            RegisterInput::Write(to) => *to,
            RegisterInput::Cas { from, to } => (*from == value).then_some(*to)?,
        };
        match output {
            None | Some(VersionedOutput::Written(None)) => {}
            Some(VersionedOutput::Written(Some(told))) if *told == version + 1 => {}
            Some(_) => return None,
        }
        Some((version + 1, after))
    }

    fn is_read_only(&self, input: &RegisterInput, _: Option<&VersionedOutput>) -> bool {
        matches!(input, RegisterInput::Read)
    }

    /// A version never goes back, and a read waits for a write of its value.
    fn can_become_legal<'a>(
        &self,
        &(version, value): &(u64, Value),
        input: &RegisterInput,
        output: &VersionedOutput,
        mut between: impl Iterator<Item = (&'a RegisterInput, Option<&'a VersionedOutput>)>,
    ) -> bool {
        let (RegisterInput::Read, VersionedOutput::Read { version: told, value: read }) = (input, output)
        else {
            return true;
        };
        match told {
            Some(told) if *told < version => return false,
            Some(told) if *told == version => return read.is_none_or(|read| read == value),
            _ => {}
        }
        let fits = |value: Value| read.is_none_or(|read| read == value);
        told.is_none() && fits(value)
            || between.any(|(other, _)| match other {
                RegisterInput::Read => false,
                RegisterInput::Write(to) | RegisterInput::Cas { to, .. } => fits(*to),
            })
    }

    fn describe(&self, input: &RegisterInput, output: Option<&VersionedOutput>) -> String {
        let show = |value: &Value| self.names.show(value);
        let what = match (input, output) {
            (RegisterInput::Read, Some(VersionedOutput::Read { value: Some(value), .. })) => {
                format!("read {}", show(value))
            }
            (RegisterInput::Read, _) => "read ?".to_owned(),
            (RegisterInput::Write(value), _) => format!("write {}", show(value)),
            (RegisterInput::Cas { from, to }, _) => format!("cas {} to {}", show(from), show(to)),
        };
        match output {
            Some(
                VersionedOutput::Read { version: Some(version), .. }
                | VersionedOutput::Written(Some(version)),
            ) => {
                format!("{what}, version {version}")
            }
            None if !matches!(input, RegisterInput::Read) => format!("{what} ?"),
            _ => what,
        }
    }

    fn describe_state(&self, (version, value): &(u64, Value)) -> String {
        format!("{}, version {version}", self.names.show(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_by_one() {
        let m = VersionedRegister::default();
        let read = |version, value| VersionedOutput::Read { version, value };
        let step = |s: (u64, Value), i: RegisterInput, o: Option<VersionedOutput>| m.step(&s, &i, o.as_ref());
        let write = RegisterInput::Write(Some(3));
        assert_eq!(
            step((0, None), write.clone(), Some(VersionedOutput::Written(Some(1)))),
            Some((1, Some(3)))
        );
        assert_eq!(step((1, None), write.clone(), Some(VersionedOutput::Written(Some(1)))), None);
        assert_eq!(step((1, None), write.clone(), Some(VersionedOutput::Written(None))), Some((2, Some(3))));
        assert_eq!(step((4, None), write, None), Some((5, Some(3))));
        let cas = RegisterInput::Cas { from: Some(3), to: Some(3) };
        assert_eq!(
            step((1, Some(3)), cas.clone(), Some(VersionedOutput::Written(Some(2)))),
            Some((2, Some(3)))
        );
        assert_eq!(step((1, Some(4)), cas, None), None);
        assert!(step((1, Some(3)), RegisterInput::Read, Some(read(Some(1), Some(Some(3))))).is_some());
        assert!(step((1, Some(3)), RegisterInput::Read, Some(read(Some(2), Some(Some(3))))).is_none());
        assert!(step((1, Some(3)), RegisterInput::Read, Some(read(Some(1), Some(None)))).is_none());
        assert!(step((1, Some(3)), RegisterInput::Read, Some(read(None, None))).is_some());
        assert!(step((1, Some(3)), RegisterInput::Read, Some(VersionedOutput::Written(None))).is_none());
    }
}
