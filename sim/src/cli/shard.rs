//! `--shard`: which shard of a campaign this process runs, given or read from a CI system's environment.

use std::path::Path;

use crate::{explore::ShardNumber, text::Refusal};

/// The value of `--shard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShardChoice {
    /// `i/n`.
    Stated(ShardNumber),
    /// `auto`: read from the environment.
    Auto,
}

/// The environment variables with an index and a total, and the index of the first shard.
const VARIABLES: [(&str, &str, &str, u64); 6] = [
    ("GitHub's matrix", "STRATEGY_JOB_INDEX", "STRATEGY_JOB_TOTAL", 0),
    ("Buildkite", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0),
    ("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", 0),
    ("Semaphore", "SEMAPHORE_JOB_INDEX", "SEMAPHORE_JOB_COUNT", 1),
    // Kubernetes does not tell a pod how many pods there are, so the manifest repeats its `completions`.
    ("a Kubernetes Indexed Job", "JOB_COMPLETION_INDEX", "SQUALL_SHARDS", 0),
    ("GitLab", "CI_NODE_INDEX", "CI_NODE_TOTAL", 1),
];

/// Reads `--shard`.
pub(super) fn parse(text: &str) -> Result<ShardChoice, String> {
    if text == "auto" {
        return Ok(ShardChoice::Auto);
    }
    ShardNumber::parse(text)
        .map(ShardChoice::Stated)
        .ok_or_else(|| "expected `i/n`, such as 1/4 for the first of four, or `auto`".to_owned())
}

/// The shard that this process runs.
///
/// # Errors
/// If `auto` is given and the environment has no shard, or an impossible one.
pub(super) fn chosen(
    choice: Option<ShardChoice>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<ShardNumber, Refusal> {
    let refuse = |message: String| Err(Refusal::of(Path::new("--shard auto"), message));
    match choice {
        None => return Ok(ShardNumber::WHOLE),
        Some(ShardChoice::Stated(shard)) => return Ok(shard),
        Some(ShardChoice::Auto) => {}
    }
    for (system, index, total, first) in VARIABLES {
        let Some(written) = variable(index) else { continue };
        let Some(count) = variable(total) else {
            // GitLab sets both, but only in a parallel job. In other systems a missing total is a mistake.
            return refuse(format!(
                "{index} is set, as by {system}, but {total} is not: set it to the number of shards"
            ));
        };
        let shard = written
            .parse::<u64>()
            .ok()
            .and_then(|index| index.checked_sub(first)?.checked_add(1))
            .and_then(|number| ShardNumber::parse(&format!("{number}/{count}")));
        return match shard {
            Some(shard) => Ok(shard),
            None => refuse(format!(
                "{index}={written} and {total}={count} are no shard: {system} counts from {first}"
            )),
        };
    }
    let known: Vec<&str> = VARIABLES.iter().map(|(_, index, _, _)| *index).collect();
    refuse(format!("the environment does not say which shard this is: expected one of {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_each_system_is_understood() {
        for (set, expected) in [
            (vec![("STRATEGY_JOB_INDEX", "0"), ("STRATEGY_JOB_TOTAL", "4")], Some("1/4")),
            (vec![("CI_NODE_INDEX", "3"), ("CI_NODE_TOTAL", "3")], Some("3/3")),
            (vec![("JOB_COMPLETION_INDEX", "7"), ("SQUALL_SHARDS", "8")], Some("8/8")),
            (vec![("AWS_BATCH_JOB_ARRAY_INDEX", "1"), ("AWS_BATCH_JOB_ARRAY_SIZE", "2")], Some("2/2")),
            (vec![("BUILDKITE_PARALLEL_JOB", "0"), ("BUILDKITE_PARALLEL_JOB_COUNT", "1")], Some("1/1")),
            (vec![("JOB_COMPLETION_INDEX", "7")], None),
            (vec![("JOB_COMPLETION_INDEX", "8"), ("SQUALL_SHARDS", "8")], None),
            (vec![("JOB_COMPLETION_INDEX", "18446744073709551615"), ("SQUALL_SHARDS", "8")], None),
            (vec![("CI_NODE_INDEX", "0"), ("CI_NODE_TOTAL", "3")], None),
            (vec![("CI_NODE_INDEX", "two"), ("CI_NODE_TOTAL", "3")], None),
            (vec![], None),
        ] {
            let variable =
                |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            let shard = chosen(Some(ShardChoice::Auto), variable).ok().map(ShardNumber::name);
            assert_eq!(shard.as_deref(), expected, "{set:?}");
        }
    }

    #[test]
    fn shards_are_stated_from_one() {
        assert_eq!(parse("2/3"), Ok(ShardChoice::Stated(ShardNumber { number: 2, of: 3 })));
        for bad in ["0/3", "4/3", "3", "1/0", "a/b", "-1/3", "1/3/5", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
