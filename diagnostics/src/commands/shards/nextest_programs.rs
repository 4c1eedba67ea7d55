//! The tests that a `cargo nextest run` would run, as `cargo nextest list` has them.

use super::output_of;
use crate::shards::{ListedProgram, Tests};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TestList {
    rust_suites: BTreeMap<String, Suite>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Suite {
    binary_name: String,
    cwd: PathBuf,
    testcases: BTreeMap<String, TestCase>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TestCase {
    filter_match: FilterMatch,
}

#[derive(Deserialize)]
struct FilterMatch {
    status: String,
    #[serde(default)]
    reason: String,
}

/// Returns the programs of the command, whose word `run` is at index `at`.
pub(super) fn list(command: &[OsString], at: usize) -> Result<Vec<ListedProgram>, Box<dyn Error>> {
    let mut listing = command.to_vec();
    listing[at] = "list".into();
    let format = ["--message-format", "json"].map(OsString::from);
    listing.splice(at + 1..at + 1, format);
    parse(&output_of(&listing)?).map_err(|error| format!("could not read nextest's list: {error}").into())
}

/// Returns arguments of nextest without filtersets: nextest runs what any of several filtersets selects.
pub(super) fn without_filtersets(words: &[OsString]) -> Vec<OsString> {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let mut kept = Vec::new();
    let mut options = words[..end].iter();
    while let Some(word) = options.next() {
        let text = word.to_string_lossy();
        if ["-E", "--filterset", "--filter-expr"].contains(&&*text) {
            options.next();
        } else if !["-E", "--filterset=", "--filter-expr="]
            .iter()
            .any(|option| text.starts_with(option))
        {
            kept.push(word.clone());
        }
    }
    kept.extend_from_slice(&words[end..]);
    kept
}

fn parse(bytes: &[u8]) -> Result<Vec<ListedProgram>, serde_json::Error> {
    let list: TestList = serde_json::from_slice(bytes)?;
    let program = |(id, suite): (String, Suite)| {
        let matches = |case: &TestCase| case.filter_match.status == "matches";
        let mut cases = suite.testcases.values();
        let is_filtered = cases.any(|case| !matches(case) && case.filter_match.reason != "ignored");
        let names = suite.testcases.into_iter().filter(|(_, case)| matches(case));
        ListedProgram {
            is_filtered,
            id,
            binary: suite.binary_name.replace('-', "_"),
            dir: suite.cwd,
            selection: Vec::new(),
            harness_arguments: Vec::new(),
            tests: Tests::Each(names.map(|(name, _)| name).collect()),
        }
    };
    Ok(list.rust_suites.into_iter().map(program).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_s_filterset_takes_the_place_of_the_command_s() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let command = "--release -E all() --filterset=all() -Eall() -p shop stores -- -E";
        assert_eq!(
            without_filtersets(&words(command)),
            words("--release -p shop stores -- -E")
        );
    }

    #[test]
    fn the_tests_that_nextest_would_run_are_listed_by_program() {
        let list = r#"{"rust-build-meta":{"target-directory":"/t"},"test-count":3,"rust-suites":{
            "shop::web-api":{"package-name":"shop","binary-id":"shop::web-api","binary-name":"web-api","kind":"test",
              "package-id":"path+file:///w/shop#0.1.0","binary-path":"/t/web_api-0123456789abcdef","build-platform":"target",
              "cwd":"/w/shop","status":"listed","testcases":{
                "b":{"kind":"test","ignored":false,"filter-match":{"status":"matches"}},
                "slow":{"kind":"test","ignored":true,"filter-match":{"status":"mismatch","reason":"ignored"}},
                "a":{"kind":"test","ignored":false,"filter-match":{"status":"matches"}}}}}}"#;
        let wanted = ListedProgram {
            is_filtered: false,
            id: "shop::web-api".to_owned(),
            binary: "web_api".to_owned(),
            dir: "/w/shop".into(),
            selection: Vec::new(),
            harness_arguments: Vec::new(),
            tests: Tests::Each(vec!["a".to_owned(), "b".to_owned()]),
        };
        assert_eq!(parse(list.as_bytes()).unwrap(), std::slice::from_ref(&wanted));
        let filtered = list.replace(r#""reason":"ignored""#, r#""reason":"expression""#);
        let wanted = ListedProgram {
            is_filtered: true,
            ..wanted
        };
        assert_eq!(parse(filtered.as_bytes()).unwrap(), [wanted]);
    }
}
