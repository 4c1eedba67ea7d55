//! The replacements in the text of a source file.

use std::ops::Range;

/// Replacements in one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Replacements(Vec<(Range<usize>, String)>);

impl Replacements {
    pub(super) fn add(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.0.push((range, text.into()));
    }

    /// Returns whether the offset is in a replaced range.
    pub(super) fn contain(&self, at: usize) -> bool {
        self.0.iter().any(|(range, _)| range.contains(&at))
    }

    /// Returns the text with the replacements.
    pub(super) fn apply(self, text: &str) -> String {
        self.apply_within(text, 0..text.len())
    }

    /// Returns the part of the text with the replacements in it.
    pub(super) fn apply_within(mut self, text: &str, part: Range<usize>) -> String {
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let (mut new, mut last) = (String::with_capacity(part.len()), part.start);
        for (range, with) in self.0 {
            if range.start < last {
                continue;
            }
            new.push_str(&text[last..range.start]);
            new.push_str(&with);
            last = range.end;
        }
        new + &text[last..part.end]
    }
}
