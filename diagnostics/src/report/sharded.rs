//! The report of `shards`: for people, for runners, and for a matrix.

use super::shell_line::shell_line;
use super::style::{BOLD, headline};
use super::text::count;
use super::{json_line, table};
use crate::cli::ShardsFormat;
use crate::commands::shards::Sharded;
use crate::shards::{LongTest, Plan, Selection, Shard};
use cofferdam_conflicts::Severity;
use serde::Serialize;
use std::ffi::OsString;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;
/// The number of tests that are too long and named in text.
const NAMED: usize = 5;

#[derive(Serialize)]
struct ShardsView {
    version: u64,
    tests: usize,
    without_time: usize,
    seconds: Option<f64>,
    shards: Vec<ShardView>,
    too_long: Vec<LongTestView>,
}

#[derive(Serialize)]
struct ShardView {
    shard: String,
    tests: usize,
    seconds: Option<f64>,
    filterset: Option<String>,
    arguments: Option<Vec<String>>,
}

#[derive(Serialize)]
struct LongTestView {
    binary: String,
    test: Option<String>,
    seconds: f64,
}

pub(super) fn write(out: &mut impl Write, format: ShardsFormat, sharded: &Sharded) -> io::Result<()> {
    match format {
        ShardsFormat::Human => human(out, sharded),
        ShardsFormat::Json => json_line::write(out, &view(sharded)?),
        ShardsFormat::Nextest | ShardsFormat::Cargo => {
            for (_, shard) in chosen(sharded) {
                for line in lines(shard)? {
                    writeln!(out, "{line}")?;
                }
            }
            Ok(())
        }
    }
}

/// Returns the shards to show with their numbers.
fn chosen(sharded: &Sharded) -> impl Iterator<Item = (usize, &Shard)> {
    let shards = (1..).zip(&sharded.plan.shards);
    shards.filter(|(number, _)| sharded.only.is_none_or(|only| only == *number))
}

/// Returns the filterset of a shard, or the arguments of each `cargo test` as a shell reads them.
fn lines(shard: &Shard) -> io::Result<Vec<String>> {
    match &shard.selection {
        Selection::Filterset(filterset) => Ok(vec![filterset.clone()]),
        Selection::Arguments(commands) => commands.iter().map(|words| shell_words(words)).collect(),
    }
}

fn shell_words(words: &[String]) -> io::Result<String> {
    shlex::try_join(words.iter().map(String::as_str)).map_err(io::Error::other)
}

fn view(sharded: &Sharded) -> io::Result<ShardsView> {
    let plan = &sharded.plan;
    let seconds = |micros: u64| (plan.without_time < plan.tests).then(|| self::seconds(micros));
    let shard = |(number, shard): (usize, &Shard)| {
        let lines = lines(shard)?;
        let (filterset, arguments) = match &shard.selection {
            Selection::Filterset(filterset) => (Some(filterset.clone()), None),
            Selection::Arguments(_) => (None, Some(lines)),
        };
        Ok(ShardView {
            shard: format!("{number}/{}", plan.shards.len()),
            tests: shard.tests,
            seconds: seconds(shard.micros),
            filterset,
            arguments,
        })
    };
    let long = |long: &LongTest| LongTestView {
        binary: long.binary.clone(),
        test: long.test.clone(),
        seconds: self::seconds(long.micros),
    };
    Ok(ShardsView {
        version: VERSION,
        tests: plan.tests,
        without_time: plan.without_time,
        seconds: seconds(plan.micros),
        shards: chosen(sharded).map(shard).collect::<io::Result<_>>()?,
        too_long: plan.too_long.iter().map(long).collect(),
    })
}

fn human(mut out: &mut impl Write, sharded: &Sharded) -> io::Result<()> {
    let plan = &sharded.plan;
    let time = |micros| {
        if plan.without_time < plan.tests {
            text_of(micros)
        } else {
            "-".to_owned()
        }
    };
    let rows: Vec<_> = chosen(sharded)
        .map(|(number, shard)| {
            [
                format!("{number}/{}", plan.shards.len()),
                shard.tests.to_string(),
                time(shard.micros),
            ]
        })
        .collect();
    table::write(&mut out, ["shard", "tests", "time"], &rows)?;
    warn(out, plan)?;
    let times = match (plan.without_time, plan.assumed) {
        (0, _) => format!(", {}", text_of(plan.micros)),
        (number, Some(assumed)) => {
            let verb = if number == 1 { "counts" } else { "count" };
            let (all, assumed) = (text_of(plan.micros), text_of(assumed));
            format!(", {all}; {number} without a recorded time {verb} as {assumed}")
        }
        (_, None) => "; no test has a recorded time, so the shards have equal numbers of tests".to_owned(),
    };
    writeln!(
        out,
        "{BOLD}cofferdam:{BOLD:#} {} in {}{times}",
        count(plan.tests as u64, "test"),
        count(plan.shards.len() as u64, "shard"),
    )?;
    match next_step(sharded) {
        Some(line) => writeln!(out, "help: {line}"),
        None => Ok(()),
    }
}

/// Returns the line that runs the first shard, with the words of the user's command; `None` if no shell can read it.
fn next_step(sharded: &Sharded) -> Option<String> {
    let is_nextest = matches!(sharded.plan.shards.first()?.selection, Selection::Filterset(_));
    let shard = format!("1/{}", sharded.plan.shards.len());
    let format = if is_nextest { "nextest" } else { "cargo" };
    let mut words = [
        "cargo",
        "cofferdam",
        "shards",
        "--shard",
        &shard,
        "--format",
        format,
    ]
    .map(OsString::from)
    .to_vec();
    words.extend(
        sharded
            .times
            .iter()
            .flat_map(|file| ["--times".into(), file.into()]),
    );
    if !sharded.command.is_empty() {
        words.push("--".into());
        words.extend_from_slice(&sharded.command);
    }
    let (selection, before) = (shell_line(&words)?, shell_line(&sharded.runs.0)?);
    Some(if is_nextest {
        let after = shell_line(&sharded.runs.1)?;
        format!("{before} -E \"$({selection})\" {after}")
            .trim_end()
            .to_owned()
    } else {
        format!("{selection} | xargs -L1 {before}")
    })
}

/// Names the tests that no division makes short enough.
pub(super) fn warn(out: &mut impl Write, plan: &Plan) -> io::Result<()> {
    let share = text_of(plan.micros / plan.shards.len().max(1) as u64);
    for LongTest { binary, test, micros } in plan.too_long.iter().take(NAMED) {
        let name = test.as_ref().map_or_else(
            || format!("{binary} as a whole"),
            |test| format!("{binary}::{test}"),
        );
        let text = format!(
            "{name} takes {}, more than a shard's share of {share}: split it to shorten its shard",
            text_of(*micros)
        );
        headline(out, Severity::Warning, "too long", &text)?;
    }
    if plan.too_long.len() > NAMED {
        let more = format!("and {} more", plan.too_long.len() - NAMED);
        headline(out, Severity::Warning, "too long", &more)?;
    }
    Ok(())
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn text_of(micros: u64) -> String {
    format!("{:.2} s", seconds(micros))
}
