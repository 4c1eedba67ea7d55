//! The documents are correct: Rust blocks are doctests, console blocks are run here.
//!
//! A block that cannot be run says why, in a comment directly before it: `<!-- not run: the reason -->`.

use crate::markdown::{Fence, fences};
use crate::{console, files};
#[cfg(unix)]
use std::process::{Command, Stdio};

/// The languages of blocks. Data is not run; a block that could be run must be in one of the first two.
const LANGUAGES: [&str; 9] = [
    "rust", "console", "json", "ndjson", "text", "toml", "yaml", "diff", "mermaid",
];

fn blocks() -> Vec<(String, Fence)> {
    let pages = files::all("", "md");
    pages
        .iter()
        .flat_map(|(path, page)| fences(page).into_iter().map(move |fence| (path.clone(), fence)))
        .collect()
}

fn language(fence: &Fence) -> &str {
    fence.info.split(',').next().unwrap_or_default()
}

/// Returns the README and the pages of the book, with their numbers of words.
fn pages() -> Vec<(String, usize)> {
    let book = files::all("docs", "md").into_iter();
    let pages = std::iter::once(("README.md".to_owned(), files::read("README.md"))).chain(book);
    pages
        .map(|(path, text)| (path, text.split_whitespace().count()))
        .collect()
}

#[test]
fn the_documents_are_short() {
    const README: usize = 600;
    const PAGE: usize = 1500;
    const TOTAL: usize = 25_400;
    let pages = pages();
    let limit = |path: &str| if path == "README.md" { README } else { PAGE };
    let long = pages.iter().filter(|(path, words)| *words > limit(path));
    let mut breaches: Vec<_> = long
        .map(|(path, words)| format!("{path}: {words} words, not {}", limit(path)))
        .collect();
    let total: usize = pages.iter().map(|(_, words)| words).sum();
    if total > TOTAL {
        breaches.push(format!("README.md and docs/: {total} words, not {TOTAL}"));
    }
    files::hold(
        &breaches,
        "Cut narration and repetition; keep facts and limitations.",
    );
}

#[test]
fn every_page_stands_once_in_the_summary_of_the_book() {
    let links = crate::markdown::links(&files::read("docs/SUMMARY.md"));
    let times = |page: &str| links.iter().filter(|(_, target)| target == page).count();
    let pages = files::all("docs", "md").into_iter();
    let pages = pages.filter_map(|(path, _)| Some(path.strip_prefix("docs/")?.to_owned()));
    let breaches: Vec<_> = pages
        .filter(|page| page != "SUMMARY.md" && times(page) != 1)
        .map(|page| format!("{page}: {} times", times(&page)))
        .collect();
    files::hold(
        &breaches,
        "docs/SUMMARY.md is the table of contents: each page once.",
    );
}

#[test]
fn no_page_of_the_book_links_to_a_file_outside_of_it() {
    let mut breaches = Vec::new();
    for (path, page) in files::all("docs", "md") {
        let depth = path.matches('/').count() - 1;
        for (line, target) in crate::markdown::links(&page) {
            if target.matches("../").count() > depth {
                breaches.push(format!("{path}:{line}: {target}"));
            }
        }
    }
    files::hold(
        &breaches,
        "The book has no such page: name the file by its path, as code.",
    );
}

#[test]
fn the_paths_through_the_code_are_of_files_that_exist_and_none_is_there_twice() {
    let page = files::read("docs/design/paths.md");
    let mut breaches = Vec::new();
    for section in page.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        let named = section.split('`').filter(|word| word.ends_with(".rs"));
        let mut seen = std::collections::BTreeSet::new();
        for path in named {
            if !seen.insert(path) {
                breaches.push(format!("{title}: {path} twice"));
            }
            if !files::root().join(path).is_file() {
                breaches.push(format!("{title}: {path} does not exist"));
            }
        }
    }
    files::hold(
        &breaches,
        "docs/design/paths.md leads a newcomer through the code.",
    );
}

#[test]
fn every_block_says_what_it_is() {
    let mut breaches = Vec::new();
    for (path, fence) in blocks() {
        let place = format!("{path}:{}", fence.line);
        let is_skipped = fence.info.split(',').any(|word| word == "ignore");
        if !LANGUAGES.contains(&language(&fence)) {
            breaches.push(format!("{place}: `{}`", fence.info));
        } else if is_skipped && fence.not_run.is_none() {
            breaches.push(format!("{place}: `ignore` without a reason"));
        } else if fence.not_run.as_deref() == Some("") {
            breaches.push(format!("{place}: `not run` without a reason"));
        }
    }
    let advice = "Blocks are one of these, so that what can be run is run:";
    files::hold(&breaches, &format!("{advice} {}.", LANGUAGES.join(", ")));
}

