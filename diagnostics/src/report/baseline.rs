//! The comparison with a baseline, for people: one line for each known conflict, and notes about the file.

use super::style::headline;
use super::text::{count, plain};
use crate::baseline::Standing;
use crate::commands::baseline_check::Compared;
use cofferdam_conflicts::{Conflict, Severity};
use std::io::{self, Write};

/// The number of entries that are named of those without a conflict.
const NAMED: usize = 10;

pub(super) fn write(out: &mut impl Write, compared: &Compared) -> io::Result<()> {
    for (conflict, standing) in &compared.accepted {
        let (word, text) = settled(conflict, standing);
        headline(out, Severity::Note, word, &text)?;
    }
    for note in &compared.notes {
        headline(out, Severity::Conflict, "baseline", note)?;
    }
    let file = compared.file.display();
    if let Some(why) = &compared.not_written {
        headline(
            out,
            Severity::Warning,
            "baseline",
            &format!("{file} was not written: {why}"),
        )?;
    }
    if let Some(written) = compared.written {
        let text = format!("wrote {file}, where {} known; check it in", what_is(written));
        headline(out, Severity::Note, "baseline", &text)?;
    }
    if !compared.missing.is_empty() {
        let mut names: Vec<&str> = compared.missing.iter().take(NAMED).map(String::as_str).collect();
        if compared.missing.len() > NAMED {
            names.push("and others");
        }
        let text = format!(
            "in {file} and not seen any more: {}; --update-baseline removes what is known",
            names.join(", ")
        );
        headline(out, Severity::Note, "baseline", &text)?;
    }
    Ok(())
}

fn what_is(number: usize) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", count(number as u64, "conflict"))
}

/// Returns the headline word and text for a known or allowed conflict.
pub(super) fn settled(conflict: &Conflict, standing: &Standing) -> (&'static str, String) {
    let subject = conflict
        .resource
        .as_ref()
        .map_or_else(|| conflict.message.clone(), ToString::to_string);
    let tests = count(conflict.use_count, "use");
    match standing {
        Standing::Allowed { until, reason } => {
            ("allowed", format!("{subject} ({tests}) until {until}: {reason}"))
        }
        _ => ("known", format!("{subject} ({tests})")),
    }
}

/// Returns the part of the last line about the baseline.
pub(super) fn last_words(compared: &Compared) -> String {
    match compared.accepted.len() {
        0 => String::new(),
        number => {
            let file = compared.file.display().to_string();
            format!("; {} known in {}", what_is(number), plain(&file))
        }
    }
}
