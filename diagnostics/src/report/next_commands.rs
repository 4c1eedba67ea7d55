//! The next steps in a project.

use super::json_line;
use super::session_text::span;
use super::shell_line::shell_line;
use super::style::BOLD;
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::next_steps::{LastObservation, NextSteps, Project};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;
/// The number of failed tests that are named.
const NAMED: usize = 3;

#[derive(Serialize)]
struct NextStepsView<'a> {
    version: u64,
    project: Option<ProjectView<'a>>,
    observed: Option<ObservedView<'a>>,
    has_recording: bool,
    next: Vec<StepView<'a>>,
}

#[derive(Serialize)]
struct ProjectView<'a> {
    root: Cow<'a, str>,
    has_nextest: bool,
    configures_nextest: bool,
    depends_on_serial_test: Option<bool>,
    depends_on_cofferdam: Option<bool>,
}

#[derive(Serialize)]
struct ObservedView<'a> {
    seconds_ago: u64,
    tests: u64,
    conflicts: usize,
    failed: &'a [String],
}

#[derive(Serialize)]
struct StepView<'a> {
    command: Vec<Cow<'a, str>>,
    purpose: &'static str,
}

pub(super) fn write(out: &mut dyn Write, format: ListFormat, next: &NextSteps) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, next),
        ListFormat::Json => json_line::write(out, &view(next)),
    }
}

fn view(next: &NextSteps) -> NextStepsView<'_> {
    NextStepsView {
        version: VERSION,
        project: next.project.as_ref().map(|project| ProjectView {
            root: json_line::path(&project.root),
            has_nextest: project.has_nextest,
            configures_nextest: project.configures_nextest,
            depends_on_serial_test: project.has_serial_test,
            depends_on_cofferdam: project.has_library,
        }),
        observed: next.observed.as_ref().map(|observed| ObservedView {
            seconds_ago: observed.age / 1_000_000,
            tests: observed.tests,
            conflicts: observed.conflicts,
            failed: &observed.failed,
        }),
        has_recording: next.has_recording,
        next: next
            .steps
            .iter()
            .map(|step| StepView {
                command: step.command.iter().map(|word| word.to_string_lossy()).collect(),
                purpose: step.purpose,
            })
            .collect(),
    }
}

fn human(out: &mut dyn Write, next: &NextSteps) -> io::Result<()> {
    let Some(project) = &next.project else {
        writeln!(
            out,
            "{BOLD}cofferdam:{BOLD:#} no Cargo.toml here or above: run it in a Cargo project"
        )?;
        return writeln!(out, "help: cargo cofferdam --help");
    };
    writeln!(out, "{BOLD}cofferdam:{BOLD:#} {}", describe(project))?;
    let recorded = match &next.observed {
        Some(observed) => describe_observation(observed),
        None if next.has_recording => "recorded with `run`, and not yet observed".to_owned(),
        None => "nothing is recorded yet".to_owned(),
    };
    writeln!(out, "{BOLD}cofferdam:{BOLD:#} {recorded}")?;
    let lines: Vec<_> = next
        .steps
        .iter()
        .filter_map(|step| Some((shell_line(&step.command)?, step.purpose)))
        .collect();
    let width = lines
        .iter()
        .map(|(line, _)| line.chars().count())
        .max()
        .unwrap_or(0);
    for (line, purpose) in lines {
        writeln!(out, "  {line:width$}  # {purpose}")?;
    }
    writeln!(out, "help: cargo cofferdam --help")
}

fn describe(project: &Project) -> String {
    let nextest = match (project.has_nextest, project.configures_nextest) {
        (true, true) => "cargo-nextest is installed and configured",
        (true, false) => "cargo-nextest is installed",
        (false, true) => "cargo-nextest is configured and not installed",
        (false, false) => "cargo-nextest is not installed",
    };
    let root = project.root.display().to_string();
    let dependencies = match (project.has_serial_test, project.has_library) {
        (Some(true), Some(true)) => "depends on serial_test and cofferdam",
        (Some(true), _) => "depends on serial_test, not on cofferdam",
        (_, Some(true)) => "depends on cofferdam, not on serial_test",
        (Some(false), _) => "depends on neither serial_test nor cofferdam",
        (None, _) => "has no Cargo.lock, so its dependencies are not known",
    };
    format!("{} {dependencies}; {nextest}", plain(&root))
}

fn describe_observation(observed: &LastObservation) -> String {
    // From the first minute on, seconds do not matter.
    const MINUTE: u64 = 60_000_000;
    let rest = if observed.age < MINUTE {
        0
    } else {
        observed.age % MINUTE
    };
    let age = span(0, observed.age - rest);
    let mut failed: Vec<&str> = observed.failed.iter().take(NAMED).map(String::as_str).collect();
    if observed.failed.len() > NAMED {
        failed.push("…");
    }
    let failed = match failed.as_slice() {
        [] => "none failed".to_owned(),
        names => format!("{} failed ({})", observed.failed.len(), names.join(", ")),
    };
    let found = count(observed.conflicts as u64, "conflict");
    let text = format!(
        "observed {age} ago: {}, {failed}, {found}",
        count(observed.tests, "test")
    );
    plain(&text).into_owned()
}
