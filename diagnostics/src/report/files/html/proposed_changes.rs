//! The changes that `fix` proposes, as a diff.

use super::escaped::{Plain, with_code};
use crate::fix::proposal::Proposal;
use crate::report::fix;
use crate::report::text::{is_harmful, plain};
use maud::{Markup, html};
use std::path::Path;

/// Writes the changes, with what is left to do by hand. Paths are relative to `dir`.
pub(super) fn markup(proposal: &Proposal, dir: &Path) -> Markup {
    let is_empty =
        proposal.changes.is_empty() && proposal.manual_steps.is_empty() && proposal.missing_crates.is_empty();
    html! {
        @if !is_empty {
            section aria-labelledby="changes" {
                h2 id="changes" { "Proposed changes" }
                p {
                    "These keep the tests apart that share something. " code { "cargo cofferdam fix" } " prints them, and " code { "cargo cofferdam fix --apply" }
                    " writes them."
                }
                @for change in &proposal.changes {
                    @let diff = change.diff(dir);
                    @let (names, body) = diff.split_at(diff.find("@@").unwrap_or(diff.len()));
                    pre.diff tabindex="0" {
                        @for line in names.lines() { b { (Plain(line)) } "\n" }
                        @for line in body.lines() { (diff_line(line)) }
                    }
                }
                ul {
                    @for step in &proposal.manual_steps { li { strong { "by hand" } ": " (with_code(&fix::by_hand(step))) } }
                    @for (manifest, missing) in &proposal.missing_crates {
                        @let manifest = manifest.strip_prefix(dir).unwrap_or(manifest).display().to_string();
                        li { strong { "needed" } ": " (with_code(&missing.sentence(&manifest))) }
                    }
                }
            }
        }
    }
}

fn diff_line(line: &str) -> Markup {
    let class = match line.as_bytes().first() {
        Some(b'+') => "added",
        Some(b'-') => "removed",
        _ => "",
    };
    // The spaces of a patch are part of it.
    let shown = if line.contains(|letter| is_harmful(letter) && letter != '\t') {
        plain(line)
    } else {
        line.into()
    };
    html! { span class=(class) { (shown) "\n" } }
}
