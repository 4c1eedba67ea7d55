//! JUnit XML: the results of the tests by program, or the jobs of a session, then a suite with the findings.
//!
//! A finding is a test case of its own, named after its subject: a CI system then shows it once, compares it with earlier
//! runs, and keeps the results of the tests as their runner reports them.

use super::Reported;
use crate::findings::{JUNIT_FINDINGS, JUNIT_JOBS, ReportedOutcome, TestResult};
use crate::report::finding::Finding;
use crate::report::session_text::ended_with;
use crate::report::text::plain;
use cofferdam_batch::executor::tail;
use cofferdam_batch::ledger::{JobState, RecordedAttempt, RecordedJob};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite, XmlString};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::time::Duration;

/// The number of lines of a failed job's output.
const TAIL: usize = 50;

pub(super) fn write(out: &mut dyn Write, reported: Reported<'_>) -> io::Result<()> {
    let mut report = Report::new("cofferdam");
    report.add_test_suites(programs(reported));
    report.add_test_suites(jobs(reported));
    report.add_test_suite(findings(reported));
    report.serialize(out).map_err(io::Error::other)
}

/// Returns a suite for each program, in the order in which they began. Several results of one test are its attempts.
fn programs(reported: Reported<'_>) -> Vec<TestSuite> {
    let mut programs: Vec<(&str, BTreeMap<&str, Vec<&TestResult>>)> = Vec::new();
    for result in reported.results() {
        let known = programs.iter().position(|(binary, _)| *binary == result.binary);
        let at = known.unwrap_or_else(|| {
            programs.push((&result.binary, BTreeMap::new()));
            programs.len() - 1
        });
        programs[at].1.entry(&result.name).or_default().push(result);
    }
    let suites = programs.into_iter().map(|(binary, tests)| {
        let mut suite = TestSuite::new(xml(binary));
        let tests_of = tests.values().filter_map(|attempts| attempts.split_last());
        suite.add_test_cases(tests_of.map(|(last, earlier)| test_case(last, earlier, reported)));
        let began = tests.values().flatten().map(|result| result.began).min();
        let ended = tests.values().flatten().filter_map(|result| result.ended).max();
        if let Some((began, ended)) = began.zip(ended).filter(|(began, _)| *began > 0) {
            suite.set_time(Duration::from_micros(ended.saturating_sub(began)));
        }
        suite
    });
    suites.collect()
}

fn test_case(last: &TestResult, earlier: &[&TestResult], reported: Reported<'_>) -> TestCase {
    let why = |what: &str| match reported.examined(last) {
        Some(more) => format!("{what}; {more}"),
        None => what.to_owned(),
    };
    let mut status = match last.outcome {
        ReportedOutcome::Passed => TestCaseStatus::success(),
        ReportedOutcome::Ignored => TestCaseStatus::skipped(),
        ReportedOutcome::Failed => non_success(NonSuccessKind::Failure, &why("failed")),
        ReportedOutcome::Unknown => {
            non_success(NonSuccessKind::Error, &why("no result: its program broke off"))
        }
    };
    for attempt in earlier
        .iter()
        .filter(|one| one.outcome == ReportedOutcome::Failed)
    {
        let mut rerun = TestRerun::new(NonSuccessKind::Failure);
        if let Some(micros) = attempt.duration() {
            rerun.set_time(Duration::from_micros(micros));
        }
        status.add_rerun(rerun);
    }
    let mut case = TestCase::new(xml(&last.name), status);
    case.set_classname(xml(&last.binary));
    if let Some(micros) = last.duration() {
        case.set_time(Duration::from_micros(micros));
    }
    case
}

/// Returns the suite of the session's jobs, if there are any. Jobs of one name also have their numbers.
fn jobs(reported: Reported<'_>) -> Option<TestSuite> {
    let mut suite = TestSuite::new(JUNIT_JOBS);
    match reported.jobs() {
        Ok([]) => return None,
        Ok(jobs) => {
            let mut same: HashMap<&str, usize> = HashMap::new();
            for job in jobs {
                *same.entry(&job.name).or_default() += 1;
            }
            suite.add_test_cases(jobs.iter().map(|job| job_case(job, same[&*job.name] > 1)));
        }
        Err(why) => {
            suite.add_test_case(TestCase::new("jobs", non_success(NonSuccessKind::Error, why)));
        }
    }
    Some(suite)
}

fn job_case(job: &RecordedJob, is_repeated: bool) -> TestCase {
    let time = |attempt: &RecordedAttempt| {
        Some(Duration::from_micros(
            attempt.ended?.saturating_sub(attempt.started),
        ))
    };
    let last = job.attempts.last();
    let mut status = match job.state {
        JobState::Completed => TestCaseStatus::success(),
        JobState::Failed => {
            let message = last.map_or("failed in an earlier session".to_owned(), |last| {
                format!("ended with {}", ended_with(last))
            });
            let mut status = non_success(NonSuccessKind::Failure, &message);
            // A log that was removed has no lines.
            let log = last.and_then(|last| last.log.as_deref());
            let lines = log.and_then(|log| tail(log, TAIL).ok()).unwrap_or_default();
            status.set_description(xml(&lines.join("\n")));
            status
        }
        state => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(state.as_str());
            status
        }
    };
    for attempt in job.attempts.iter().rev().skip(1).rev() {
        let mut rerun = TestRerun::new(NonSuccessKind::Failure);
        rerun.set_message(xml(&format!("ended with {}", ended_with(attempt))));
        time(attempt).map(|time| rerun.set_time(time));
        status.add_rerun(rerun);
    }
    let number = if is_repeated {
        format!(" (j{})", job.number)
    } else {
        String::new()
    };
    let mut case = TestCase::new(xml(&format!("{}{number}", job.name)), status);
    case.set_classname(xml(job.group.as_deref().unwrap_or("jobs")));
    last.and_then(time).map(|time| case.set_time(time));
    case
}

