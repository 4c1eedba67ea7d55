//! Results of tests from what libtest prints, in each of its formats.
//!
//! Only the harness's own text is here, without what the tests print while they run; but the text of a failed test is part
//! of it and can look like anything, also like results. So results are read from the lines before the failures, and the
//! list of failures from the end.

use crate::findings::ReportedOutcome;
use std::collections::{BTreeMap, BTreeSet};

/// The outcome of a test, with the text of its failure or the reason why the outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) outcome: ReportedOutcome,
    pub(super) failure: Option<String>,
}

/// The reason for the missing result of a test that had begun.
pub(in crate::observe) const RUNNING_AT_END: &str = "it was running when its program ended";

/// The parts of a harness's text.
#[derive(Debug, Default)]
struct Printed {
    outcomes: BTreeMap<String, ReportedOutcome>,
    failures: BTreeMap<String, String>,
    summary: Option<Counts>,
    /// The test whose line has no result yet.
    begun: Option<String>,
}

/// The counts of a summary. Tests and benchmarks that passed are one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

/// Returns the outcome of each test that is in the harness's text, and of each in `ran`, the tests whose threads began, with
/// whether they ended. `text` is what the harness printed, in full if `is_complete`.
///
/// A test without a line of its own passed only if the summary's counts leave no other possibility.
pub(super) fn outcomes(
    text: &str,
    is_complete: bool,
    ran: &BTreeMap<String, bool>,
) -> BTreeMap<String, Reported> {
    let text = without_escapes(text);
    let is_json = text.trim_start().starts_with("{ \"type\"") || text.trim_start().starts_with("{\"type\"");
    let mut printed = if is_json {
        from_json(&text)
    } else {
        from_lines(&text)
    };
    let (summary, known) = (printed.summary.filter(|_| is_complete), printed.counts());
    let begun = printed.begun.iter().filter(|_| summary.is_none());
    let others: BTreeMap<&String, bool> = begun
        .map(|name| (name, false))
        .chain(ran.iter().map(|(name, is_over)| (name, *is_over)))
        .filter(|(name, _)| !printed.outcomes.contains_key(*name))
        .collect();
    let mut all: BTreeMap<String, Reported> = BTreeMap::new();
    for (name, outcome) in &printed.outcomes {
        let (outcome, failure) = (*outcome, printed.failures.remove(name));
        all.insert(name.clone(), Reported { outcome, failure });
    }
    if summary == Some(known) {
        // The others are threads that are no tests.
        return all;
    }
    let have_passed = summary.is_some_and(|summary| {
        summary.failed == known.failed && summary.passed == known.passed + others.len()
    });
    for (name, is_over) in others {
        let (outcome, failure) = match (summary, is_over) {
            _ if have_passed => (ReportedOutcome::Passed, None),
            (None, false) => (ReportedOutcome::Unknown, Some(RUNNING_AT_END)),
            _ => (ReportedOutcome::Unknown, Some("its program did not report it")),
        };
        let failure = failure.map(str::to_owned);
        all.insert(name.clone(), Reported { outcome, failure });
    }
    all
}

impl Printed {
    fn counts(&self) -> Counts {
        let count = |wanted| {
            self.outcomes
                .values()
                .filter(|outcome| **outcome == wanted)
                .count()
        };
        Counts {
            passed: count(ReportedOutcome::Passed),
            failed: count(ReportedOutcome::Failed),
            ignored: count(ReportedOutcome::Ignored),
        }
    }

    /// Enters an outcome. Several tests may have one name, and one that failed must not be hidden by another.
    fn enter(&mut self, name: &str, outcome: ReportedOutcome) {
        let known = self.outcomes.entry(name.to_owned()).or_insert(outcome);
        if outcome == ReportedOutcome::Failed {
            *known = outcome;
        }
    }
}

