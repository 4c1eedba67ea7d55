//! The parts of a Markdown page that tests check: fenced blocks, headings and links.

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    /// The line of its first backticks, from 1.
    pub(crate) line: usize,
    /// The text behind the backticks: `rust,no_run`.
    pub(crate) info: String,
    pub(crate) lines: Vec<String>,
    /// The reason in `<!-- not run: … -->` directly before it.
    pub(crate) not_run: Option<String>,
}

/// A page, split into its fenced blocks and the lines outside of them.
struct Page<'a> {
    fences: Vec<Fence>,
    /// With the line number.
    prose: Vec<(usize, &'a str)>,
}

fn cut(page: &str) -> Page<'_> {
    let mut cut = Page {
        fences: Vec::new(),
        prose: Vec::new(),
    };
    let mut lines = page.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let text = line.trim_start();
        let ticks = text.len() - text.trim_start_matches('`').len();
        if ticks < 3 {
            cut.prose.push((index + 1, line));
            continue;
        }
        let indent = line.len() - text.len();
        let close = &text[..ticks];
        let before = cut
            .prose
            .iter()
            .rev()
            .map(|(_, line)| line.trim())
            .find(|line| !line.is_empty());
        let not_run = before
            .and_then(|line| line.strip_prefix("<!-- not run:")?.strip_suffix("-->"))
            .map(|reason| reason.trim().to_owned());
        let body = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| line.trim() != close);
        cut.fences.push(Fence {
            line: index + 1,
            info: text[ticks..].trim().to_owned(),
            lines: body.map(|line| unindented(line, indent).to_owned()).collect(),
            not_run,
        });
        // A reason applies only to the block directly below.
        cut.prose.push((index + 1, "```"));
    }
    cut
}

fn unindented(line: &str, indent: usize) -> &str {
    let spaces = line.len() - line.trim_start_matches(' ').len();
    &line[indent.min(spaces)..]
}

/// Returns the fenced blocks of a page.
pub(crate) fn fences(page: &str) -> Vec<Fence> {
    cut(page).fences
}

/// Returns the headings of a page: `## Context`.
pub(crate) fn headings(page: &str) -> Vec<String> {
    let prose = cut(page).prose.into_iter().map(|(_, line)| line);
    prose
        .filter(|line| line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Returns the anchors that GitHub generates for the headings.
pub(crate) fn anchors(page: &str) -> Vec<String> {
    let mut plain: Vec<String> = Vec::new();
    let mut anchors = Vec::new();
    for heading in headings(page) {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'));
        let anchor: String = kept.map(|sign| if sign == ' ' { '-' } else { sign }).collect();
        anchors.push(match plain.iter().filter(|known| **known == anchor).count() {
            0 => anchor.clone(),
            count => format!("{anchor}-{count}"),
        });
        plain.push(anchor);
    }
    anchors
}

/// Returns the targets of the links with their lines: `[text](target)`, `![image](target)` and `[name]: target`.
pub(crate) fn links(page: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (line, text) in cut(page).prose {
        // Every second piece between backticks is code.
        let text: String = text.split('`').step_by(2).collect();
        if let Some((_, target)) = text.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            links.push((line, target.trim().to_owned()));
        }
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            links.push((line, target.to_owned()));
        }
    }
    links
}

const PAGE: &str = "\
# Title, `code` & more
See [a](b.md#c), ![d](e.svg \"f\") and `[no](no.md)`.

<!-- not run: because -->

```console
$ ls [x](y)
# no heading
```

- item
  ```rust
  fn f() {
      g();
  }
  ```

[ref]: https://example.org/
## Same
## Same
";

#[test]
fn a_block_knows_its_language_its_lines_and_why_it_is_not_run() {
    let fences = fences(PAGE);
    assert_eq!(fences.len(), 2);
    assert_eq!((fences[0].line, fences[0].info.as_str()), (6, "console"));
    assert_eq!(fences[0].not_run.as_deref(), Some("because"));
    assert_eq!(fences[0].lines, ["$ ls [x](y)", "# no heading"]);
    assert_eq!(
        (fences[1].info.as_str(), fences[1].not_run.as_deref()),
        ("rust", None)
    );
    assert_eq!(fences[1].lines, ["fn f() {", "    g();", "}"]);
}

#[test]
fn a_reason_counts_for_the_next_block_only() {
    let page = "<!-- not run: x -->\n```console\n```\n\n```console\n```\n";
    let reasons: Vec<_> = fences(page).into_iter().map(|fence| fence.not_run).collect();
    assert_eq!(reasons, [Some("x".to_owned()), None]);
}

#[test]
fn a_block_may_hold_shorter_fences() {
    let fences = fences("````text\n```rust\n```\n````\n");
    assert_eq!((fences.len(), fences[0].lines.len()), (1, 2));
}

#[test]
fn anchors_are_those_of_the_hosting_site() {
    assert_eq!(anchors(PAGE), ["title-code--more", "same", "same-1"]);
}

#[test]
fn links_in_code_are_none() {
    let found = links(PAGE);
    let found: Vec<_> = found
        .iter()
        .map(|(line, target)| (*line, target.as_str()))
        .collect();
    assert_eq!(found, [(2, "b.md#c"), (2, "e.svg"), (18, "https://example.org/")]);
}
