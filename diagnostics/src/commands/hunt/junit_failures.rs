//! The failed tests in a JUnit report, as nextest and other runners write it.

use crate::findings::{JUNIT_FINDINGS, JUNIT_JOBS};
use roxmltree::{Document, Node};
use std::fs;
use std::path::Path;

/// Returns the names of the tests that failed or had an error, each after its program if the report names one.
///
/// # Errors
///
/// The file cannot be read, or it is no JUnit report.
pub(super) fn read(path: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("could not read the JUnit report {}: {error}", path.display()))?;
    parse(&text).map_err(|why| format!("{} is not a JUnit report (XML): {why}", path.display()))
}

fn parse(text: &str) -> Result<Vec<String>, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element().tag_name().name();
    if !matches!(root, "testsuites" | "testsuite") {
        return Err(format!("its root is <{root}>"));
    }
    let mut failed = Vec::new();
    for case in document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
    {
        let suite = case.parent().and_then(|suite| suite.attribute("name"));
        let is_test = suite.is_none_or(|suite| ![JUNIT_FINDINGS, JUNIT_JOBS].contains(&suite));
        if !is_test || !case.children().any(|child| is_failure(&child)) {
            continue;
        }
        let name = case.attribute("name").ok_or("a test case has no name")?;
        let name = match case.attribute("classname").filter(|class| !class.is_empty()) {
            Some(class) => format!("{class}::{name}"),
            None => name.to_owned(),
        };
        if !failed.contains(&name) {
            failed.push(name);
        }
    }
    Ok(failed)
}

/// Returns whether it is a failed attempt, also of a test that passed when it was retried.
fn is_failure(node: &Node<'_, '_>) -> bool {
    let kinds = [
        "failure",
        "error",
        "flakyFailure",
        "flakyError",
        "rerunFailure",
        "rerunError",
    ];
    kinds.iter().any(|kind| node.has_tag_name(*kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_and_flaky_tests_are_named_after_their_program() {
        let report = r#"<?xml version="1.0" encoding="UTF-8"?>
            <testsuites name="nextest-run" tests="4" failures="1" errors="0">
              <testsuite name="shop::api" tests="4">
                <testcase name="total" classname="shop::api"><failure message="m">text</failure></testcase>
                <testcase name="stock" classname="shop::api"/>
                <testcase name="retried" classname="shop::api"><flakyFailure message="m"/></testcase>
                <testcase name="aborted &amp; gone"><error/></testcase>
              </testsuite>
              <testsuite name="cofferdam findings"><testcase name="env SHOP_DB"><failure/></testcase></testsuite>
              <testsuite name="cofferdam jobs"><testcase name="cargo test"><failure/></testcase></testsuite>
            </testsuites>"#;
        assert_eq!(
            parse(report),
            Ok(vec![
                "shop::api::total".to_owned(),
                "shop::api::retried".to_owned(),
                "aborted & gone".to_owned()
            ])
        );
        assert_eq!(parse("<testsuite/>"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in [
            "",
            "{}",
            "<html/>",
            "<testsuites><testcase><failure/></testcase></testsuites>",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
