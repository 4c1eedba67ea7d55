//! The times in JUnit reports, as nextest and other runners write them.

use crate::shards::TestTimes;
use roxmltree::Document;
use std::path::PathBuf;

/// Returns the times of the tests that passed.
///
/// # Errors
///
/// A file cannot be read, or it is no JUnit report.
pub(super) fn read(files: &[PathBuf]) -> Result<TestTimes, String> {
    let mut times = TestTimes::default();
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("could not read the JUnit report {}: {error}", file.display()))?;
        add(&mut times, &text)
            .map_err(|why| format!("{} is not a JUnit report (XML): {why}", file.display()))?;
    }
    Ok(times)
}

fn add(times: &mut TestTimes, text: &str) -> Result<(), String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element().tag_name().name();
    if !matches!(root, "testsuites" | "testsuite") {
        return Err(format!("its root is <{root}>"));
    }
    for case in document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
    {
        // A test that failed or did not run has no representative time.
        let passed = !case.children().any(|child| {
            ["failure", "error", "skipped"]
                .iter()
                .any(|kind| child.has_tag_name(*kind))
        });
        let seconds = case
            .attribute("time")
            .and_then(|time| time.replace(',', "").parse().ok());
        let is_time = |seconds: &f64| seconds.is_finite() && *seconds >= 0.0;
        if let (true, Some(name), Some(seconds)) = (passed, case.attribute("name"), seconds.filter(is_time)) {
            let suite = case.parent_element().and_then(|suite| suite.attribute("name"));
            let binary = case.attribute("classname").or(suite).unwrap_or_default();
            times.add(binary, "", name, (seconds * 1e6) as u64);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::{ListedProgram, Plan, Tests};

    #[test]
    fn the_times_of_passed_tests_are_read_and_what_is_no_report_is_refused() {
        let report = r#"<testsuites name="nextest-run" tests="4" time="9.5">
              <testsuite name="shop::api" tests="4">
                <testcase name="total" classname="shop::api" time="1.250"/>
                <testcase name="stock" classname="shop::api" time="1,000.5"><flakyFailure message="m"/></testcase>
                <testcase name="sold" classname="shop::api" time="7"><failure message="m"/></testcase>
              </testsuite>
            </testsuites>"#;
        let mut times = TestTimes::default();
        add(&mut times, report).unwrap();
        let program = |name: &str| ListedProgram {
            is_filtered: false,
            id: "shop::api".to_owned(),
            binary: "api".to_owned(),
            dir: "/w".into(),
            selection: Vec::new(),
            harness_arguments: Vec::new(),
            tests: Tests::Each(vec![name.to_owned()]),
        };
        for (name, micros) in [("total", 1_250_000), ("stock", 1_000_500_000), ("sold", 0)] {
            assert_eq!(
                Plan::new(&[program(name)], &times, 1, true).unwrap().micros,
                micros,
                "{name}"
            );
        }
        for text in ["", "{}", "<html/>"] {
            assert!(add(&mut times, text).is_err(), "{text}");
        }
    }
}
