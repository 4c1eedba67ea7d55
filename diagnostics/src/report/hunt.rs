//! The outcome of `hunt`: one paragraph for each cause, then what was run and what was not.

use super::json_line;
use super::shell_line::shell_line;
use super::style::{BOLD, DIM, RED, YELLOW};
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::hunt::{Cause, Hunted, SharedUse};
use crate::hunt::{Class, Verdict};
use crate::observe::DOCTEST;
use crate::rates::FailureRate;
use crate::scene::{TestId, rerun_words};
use serde::Serialize;
use std::ffi::OsString;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;
/// The number of tests of one cause that are listed.
const LISTED: usize = 20;
/// The number of resources that may be listed as the cause.
const RESOURCES: usize = 5;

pub(super) fn write(out: &mut dyn Write, format: ListFormat, hunted: &Hunted) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, hunted),
        ListFormat::Json => json_line::write(out, &HuntView::of(hunted)),
    }
}

fn human(out: &mut dyn Write, hunted: &Hunted) -> io::Result<()> {
    for cause in &hunted.causes {
        paragraph(out, cause, hunted)?;
    }
    for (program, why) in &hunted.left_out {
        writeln!(out, "{YELLOW}left out:{YELLOW:#} {}: {why}", plain(program))?;
    }
    for path in &hunted.left {
        let path = path.display().to_string();
        writeln!(out, "{YELLOW}left behind:{YELLOW:#} {}", plain(&path))?;
    }
    for what in &hunted.report.untried {
        writeln!(out, "{YELLOW}not tried:{YELLOW:#} {}", plain(what))?;
    }
    writeln!(out, "cofferdam: {}", last_line(hunted))
}

fn paragraph(out: &mut dyn Write, cause: &Cause, hunted: &Hunted) -> io::Result<()> {
    let [verdict, others @ ..] = cause.verdicts.as_slice() else {
        return Ok(());
    };
    let test = plain(&verdict.test.to_string()).into_owned();
    let culprits = names(&verdict.culprits);
    let style = match verdict.class {
        Class::Unexplained { .. } => YELLOW,
        _ => RED,
    };
    writeln!(
        out,
        "{style}{}:{style:#} {BOLD}{test}{BOLD:#} {}",
        verdict.class.id(),
        what(verdict, &culprits)
    )?;
    for other in others.iter().take(LISTED) {
        let is_same = other.class == verdict.class && other.culprits == verdict.culprits;
        let how = if is_same {
            "too".to_owned()
        } else {
            what(other, &names(&other.culprits))
        };
        writeln!(out, "  {} {how}", plain(&other.test.to_string()))?;
    }
    if others.len() > LISTED {
        writeln!(
            out,
            "  and {}",
            count((others.len() - LISTED) as u64, "more test")
        )?;
    }
    if let Some(rates) = rates(verdict) {
        writeln!(out, "  {rates}")?;
    }
    resources(out, cause)?;
    if let Some(rerun) = rerun(verdict, hunted) {
        writeln!(out, "  {DIM}rerun:{DIM:#} {rerun}")?;
    }
    writeln!(out, "  {BOLD}help:{BOLD:#} {}\n", plain(&help(cause)))
}

fn names(tests: &[TestId]) -> String {
    let names: Vec<String> = tests.iter().map(|test| plain(&test.name).into_owned()).collect();
    names.join(" and ")
}

/// Returns what happens to the test.
fn what(verdict: &Verdict, culprits: &str) -> String {
    match &verdict.class {
        Class::Victim => format!("fails after {culprits}"),
        Class::Brittle => format!("fails unless {culprits} ran before it"),
        Class::Race => format!("fails beside {culprits}"),
        Class::Own => "fails now and then, also alone".to_owned(),
        Class::Load => "fails while the processors are busy".to_owned(),
        Class::Leftover => "fails when it runs again: it finds what an earlier run left behind".to_owned(),
        Class::TwoRuns => "fails while a second run of the suite goes on".to_owned(),
        Class::Cascade => format!("fails because {culprits} failed before it"),
        Class::Failing => "fails in every run".to_owned(),
        Class::Unexplained { why } if why == DOCTEST => format!("failed; {why}"),
        Class::Unexplained { why } => format!("fails sometimes, and no cause was found: {}", plain(why)),
    }
}

fn rate(rate: FailureRate) -> String {
    format!("{} of {}", rate.failed, count(rate.runs.into(), "run"))
}

