//! SARIF 2.1.0, as code scanning services read it.

use super::Reported;
use crate::baseline::Standing;
use crate::report::finding::Finding;
use crate::report::json_line;
use crate::report::source_place::SourcePlace;
use cofferdam_conflicts::Severity;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The name by which services know the root of the repository.
const ROOT: &str = "%SRCROOT%";
/// The name of the fingerprint, made of a finding's kind and subject. A change of that needs a new name.
const FINGERPRINT: &str = "cofferdamSubject/v1";
/// The file of a finding without a known line: services refuse a log in which a result has no location.
const NOWHERE: &str = "Cargo.toml";

pub(super) fn write(out: &mut dyn Write, reported: Reported<'_>) -> io::Result<()> {
    let mut findings = Finding::all(reported);
    findings.extend(Finding::shared_statics(reported));
    let mut rules: Vec<Rule> = Vec::new();
    let mut results = Vec::new();
    for finding in &findings {
        let id = finding.rule();
        let index = rules.iter().position(|rule| rule.id == id).unwrap_or_else(|| {
            rules.push(Rule::of(finding));
            rules.len() - 1
        });
        results.push(ResultView::of(finding, index));
    }
    let last_line = reported.last_line();
    let notifications = match reported.has_verdict() {
        true => Vec::new(),
        false => vec![Notification {
            level: Level::Error,
            message: Text::new(last_line),
        }],
    };
    let run = Run {
        tool: Tool {
            driver: Driver {
                name: "cofferdam",
                version: env!("CARGO_PKG_VERSION"),
                information_uri: env!("CARGO_PKG_REPOSITORY"),
                rules,
            },
        },
        invocations: [Invocation {
            execution_successful: notifications.is_empty(),
            tool_execution_notifications: notifications,
        }],
        results,
    };
    json_line::write(
        out,
        &Log {
            schema: SCHEMA,
            version: "2.1.0",
            runs: [run],
        },
    )
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
struct Run {
    tool: Tool,
    invocations: [Invocation; 1],
    results: Vec<ResultView>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: &'static str,
    information_uri: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Serialize)]
struct Notification {
    level: Level,
    message: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    short_description: Text,
    help: Text,
    help_uri: String,
}

