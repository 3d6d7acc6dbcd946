//! What all golden scripts have in common, the core's and the node's (which takes this file by its path): their list, and
//! the arguments of a command.

use std::{collections::VecDeque, error::Error, str::FromStr};

/// What a command comes to.
pub(crate) type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Makes a test of each script in a folder, and one that every script there is listed: a script that nobody runs proves
/// nothing.
macro_rules! scripts {
    ($dir:expr, $run:ident: $($name:ident)*) => {
        $(#[test] fn $name() { $run(stringify!($name)) })*

        /// All scripts, in the order of their names.
        const SCRIPTS: &[&str] = &[$(stringify!($name)),*];

        #[test]
        fn every_script_is_listed() {
            #[expect(clippy::disallowed_methods, reason = "the test reads its own scripts")]
            let mut files: Vec<String> = std::fs::read_dir($dir)
                .expect("the script folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("a UTF-8 name"))
                .collect();
            files.sort();
            assert_eq!(files, SCRIPTS);
        }
    };
}
pub(crate) use scripts;

/// The arguments of a command, or of an operation in a transaction: words, and `name=value` pairs. What is taken is gone,
/// so that what is left over can be refused.
pub(crate) struct Args {
    pub(crate) words: VecDeque<String>,
    pub(crate) pairs: Vec<(String, String)>,
}

impl Args {
    pub(crate) fn new(args: impl Iterator<Item = (Option<String>, String)>) -> Args {
        let mut parsed = Args { words: VecDeque::new(), pairs: Vec::new() };
        for (name, value) in args {
            match name {
                Some(name) => parsed.pairs.push((name, value)),
                None => parsed.words.push_back(value),
            }
        }
        parsed
    }

    pub(crate) fn of(command: &goldenscript::Command) -> Args {
        Args::new(command.args.iter().map(|arg| (arg.key.clone(), arg.value.clone())))
    }

    /// The next word.
    pub(crate) fn word(&mut self) -> Result<String> {
        self.words.pop_front().ok_or_else(|| "an argument is missing".into())
    }

    /// All words that are left.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.words.drain(..).collect()
    }

    /// The value of a pair.
    pub(crate) fn value(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|pair| pair.0 == name)?;
        Some(self.pairs.remove(at).1)
    }

    /// The value of a pair, read.
    pub(crate) fn parse_or<T: FromStr<Err: Error + 'static>>(&mut self, name: &str, default: T) -> Result<T> {
        Ok(self.value(name).map(|value| value.parse()).transpose()?.unwrap_or(default))
    }

    /// Refuses what nobody took.
    pub(crate) fn reject_rest(&self) -> Result<()> {
        match (self.words.front(), self.pairs.first()) {
            (None, None) => Ok(()),
            (word, pair) => Err(format!("arguments left over: {word:?} {pair:?}").into()),
        }
    }
}