/// Returns the rates that show it.
fn rates(verdict: &Verdict) -> Option<String> {
    if let Some(reason) = &verdict.paused {
        return Some(format!("with pauses where they use it: {}", plain(reason)));
    }
    let (with, without) = (rate(verdict.with), rate(verdict.without));
    Some(match verdict.class {
        Class::Victim | Class::Brittle => format!("failed in {without} alone, in {with} after it"),
        Class::Race => format!("failed in {with} beside it, in {without} alone"),
        Class::Own => {
            let (low, high) = verdict.with.interval();
            let percent = |share: f64| share * 100.0;
            format!(
                "failed in {with} alone: {:.1} to {:.1} %",
                percent(low),
                percent(high)
            )
        }
        Class::Load => format!("failed in {with} with busy processors, in {without} without"),
        Class::TwoRuns => format!("failed in {with} with a second copy, in {without} without"),
        Class::Cascade => format!("failed in {with} after that failure, in {without} without it"),
        Class::Leftover if verdict.with == verdict.without => {
            "passed with an empty temporary directory, and failed in every other run".to_owned()
        }
        Class::Unexplained { .. } if verdict.with.runs > 0 => format!("failed in {with}"),
        Class::Leftover | Class::Failing | Class::Unexplained { .. } => return None,
    })
}

/// Writes what the test shares with the tests that make it fail.
fn resources(out: &mut dyn Write, cause: &Cause) -> io::Result<()> {
    for path in cause.paths.iter().take(RESOURCES) {
        writeln!(out, "  it creates {}", plain(path))?;
    }
    let has_others = matches!(
        cause.verdicts[0].class,
        Class::Victim | Class::Brittle | Class::Race
    );
    if !has_others {
        return Ok(());
    }
    if cause.uses.is_empty() {
        let what = "nothing that both use was observed: perhaps memory, such as a static";
        return writeln!(out, "  {DIM}through {what}{DIM:#}");
    }
    if let [shared] = cause.uses.as_slice() {
        let resource = shared.resource.to_string();
        return writeln!(out, "  through {}{}", plain(&resource), places(shared));
    }
    writeln!(out, "  through one of")?;
    for shared in cause.uses.iter().take(RESOURCES) {
        writeln!(
            out,
            "    {}{}",
            plain(&shared.resource.to_string()),
            places(shared)
        )?;
    }
    if cause.uses.len() > RESOURCES {
        let more = cause.uses.len() - RESOURCES;
        writeln!(out, "    and {}", count(more as u64, "more resource"))?;
    }
    Ok(())
}

fn places(shared: &SharedUse) -> String {
    let word = if shared.culprit_writes { "changed" } else { "used" };
    let culprit = shared
        .culprit_place
        .as_ref()
        .map(|place| format!("{word} at {place}"));
    let own = shared
        .test_place
        .as_ref()
        .map(|place| format!("used by the test at {place}"));
    let places: Vec<String> = culprit.into_iter().chain(own).collect();
    match places.is_empty() {
        true => String::new(),
        false => format!(": {}", plain(&places.join(", "))),
    }
}

/// Returns the command that repeats it.
fn rerun(verdict: &Verdict, hunted: &Hunted) -> Option<String> {
    if verdict.scene.tests.is_empty() {
        return None;
    }
    let words = rerun_words(&verdict.scene, &verdict.test, &hunted.tests);
    let words = ["cargo", "cofferdam", "rerun"]
        .map(str::to_owned)
        .into_iter()
        .chain(words);
    let words = words.chain(["--".to_owned()]).map(OsString::from);
    let words: Vec<OsString> = words.chain(hunted.command.iter().cloned()).collect();
    shell_line(&words)
}

fn help(cause: &Cause) -> String {
    let verdict = &cause.verdicts[0];
    let culprits = verdict
        .culprits
        .iter()
        .map(|test| test.name.as_str())
        .collect::<Vec<_>>()
        .join(" and ");
    let through = match cause.uses.as_slice() {
        [one] => one.resource.to_string(),
        _ => "what it changes".to_owned(),
    };
    match &verdict.class {
        Class::Victim => format!(
            "restore {through} at the end of {culprits}, or give each test its own; a lock does not help"
        ),
        Class::Brittle => format!(
            "let {} itself do what {culprits} does for it; a lock does not help",
            verdict.test.name
        ),
        Class::Race => match cause.uses.first() {
            Some(shared) if !shared.help.is_empty() => shared.help.clone(),
            _ => "run the two one after the other, or give each its own state".to_owned(),
        },
        Class::Own => {
            "no other test is involved: look at its threads, its use of the clock, and randomness".to_owned()
        }
        Class::Load => "wait for the event itself instead of a fixed time".to_owned(),
        Class::Leftover => "remove what it creates, or create it in a temporary directory".to_owned(),
        Class::TwoRuns => "replace the fixed path, port or name by one that differs between runs".to_owned(),
        Class::Cascade => format!("fix {culprits} first; its panic made the others fail"),
        Class::Failing => "nothing about it is unstable; fix the test or the code".to_owned(),
        Class::Unexplained { why } if why == DOCTEST => {
            "only a test function can be examined: call the same from one".to_owned()
        }
        Class::Unexplained { .. } => "a larger --time-budget allows more runs".to_owned(),
    }
}

