//! The only code that prints: one file for each report.

mod backup;
mod baseline;
mod batch;
mod clean;
mod confirmed;
#[cfg(has_observer)]
mod confirming;
mod diff;
mod effective_settings;
mod env_variables;
mod excerpt;
#[cfg(has_observer)]
mod failure_rate;
pub(crate) mod files;
mod finding;
mod fix;
mod fixing;
pub(crate) mod github;
mod human;
#[cfg(has_observer)]
mod hunt;
#[cfg(has_observer)]
mod hunt_json;
#[cfg(has_observer)]
mod hunt_statics;
#[cfg(has_observer)]
mod hunting;
mod json;
mod json_line;
mod last_line;
mod list;
mod locks;
mod metrics;
mod migration;
mod next_commands;
mod observed;
mod progress;
#[cfg(has_observer)]
mod relaxation;
mod reported;
#[cfg(has_observer)]
mod rerun;
#[cfg(test)]
mod sample;
mod session_text;
mod sharded;
mod shell_line;
mod show;
mod source_place;
mod source_quotes;
mod status;
mod status_line;
mod style;
mod submitted;
mod summary;
mod table;
mod text;

#[cfg(has_observer)]
pub(crate) use confirming::Confirming;
pub(crate) use fixing::Fixing;
#[cfg(has_observer)]
pub(crate) use hunting::Hunting;
pub(crate) use progress::Progress;
#[cfg(has_observer)]
pub(crate) use rerun::see_rerun;

use crate::cli::{EnvFormat, ListFormat, ShardsFormat};
use crate::commands::clean::Swept;
#[cfg(has_observer)]
use crate::commands::fix::Relaxed;
use crate::commands::fix::{Fixed, Migrated};
use crate::commands::list::SessionList;
use crate::commands::locks::Locks;
use crate::commands::metrics::SessionMetrics;
use crate::commands::next_steps::NextSteps;
use crate::commands::shards::Sharded;
use crate::commands::show::SessionDetails;
use crate::commands::status::ActiveSessions;
use crate::commands::submit::Submitted;
use crate::commands::{Outcome, Refused};
use crate::fixtures::Exports;
use crate::settings::Effective;
use anstream::{AutoStream, ColorChoice};
use cofferdam_batch::ledger::Backup;
use std::io::{self, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::{error, fmt};

/// Shows the outcome of a command.
pub(crate) fn show(format: ListFormat, outcome: &Outcome) -> Result<(), ReportError> {
    to_stdout(|mut out| match format {
        ListFormat::Human => human::write(&mut out, outcome),
        ListFormat::Json => json::Json(outcome).write(&mut out),
    })
}

/// Shows which old runs were removed and which were kept.
pub(crate) fn show_clean(format: ListFormat, swept: &Swept) -> Result<(), ReportError> {
    to_stdout(|out| clean::write(out, format, swept))
}

/// Shows which attributes guard nothing.
#[cfg(has_observer)]
pub(crate) fn show_relaxation(format: ListFormat, relaxed: &Relaxed) -> Result<(), ReportError> {
    to_stdout(|mut out| relaxation::write(&mut out, format, relaxed))
}

/// Shows what a migration changes and leaves.
pub(crate) fn show_migration(format: ListFormat, migrated: &Migrated) -> Result<(), ReportError> {
    to_stdout(|mut out| migration::write(&mut out, format, migrated))
}

/// Shows the changes that end the observed conflicts.
pub(crate) fn show_fix(format: ListFormat, fixed: &Fixed) -> Result<(), ReportError> {
    to_stdout(|mut out| fix::write(&mut out, format, fixed))
}

/// Shows why tests fail sometimes.
#[cfg(has_observer)]
pub(crate) fn show_hunt(
    format: ListFormat,
    hunted: &crate::commands::hunt::Hunted,
) -> Result<(), ReportError> {
    to_stdout(|out| match format {
        ListFormat::Human => hunt::human(out, hunted),
        ListFormat::Json => hunt_json::write(out, hunted),
    })
}

/// Shows the runs of some tests.
#[cfg(has_observer)]
pub(crate) fn show_rerun(
    format: ListFormat,
    reran: &crate::commands::rerun::Reran,
) -> Result<(), ReportError> {
    to_stdout(|out| rerun::write(out, format, reran))
}

/// Shows the variables of fixtures.
pub(crate) fn show_env(format: EnvFormat, variables: &Exports) -> Result<(), ReportError> {
    to_stdout(|out| env_variables::write(out, format, variables))
}

/// Shows the locks.
pub(crate) fn show_locks(format: ListFormat, all: &Locks) -> Result<(), ReportError> {
    to_stdout(|mut out| locks::write(&mut out, format, all))
}

/// Shows the effective settings.
pub(crate) fn show_config(format: ListFormat, all: &[Effective]) -> Result<(), ReportError> {
    to_stdout(|mut out| effective_settings::write(&mut out, format, all))
}

/// Shows the next steps in a project.
pub(crate) fn show_next_steps(format: ListFormat, next: &NextSteps) -> Result<(), ReportError> {
    to_stdout(|out| next_commands::write(out, format, next))
}

/// Shows a suite in shards. Tests that are too long are named on standard error where the output is for a program.
pub(crate) fn show_shards(format: ShardsFormat, sharded: &Sharded) -> Result<(), ReportError> {
    if matches!(format, ShardsFormat::Nextest | ShardsFormat::Cargo) {
        // An error is ignored: the shards are the same without the warning.
        let _ = sharded::warn(&mut anstream::stderr().lock(), &sharded.plan);
    }
    to_stdout(|mut out| sharded::write(&mut out, format, sharded))
}

/// Shows the session that took a job.
pub(crate) fn show_submitted(format: ListFormat, job: &Submitted) -> Result<(), ReportError> {
    to_stdout(|out| submitted::write(out, format, job))
}

/// Returns a function that shows the progress of sessions: on a terminal in place of the previous output, elsewhere below
/// it and only if something `changed`. Stops when the reader is gone.
pub(crate) fn show_status(
    format: ListFormat,
) -> impl FnMut(&ActiveSessions, bool) -> Result<ControlFlow<()>, ReportError> {
    let mut shown = 0;
    move |standing, changed| {
        let out = io::stdout().lock();
        // Without colors, plain lines are shown.
        let is_plain = AutoStream::choice(&out) == ColorChoice::Never;
        let is_screen = format == ListFormat::Human && out.is_terminal() && !is_plain;
        if !is_screen && !changed {
            return Ok(ControlFlow::Continue(()));
        }
        let mut out = AutoStream::auto(out);
        let mut text = Vec::new();
        let written = status::write(&mut text, format, standing).and_then(|()| {
            if is_screen && shown > 0 {
                // Moves to the first line of the previous output, and clears it.
                write!(out, "\x1b[{shown}A\x1b[J")?;
            }
            out.write_all(&text)?;
            out.flush()
        });
        shown = text.iter().filter(|byte| **byte == b'\n').count();
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            written => written.map(|()| ControlFlow::Continue(())).map_err(not_written),
        }
    }
}