#[test]
fn every_page_with_rust_is_a_doctest() {
    let root = files::read("src/lib.rs");
    let mut pages: Vec<String> = blocks()
        .into_iter()
        .filter(|(_, fence)| language(fence) == "rust" && fence.not_run.is_none())
        .map(|(path, _)| path)
        .collect();
    pages.dedup();
    // With a condition, a page is run where its features are on.
    pages.retain(|path| !root.contains(&format!("doc = include_str!(\"../{path}\")")));
    files::hold(
        &pages,
        "src/lib.rs runs the Rust blocks of these pages when it says, for each:\n\
         #[cfg(doctest)]\n#[doc = include_str!(\"../PAGE.md\")]\nmod page {}",
    );
}

#[test]
fn every_block_of_json_is_json() {
    let mut breaches = Vec::new();
    for (path, fence) in blocks() {
        let values = match language(&fence) {
            "json" => vec![fence.lines.join("\n")],
            "ndjson" => fence.lines.clone(),
            _ => continue,
        };
        for value in values.iter().filter(|_| fence.not_run.is_none()) {
            if let Err(error) = serde_json::from_str::<serde_json::Value>(value) {
                breaches.push(format!("{path}:{}: {error}", fence.line));
            }
        }
    }
    files::hold(&breaches, "Readers copy these.");
}

#[test]
fn every_console_block_can_be_read() {
    let mut breaches = Vec::new();
    for (path, fence) in blocks()
        .into_iter()
        .filter(|(_, fence)| language(fence) == "console")
    {
        breaches.extend(
            console::commands(&fence)
                .err()
                .map(|error| format!("{path}: {error}")),
        );
    }
    files::hold(
        &breaches,
        "How blocks are written stands at the head of tests/it/console.rs.",
    );
}

/// Set for every command, so that a command that runs this test again is recognized.
#[cfg(unix)]
const INSIDE: &str = "INSIDE_A_CONSOLE_BLOCK";

#[cfg(unix)]
#[test]
fn every_command_does_what_its_page_says() {
    assert!(
        !is_set(INSIDE),
        "a page runs the suite that runs the pages: say `<!-- not run: CI runs exactly this -->` before the block"
    );
    let mut breaches = Vec::new();
    // Leftovers of other runs in the temporary directory would change the output of the commands.
    let temp_dir = tempfile::tempdir().expect("a temporary directory can be created");
    for (path, fence) in blocks() {
        if language(&fence) != "console" || fence.not_run.is_some() {
            continue;
        }
        // An invalid block fails its own test.
        for command in console::commands(&fence).unwrap_or_default() {
            let (exited, output) = run(&command.text, temp_dir.path());
            if let Some(breach) = command.breach(exited, &output) {
                breaches.push(format!("{path}:{}: `{}` {breach}\n", command.line, command.text));
            }
        }
    }
    files::hold(&breaches, "Correct the page or the program.");
}

#[cfg(unix)]
#[expect(
    clippy::disallowed_methods,
    reason = "a guard of this test, no part of the library"
)]
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

/// Runs a line in a shell in the root of the checkout, with this temporary directory. Returns the exit code and the output.
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "this is the reader's shell")]
fn run(line: &str, temp_dir: &std::path::Path) -> (Option<i32>, String) {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec 2>&1\n{line}"));
    shell
        .current_dir(files::root())
        .stdin(Stdio::null())
        .env("TMPDIR", temp_dir)
        .env(INSIDE, "1");
    if line.contains("--confirm") {
        // As `cargo test` has it; CI does without descriptions of variables.
        shell
            .env("CARGO_PROFILE_DEV_DEBUG", "2")
            .env("CARGO_PROFILE_TEST_DEBUG", "2");
    }
    // A reader's shell has none of a test runner's variables.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        let of_a_runner = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "NEXTEST",
            "COFFERDAM_",
            "GITHUB_",
        ];
        let other = [
            "CARGO_CRATE_NAME",
            "CARGO_PRIMARY_PACKAGE",
            "RUST_RECURSION_COUNT",
            "CARGO_TERM_COLOR",
        ];
        if of_a_runner.iter().any(|start| name.starts_with(start)) || other.contains(&&*name) {
            shell.env_remove(&variable);
        }
    }
    let output = shell.output().expect("sh can be started");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}
