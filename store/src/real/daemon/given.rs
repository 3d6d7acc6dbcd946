//! Where settings come from, in etcd's order (`etcdmain/config.go`): either a configuration file alone, or the
//! command line and `ETCD_*` variables. As in etcd 3.5, a variable and its flag at the same time are refused, since
//! one of the two must be a mistake.
//!
//! Whatever the source, the command line's parser reads it, so that a value means the same everywhere. If it refuses
//! a value, the refusal names the source: a key or a variable.

use std::{collections::BTreeSet, ffi::OsString, path::PathBuf};

use clap::{FromArgMatches, parser::ValueSource};

use super::{
    Failure, config_file,
    flags::{self, Arguments, Command, command},
    foreign, usage_paragraph,
};

const PREFIX: &str = "ETCD_";
const CONFIG_FILE: &str = "ETCD_CONFIG_FILE";
/// Variables that are no flags: etcd reads the first itself, and images of etcd set the second.
const ETCDS_OWN: [&str; 2] = ["ETCD_UNSUPPORTED_ARCH", "ETCD_VERSION"];

/// The parsed command and settings.
pub(super) struct Given {
    pub arguments: Arguments,
    /// Warnings for the operator.
    pub warnings: Vec<String>,
    pub source: Source,
}

/// A source of settings other than flags.
pub(super) enum Source {
    Environment(BTreeSet<String>),
    File(PathBuf),
}

/// Why there are no settings to run with.
pub(super) enum NotGiven {
    /// Help or version was asked for.
    Answer(clap::Error),
    Bad(Failure),
}

impl From<Failure> for NotGiven {
    fn from(failure: Failure) -> Self {
        NotGiven::Bad(failure)
    }
}