/// Shows the last sessions.
pub(crate) fn show_list(format: ListFormat, listed: &SessionList) -> Result<(), ReportError> {
    to_stdout(|out| list::write(out, format, listed))
}

/// Shows all of a session.
pub(crate) fn show_session(format: ListFormat, whole: &SessionDetails) -> Result<(), ReportError> {
    to_stdout(|out| show::write(out, format, whole))
}

/// Shows what a copy has in it.
pub(crate) fn show_backup(format: ListFormat, made: &Backup) -> Result<(), ReportError> {
    to_stdout(|out| backup::write(out, format, made))
}

/// Shows measures as Prometheus reads them.
pub(crate) fn show_metrics(metrics: &SessionMetrics) -> Result<(), ReportError> {
    to_stdout(|out| out.write_all(metrics::text(metrics)?.as_bytes()))
}

/// Shows what is ready to be shown.
pub(crate) fn show_text(text: &[u8]) -> Result<(), ReportError> {
    to_stdout(|out| out.write_all(text))
}

fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), ReportError> {
    let mut out = AutoStream::auto(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        // Whoever reads has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(not_written),
    }
}

fn not_written(source: io::Error) -> ReportError {
    ReportError {
        file: "standard output".to_owned(),
        source,
    }
}

/// Says on standard error what cannot be done as it was asked for, line by line.
pub(crate) fn refuse(refused: &Refused) {
    let mut err = anstream::stderr().lock();
    for line in &refused.0 {
        let _ = writeln!(err, "cofferdam: {}", text::plain(line));
    }
}

/// Says on standard error what became of the jobs of a killed session.
pub(crate) fn tell_guarded(session: &str, ended: usize) {
    if ended > 0 {
        let mut err = anstream::stderr().lock();
        let _ = writeln!(
            err,
            "cofferdam: session {} was killed; {} of its jobs were ended",
            text::plain(session),
            text::count(ended as u64, "process")
        );
    }
}

/// Says which fixtures are being started, which may take a while.
pub(crate) fn announce_fixtures(names: &[&str]) {
    let names = names.join(", ");
    let _ = writeln!(
        anstream::stderr().lock(),
        "cofferdam: starting {}",
        text::plain(&names)
    );
}

/// Writes the line for the command that started this host: it can connect.
#[cfg(has_observer)]
pub(crate) fn host_listens() {
    let _ = io::stdout().write_all(crate::fixtures::warm::LISTENING.as_bytes());
}

/// Writes the line for the command that started this host: the reason that it does not serve.
#[cfg(has_observer)]
pub(crate) fn host_failed(error: &(dyn error::Error + 'static)) {
    let _ = writeln!(io::stdout(), "{}", text::plain(&error.to_string()));
}

/// Says on standard error why there is no report.
pub(crate) fn complain(error: &(dyn error::Error + 'static)) {
    let mut err = anstream::stderr().lock();
    // Each line is marked as ours: it may be of a server's log, and must not be read as a workflow command.
    for line in cofferdam::format::error_chain(error).lines() {
        // There is nobody left to tell when this fails.
        let _ = writeln!(err, "cofferdam: {}", text::plain(line));
    }
}

/// The report could not be written.
#[derive(Debug)]
pub(crate) struct ReportError {
    file: String,
    source: io::Error,
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not write the report to {}: {}", self.file, self.source)
    }
}

impl error::Error for ReportError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.source)
    }
}
