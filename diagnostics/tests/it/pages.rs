//! The reference pages match the code.

use std::collections::BTreeSet;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// Returns the sources of the library and the binary without tests.
fn sources() -> Vec<String> {
    let folders = [
        "src",
        "diagnostics/src",
        "diagnostics/batch/src",
        "diagnostics/runner",
    ];
    let mut left: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            // What the compiler reads is no variable of a user.
            found.push(code.replace("env!(\"", "env!("));
        }
    }
    found
}

/// Returns the quoted texts that can only be names of variables, or prefixes of such names.
fn variables(code: &str) -> impl Iterator<Item = &str> {
    const OWNERS: [&str; 7] = ["COFFERDAM_", "NEXTEST_", "CARGO_", "RUST_", "LD_", "DYLD_", "NO_"];
    code.split('"').filter(|text| {
        let is_name = text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        // Variables that only our own tests set.
        is_name
            && !text.starts_with("COFFERDAM_TEST_")
            && (OWNERS.iter().any(|owner| text.starts_with(owner)) || *text == "OUT_DIR")
    })
}

#[test]
fn every_variable_that_is_read_or_set_stands_on_its_page_and_none_else_of_ours() {
    let page = page("reference/variables.md");
    let sources = sources();
    let used: BTreeSet<&str> = sources.iter().flat_map(|code| variables(code)).collect();
    let missing: Vec<_> = used
        .iter()
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/reference/variables.md does not tell of {missing:?}"
    );
    assert!(
        used.contains("COFFERDAM_DIR") && used.contains("NEXTEST_RUN_ID"),
        "{used:?}"
    );
    let described = page
        .split('`')
        .filter(|word| word.starts_with("COFFERDAM_") || word.starts_with("NEXTEST_"));
    let gone: Vec<_> = described.filter(|word| !used.contains(word)).collect();
    assert!(
        gone.is_empty(),
        "docs/reference/variables.md names {gone:?}, which the code neither reads nor sets"
    );
}

#[test]
fn the_example_of_a_journal_is_read_without_complaint() {
    let page = page("reference/journal.md");
    let example = page
        .split("```ndjson\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("journal.ndjson");
    std::fs::write(&file, example).unwrap();
    let output = crate::recording::output_of(dir.path(), &["check", "journal.ndjson"]);
    assert!(
        output
            .out
            .contains("watched: 1 test, 1 worker, 1 run, 2 service instances, 1 claim;"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(0));
}

#[test]
fn the_example_of_a_snapshot_is_read_without_complaint() {
    let page = page("reference/snapshot.md");
    let example = page
        .split("```json\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("snapshot.json"), example).unwrap();
    let output = crate::recording::output_of(dir.path(), &["check", "snapshot.json"]);
    assert!(
        output.out.contains("1 service instance, 1 claim, 1 snapshot"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(0));
}

#[test]
fn the_example_of_a_report_has_the_fields_that_a_report_has() {
    let page = page("reference/reports.md");
    let example = page
        .split("```json\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let example: serde_json::Value = serde_json::from_str(example).unwrap();
    let base = tempfile::tempdir().unwrap();
    crate::recording::conflicted(base.path(), "r1", "s1", 1);
    let (_, report) = crate::recording::json_of(base.path(), &["check", "--format", "json"]);
    let fields = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for path in [
        "",
        "/exit_code",
        "/watched",
        "/conflicts/0",
        "/conflicts/0/resource",
        "/conflicts/0/tests/1",
        "/conflicts/0/tests/1/uses/0",
    ] {
        let (real, shown) = (report.pointer(path).unwrap(), example.pointer(path).unwrap());
        assert_eq!(fields(real), fields(shown), "{path}");
    }
}

#[test]
fn every_kind_of_finding_stands_on_its_page_with_its_severity() {
    use cofferdam_conflicts::Kind;
    let page = page("reference/reports.md");
    for kind in Kind::ALL {
        let row = format!("| `{kind}` | {} |", kind.severity());
        assert!(
            page.contains(&row),
            "docs/reference/reports.md has no row {row:?}"
        );
    }
}