impl Given {
    /// Collects the settings.
    ///
    /// # Errors
    /// [`NotGiven`]
    pub fn collect(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Given, NotGiven> {
        let arguments: Vec<OsString> = arguments.into_iter().map(go_style).collect();
        let is_offline = arguments.get(1).is_some_and(|argument| argument == "snapshot");
        let arguments = if is_offline { arguments } else { foreign::take(arguments)? };
        let environment = if is_offline { Vec::new() } else { variables(environment) };
        let mut parser = command();
        let matches = parser.try_get_matches_from_mut(&arguments);
        let matches = matches.map_err(|error| answer_or_refusal(error, &arguments))?;
        let mut parsed = Arguments::from_arg_matches(&matches).map_err(not_given)?;
        if matches!(parsed.command, Some(Command::Snapshot { .. })) {
            return Ok(Given {
                arguments: parsed,
                warnings: Vec::new(),
                source: Source::Environment(BTreeSet::new()),
            });
        }
        let on_line = |flag: &str| {
            let known = parser.get_arguments().find(|known| known.get_long() == Some(flag));
            known.is_some_and(|known| {
                matches.value_source(known.get_id().as_str()) == Some(ValueSource::CommandLine)
            })
        };
        let named =
            environment.iter().find(|(name, _)| name == CONFIG_FILE).map(|(_, path)| PathBuf::from(path));
        if let Some(path) = parsed.serve.config_file.take().or(named) {
            let set = parser.get_arguments().filter_map(|known| known.get_long());
            let mut ignored: Vec<String> =
                set.filter(|flag| on_line(flag)).map(|flag| format!("--{flag}")).collect();
            ignored.extend(environment.into_iter().map(|(name, _)| name));
            ignored.retain(|name| name != "--config-file" && name != CONFIG_FILE);
            return Given::from_file(path, &ignored);
        }

        let mut all = arguments;
        let (mut used, mut warnings) = (BTreeSet::new(), Vec::new());
        for (name, given) in environment {
            let flag = flag_of(&name);
            if let Some(foreign) = foreign::find(&flag) {
                let judged = foreign.judge(&given);
                judged.map_err(|failure| in_words_of(failure, [(flag.as_str(), name.as_str())]))?;
            } else if ETCDS_OWN.contains(&name.as_str()) {
                // It says nothing that squalld would act on.
            } else if !is_known(&flag) {
                // Only the variable's name is shown, since its value may be a secret.
                warnings.push(format!("the environment variable {name} is not known"));
            } else if on_line(&flag) {
                return Err(Failure::Failed(format!(
                    "--{flag} is given, and so is {name} in the environment. Leave one of them out."
                ))
                .into());
            } else {
                all.push(format!("--{flag}={given}").into());
                used.insert(flag);
            }
        }
        let source = Source::Environment(used);
        Given::read(all, warnings, source)
    }

    fn from_file(path: PathBuf, ignored: &[String]) -> Result<Given, NotGiven> {
        let is_key = |name: &str| is_known(name) || foreign::find(name).is_some();
        let flags = config_file::read(&path, is_key)?;
        let mut warnings = Vec::new();
        if !ignored.is_empty() {
            warnings.push(format!(
                "the settings are those of the configuration file {}, so these are ignored: {}",
                path.display(),
                ignored.join(", ")
            ));
        }
        let source = Source::File(path);
        let mut all = vec!["squalld".to_owned()];
        for (flag, given) in flags {
            let given = config_file::in_flags_form(&flag, is_switch(&flag), given);
            match foreign::find(&flag) {
                Some(foreign) => foreign.judge(&given).map_err(|failure| source.blame(failure))?,
                None => all.push(format!("--{flag}={given}")),
            }
        }
        Given::read(all, warnings, source)
    }

    /// Parses everything that was found with the command line's parser.
    fn read<T: Into<OsString> + Clone>(
        all: Vec<T>,
        warnings: Vec<String>,
        source: Source,
    ) -> Result<Given, NotGiven> {
        let arguments = command()
            .try_get_matches_from(all)
            .and_then(|matches| Arguments::from_arg_matches(&matches))
            .map_err(|error| source.blame(Failure::Usage(usage_paragraph(&error))))?;
        Ok(Given { arguments, warnings, source })
    }
}

impl Source {
    /// Rewrites a refusal, which names flags, so that it names the source of the settings.
    pub fn blame(&self, failure: Failure) -> Failure {
        match self {
            Source::Environment(used) => {
                let names: Vec<(&str, String)> =
                    used.iter().map(|flag| (flag.as_str(), variable_of(flag))).collect();
                in_words_of(failure, names.iter().map(|(flag, name)| (*flag, name.as_str())))
            }
            Source::File(path) => {
                let (Failure::Usage(what) | Failure::Failed(what)) = failure;
                let what = what.replace("--", "");
                let what = what.strip_suffix(" `squalld help` says more.").unwrap_or(&what);
                Failure::Failed(format!("configuration file {}: {what}", path.display()))
            }
        }
    }
}

/// Replaces the names of flags by those of their variables. A refusal about a variable is no error of the command
/// line.
fn in_words_of<'a>(failure: Failure, names: impl IntoIterator<Item = (&'a str, &'a str)>) -> Failure {
    let (what, is_usage) = match &failure {
        Failure::Usage(what) => (what.clone(), true),
        Failure::Failed(what) => (what.clone(), false),
    };
    let mut said = what.clone();
    for (flag, name) in names {
        said = replace_flag(&said, flag, name);
    }
    if is_usage && said == what { Failure::Usage(said) } else { Failure::Failed(said) }
}

/// Replaces `--flag`, but not the beginning of a longer flag.
fn replace_flag(text: &str, flag: &str, name: &str) -> String {
    let flag = format!("--{flag}");
    let mut said = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&flag) {
        let after = &rest[at + flag.len()..];
        let longer = after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        said.push_str(&rest[..at]);
        said.push_str(if longer { &flag } else { name });
        rest = after;
    }
    said + rest
}

/// Why a command line gives no settings. As in etcd, `--version` is answered only if the rest is sound too.
fn answer_or_refusal(error: clap::Error, arguments: &[OsString]) -> NotGiven {
    let is_offline = arguments.get(1).is_some_and(|argument| argument == "snapshot");
    if error.kind() == clap::error::ErrorKind::DisplayVersion && !is_offline {
        let rest = arguments.iter().filter(|argument| *argument != "--version" && *argument != "-V");
        if let Err(refused) = command().try_get_matches_from(rest)
            && let NotGiven::Bad(failure) = not_given(refused)
        {
            return NotGiven::Bad(failure);
        }
    }
    not_given(error)
}

