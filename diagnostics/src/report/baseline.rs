//! What a baseline says, for a person: what fails no more in a line each, and what has to be known of the file.

use super::style::headline;
use super::text::{count, plain};
use crate::baseline::Standing;
use crate::commands::ratchet::Compared;
use cofferdam_conflicts::{Conflict, Severity};
use std::io::{self, Write};

/// As many are named that the file holds and nobody saw.
const NAMED: usize = 10;

pub(super) fn write(out: &mut impl Write, compared: &Compared) -> io::Result<()> {
    for (told, standing) in &compared.settled {
        let (word, text) = settled(told, standing);
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
        let text = format!("wrote {file}, where {} known", what_is(written));
        headline(out, Severity::Note, "baseline", &text)?;
    }
    if !compared.gone.is_empty() {
        let mut names: Vec<&str> = compared.gone.iter().take(NAMED).map(String::as_str).collect();
        if compared.gone.len() > NAMED {
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

/// `known`, and what of it.
pub(super) fn settled(told: &Conflict, standing: &Standing) -> (&'static str, String) {
    let subject = told
        .resource
        .as_ref()
        .map_or_else(|| told.message.clone(), ToString::to_string);
    let tests = count(told.use_count, "use");
    match standing {
        Standing::Allowed { until, reason } => {
            ("allowed", format!("{subject} ({tests}) until {until}: {reason}"))
        }
        _ => ("known", format!("{subject} ({tests})")),
    }
}

/// For the last line.
pub(super) fn last_words(compared: &Compared) -> String {
    match compared.settled.len() {
        0 => String::new(),
        number => {
            let file = compared.file.display().to_string();
            format!("; {} known in {}", what_is(number), plain(&file))
        }
    }
}