impl Rule {
    fn of(finding: &Finding<'_>) -> Self {
        Self {
            id: finding.rule(),
            short_description: Text::new(finding.about()),
            help: Text::new(finding.help_of_rule()),
            help_uri: format!("{}/blob/main/{}", env!("CARGO_PKG_REPOSITORY"), finding.page()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultView {
    rule_id: String,
    rule_index: usize,
    level: Level,
    message: Text,
    locations: [Location; 1],
    related_locations: Vec<Location>,
    partial_fingerprints: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression>,
}

impl ResultView {
    fn of(finding: &Finding<'_>, rule_index: usize) -> Self {
        let nowhere = SourcePlace {
            file: NOWHERE.to_owned(),
            line: 1,
            what: "the line is not known".to_owned(),
        };
        // Services show the first place only, and only a place in the repository.
        let places = &finding.places;
        let first = places.iter().find(|place| place.is_inside()).or(places.first());
        let mut message = format!("{}.", escaped(&finding.message));
        for (number, place) in (1..).zip(places) {
            let comma = if number == 1 { " Places: " } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(message, "{comma}[{}]({number})", escaped(&place.what));
        }
        let _ = write!(message, "\n\nHelp: {}", escaped(&finding.help));
        let accepted = finding.standing.filter(|standing| !standing.fails());
        Self {
            rule_id: finding.rule(),
            rule_index,
            level: Level::of(finding.severity),
            message: Text::new(message),
            locations: [Location::of(first.unwrap_or(&nowhere), None)],
            related_locations: (1..)
                .zip(places)
                .map(|(number, place)| Location::of(place, Some(number)))
                .collect(),
            partial_fingerprints: [(FINGERPRINT, format!("{} {}", finding.kind, finding.subject))].into(),
            baseline_state: finding.standing.map(|standing| match standing.fails() {
                true => "new",
                false => "unchanged",
            }),
            suppressions: accepted.into_iter().map(Suppression::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    status: &'static str,
    justification: String,
}

impl Suppression {
    fn of(standing: &Standing) -> Self {
        Self {
            kind: "external",
            status: "accepted",
            justification: match standing {
                Standing::Allowed { until, reason } => format!("allowed until {until}: {reason}"),
                Standing::New | Standing::NewTests(_) | Standing::Known | Standing::Ended { .. } => {
                    standing.word().to_owned()
                }
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    physical_location: PhysicalLocation,
    message: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactLocation {
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_base_id: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
}

impl Location {
    fn of(place: &SourcePlace, id: Option<u32>) -> Self {
        let path = uri_path(&place.file);
        let (uri, uri_base_id) = match place.is_inside() {
            true => (path, Some(ROOT)),
            // A path with a drive letter has no leading slash.
            false => (format!("file:///{}", path.trim_start_matches('/')), None),
        };
        Self {
            id,
            physical_location: PhysicalLocation {
                artifact_location: ArtifactLocation { uri, uri_base_id },
                region: Region {
                    start_line: place.line.max(1),
                },
            },
            message: Text::new(place.what.clone()),
        }
    }
}

#[derive(Serialize)]
struct Text {
    text: String,
}

impl Text {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
    Warning,
    Note,
}

impl Level {
    fn of(severity: Severity) -> Self {
        match severity {
            Severity::Conflict => Self::Error,
            Severity::Warning => Self::Warning,
            Severity::Note => Self::Note,
        }
    }
}

/// Returns text in which no bracket begins a link.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

/// Escapes the bytes of a path that a URI's path must not contain.
fn uri_path(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@!$&'()*+,;=".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    // With a colon, the first part of a relative path would be a scheme.
    match uri.split_once('/') {
        Some((first, rest)) if !first.is_empty() => format!("{}/{rest}", first.replace(':', "%3A")),
        None => uri.replace(':', "%3A"),
        Some(_) => uri,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::{SharedStatic, StaticUse, Statics};
    use crate::report::sample::{self, HOSTILE};
    use proptest::prelude::*;
    use serde_json::Value;

    fn run_of(name: &str) -> Value {
        let outcome = sample::outcome(name);
        let mut out = Vec::new();
        write(&mut out, Reported::Outcome(&outcome)).unwrap();
        let mut log: Value = serde_json::from_slice(&out).unwrap();
        log["runs"][0].take()
    }

    #[test]
    fn a_result_has_both_places_a_rule_a_fingerprint_and_its_state_in_the_baseline() {
        let run = run_of("stores_one");
        let first = &run["results"][0];
        let place = |location: &Value| {
            let physical = &location["physicalLocation"];
            let (file, line) = (&physical["artifactLocation"], &physical["region"]["startLine"]);
            format!(
                "{} {} {}:{line} {}",
                location["id"], file["uriBaseId"], file["uri"], location["message"]["text"]
            )
            .replace('"', "")
        };
        let related = first["relatedLocations"].as_array().unwrap();
        let places: Vec<String> = [&first["locations"][0]]
            .into_iter()
            .chain(related)
            .map(place)
            .collect();
        assert_eq!(
            places,
            [
                "null %SRCROOT% src/lib.rs:3 stores_one (write)",
                "1 %SRCROOT% src/lib.rs:3 stores_one (write)",
                "2 %SRCROOT% tests/shop.rs:9 reports::exports_all (read)",
            ]
        );
        let text = first["message"]["text"].as_str().unwrap();
        assert!(
            text.contains(
                "Places: [stores_one (write)](1), [reports::exports_all (read)](2)\n\nHelp: give each"
            ),
            "{text}"
        );
        assert_eq!(
            first["partialFingerprints"]["cofferdamSubject/v1"],
            "shared-resource file report.csv"
        );
        let facts = |result: &Value| {
            let words = ["ruleId", "level", "baselineState"].map(|key| result[key].as_str().unwrap());
            let reason = result["suppressions"][0]["justification"].as_str();
            format!("{} {}", words.join(" "), reason.unwrap_or_default())
        };
        let results: Vec<_> = run["results"].as_array().unwrap().iter().map(facts).collect();
        assert_eq!(
            results,
            [
                "shared-resource/file error new ",
                "order-leak/file warning new ",
                "shared-resource/env error unchanged allowed until 2027-01-31: until it is replaced",
            ]
        );
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        for (result, rule) in run["results"].as_array().unwrap().iter().zip(rules) {
            assert_eq!(result["ruleId"], rule["id"]);
            assert!(rule["help"]["text"].as_str().unwrap().len() > 20, "{rule}");
        }
    }

    #[test]
    fn statics_that_tests_share_are_notes_if_they_are_listed() {
        for lists_statics in [false, true] {
            let mut outcome = sample::outcome("stores_one");
            let observed = outcome.findings.observed.as_mut().unwrap();
            observed.lists_statics = lists_statics;
            let uses = |test: &str, place: &str| StaticUse {
                test: test.to_owned(),
                place: Some(place.to_owned()),
            };
            observed.statics = Some(Statics {
                shared: vec![SharedStatic {
                    name: "shop::CACHE".to_owned(),
                    declared: None,
                    binary: "shop".to_owned(),
                    writers: vec![uses("fills", "src/lib.rs:3")],
                    readers: vec![uses("looks", "tests/shop.rs:9")],
                }],
                ..Statics::default()
            });
            let mut out = Vec::new();
            write(&mut out, Reported::Outcome(&outcome)).unwrap();
            let log: Value = serde_json::from_slice(&out).unwrap();
            let results = log["runs"][0]["results"].as_array().unwrap().iter();
            let notes: Vec<&Value> = results.filter(|result| result["level"] == "note").collect();
            assert_eq!(notes.len(), usize::from(lists_statics), "{log}");
            for note in notes {
                let text = note["message"]["text"].as_str().unwrap();
                assert!(
                    text.starts_with("static shop::CACHE is changed by 1 test and used by 1 other test, "),
                    "{text}"
                );
                assert_eq!(note["relatedLocations"].as_array().map(Vec::len), Some(2));
            }
        }
    }

    #[test]
    fn a_path_is_a_valid_uri() {
        for (path, uri) in [
            ("src/lib.rs", "src/lib.rs"),
            ("a b/größe%.rs", "a%20b/gr%C3%B6%C3%9Fe%25.rs"),
            ("a:b/c:d.rs", "a%3Ab/c:d.rs"),
            ("/C:/a.rs", "/C:/a.rs"),
        ] {
            assert_eq!(uri_path(path), uri);
        }
    }

    proptest! {
        #[test]
        fn no_name_becomes_a_link_or_ends_a_text(name in HOSTILE) {
            let run = run_of(&name);
            let text = run["results"][0]["message"]["text"].as_str().unwrap();
            let wanted = format!("is used by {} (write)", escaped(&name));
            prop_assert!(text.contains(&wanted), "{}", text);
        }
    }
}
