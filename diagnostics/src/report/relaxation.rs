//! The attributes that guard nothing, as a diff with notes, or as JSON.

use super::diff;
use super::fix::say;
use super::json_line;
use super::text::count;
use crate::cli::ListFormat;
use crate::commands::fix::{Measured, Relaxed};
use crate::findings::{Account, Entry};
use crate::fix::draft::Change;
use crate::fix::relaxation::{Fate, RelaxedKey};
use cofferdam::Resource;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;
/// The number of places that a line names.
const PLACES: usize = 5;

pub(super) fn write(out: &mut dyn Write, format: ListFormat, relaxed: &Relaxed) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, relaxed),
        ListFormat::Json => json_line::write(out, &RelaxationView::of(relaxed)),
    }
}

fn human(out: &mut dyn Write, relaxed: &Relaxed) -> io::Result<()> {
    for change in &relaxed.relaxation.changes {
        diff::write(out, &change.diff(&relaxed.root))?;
        writeln!(out)?;
    }
    let mut lines: BTreeMap<(u8, &str, String), Vec<&RelaxedKey>> = BTreeMap::new();
    for key in &relaxed.relaxation.keys {
        let (rank, word, text) = match &key.fate {
            Fate::Removed => continue,
            Fate::Split { key, resource } => (
                0,
                "split",
                format!("key {key}: {}", relaxed.shown_resource(resource)),
            ),
            Fate::Kept { resource, tests } => {
                let resource = relaxed.shown_resource(resource);
                // Attributes of one resource share a line, so the line cannot name the two tests of each.
                let _ = tests;
                (1, "kept", format!("its tests share {resource}"))
            }
            Fate::Needed { why } => (2, "needed", why.clone()),
            Fate::Unknown { why } => (3, "unknown", why.clone()),
        };
        lines.entry((rank, word, text)).or_default().push(key);
    }
    for ((_, word, text), keys) in lines {
        say(out, word, &format!("{text}: {}", places(relaxed, &keys)))?;
    }
    for (manifest, name) in &relaxed.relaxation.unused_crates {
        let text = format!("{name} in {}: no attribute is left", relaxed.shown(manifest));
        say(out, "unused dependency", &text)?;
    }
    for entry in &relaxed.unwatched {
        say(
            out,
            "not observed",
            &format!("{}: {}", relaxed.shown(Path::new(&entry.name)), entry.reason),
        )?;
    }
    for problem in &relaxed.problems {
        say(out, "unreadable", problem)?;
    }
    say(out, "cofferdam", &last_line(relaxed))
}

/// Returns the number of attributes, with their places.
fn places(relaxed: &Relaxed, keys: &[&RelaxedKey]) -> String {
    let mut places: Vec<String> = keys
        .iter()
        .take(PLACES)
        .map(|key| format!("{}:{}", relaxed.shown(&key.file), key.line))
        .collect();
    if keys.len() > PLACES {
        places.push(format!("and {} more", keys.len() - PLACES));
    }
    format!(
        "{} ({})",
        count(keys.len() as u64, "attribute"),
        places.join(", ")
    )
}

fn last_line(relaxed: &Relaxed) -> String {
    let keys = &relaxed.relaxation.keys;
    let number = |is_it: &dyn Fn(&Fate) -> bool| keys.iter().filter(|key| is_it(&key.fate)).count() as u64;
    let removed = number(&|fate| matches!(fate, Fate::Removed));
    let split = number(&|fate| matches!(fate, Fate::Split { .. }));
    let kept = number(&|fate| matches!(fate, Fate::Kept { .. } | Fate::Needed { .. }));
    let unknown = number(&|fate| matches!(fate, Fate::Unknown { .. }));
    if keys.is_empty() {
        return "the observed packages have no attribute that keeps tests apart".to_owned();
    }
    let then = match (&relaxed.measured, relaxed.relaxation.changes.is_empty()) {
        (Some(measured), _) => format!("written and proven; {}", times(measured)),
        (None, false) => "--apply writes and proves it".to_owned(),
        (None, true) => "nothing to change".to_owned(),
    };
    format!(
        "of {} on tests, {removed} guard nothing, {split} become others, {kept} are needed, {unknown} unknown; {then}",
        count(keys.len() as u64, "key")
    )
}

