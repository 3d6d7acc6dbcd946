//! raft-rs logs through slog; the store through tracing. This drain passes slog's records to tracing, with their
//! key-value pairs as text after the message.

use std::fmt::{self, Write as _};

use slog::{Drain, KV as _, Key, Level, Logger, Never, OwnedKVList, Record, Serializer, o};

struct Bridge;

impl Drain for Bridge {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        // The pairs are formatted only if the level is enabled.
        macro_rules! hand_over {
            ($level:ident) => {
                if tracing::enabled!(target: "raft", tracing::Level::$level) {
                    tracing::event!(target: "raft", tracing::Level::$level, "{}{}", record.msg(), Pairs::of(record));
                }
            };
        }
        match record.level() {
            Level::Critical | Level::Error => hand_over!(ERROR),
            Level::Warning => hand_over!(WARN),
            Level::Info => hand_over!(INFO),
            Level::Debug => hand_over!(DEBUG),
            Level::Trace => hand_over!(TRACE),
        }
        Ok(())
    }
}

/// A record's key-value pairs as ` key=value …`.
struct Pairs(String);

impl Pairs {
    fn of(record: &Record<'_>) -> Pairs {
        let mut pairs = Pairs(String::new());
        // Writing to a String does not fail. A value whose formatting fails is left out.
        let _ = record.kv().serialize(record, &mut pairs);
        pairs
    }
}

impl Serializer for Pairs {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(slog::Error::Fmt)
    }
}

impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A logger for raft.
pub(crate) fn logger() -> Logger {
    Logger::root(Bridge.fuse(), o!())
}