/// Parses the human-readable formats.
fn from_lines(text: &str) -> Printed {
    let mut printed = Printed::default();
    let lines: Vec<&str> = text.lines().collect();
    let is_heading = |line: &&str| matches!(*line, "failures:" | "successes:");
    let first_heading = lines.iter().position(is_heading).unwrap_or(lines.len());
    let summary = lines.iter().rposition(|line| line.starts_with("test result: "));
    let end_of_results = summary.map_or(first_heading, |summary| summary.min(first_heading));
    let mut begun: Option<&str> = None;
    for line in &lines[..end_of_results] {
        if let Some((name, outcome)) = result_in(line) {
            begun = None;
            printed.enter(name, outcome);
        } else if is_slow_note(line) {
            // With one thread, the note may follow the name.
            begun = name_begun(line).or(begun);
        } else if let Some(outcome) = begun.and_then(|_| outcome_in(line)) {
            // The name is on a line before, behind which another text came.
            printed.enter(begun.take().unwrap_or_default(), outcome);
        } else {
            begun = name_begun(line);
        }
    }
    printed.begun = begun.map(str::to_owned);
    if let Some(summary) = summary {
        printed.summary = counts_in(lines[summary]);
        let list = failures_before(&lines[..summary]);
        for name in &list {
            printed.enter(name, ReportedOutcome::Failed);
        }
        printed.failures = failure_texts(&lines[end_of_results..summary], &list);
    }
    printed
}

/// Returns the name and result in a line such as `test a - should panic ... ok`, or `a --- FAILED` of the terse format.
fn result_in(line: &str) -> Option<(&str, ReportedOutcome)> {
    if let Some(name) = line.strip_suffix(" --- FAILED") {
        return Some((without_mode(name), ReportedOutcome::Failed));
    }
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((without_mode(name), outcome_in(rest)?))
}

/// Returns the name in a line that has no result yet.
fn name_begun(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some(without_mode(name))
}

/// Returns whether the line, or its end, says that a test takes long.
pub(super) fn is_slow_note(line: &str) -> bool {
    line.contains(" has been running for over ") && line.trim_end().ends_with(" seconds")
}

fn outcome_in(text: &str) -> Option<ReportedOutcome> {
    let is = |word: &str| {
        text.strip_prefix(word).is_some_and(|rest| {
            // The time that the test took, or a limit that it exceeded.
            rest.is_empty()
                || rest.starts_with(" <") && rest.ends_with('>')
                || rest.starts_with(" (time limit")
        })
    };
    if is("ok") || text.starts_with("bench: ") {
        Some(ReportedOutcome::Passed)
    } else if is("FAILED") {
        Some(ReportedOutcome::Failed)
    } else if is("ignored") || text.starts_with("ignored, ") {
        Some(ReportedOutcome::Ignored)
    } else {
        None
    }
}

/// Returns the name without what libtest adds about the mode, and without the padding of benchmarks.
fn without_mode(name: &str) -> &str {
    let modes = [" - should panic", " - compile fail", " - compile"];
    let found = modes.iter().find_map(|mode| name.strip_suffix(mode));
    found.unwrap_or(name).trim_end()
}

/// Returns the counts in `test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; …`.
fn counts_in(line: &str) -> Option<Counts> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |word: &str| {
        let found = counts.split("; ").find_map(|part| part.strip_suffix(word));
        found?.trim().parse::<usize>().ok()
    };
    Some(Counts {
        passed: count(" passed")? + count(" measured").unwrap_or(0),
        failed: count(" failed")?,
        ignored: count(" ignored")?,
    })
}

/// Returns the names of the list of failures at the end of these lines.
fn failures_before<'a>(lines: &[&'a str]) -> BTreeSet<&'a str> {
    let mut list = BTreeSet::new();
    for line in lines.iter().rev().skip_while(|line| line.is_empty()) {
        match line.strip_prefix("    ") {
            Some(name) => {
                list.insert(name);
            }
            None if *line == "failures:" => return list,
            None => break,
        }
    }
    BTreeSet::new()
}

