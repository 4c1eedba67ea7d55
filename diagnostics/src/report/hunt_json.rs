//! The outcome of `hunt`, for programs.

use super::failure_rate::RateView;
use super::hunt::help;
use super::hunt_statics::StaticsView;
use super::json_line;
use crate::commands::hunt::{Cause, Hunted};
use crate::findings::SharedUse;
use crate::hunt::Class;
use cofferdam_conflicts::Conflict;
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 2;

pub(super) fn write(out: &mut dyn Write, hunted: &Hunted) -> io::Result<()> {
    json_line::write(out, &HuntView::of(hunted))
}

#[derive(Serialize)]
struct HuntView<'a> {
    version: u64,
    tests: usize,
    causes: Vec<CauseView<'a>>,
    regimes: Vec<RegimeView<'a>>,
    left_out: Vec<LeftOutView<'a>>,
    left_behind: Vec<String>,
    failed_teardowns: &'a [Conflict],
    unguarded: usize,
    untried: &'a [String],
    seed: u64,
    command_exit_code: u8,
    command_runs: RateView,
    /// The tests that did not end in some run, if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hung: Vec<String>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    statics: Option<StaticsView<'a>>,
    users: Vec<String>,
    reruns: u32,
    help: String,
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
            causes: hunted
                .causes
                .iter()
                .map(|cause| CauseView::of(cause, hunted))
                .collect(),
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
            failed_teardowns: &hunted.failed_teardowns,
            unguarded: hunted.unguarded,
            untried: &hunted.report.untried,
            seed: hunted.seed,
            command_exit_code: hunted.ended.code(),
            command_runs: RateView::of(hunted.command_runs),
            hung: hunted.hung.iter().map(ToString::to_string).collect(),
            interrupted: hunted.is_interrupted,
        }
    }
}

impl<'a> CauseView<'a> {
    fn of(cause: &'a Cause, hunted: &Hunted) -> Self {
        let first = &cause.verdicts[0];
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
            with: RateView::of(first.with),
            without: RateView::of(first.without),
            resources: cause.uses.iter().map(resource).collect(),
            statics: cause
                .static_cause
                .as_ref()
                .map(|shown| StaticsView::of(shown, &hunted.dir)),
            users: cause.users.iter().map(ToString::to_string).collect(),
            reruns: cause.verdicts.iter().map(|verdict| verdict.reruns).sum(),
            help: help(cause, hunted),
        }
    }
}