/// Returns the extent of the hunt.
fn last_line(hunted: &Hunted) -> String {
    let regimes = |void: bool| -> Vec<String> {
        let regimes = hunted.report.regimes.iter();
        let own = regimes.filter(|regime| regime.void.is_some() == void);
        own.map(|regime| regime.regime.to_string()).collect()
    };
    let (ran, void) = (regimes(false), regimes(true));
    let tests = count((hunted.tests.len() + hunted.doc_tests) as u64, "test");
    let runs = hunted.command_runs;
    let mut line = match hunted.causes.len() {
        _ if hunted.is_unexplained() => {
            let times = match runs.runs {
                1 => format!("(exit code {})", hunted.ended.code()),
                _ => format!("in {}", rate(runs)),
            };
            format!("the command failed {times}, but none of its {tests} that are known by name")
        }
        0 => format!("{tests} stable"),
        _ => format!("{} of {tests} unstable or failing", hunted.report.verdicts.len()),
    };
    line.push_str(&format!(" ({})", ran.join(", ")));
    if runs.runs > 1 && !hunted.is_unexplained() {
        line.push_str(&format!("; the command failed in {}", rate(runs)));
    }
    if !void.is_empty() {
        line.push_str(&format!("; no result: {}", void.join(", ")));
    }
    line.push_str(&format!("; seed {}", hunted.seed));
    if hunted.is_interrupted {
        line.push_str("; interrupted, --resume continues");
    }
    line
}

#[derive(Serialize)]
struct HuntView<'a> {
    version: u64,
    tests: usize,
    causes: Vec<CauseView<'a>>,
    regimes: Vec<RegimeView<'a>>,
    left_out: Vec<LeftOutView<'a>>,
    left_behind: Vec<String>,
    untried: &'a [String],
    seed: u64,
    command_exit_code: u8,
    command_runs: RateView,
    interrupted: bool,
}

#[derive(Serialize)]
struct CauseView<'a> {
    class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    tests: Vec<String>,
    culprits: Vec<String>,
    with: RateView,
    without: RateView,
    resources: Vec<ResourceView<'a>>,
    paths: &'a [String],
    reruns: u32,
    help: String,
}

#[derive(Serialize)]
struct RateView {
    failed: u32,
    runs: u32,
}

#[derive(Serialize)]
struct ResourceView<'a> {
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    culprit_place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_place: Option<&'a str>,
}

#[derive(Serialize)]
struct RegimeView<'a> {
    regime: String,
    failed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    void: Option<&'a str>,
}

#[derive(Serialize)]
struct LeftOutView<'a> {
    program: &'a str,
    reason: &'static str,
}

impl<'a> HuntView<'a> {
    fn of(hunted: &'a Hunted) -> Self {
        let regimes = hunted.report.regimes.iter();
        Self {
            version: VERSION,
            tests: hunted.tests.len() + hunted.doc_tests,
            causes: hunted.causes.iter().map(CauseView::of).collect(),
            regimes: regimes
                .map(|regime| RegimeView {
                    regime: regime.regime.to_string(),
                    failed: regime.failed.iter().map(ToString::to_string).collect(),
                    void: regime.void.as_deref(),
                })
                .collect(),
            left_out: hunted
                .left_out
                .iter()
                .map(|(program, reason)| LeftOutView { program, reason })
                .collect(),
            left_behind: hunted
                .left
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            untried: &hunted.report.untried,
            seed: hunted.seed,
            command_exit_code: hunted.ended.code(),
            command_runs: RateView {
                failed: hunted.command_runs.failed,
                runs: hunted.command_runs.runs,
            },
            interrupted: hunted.is_interrupted,
        }
    }
}

impl<'a> CauseView<'a> {
    fn of(cause: &'a Cause) -> Self {
        let first = &cause.verdicts[0];
        let rate = |rate: FailureRate| RateView {
            failed: rate.failed,
            runs: rate.runs,
        };
        let resource = |shared: &'a SharedUse| ResourceView {
            kind: shared.resource.kind().key(),
            name: shared.resource.as_str(),
            culprit_place: shared.culprit_place.as_deref(),
            test_place: shared.test_place.as_deref(),
        };
        Self {
            class: first.class.id(),
            reason: match &first.class {
                Class::Unexplained { why } => Some(why),
                _ => None,
            },
            tests: cause
                .verdicts
                .iter()
                .map(|verdict| verdict.test.to_string())
                .collect(),
            culprits: first.culprits.iter().map(ToString::to_string).collect(),
            with: rate(first.with),
            without: rate(first.without),
            resources: cause.uses.iter().map(resource).collect(),
            paths: &cause.paths,
            reruns: cause.verdicts.iter().map(|verdict| verdict.reruns).sum(),
            help: help(cause),
        }
    }
}
