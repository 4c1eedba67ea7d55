//! The outcome of `hunt`: one paragraph for each cause, then what was run and what was not.

use super::failure_rate::rate;
use super::human::block;
use super::hunt_statics::statics;
use super::shell_line::rerun_command;
use super::style::{BOLD, DIM, RED, YELLOW};
use super::text::{count, plain};
use crate::commands::hunt::{Cause, Hunted};
use crate::findings::SharedUse;
use crate::hunt::{Class, Verdict};
use crate::observe::DOCTEST;
use crate::scene::{TestId, rerun_words};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

/// The number of tests of one cause that are listed.
const LISTED: usize = 20;
/// The number of resources that may be listed as the cause.
const RESOURCES: usize = 5;

pub(super) fn human(mut out: &mut dyn Write, hunted: &Hunted) -> io::Result<()> {
    for cause in &hunted.causes {
        paragraph(out, cause, hunted)?;
    }
    notes(&mut out, hunted)?;
    writeln!(out, "cofferdam: {}", last_line(hunted))
}

/// Writes what was run and what was not, and what the runs left behind.
pub(super) fn notes(out: &mut impl Write, hunted: &Hunted) -> io::Result<()> {
    if let Some(stopped) = &hunted.stopped {
        let what = match stopped.hung.as_slice() {
            [] => ", and no test ran for half of that: a larger --time-budget allows more".to_owned(),
            hung => format!("; without an end: {}", names(hung, ", ")),
        };
        let after = humantime::format_duration(stopped.after);
        writeln!(
            out,
            "{YELLOW}stopped:{YELLOW:#} the command did not end within {after}{what}"
        )?;
    }
    if hunted.was_killed {
        writeln!(
            out,
            "{YELLOW}killed:{YELLOW:#} the command was killed while it ran, perhaps by one of its tests: they are not started again, \
             as that would end the hunt"
        )?;
    }
    let is_stable = |test: &&TestId| {
        hunted
            .report
            .verdicts
            .iter()
            .all(|verdict| verdict.test != **test)
    };
    for test in hunted.given.iter().filter(is_stable) {
        writeln!(out, "stable: {} failed in no run", plain(&test.to_string()))?;
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
    for failed in &hunted.failed_teardowns {
        block(out, failed, None)?;
    }
    if hunted.ended_early() {
        let what = "the first run ended at a failure, so what later tests share was not observed";
        writeln!(out, "{YELLOW}note:{YELLOW:#} {what}: hunt with `--no-fail-fast`")?;
    }
    if hunted.unguarded > 0 {
        writeln!(
            out,
            "{YELLOW}note:{YELLOW:#} tests use {} at the same time without a lock; no failure was shown to come from that: `cargo \
             cofferdam observe --confirm` lists them",
            count(hunted.unguarded as u64, "resource")
        )?;
    }
    Ok(())
}

fn paragraph(out: &mut dyn Write, cause: &Cause, hunted: &Hunted) -> io::Result<()> {
    let Some(verdict) = cause.verdicts.first() else {
        return Ok(());
    };
    let test = plain(&verdict.test.to_string()).into_owned();
    let style = match verdict.class {
        Class::Unexplained { .. } => YELLOW,
        _ => RED,
    };
    writeln!(
        out,
        "{style}{}:{style:#} {BOLD}{test}{BOLD:#} {}",
        verdict.class.id(),
        what(verdict)
    )?;
    other_tests(out, cause)?;
    if let Some(rates) = rates(verdict) {
        writeln!(out, "  {rates}")?;
    }
    if hunted.hung.contains(&verdict.test) {
        let limit = humantime::format_duration(hunted.limit);
        writeln!(
            out,
            "  a failure here is a test that does not end; it was stopped after {limit}"
        )?;
    }
    if verdict.class == Class::Brittle && hunted.is_under_nextest() {
        writeln!(out, "  in one process, as under `cargo test`")?;
    } else {
        resources(out, cause, &hunted.dir)?;
    }
    if !cause.users.is_empty() {
        let more = cause.users.len().saturating_sub(LISTED);
        let listed = &cause.users[..cause.users.len() - more];
        let more = match more {
            0 => String::new(),
            more => format!(" and {}", count(more as u64, "more test")),
        };
        writeln!(out, "  also used by {}{more}", names(listed, ", "))?;
    }
    if let Some(rerun) = rerun(verdict, hunted, &hunted.command) {
        let note = match verdict.paused {
            Some(_) => " (without the pauses)",
            None => "",
        };
        writeln!(out, "  {DIM}rerun{note}:{DIM:#} {rerun}")?;
    }
    writeln!(out, "  {BOLD}help:{BOLD:#} {}\n", plain(&help(cause, hunted)))
}

fn other_tests(out: &mut dyn Write, cause: &Cause) -> io::Result<()> {
    let [verdict, others @ ..] = cause.verdicts.as_slice() else {
        return Ok(());
    };
    // They have nothing of their own to show.
    let listed = if verdict.class == Class::Cascade {
        0
    } else {
        LISTED
    };
    for other in others.iter().take(listed) {
        writeln!(
            out,
            "  {} {}",
            plain(&other.test.to_string()),
            how_too(other, verdict)
        )?;
    }
    if others.len() > listed {
        writeln!(
            out,
            "  and {}",
            count((others.len() - listed) as u64, "more test")
        )?;
    }
    Ok(())
}

/// Returns what happens to the first test of a cause, in one sentence.
pub(super) fn summary(cause: &Cause) -> String {
    let verdict = &cause.verdicts[0];
    format!("{} {}", plain(&verdict.test.to_string()), what(verdict))
}

/// Returns the other tests of a cause, the rates that show it, and what its tests share. The command that repeats it is for
/// terminals only: it may hold secrets.
pub(super) fn details(cause: &Cause, hunted: &Hunted) -> Vec<String> {
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = other_tests(&mut out, cause).and_then(|()| resources(&mut out, cause, &hunted.dir));
    let text = anstream::adapter::strip_bytes(&out).into_vec();
    let text = String::from_utf8_lossy(&text);
    let rates = rates(&cause.verdicts[0]).into_iter();
    rates
        .chain(text.lines().map(|line| line.trim().to_owned()))
        .collect()
}

fn names(tests: &[TestId], conjunction: &str) -> String {
    let names: Vec<String> = tests.iter().map(|test| plain(&test.name).into_owned()).collect();
    names.join(conjunction)
}

/// Returns what happens to another test with the cause of the first.
pub(super) fn how_too(other: &Verdict, first: &Verdict) -> String {
    let is_same = other.class == first.class && other.culprits == first.culprits;
    match &other.class {
        _ if is_same => "too".to_owned(),
        Class::Unexplained { .. } => {
            format!("failed in {}, perhaps for the same reason", rate(other.with))
        }
        _ => what(other),
    }
}

/// Returns what happens to the test.
pub(super) fn what(verdict: &Verdict) -> String {
    // Each culprit that was shown with pauses suffices; otherwise they are a minimal set.
    let conjunction = if verdict.paused.is_some() { " or " } else { " and " };
    let culprits = names(&verdict.culprits, conjunction);
    match &verdict.class {
        Class::Victim => format!("fails after {culprits}"),
        // Another test may set the same state.
        Class::Brittle => format!("fails alone, and passes after {culprits}"),
        Class::Race => format!("fails beside {culprits}"),
        Class::Own => "sometimes fails, even alone".to_owned(),
        Class::Load => "fails while the processors are busy".to_owned(),
        Class::Leftover => "fails when it runs again: it finds what an earlier run left behind".to_owned(),
        Class::TwoRuns => "fails while a second run of the suite goes on".to_owned(),
        Class::Cascade => format!("fails because {culprits} failed before it"),
        Class::Failing => "fails in every run".to_owned(),
        Class::Unexplained { why } if why == DOCTEST => format!("failed; {why}"),
        Class::Unexplained { why } => {
            let has_passed = [verdict.with, verdict.without]
                .iter()
                .any(|rate| rate.failed < rate.runs);
            let how = if has_passed {
                "fails sometimes"
            } else {
                "failed in each run"
            };
            format!("{how}, and no cause was found: {}", plain(why))
        }
    }
}

/// Returns the rates that show it.
pub(super) fn rates(verdict: &Verdict) -> Option<String> {
    if let Some(reason) = &verdict.paused {
        return Some(format!("with pauses where they use it: {}", plain(reason)));
    }
    let (with, without) = (rate(verdict.with), rate(verdict.without));
    let others = if verdict.culprits.len() == 1 { "it" } else { "them" };
    Some(match verdict.class {
        Class::Victim | Class::Brittle => format!("failed in {without} alone, in {with} after {others}"),
        // Documentation tests cannot run alone.
        Class::Race if verdict.scene.tests.is_empty() => {
            format!("one of them failed in {with} concurrently, in {without} one after the other")
        }
        Class::Race => format!("failed in {with} beside {others}, in {without} alone"),
        Class::Own => {
            let (low, high) = verdict.without.interval();
            let percent = |share: f64| share * 100.0;
            format!(
                "failed in {without} alone: {:.1} to {:.1} %",
                percent(low),
                percent(high)
            )
        }
        Class::Load => format!("failed in {with} with busy processors, in {without} without"),
        Class::TwoRuns => format!("failed in {with} with a second copy, in {without} without"),
        Class::Cascade => format!("failed in {with} after that failure, in {without} without it"),
        // One run leaves behind what the next fails at and removes.
        Class::Leftover if verdict.with.runs == 0 => format!(
            "failed in every other of {}",
            count(verdict.without.runs.into(), "run")
        ),
        Class::Leftover => format!("failed in {with}, in {without} without what earlier runs left behind"),
        Class::Unexplained { .. } if verdict.with.runs > 0 => format!("failed in {with}"),
        Class::Failing | Class::Unexplained { .. } => return None,
    })
}

/// Writes what the test shares with the tests that make it fail.
fn resources(out: &mut dyn Write, cause: &Cause, root: &Path) -> io::Result<()> {
    if let Some(shown) = &cause.static_cause {
        let culprits = names(&cause.verdicts[0].culprits, " and ");
        return statics(out, shown, &culprits, root);
    }
    let has_others = matches!(
        cause.verdicts[0].class,
        Class::Victim | Class::Brittle | Class::Race
    );
    if !has_others {
        return cause.uses.iter().take(RESOURCES).try_for_each(|own| {
            let resource = own.resource.to_string();
            writeln!(out, "  it uses {}{}", plain(&resource), places(own))
        });
    }
    if cause.uses.is_empty() {
        writeln!(out, "  {DIM}{}{DIM:#}", nothing_shared(cause))?;
        for one in cause.statics.iter().take(RESOURCES) {
            writeln!(out, "    {}: {}", plain(&one.shown(root)), one.meaning())?;
        }
        return Ok(());
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

/// Returns why no resource that the tests share is named.
pub(super) fn nothing_shared(cause: &Cause) -> &'static str {
    match cause.is_unobserved {
        true => "what they use was not observed; under `cargo nextest run` it is",
        false => "no resource that both use was observed: perhaps memory, such as a static",
    }
}

fn places(shared: &SharedUse) -> String {
    let word = |writes| if writes { "changed" } else { "used" };
    let culprit = shared
        .culprit_place
        .as_ref()
        .map(|place| format!("{} at {place}", word(shared.culprit_writes)));
    // That the culprit changes it is enough to know.
    let own_word = word(shared.test_writes && !shared.culprit_writes);
    let own = shared
        .test_place
        .as_ref()
        .map(|place| format!("{own_word} by the test at {place}"));
    let places: Vec<String> = culprit.into_iter().chain(own).collect();
    match places.is_empty() {
        true => String::new(),
        false => format!(": {}", plain(&places.join(", "))),
    }
}

/// Returns the command that repeats it, with the words of the user's command.
pub(super) fn rerun(verdict: &Verdict, hunted: &Hunted, command: &[OsString]) -> Option<String> {
    if verdict.scene.tests.is_empty() {
        return None;
    }
    let mut words = rerun_words(&verdict.scene, &verdict.test, &hunted.tests);
    let times = match verdict.class {
        // So often it fails at least once, most likely.
        Class::Own => verdict.without.runs_to_refute(),
        _ => verdict.paused.as_ref().map(|_| 100),
    };
    if hunted.hung.contains(&verdict.test) {
        let limit = humantime::format_duration(hunted.limit);
        words.extend(["--timeout".to_owned(), limit.to_string().replace(' ', "")]);
    }
    if let Some(times) = times {
        words.extend(["--times".to_owned(), times.to_string()]);
    }
    rerun_command(&words, command)
}

pub(super) fn help(cause: &Cause, hunted: &Hunted) -> String {
    if let Some(shared) = &cause.static_use {
        return shared.help.clone();
    }
    let verdict = &cause.verdicts[0];
    let culprits = verdict
        .culprits
        .iter()
        .map(|test| test.name.as_str())
        .collect::<Vec<_>>()
        .join(" and ");
    let through = match (&cause.static_cause, cause.uses.as_slice()) {
        (Some(shown), _) => match shown.sets.as_slice() {
            [set] if set.len() == 1 => set[0].id.shown().to_owned(),
            _ => "these statics".to_owned(),
        },
        (None, [one]) => one.resource.to_string(),
        (None, _) => "what it changes".to_owned(),
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
            _ => "run them one after the other, or give each its own state".to_owned(),
        },
        Class::Own => {
            "no other test is involved: look at its threads, its use of the clock, and randomness".to_owned()
        }
        Class::Load => "wait for the event itself instead of a fixed time".to_owned(),
        Class::Leftover => {
            "remove what it creates, or create it in a new directory, as `tempfile::tempdir()` does".to_owned()
        }
        Class::TwoRuns => "replace the fixed path, port or name by one that differs between runs".to_owned(),
        Class::Cascade => format!("fix {culprits} first; its panic made the others fail"),
        Class::Failing => "it is not unstable: fix the test or the code".to_owned(),
        Class::Unexplained { why } if why == DOCTEST => {
            "only a test function can be examined: call the same from one".to_owned()
        }
        Class::Unexplained { .. } if hunted.report.untried.is_empty() => {
            "run the command above with --times 100: it shows how often the test fails, and what it prints then"
                .to_owned()
        }
        Class::Unexplained { .. } => "a larger --time-budget allows more runs".to_owned(),
    }
}

/// Returns the extent of the hunt.
pub(super) fn last_line(hunted: &Hunted) -> String {
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
                _ if hunted.stopped.is_some() => "(stopped)".to_owned(),
                1 => format!("(exit code {})", hunted.ended.code()),
                _ => format!("in {}", rate(runs)),
            };
            format!("the command failed {times}, but none of its {tests} that are known by name")
        }
        0 => format!("{} stable", count(hunted.tests.len() as u64, "test")),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fix::named_statics::NamedStatic;
    use crate::hunt::HuntReport;
    use crate::rates::FailureRate;
    use crate::scene::{Arrangement, Scene};
    use std::path::PathBuf;

    fn test(name: &str) -> TestId {
        TestId {
            binary: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn rate_of(failed: u32, runs: u32) -> FailureRate {
        FailureRate { failed, runs }
    }

    fn verdict(class: Class, culprits: &[&str], with: FailureRate, without: FailureRate) -> Verdict {
        let culprits: Vec<TestId> = culprits.iter().map(|name| test(name)).collect();
        Verdict {
            test: test("total"),
            class,
            scene: Scene::of(
                [&[test("total")], culprits.as_slice()].concat(),
                Arrangement::Parallel,
            ),
            culprits,
            with,
            without,
            reruns: 1,
            paused: None,
        }
    }

    #[test]
    fn where_nothing_was_observed_a_static_that_the_tests_name_is_shown() {
        let statics = vec![NamedStatic {
            name: "TILL".to_owned(),
            kind: "OnceLock",
            file: PathBuf::from("/w/src/lib.rs"),
            line: 3,
            has_library: false,
        }];
        let cause = Cause {
            verdicts: vec![verdict(Class::Victim, &["other"], rate_of(1, 1), rate_of(0, 1))],
            statics,
            ..Cause::default()
        };
        let mut out = Vec::new();
        resources(&mut out, &cause, Path::new("/w")).unwrap();
        let out = anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string();
        let last = "    `TILL`, a value of OnceLock (src/lib.rs:3): the tests of a process share it, and under nextest each test has its own\n";
        assert!(out.ends_with(last), "{out}");
    }

    /// A hunt of this command with one verdict.
    fn hunted(verdict: Verdict, command: &[&str]) -> Hunted {
        let cause = Cause {
            verdicts: vec![verdict.clone()],
            uses: Vec::new(),
            ..Cause::default()
        };
        Hunted {
            command: command.iter().map(Into::into).collect(),
            dir: PathBuf::new(),
            tests: vec![test("total")],
            results: Vec::new(),
            conflicts: Vec::new(),
            left_out: Vec::new(),
            ended: crate::exit_code::Ended::Passed,
            stopped: None,
            was_killed: false,
            hung: [].into(),
            limit: std::time::Duration::from_secs(1),
            command_runs: rate_of(0, 1),
            doc_tests: 0,
            unguarded: 0,
            given: Vec::new(),
            report: HuntReport {
                regimes: Vec::new(),
                verdicts: vec![verdict],
                untried: Vec::new(),
            },
            causes: vec![cause],
            seed: 7,
            left: Vec::new(),
            failed_teardowns: Vec::new(),
            is_interrupted: false,
        }
    }

    /// The paragraph on one verdict of a hunt of this command.
    fn text(verdict: Verdict, command: &[&str]) -> String {
        let mut out = Vec::new();
        human(&mut out, &hunted(verdict, command)).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    const CARGO: [&str; 2] = ["cargo", "test"];

    #[test]
    fn a_first_run_that_ended_at_a_failure_is_noted() {
        let mut hunted = hunted(verdict(Class::Failing, &[], rate_of(3, 3), rate_of(0, 0)), &CARGO);
        hunted.ended = crate::exit_code::Ended::Failed {
            code: 101,
            signal: None,
        };
        let mut out = Vec::new();
        notes(&mut out, &hunted).unwrap();
        assert!(
            String::from_utf8(out)
                .unwrap()
                .contains("hunt with `--no-fail-fast`")
        );
    }

    #[track_caller]
    fn assert_says(verdict: Verdict, wanted: &str) {
        let text = text(verdict, &CARGO);
        assert!(text.contains(wanted), "{wanted}: {text}");
    }

    #[test]
    fn the_test_that_changes_the_resource_is_named() {
        let shared = |culprit_writes, test_writes| SharedUse {
            resource: cofferdam::Resource::env("CURRENCY"),
            culprit_place: Some("tests/a.rs:3".to_owned()),
            culprit_writes,
            test_place: Some("tests/a.rs:9".to_owned()),
            test_writes,
            help: String::new(),
        };
        for (culprit, own, wanted) in [
            (
                true,
                true,
                ": changed at tests/a.rs:3, used by the test at tests/a.rs:9",
            ),
            (
                false,
                true,
                ": used at tests/a.rs:3, changed by the test at tests/a.rs:9",
            ),
        ] {
            assert_eq!(places(&shared(culprit, own)), wanted);
        }
    }

    #[test]
    fn the_rate_of_a_test_that_fails_by_itself_is_that_of_its_runs_alone() {
        let own = verdict(Class::Own, &[], FailureRate::default(), rate_of(20, 100));
        assert_says(own, "failed in 20 of 100 runs alone: 13.3 to 28.9 %");
    }

    #[test]
    fn other_tests_may_set_the_state_of_a_brittle_test_too() {
        let brittle = verdict(Class::Brittle, &["open"], rate_of(0, 3), rate_of(10, 10));
        assert_says(
            brittle,
            "brittle: shop::total fails alone, and passes after open\n",
        );
    }

    #[test]
    fn each_culprit_with_pauses_suffices_and_other_culprits_are_needed_together() {
        let set = verdict(Class::Race, &["a", "b"], rate_of(4, 9), rate_of(0, 30));
        assert_says(
            set.clone(),
            "fails beside a and b\n  failed in 4 of 9 runs beside them,",
        );
        let paused = Some("total failed in 4 of 4 runs beside a".to_owned());
        let text = text(Verdict { paused, ..set }, &CARGO);
        assert!(text.contains("fails beside a or b\n"), "{text}");
        assert!(
            text.contains(
                "rerun (without the pauses): cargo cofferdam rerun total a b --parallel --times 100 --"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_leftover_is_shown_by_runs_without_it() {
        let leftover = verdict(Class::Leftover, &[], rate_of(9, 9), rate_of(0, 2));
        assert_says(
            leftover,
            "failed in 9 of 9 runs, in 0 of 2 runs without what earlier runs left behind",
        );
        let alternating = verdict(Class::Leftover, &[], FailureRate::default(), rate_of(6, 12));
        assert_says(alternating, "failed in every other of 12 runs");
    }

    #[test]
    fn more_time_is_recommended_only_where_it_was_short() {
        let why = "it did not fail again often enough".to_owned();
        let unexplained = verdict(Class::Unexplained { why }, &[], rate_of(1, 7), rate_of(0, 200));
        let text = text(unexplained, &CARGO);
        assert!(
            text.contains("--times 100") && !text.contains("--time-budget"),
            "{text}"
        );
    }
}
