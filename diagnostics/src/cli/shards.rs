//! Arguments of `shards`.

use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "Examples:
  cargo cofferdam shards 8
  cargo cofferdam shards 8 --times target/nextest/ci/junit.xml --format json
  cargo nextest run -E \"$(cargo cofferdam shards --shard 3/8 --format nextest)\"
  cargo cofferdam shards --shard 3/8 --format cargo -- cargo test | xargs -L1 cargo test

Times are those of the last ten observations (`observe`, `hunt`) and recordings (`run`).
Exit codes: 0 the shards cover every test once, 2 wrong usage, or they would not, 3 the tests could not be listed.";

#[derive(Debug, Args)]
pub(crate) struct ShardsArgs {
    /// Number of shards.
    #[arg(value_name = "N", required_unless_present = "shard")]
    pub(crate) shards: Option<NonZeroUsize>,
    /// Print one of N shards, from 1.
    #[arg(long, value_name = "I/N", value_parser = shard_number, conflicts_with = "shards")]
    pub(crate) shard: Option<ShardNumber>,
    /// Output format.
    #[arg(long, default_value = "human")]
    pub(crate) format: ShardsFormat,
    /// JUnit report with times; they precede recorded ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) times: Vec<PathBuf>,
    /// Test command [default: cargo nextest run, or cargo test].
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShardsFormat {
    /// Text for people.
    Human,
    /// A filterset for `cargo nextest run -E` in each line.
    Nextest,
    /// Arguments for a `cargo test` in each line.
    Cargo,
    /// One line of JSON, with a list of shards for a CI matrix.
    Json,
}

/// One of several shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardNumber {
    /// Its position, from 1.
    pub(crate) number: usize,
    pub(crate) of: NonZeroUsize,
}

fn shard_number(text: &str) -> Result<ShardNumber, String> {
    let parsed = text.split_once('/').and_then(|(number, of)| {
        let (number, of) = (number.parse().ok()?, of.parse().ok()?);
        Some(ShardNumber { number, of })
    });
    parsed
        .filter(|shard| (1..=shard.of.get()).contains(&shard.number))
        .ok_or_else(|| "not a shard such as 1/4 or 4/4".to_owned())
}

impl ShardsArgs {
    /// Returns the number of shards.
    pub(crate) fn count(&self) -> usize {
        let of = self.shard.map(|shard| shard.of).or(self.shards);
        of.map_or(1, NonZeroUsize::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_a_number_from_1_of_a_number() {
        for (text, wanted) in [
            ("1/4", true),
            ("4/4", true),
            ("0/4", false),
            ("5/4", false),
            ("1", false),
            ("a/b", false),
        ] {
            assert_eq!(shard_number(text).is_ok(), wanted, "{text}");
        }
    }
}
