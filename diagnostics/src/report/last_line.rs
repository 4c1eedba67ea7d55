//! The account of started programs, for people.

use super::style::headline;
use super::text::{count, plain};
use crate::commands::Findings;
use crate::findings::{Account, Entry, binary_of};
use cofferdam_conflicts::Severity;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

/// The number of programs of each kind that are listed; the others are counted.
const LISTED: usize = 10;
/// The number of programs that the last line names.
const NAMED: usize = 3;

/// Writes the lost programs, those out of reach, and files that could not be written.
pub(super) fn write(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    let Account {
        lost, out_of_reach, ..
    } = &findings.account;
    for (word, entries) in [("lost", lost), ("out of reach", out_of_reach)] {
        for entry in entries.iter().take(LISTED) {
            headline(out, Severity::Warning, word, &one(entry))?;
        }
        let more: u64 = entries.iter().skip(LISTED).map(|entry| entry.count).sum();
        if more > 0 {
            headline(out, Severity::Warning, word, &format!("and {more} more"))?;
        }
    }
    for why in findings.observed.iter().flat_map(|observed| &observed.not_kept) {
        headline(out, Severity::Warning, "not kept", why)?;
    }
    Ok(())
}

/// Returns a line for each lost program.
pub(super) fn lost(account: &Account) -> impl Iterator<Item = String> {
    account.lost.iter().map(one)
}

fn one(entry: &Entry) -> String {
    let times = match entry.count {
        1 => String::new(),
        number => format!(" ({number} times)"),
    };
    format!("{}{times}: {}", entry.name, entry.reason)
}

/// Returns `2 of 12 programs were lost`, for the last line.
pub(super) fn lost_words(account: &Account) -> String {
    let (lost, started) = (account.lost_count(), account.started);
    let all = count(started.max(lost), "program");
    match lost {
        1 => format!("1 of {all} was lost"),
        lost => format!("{lost} of {all} were lost"),
    }
}

/// Returns the programs out of reach by name, and those of which only the statics are, for the last line.
pub(super) fn out_of_reach_words(findings: &Findings) -> String {
    let statics = findings
        .observed
        .as_ref()
        .and_then(|observed| observed.statics.as_ref());
    let unwatched = statics.map_or(&[][..], |statics| &statics.unwatched);
    let programs = names(&findings.account.out_of_reach);
    let mut of_statics = names(unwatched);
    of_statics.retain(|name| !programs.contains(name));
    words("out of reach", programs) + &words("statics out of reach", of_statics)
}

/// Returns the short names of programs.
fn names(entries: &[Entry]) -> BTreeSet<String> {
    let names = entries.iter().map(|entry| match entry.name.as_str() {
        path if path.starts_with('/') => binary_of(Path::new(path)),
        name => name.to_owned(),
    });
    names.collect()
}

fn words(what: &str, names: BTreeSet<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let first: Vec<String> = names
        .into_iter()
        .take(NAMED)
        .map(|name| plain(&name).into_owned())
        .collect();
    match (first.as_slice(), more) {
        ([], _) => String::new(),
        (first, 0) => format!("; {what}: {}", first.join(", ")),
        (first, more) => format!("; {what}: {} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Statics;
    use crate::report::sample;

    #[test]
    fn the_last_line_names_each_program_out_of_reach_once() {
        let mut findings = sample::outcome("stores_one").findings;
        let account = |programs: &[&str]| {
            let mut account = Account::default();
            programs
                .iter()
                .for_each(|program| account.leave_out(program, "why", 1));
            account.out_of_reach
        };
        findings.account.out_of_reach =
            account(&["/target/debug/deps/shop-0123456789abcdef", "/usr/bin/busybox"]);
        findings.observed.as_mut().unwrap().statics = Some(Statics {
            unwatched: account(&[
                "/target/debug/deps/shop-0123456789abcdef",
                "/target/debug/deps/till-0123456789abcdef",
            ]),
            ..Statics::default()
        });
        assert_eq!(
            out_of_reach_words(&findings),
            "; out of reach: busybox, shop; statics out of reach: till"
        );
    }
}