/// Returns the suite of findings: those that fail the command are failures, those that the baseline accepts are skipped, and
/// warnings and notes pass with a text. The last case is the verdict: an error if none was possible.
fn findings(reported: Reported<'_>) -> TestSuite {
    let mut suite = TestSuite::new(JUNIT_FINDINGS);
    for finding in Finding::all(reported) {
        let text = xml(&finding.lines(usize::MAX).join("\n"));
        let message = xml(&finding.message);
        let (status, output) = if finding.fails() {
            let mut status = non_success(NonSuccessKind::Failure, &finding.message);
            status.set_type(xml(&finding.kind)).set_description(text);
            (status, None)
        } else if let Some(standing) = finding.standing.filter(|standing| !standing.fails()) {
            let mut status = TestCaseStatus::skipped();
            status.set_type(standing.word()).set_message(message);
            (status, Some(text))
        } else {
            (TestCaseStatus::success(), Some(text))
        };
        let mut case = TestCase::new(xml(&finding.subject), status);
        case.set_classname(xml(&format!("cofferdam.{}", finding.kind.replace('/', "."))));
        if let Some(place) = finding.places.first() {
            case.extra.insert("file".into(), xml(&place.file));
            case.extra.insert("line".into(), place.line.to_string().into());
        }
        if let Some(output) = output {
            case.set_system_out(output);
        }
        suite.add_test_case(case);
    }
    let last_line = reported.last_line();
    let status = if reported.has_verdict() {
        TestCaseStatus::success()
    } else {
        non_success(NonSuccessKind::Error, &last_line)
    };
    let mut verdict = TestCase::new("verdict", status);
    verdict.set_classname("cofferdam").set_system_out(xml(&last_line));
    suite.add_test_case(verdict);
    suite
}

fn non_success(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(xml(message));
    status
}

/// Returns text that is valid in XML. Harmful characters are escaped, so that different names stay different; line breaks
/// are kept.
fn xml(text: &str) -> XmlString {
    let lines: Vec<String> = text.split('\n').map(|line| plain(line).into_owned()).collect();
    lines
        .join("\n")
        .replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::files::Reported;
    use crate::report::sample::{self, HOSTILE};
    use cofferdam_conflicts::{Grade, Pair, StaticFacts};
    use junit_parser::{TestCase, TestStatus};
    use proptest::prelude::*;

    fn text(reported: Reported<'_>) -> String {
        let mut out = Vec::new();
        write(&mut out, reported).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Returns the test cases of a text that two other parsers accept.
    fn cases(text: &str) -> Vec<TestCase> {
        roxmltree::Document::parse(text).unwrap();
        let report = junit_parser::from_reader(text.as_bytes()).unwrap();
        report.suites.into_iter().flat_map(|suite| suite.cases).collect()
    }

    #[test]
    fn tests_have_their_results_and_times_and_each_finding_is_a_case() {
        let mut outcome = sample::outcome("orders::stores_one");
        let conflict = &mut outcome.findings.conflicts[0];
        conflict.pairs = vec![Pair {
            tests: [0, 1],
            grade: Grade::Reproduced,
            tries: 4,
            reason: "one failed".to_owned(),
        }];
        conflict.static_facts = Some(StaticFacts {
            declared: Some("src/lib.rs:1".to_owned()),
            ..StaticFacts::default()
        });
        let text = text(Reported::Outcome(&outcome));
        let cases = cases(&text);
        let all: Vec<String> = cases
            .iter()
            .map(|case| {
                let status = match &case.status {
                    TestStatus::Success => "passed".to_owned(),
                    TestStatus::Skipped(skipped) => format!("skipped {}", skipped.skipped_type),
                    TestStatus::Failure(failure) => format!("failed {}", failure.failure_type),
                    TestStatus::Error(error) => format!("error {}", error.message),
                };
                let class = case.classname.as_deref().unwrap_or_default();
                format!("{class} {} {} {status}", case.original_name, case.time)
            })
            .collect();
        assert_eq!(
            all,
            [
                "shop orders::stores_one 0.02 passed",
                "shop reports::exports_all 0.02 failed ",
                "shop reports::is_slow 0 error no result: its program broke off",
                "cofferdam.shared-resource file report.csv 0 failed shared-resource",
                "cofferdam.order-leak file old.csv 0 passed",
                "cofferdam.shared-resource env SHOP_DB 0 skipped allowed",
                "cofferdam verdict 0 passed",
            ],
            "{text}"
        );
        let failure = cases[3].status.failure_as_ref();
        assert!(
            failure
                .text
                .contains("orders::stores_one in shop, write, src/lib.rs:3"),
            "{text}"
        );
        for line in [
            "\ndeclared at src/lib.rs:1\n",
            "\nreproduced: orders::stores_one × reports::exports_all: one failed\n",
        ] {
            assert!(failure.text.contains(line), "{text}");
        }
        assert_eq!(
            (cases[3].file.as_deref(), cases[3].line),
            (Some("src/lib.rs"), Some(3))
        );
        assert_eq!(cases[0].reruns.len(), 1);
        assert_eq!(
            cases[1].status.failure_as_ref().message,
            "failed; fails alone too"
        );
    }

    proptest! {
        #[test]
        fn no_name_breaks_the_report(name in HOSTILE) {
            let outcome = sample::outcome(&name);
            let cases = cases(&text(Reported::Outcome(&outcome)));
            prop_assert_eq!(cases.len(), 7);
            let case = cases.iter().find(|case| case.time > 0.0 && case.status.is_success()).unwrap();
            prop_assert_eq!(&case.original_name, &*xml(&name));
        }
    }
}
