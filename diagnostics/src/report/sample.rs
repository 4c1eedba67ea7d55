//! An outcome with a new conflict, a warning and an accepted conflict, for tests of the formats.

use crate::baseline::Standing;
use crate::commands::baseline_check::Compared;
use crate::commands::{Examination, FailedTest, Findings, Observed, Outcome};
use crate::exit_code::{Ended, NoRecords, Verdict};
use crate::findings::{Account, ReportedOutcome, TestResult};
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Kind, Runner, Test, Use, Watched};
use std::path::{Path, PathBuf};

/// A pattern of names that a writer has to escape: control characters, markup, workflow commands.
pub(super) const HOSTILE: &str = "(a|ü|\\PC|\\x00|\\x1b\\[31m|\r|\n|\t|\u{202e}|\u{fffe}|%|%0A|,|:|::error::|##\\[error\\]|<|>|&|\"|'|\\]\\]>|`|\\||\\\\|-->){1,12}";

/// The directory of the command, which is no repository and has no workspace.
const DIR: &str = if cfg!(windows) {
    "C:\\nowhere\\shop"
} else {
    "/nowhere/shop"
};
/// The beginning of the first test, in microseconds since 1970.
const BEGAN: u64 = 1_700_000_000_000_000;

/// Returns an outcome in which a test of this name and another one conflict.
pub(super) fn outcome(name: &str) -> Outcome {
    let shared = |kind, resource, first: &str| Conflict {
        kind,
        message: format!("{resource} is used by {first} (write) and reports::exports_all (read)"),
        resource: Some(resource),
        service: None,
        grade: None,
        overlapped: true,
        between_runs: false,
        help: "give each test its own".to_owned(),
        output: None,
        name_parts: None,
        static_facts: None,
        tests: vec![
            test(first, 7, Access::Write, "src/lib.rs:3", 5_000),
            test(
                "reports::exports_all",
                7,
                Access::Read,
                "tests/shop.rs:9:5",
                10_000,
            ),
        ],
        use_count: 2,
        pairs: Vec::new(),
        pair_count: 0,
    };
    let result = |name: &str, outcome, began, ended| TestResult {
        binary: "shop".to_owned(),
        name: name.to_owned(),
        outcome,
        failure: Some("a secret".to_owned()),
        pid: 7,
        began: BEGAN + began,
        ended,
    };
    let at = |micros| Some(BEGAN + micros);
    let standing = Standing::Allowed {
        until: "2027-01-31".to_owned(),
        reason: "until it is replaced".to_owned(),
    };
    let file = |name: &str| Resource::file(Path::new(DIR).join(name));
    Outcome {
        dir: PathBuf::from(DIR),
        command: Some(Ended::Passed),
        is_stopped: false,
        batch: None,
        jobs: Ok(Vec::new()),
        findings: Findings {
            places: vec![PathBuf::from(DIR)],
            watched: Watched::default(),
            account: Account::default(),
            conflicts: vec![
                shared(Kind::SharedResource, file("report.csv"), name),
                shared(Kind::OrderLeak, file("old.csv"), name),
            ],
            problems: Vec::new(),
            problem_count: 0,
            observed: Some(Observed {
                results: vec![
                    result(name, ReportedOutcome::Failed, 0, at(4_000)),
                    result(name, ReportedOutcome::Passed, 4_000, at(24_000)),
                    result("reports::exports_all", ReportedOutcome::Failed, 8_000, at(28_000)),
                    result("reports::is_slow", ReportedOutcome::Unknown, 28_000, None),
                ],
                failed: vec![FailedTest {
                    binary: "shop".to_owned(),
                    name: "reports::exports_all".to_owned(),
                    examination: Some(Examination {
                        runs: 1,
                        failed: 1,
                        ..Examination::default()
                    }),
                    poisoned: None,
                }],
                ..Observed::default()
            }),
            baseline: Some(Compared {
                accepted: vec![(
                    shared(Kind::SharedResource, Resource::env("SHOP_DB"), name),
                    standing,
                )],
                ..Compared::default()
            }),
            executions: Vec::new(),
            proposal: None,
        },
        verdict: Verdict::Conflicts,
        no_records: NoRecords::Fail,
        has_library: None,
        is_strict: false,
        hunt: None,
    }
}

fn test(name: &str, pid: u32, access: Access, place: &str, from: u64) -> Test {
    Test {
        run: "r1".to_owned(),
        worker: String::new(),
        pid,
        binary: "shop".to_owned(),
        package: DIR.to_owned(),
        runner: Some(Runner::CargoTest),
        name: Some(name.to_owned()),
        attempt: 1,
        grade: None,
        fails_alone: false,
        uses: vec![Use {
            access: Some(access),
            service: None,
            place: Some(place.to_owned()),
            test_place: None,
            from: BEGAN + from,
            to: BEGAN + from + 1_000,
        }],
    }
}
