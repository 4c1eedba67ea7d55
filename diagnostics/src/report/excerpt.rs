//! The source lines at which two tests conflict, in the compiler's style.

use super::source_place::{main_use, split};
use super::source_quotes::SourceQuotes;
use super::text::plain;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use cofferdam::Access;
use cofferdam_conflicts::{Conflict, Severity};
use std::io::{self, Write};
use std::path::Path;

/// The width of other outputs, and of a terminal that reports none.
const WIDTH: usize = 100;
/// A terminal of unknown size reports a smaller width.
const LEAST_WIDTH: usize = 40;
const INDENTATION: &str = "  ";

/// Shows source lines, also in logs: who reads one has no editor at hand.
#[derive(Debug)]
pub(super) struct Excerpts {
    sources: SourceQuotes,
    width: usize,
}

/// A source line with labels for its tests.
struct Excerpt<'a> {
    file: &'a str,
    line: u32,
    text: String,
    labels: Vec<String>,
}

impl Excerpts {
    /// Returns excerpts as wide as standard output, from files in `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        let size = console::Term::stdout().size_checked();
        let columns = size.map(|(_, columns)| usize::from(columns));
        Self {
            sources: SourceQuotes::new(dir),
            width: columns.filter(|columns| *columns >= LEAST_WIDTH).unwrap_or(WIDTH),
        }
    }

    /// Writes the lines of the first two tests. A file that cannot be read is left out.
    pub(super) fn write(&self, out: &mut impl Write, conflict: &Conflict) -> io::Result<()> {
        let excerpts = self.of(conflict);
        if excerpts.is_empty() {
            return Ok(());
        }
        let level = match conflict.severity() {
            Severity::Conflict => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let mut kinds =
            std::iter::once(AnnotationKind::Primary).chain(std::iter::repeat(AnnotationKind::Context));
        let snippets = excerpts.iter().map(|excerpt| {
            let from = excerpt.text.len() - excerpt.text.trim_start().len();
            let kind = kinds.next().unwrap_or(AnnotationKind::Context);
            let line = from..excerpt.text.trim_end().len();
            let labels = excerpt.labels.iter();
            Snippet::source(excerpt.text.as_str())
                .line_start(excerpt.line as usize)
                .path(plain(excerpt.file))
                .annotations(labels.map(|label| kind.span(line.clone()).label(label)))
        });
        let group = Group::with_level(level).elements(snippets);
        let renderer = Renderer::styled().term_width(self.width.saturating_sub(INDENTATION.len()));
        for line in renderer.render(&[group]).lines() {
            writeln!(out, "{INDENTATION}{line}")?;
        }
        Ok(())
    }

    /// Returns the line of each test's main use, and the test's own line if it differs. A line has one excerpt.
    fn of<'c>(&self, conflict: &'c Conflict) -> Vec<Excerpt<'c>> {
        let mut excerpts: Vec<Excerpt<'_>> = Vec::new();
        for test in conflict.tests.iter().take(2) {
            let Some(used) = main_use(test) else { continue };
            let verb = match used.access {
                Some(Access::Write) => "writes it",
                Some(Access::Read) => "reads it",
                Some(Access::List) => "lists it",
                None => "uses it",
            };
            // The rows above have the full names.
            let full = test.to_string();
            let name = plain(full.rsplit("::").next().unwrap_or(&full));
            let own = used
                .test_place
                .as_ref()
                .filter(|place| used.place.as_ref() != Some(*place));
            let places = [
                (used.place.as_ref(), format!("{name} {verb}")),
                (own, format!("in {name}")),
            ];
            for (place, label) in places {
                let Some((file, line)) = place.and_then(|place| split(place)) else {
                    continue;
                };
                match excerpts
                    .iter_mut()
                    .find(|known| (known.file, known.line) == (file, line))
                {
                    Some(known) => known.labels.push(label),
                    None => excerpts.extend(self.line(file, line).map(|text| Excerpt {
                        file,
                        line,
                        text,
                        labels: vec![label],
                    })),
                }
            }
        }
        excerpts
    }

    /// Returns the text of a line; `None` if it is blank or cannot be read.
    fn line(&self, file: &str, line: u32) -> Option<String> {
        let text = plain(&self.sources.line(file, line)?).into_owned();
        (!text.trim().is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn text(dir: &Path, width: usize, conflict: &Conflict) -> String {
        let excerpts = Excerpts {
            sources: SourceQuotes::new(dir),
            width,
        };
        let mut out = Vec::new();
        excerpts.write(&mut out, conflict).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    #[test]
    fn both_lines_are_shown_with_what_their_tests_do() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("src")).unwrap();
        std::fs::create_dir_all(dir.path().join("tests")).unwrap();
        let lines = |before: usize, line: &str| format!("{}{line}\n", "//\n".repeat(before));
        std::fs::write(
            dir.path().join("src/lib.rs"),
            lines(2, "\tstd::fs::write(path, \"tea\u{1b}[31m\")?;"),
        )
        .unwrap();
        std::fs::write(
            dir.path().join("tests/shop.rs"),
            lines(8, "    let text = read(path)?;"),
        )
        .unwrap();
        let mut conflict = sample::outcome("stores_one").findings.conflicts.remove(0);
        assert_eq!(
            text(dir.path(), 80, &conflict),
            r#"   --> src/lib.rs:3:5
    |
  3 |     std::fs::write(path, "tea\u{1b}[31m")?;
    |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ stores_one writes it
    |
   ::: tests/shop.rs:9:5
    |
  9 |     let text = read(path)?;
    |     ----------------------- exports_all reads it
"#
        );
        // Both use it in one function, which their tests call.
        conflict.tests[1].uses[0].place = Some("src/lib.rs:3".to_owned());
        conflict.tests[1].uses[0].test_place = Some("tests/shop.rs:9".to_owned());
        let text = text(dir.path(), 200, &conflict);
        let labels = "^^^
    |     |
    |     stores_one writes it
    |     exports_all reads it
";
        assert!(text.contains(labels), "{text}");
        assert!(text.ends_with("--- in exports_all\n"), "{text}");
    }

    #[test]
    fn a_line_that_cannot_be_read_is_left_out() {
        let conflict = sample::outcome("stores_one").findings.conflicts.remove(0);
        assert_eq!(text(Path::new("no-such-directory"), 80, &conflict), "");
    }
}