fn times(measured: &Measured) -> String {
    let (before, after) = measured.medians();
    format!(
        "the tests take {:.2} s, before {:.2} s (medians of {} runs)",
        after.as_secs_f64(),
        before.as_secs_f64(),
        measured.before.len()
    )
}

impl Relaxed {
    fn shown_resource(&self, resource: &Resource) -> String {
        // Only paths change: no other name begins with the directory.
        let name = self.shown(Path::new(resource.as_str()));
        Resource::new(resource.kind(), name).to_string()
    }
}

/// The JSON report.
#[derive(Serialize)]
struct RelaxationView<'a> {
    version: u64,
    relax: bool,
    written: bool,
    attributes: Vec<AttributeView<'a>>,
    changes: Vec<ChangeView>,
    unused_dependencies: Vec<DependencyView>,
    measured: Option<MeasuredView>,
    account: &'a Account,
    unwatched: &'a [Entry],
    problems: &'a [String],
}

/// A key of an attribute.
#[derive(Serialize)]
struct AttributeView<'a> {
    file: String,
    line: usize,
    text: &'a str,
    tests: Vec<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    /// Two tests that share the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_by: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ChangeView {
    file: String,
    diff: String,
}

#[derive(Serialize)]
struct DependencyView {
    manifest: String,
    name: &'static str,
}

/// The times of the suite's programs in seconds.
#[derive(Serialize)]
struct MeasuredView {
    before: Vec<f64>,
    after: Vec<f64>,
    median_before: f64,
    median_after: f64,
}

impl<'a> RelaxationView<'a> {
    fn of(relaxed: &'a Relaxed) -> Self {
        let change = |change: &Change| ChangeView {
            file: relaxed.shown(&change.path),
            diff: change.diff(&relaxed.root),
        };
        let unused = relaxed
            .relaxation
            .unused_crates
            .iter()
            .map(|(manifest, name)| DependencyView {
                manifest: relaxed.shown(manifest),
                name,
            });
        let seconds =
            |times: &[std::time::Duration]| times.iter().map(std::time::Duration::as_secs_f64).collect();
        let measured = relaxed.measured.as_ref().map(|measured| {
            let (before, after) = measured.medians();
            MeasuredView {
                before: seconds(&measured.before),
                after: seconds(&measured.after),
                median_before: before.as_secs_f64(),
                median_after: after.as_secs_f64(),
            }
        });
        Self {
            version: VERSION,
            relax: true,
            written: relaxed.written,
            attributes: relaxed
                .relaxation
                .keys
                .iter()
                .map(|key| AttributeView::of(relaxed, key))
                .collect(),
            changes: relaxed.relaxation.changes.iter().map(change).collect(),
            unused_dependencies: unused.collect(),
            measured,
            account: &relaxed.account,
            unwatched: &relaxed.unwatched,
            problems: &relaxed.problems,
        }
    }
}

impl<'a> AttributeView<'a> {
    fn of(relaxed: &'a Relaxed, one: &'a RelaxedKey) -> Self {
        let mut view = Self {
            file: relaxed.shown(&one.file),
            line: one.line,
            text: &one.text,
            tests: one
                .tests
                .iter()
                .map(|test| relaxed.tests[*test].name.as_str())
                .collect(),
            outcome: "removed",
            key: None,
            resource: None,
            shared_by: None,
            reason: None,
        };
        match &one.fate {
            Fate::Removed => {}
            Fate::Split { key, resource } => {
                view.outcome = "split";
                view.key = Some(key);
                view.resource = Some(relaxed.shown_resource(resource));
            }
            Fate::Kept { resource, tests } => {
                view.outcome = "kept";
                view.resource = Some(relaxed.shown_resource(resource));
                view.shared_by = Some(tests);
            }
            Fate::Needed { why } => {
                view.outcome = "needed";
                view.reason = Some(why);
            }
            Fate::Unknown { why } => {
                view.outcome = "unknown";
                view.reason = Some(why);
            }
        }
        view
    }
}