/// Returns the texts below headings such as `---- a stdout ----`, of these tests.
fn failure_texts(lines: &[&str], failed: &BTreeSet<&str>) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut current = None;
    for line in lines {
        let heading = line
            .strip_prefix("---- ")
            .and_then(|line| line.strip_suffix(" stdout ----"));
        match heading.filter(|name| failed.contains(name) && !texts.contains_key(*name)) {
            Some(name) => {
                current = Some(name);
                texts.insert(name.to_owned(), String::new());
            }
            // The list of the failures.
            None if *line == "failures:" => current = None,
            None => {
                if let Some(text) = current.and_then(|name| texts.get_mut(name)) {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    for text in texts.values_mut() {
        text.truncate(text.trim_end().len());
    }
    texts
}

/// Parses the events of `--format json`.
fn from_json(text: &str) -> Printed {
    let mut printed = Printed::default();
    for line in text.lines() {
        let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let word = |key: &str| event[key].as_str().unwrap_or_default();
        let number = |key: &str| {
            event[key]
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
        };
        let name = word("name");
        match (word("type"), word("event")) {
            // Two events that became one by a lost piece.
            ("test", _) if number("passed").is_some() => {}
            ("test", "ok") | ("bench", _) => printed.enter(name, ReportedOutcome::Passed),
            ("test", "ignored") => printed.enter(name, ReportedOutcome::Ignored),
            ("test", "failed") => {
                printed.enter(name, ReportedOutcome::Failed);
                let text = word("stdout").trim_end();
                printed.failures.insert(name.to_owned(), text.to_owned());
            }
            ("suite", "ok" | "failed") => {
                printed.summary = number("passed").zip(number("failed")).zip(number("ignored")).map(
                    |((passed, failed), ignored)| Counts {
                        passed: passed + number("measured").unwrap_or(0),
                        failed,
                        ignored,
                    },
                );
            }
            _ => {}
        }
    }
    printed
}

/// Returns the text without the sequences by which it sets colors.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => match letters.next() {
                // Parameters, then a letter.
                Some('[') => {
                    letters.find(|letter| ('@'..='~').contains(letter));
                }
                // The choice of a character set, which has a letter more.
                Some('(' | ')') => {
                    letters.next();
                }
                _ => {}
            },
            '\u{f}' | '\r' => {}
            letter => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::ReportedOutcome::{Failed, Ignored, Passed, Unknown};
    use super::*;
    use proptest::prelude::*;

    /// A test as libtest runs it.
    #[derive(Clone, Debug)]
    struct Test {
        name: String,
        mode: &'static str,
        outcome: ReportedOutcome,
        /// What it prints, shown if it fails.
        output: String,
        is_slow: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Format {
        Pretty,
        /// One thread: the name is printed when the test begins.
        OneByOne,
        Terse,
        Json,
    }

    fn any_format() -> impl Strategy<Value = Format> {
        prop_oneof![
            Just(Format::Pretty),
            Just(Format::OneByOne),
            Just(Format::Terse),
            Just(Format::Json)
        ]
    }

    fn any_test() -> impl Strategy<Value = Test> {
        // Lines that look like results, headings and summaries.
        let line = prop_oneof![
            Just("test a ... FAILED".to_owned()),
            Just("failures:".to_owned()),
            Just("    a".to_owned()),
            Just("test result: ok. 9 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out".to_owned()),
            Just("---- a stdout ----".to_owned()),
            Just(String::new()),
            "[a-zß ]{0,9}",
        ];
        (
            "[a-c:ß]{1,3}( [a-c]{1,3})?( - x \\(line [0-9]\\))?",
            prop::sample::select(vec!["", " - should panic"]),
            prop::sample::select(vec![Passed, Failed, Ignored]),
            prop::collection::vec(line, 0..6),
            any::<bool>(),
        )
            .prop_map(|(name, mode, outcome, lines, is_slow)| Test {
                name,
                mode,
                outcome,
                output: lines.join("\n"),
                is_slow,
            })
    }

    fn suite() -> impl Strategy<Value = Vec<Test>> {
        prop::collection::vec(any_test(), 0..8).prop_map(|mut tests| {
            tests.sort_by(|a, b| a.name.cmp(&b.name));
            tests.dedup_by(|a, b| a.name == b.name);
            tests
        })
    }

    fn count(tests: &[Test], outcome: ReportedOutcome) -> usize {
        tests.iter().filter(|test| test.outcome == outcome).count()
    }

    /// The text of libtest, as far as the results go and all of it.
    fn render(tests: &[Test], format: Format, has_colors: bool) -> (usize, String) {
        let mut out = String::new();
        let color = |text: &str| match has_colors {
            true => format!("\u{1b}[31m{text}\u{1b}(B\u{1b}[m"),
            false => text.to_owned(),
        };
        let (passed, failed, ignored) = (count(tests, Passed), count(tests, Failed), count(tests, Ignored));
        if format == Format::Json {
            out += &format!(
                "{{ \"type\": \"suite\", \"event\": \"started\", \"test_count\": {} }}\n",
                tests.len()
            );
            for test in tests {
                let name = serde_json::json!(test.name);
                let event = match test.outcome {
                    Passed => "\"ok\"".to_owned(),
                    Failed => format!("\"failed\", \"stdout\": {}", serde_json::json!(test.output)),
                    _ => "\"ignored\"".to_owned(),
                };
                out += &format!("{{ \"type\": \"test\", \"event\": \"started\", \"name\": {name} }}\n");
                out += &format!("{{ \"type\": \"test\", \"name\": {name}, \"event\": {event} }}\n");
            }
            let results = out.len();
            out += &format!(
                "{{ \"type\": \"suite\", \"event\": \"ok\", \"passed\": {passed}, \"failed\": {failed}, \
                 \"ignored\": {ignored}, \"measured\": 0 }}\n"
            );
            return (results, out);
        }
        out += &format!("\nrunning {} tests\n", tests.len());
        for test in tests {
            let word = match test.outcome {
                Passed => color("ok"),
                Failed => color("FAILED"),
                _ => color("ignored, it waits ... ok"),
            };
            if format == Format::Terse {
                out += &match test.outcome {
                    Passed => color("."),
                    Failed => format!("\n{} --- {word}\n", test.name),
                    _ => color("i"),
                };
                continue;
            }
            let slow = format!("test {} has been running for over 60 seconds\n", test.name);
            if test.is_slow && format == Format::Pretty {
                out += &slow;
            }
            out += &format!("test {}{} ... ", test.name, test.mode);
            if test.is_slow && format == Format::OneByOne {
                out += &slow;
            }
            out += &format!("{word}\n");
        }
        let results = out.len();
        if failed > 0 {
            out += "\nfailures:\n\n";
            let failed = || tests.iter().filter(|test| test.outcome == Failed);
            for test in failed() {
                out += &format!("---- {} stdout ----\n{}\n", test.name, test.output);
            }
            out += "\n\nfailures:\n";
            failed().for_each(|test| out += &format!("    {}\n", test.name));
        }
        out += &format!(
            "\ntest result: {}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; \
             finished in 0.00s\n\n",
            color("FAILED")
        );
        (results, out)
    }

    fn ran(tests: &[Test]) -> BTreeMap<String, bool> {
        let ran = tests.iter().filter(|test| test.outcome != Ignored);
        ran.map(|test| (test.name.clone(), true)).collect()
    }

    proptest! {
        #[test]
        fn what_libtest_prints_is_read_in_each_format(
            tests in suite(), format in any_format(), has_colors: bool, strange in "[d-f]{1,3}"
        ) {
            let (_, text) = render(&tests, format, has_colors);
            let mut ran = ran(&tests);
            if format != Format::Terse {
                // A thread that is no test.
                ran.insert(strange, false);
            }
            let found = outcomes(&text, true, &ran);
            for test in &tests {
                // The terse format does not name ignored tests.
                let wanted = Some(test.outcome).filter(|wanted| format != Format::Terse || *wanted != Ignored);
                prop_assert_eq!(found.get(&test.name).map(|found| found.outcome), wanted, "{}\n{}", &test.name, &text);
            }
            let wanted = tests.iter().filter(|test| format != Format::Terse || test.outcome != Ignored);
            prop_assert_eq!(found.len(), wanted.count(), "{}", text);
        }

        #[test]
        fn a_text_that_breaks_off_makes_no_test_pass(
            tests in suite(), format in any_format(), has_colors: bool, part in 0.0..1.0_f64
        ) {
            let (results, text) = render(&tests, format, has_colors);
            let mut end = (results as f64 * part) as usize;
            while !text.is_char_boundary(end) { end -= 1; }
            let found = outcomes(&text[..end], true, &ran(&tests));
            for test in &tests {
                let outcome = found.get(&test.name).map(|found| found.outcome);
                let is_allowed = match outcome {
                    Some(Unknown) => true,
                    None => test.outcome == Ignored,
                    Some(outcome) => outcome == test.outcome,
                };
                prop_assert!(is_allowed, "{:?} of {}\n{}", outcome, &test.name, &text[..end]);
            }
        }

        #[test]
        fn a_lost_piece_of_the_text_makes_no_failed_test_pass(
            tests in suite(), format in any_format(), from in 0.0..1.0_f64, length in 0_usize..60
        ) {
            let (_, text) = render(&tests, format, false);
            let mut from = (text.len() as f64 * from) as usize;
            while !text.is_char_boundary(from) { from -= 1; }
            let mut to = (from + length).min(text.len());
            while !text.is_char_boundary(to) { to += 1; }
            let found = outcomes(&format!("{}{}", &text[..from], &text[to..]), false, &ran(&tests));
            let failed = tests.iter().filter(|test| test.outcome == Failed);
            for test in failed {
                let outcome = found.get(&test.name).map(|found| found.outcome);
                prop_assert!(matches!(outcome, Some(Failed | Unknown)), "{:?} of {}\n{}", outcome, &test.name, &text);
            }
        }

        #[test]
        fn any_text_is_read(text: String) {
            outcomes(&text, true, &BTreeMap::new());
        }
    }

    fn found(text: &str, ran: &[(&str, bool)]) -> Vec<(String, ReportedOutcome, Option<String>)> {
        let ran = ran
            .iter()
            .map(|(name, over)| ((*name).to_owned(), *over))
            .collect();
        outcomes(text, true, &ran)
            .into_iter()
            .map(|(name, found)| (name, found.outcome, found.failure))
            .collect()
    }

    fn one(
        name: &str,
        outcome: ReportedOutcome,
        failure: Option<&str>,
    ) -> (String, ReportedOutcome, Option<String>) {
        (name.to_owned(), outcome, failure.map(str::to_owned))
    }

    #[test]
    fn the_text_of_a_failure_is_kept() {
        let text = "\nrunning 2 tests\ntest a ... FAILED\ntest b ... FAILED\n\nfailures:\n\n---- a stdout ----\n\nthread 'a' \
                    panicked at t.rs:2:58:\ncalled `Result::unwrap()` on an `Err` value: PoisonError { .. }\n\n---- b stdout \
                    ----\nno\n\n\nfailures:\n    a\n    b\n\ntest result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 \
                    filtered out; finished in 0.35s\n\n";
        let poisoned = "\nthread 'a' panicked at t.rs:2:58:\ncalled `Result::unwrap()` on an `Err` value: PoisonError { .. }";
        assert_eq!(
            found(text, &[("a", true), ("b", true)]),
            [one("a", Failed, Some(poisoned)), one("b", Failed, Some("no"))]
        );
    }

    #[test]
    fn a_result_without_an_end_of_its_line_is_no_part_of_a_name() {
        let text = "test a ... FAILEDtest b ... ok\n\nfailures:\n\n\nfailures:\n    a\n\ntest result: FAILED. 1 passed; 1 failed; \
                    0 ignored; 0 measured; 0 filtered out; finished in 0.35s\n\n";
        assert_eq!(
            found(text, &[("a", true), ("b", true)]),
            [one("a", Failed, None), one("b", Passed, None)]
        );
    }

    #[test]
    fn benchmarks_pass() {
        let text = "\nrunning 2 tests\ntest long_name ... ok\ntest sums      ... bench:         123.45 ns/iter (+/- 6)\n\n\
                    test result: ok. 1 passed; 0 failed; 0 ignored; 1 measured; 0 filtered out; finished in 0.35s\n\n";
        assert_eq!(
            found(text, &[("sums", true)]),
            [one("long_name", Passed, None), one("sums", Passed, None)]
        );
    }

    #[test]
    fn the_test_that_was_running_when_the_program_broke_off_is_named() {
        let running = Some("it was running when its program ended");
        for (text, ran) in [
            (
                "\nrunning 3 tests\ntest a ... ok\ntest b ... ",
                &[("a", true)][..],
            ),
            ("\nrunning 3 tests\ntest a ... ok\n", &[("a", true), ("b", false)]),
            (
                "\nrunning 3 tests\ntest a ... ok\ntest b ... ",
                &[("a", true), ("b", false)],
            ),
        ] {
            assert_eq!(
                found(text, ran),
                [one("a", Passed, None), one("b", Unknown, running)],
                "{text}"
            );
        }
        let lost = Some("its program did not report it");
        assert_eq!(found("", &[("a", true)]), [one("a", Unknown, lost)]);
    }

    #[test]
    fn tests_without_a_line_are_unknown_if_the_counts_disagree() {
        let text = "\nrunning 2 tests\n..\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\n";
        let lost = Some("its program did not report it");
        assert_eq!(
            found(text, &[("a", true), ("b", true)]),
            [one("a", Passed, None), one("b", Passed, None)]
        );
        assert_eq!(found(text, &[("a", true)]), [one("a", Unknown, lost)]);
    }

    #[test]
    fn of_two_tests_of_one_name_the_failed_one_counts() {
        let text = "test a ... FAILED\ntest a ... ok\n";
        assert_eq!(found(text, &[]), [one("a", Failed, None)]);
    }
}
