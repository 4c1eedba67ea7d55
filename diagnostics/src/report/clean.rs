//! What `clean` removed and what it kept, and why.

use super::json_line::{self, path};
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::clean::Swept;
use crate::fixtures::{WarmFate, WarmFixture};
use cofferdam::diagnostics::{Cleaned, Fate};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;

pub(super) fn write(mut out: &mut dyn Write, format: ListFormat, swept: &Swept) -> io::Result<()> {
    match format {
        ListFormat::Human => human(&mut out, swept),
        ListFormat::Json => json_line::write(out, &SweptView::of(swept)),
    }
}

fn human(out: &mut impl Write, swept: &Swept) -> io::Result<()> {
    let (removed, ended) = match swept.dry_run {
        true => ("would remove", "would end"),
        false => ("removed", "ended"),
    };
    for WarmFixture { name, fate } in &swept.warm {
        let name = plain(name);
        match fate {
            WarmFate::Ended => writeln!(out, "{ended} fixture {name}")?,
            WarmFate::InUse => writeln!(out, "kept    fixture {name}: a command uses it")?,
            WarmFate::Failed(reason) => writeln!(out, "failed  fixture {name}: {}", plain(reason))?,
        }
    }
    for run in &swept.runs {
        match &run.fate {
            Fate::Removed => writeln!(out, "{removed} {}", name(run))?,
            Fate::Failed(error) => writeln!(out, "failed  {}: {}", name(run), plain(&error.to_string()))?,
            kept => writeln!(out, "kept    {}: {}", name(run), reason(kept))?,
        }
    }
    let gone = swept
        .runs
        .iter()
        .filter(|run| matches!(run.fate, Fate::Removed))
        .count();
    let (gone, kept) = (gone as u64, (swept.runs.len() - gone) as u64);
    writeln!(
        out,
        "cofferdam: {removed} {}, kept {kept}, in {}",
        count(gone, "run"),
        plain(&swept.place.display().to_string())
    )
}

fn name(run: &Cleaned) -> String {
    let name = run.path.file_name().unwrap_or_default().to_string_lossy();
    plain(&name).into_owned()
}

fn reason(fate: &Fate) -> &'static str {
    match fate {
        Fate::Running => "its runner is running",
        Fate::InUse => "a process still uses it",
        Fate::Recorded => "it was recorded; `--all` removes it",
        Fate::Named => "COFFERDAM_RUN_ID named it, so its end is not known; `--all` removes it",
        Fate::Foreign => "it belongs to another machine or an earlier boot; `--all` removes it",
        Fate::Unknown => "its run.json is missing or unreadable; `--all` removes it",
        _ => "",
    }
}

/// The report, for programs.
#[derive(Serialize)]
struct SweptView<'a> {
    version: u64,
    dry_run: bool,
    looked_in: Cow<'a, str>,
    warm: Vec<WarmView<'a>>,
    runs: Vec<RunView<'a>>,
}

#[derive(Serialize)]
struct WarmView<'a> {
    name: &'a str,
    fate: &'static str,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct RunView<'a> {
    path: Cow<'a, str>,
    fate: &'static str,
    error: Option<String>,
}

impl<'a> SweptView<'a> {
    fn of(swept: &'a Swept) -> Self {
        let run = |run: &'a Cleaned| RunView {
            path: path(&run.path),
            fate: run.fate.as_str(),
            error: match &run.fate {
                Fate::Failed(error) => Some(error.to_string()),
                _ => None,
            },
        };
        let warm = |one: &'a WarmFixture| WarmView {
            name: &one.name,
            fate: one.fate.as_str(),
            error: match &one.fate {
                WarmFate::Failed(reason) => Some(reason),
                _ => None,
            },
        };
        Self {
            version: VERSION,
            dry_run: swept.dry_run,
            looked_in: path(&swept.place),
            warm: swept.warm.iter().map(warm).collect(),
            runs: swept.runs.iter().map(run).collect(),
        }
    }
}