fn not_given(error: clap::Error) -> NotGiven {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    match error.kind() {
        DisplayHelp | DisplayVersion => NotGiven::Answer(error),
        _ => Failure::Usage(usage_paragraph(&error)).into(),
    }
}

/// etcd's variables with a value, in order. An empty variable counts as absent.
fn variables(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let all = environment.into_iter().filter_map(text);
    let mut found: Vec<_> =
        all.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty()).collect();
    found.sort();
    found
}

fn flag_of(variable: &str) -> String {
    variable.strip_prefix(PREFIX).unwrap_or(variable).to_lowercase().replace('_', "-")
}

fn variable_of(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_uppercase().replace('-', "_"))
}

fn is_switch(flag: &str) -> bool {
    foreign::find(flag).map_or_else(|| flags::is_switch(flag), |foreign| foreign.switch)
}

fn is_known(flag: &str) -> bool {
    command().get_arguments().any(|known| known.get_long() == Some(flag))
}

/// Go's flag package accepts one dash in place of two.
fn go_style(argument: OsString) -> OsString {
    match argument.to_str() {
        Some(text) if text.starts_with('-') && !text.starts_with("--") && text.len() > 2 => {
            format!("-{text}").into()
        }
        _ => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Given, Failure> {
        let arguments = ["squalld"].iter().chain(arguments).map(OsString::from);
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        Given::collect(arguments, environment).map_err(|error| match error {
            NotGiven::Bad(failure) => failure,
            NotGiven::Answer(error) => panic!("{error}"),
        })
    }

    #[test]
    fn a_variable_is_a_flag() {
        let given = collect(
            &["-data-dir=/d"],
            &[
                ("ETCD_NAME", "m1"),
                ("ETCD_CLIENT_CERT_AUTH", "1"),
                ("ETCD_LOGGER", "zap"),
                ("ETCD_TOKEN", ""),
                ("ETCD_UNSUPPORTED_ARCH", "arm64"),
                ("ETCD_VERSION", "v3.5.1"),
                ("HOME", "/"),
            ],
        );
        let Ok(given) = given else { panic!("good settings are refused") };
        assert_eq!(given.arguments.serve.name, "m1");
        assert_eq!(given.arguments.serve.data_dir, Some("/d".into()));
        assert!(given.warnings.is_empty(), "{:?}", given.warnings);
        let Ok(given) = collect(&[], &[("ETCD_PORT_2379_TCP", "secret")]) else {
            panic!("good settings are refused")
        };
        assert_eq!(given.warnings, ["the environment variable ETCD_PORT_2379_TCP is not known"]);
    }

    #[test]
    fn refusals_name_the_source_of_the_setting() {
        let refused = |arguments: &[&str], environment: &[(&str, &str)]| {
            collect(arguments, environment).err().expect("a refusal")
        };
        let Failure::Failed(what) = refused(&["--name=a"], &[("ETCD_NAME", "a")]) else { panic!("usage") };
        assert!(what.contains("--name") && what.contains("ETCD_NAME"), "{what}");
        let Failure::Failed(what) = refused(&[], &[("ETCD_SNAPSHOT_COUNT", "many")]) else { panic!("usage") };
        assert!(what.contains("ETCD_SNAPSHOT_COUNT") && !what.contains("--snapshot-count"), "{what}");
        let Failure::Failed(what) = refused(&[], &[("ETCD_DISCOVERY_SRV", "x")]) else { panic!("usage") };
        assert!(what.starts_with("ETCD_DISCOVERY_SRV=x: it is not there"), "{what}");
        let Failure::Usage(what) = refused(&["--snapshot-count=many"], &[("ETCD_NAME", "a")]) else {
            panic!("not usage")
        };
        assert!(what.contains("--snapshot-count"), "{what}");
    }

    #[test]
    fn a_flag_is_not_the_beginning_of_another() {
        let said = replace_flag("--name, --name-x and '--name <NAME>'", "name", "ETCD_NAME");
        assert_eq!(said, "ETCD_NAME, --name-x and 'ETCD_NAME <NAME>'");
    }
}
