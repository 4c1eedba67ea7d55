//! Tests of the page as browsers and readers see it.

use super::content_security::policy;
use super::frame::{SCRIPT, STYLE};
use crate::commands::Outcome;
use crate::findings::{ReportedOutcome, TestResult};
use crate::report::reported::Reported;
use crate::report::sample::{HOSTILE, outcome};
use crate::report::text::{is_harmful, plain};
use cofferdam_conflicts::{Grade, Pair, StaticFacts};
use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Error, Token, Tokenizer};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Elements without an end tag.
const VOID: [&str; 2] = ["meta", "input"];

/// A page as a browser reads it.
#[derive(Default)]
struct Parsed {
    /// The number of elements by name.
    elements: BTreeMap<String, usize>,
    ids: BTreeSet<String>,
    /// The parts of the page that links lead to.
    links: Vec<String>,
    /// The text, without style and script.
    text: String,
    policy: String,
    style: String,
    script: String,
}

/// Parses a page. Panics at errors, open elements, links to other pages, and attributes that contain code.
fn parsed(page: &str) -> Parsed {
    let mut emitter = DefaultEmitter::<()>::default();
    emitter.naively_switch_states(true);
    let mut parsed = Parsed::default();
    let mut open: Vec<String> = Vec::new();
    for token in Tokenizer::new_with_emitter(page, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                let name = String::from_utf8(tag.name.to_vec()).unwrap();
                *parsed.elements.entry(name.clone()).or_default() += 1;
                for (key, value) in &tag.attributes {
                    let (key, value) = (
                        String::from_utf8(key.to_vec()).unwrap(),
                        String::from_utf8(value.value.to_vec()).unwrap(),
                    );
                    assert!(
                        !key.starts_with("on") && key != "style" && key != "src",
                        "{key}={value}"
                    );
                    assert!(!value.contains("http"), "{key}={value}");
                    match key.as_str() {
                        "id" => assert!(parsed.ids.insert(value.clone()), "two elements are #{value}"),
                        "href" | "aria-labelledby" => {
                            let part = value.strip_prefix('#').map(str::to_owned);
                            assert!(key != "href" || part.is_some(), "a link elsewhere: {value}");
                            parsed.links.push(part.unwrap_or(value.clone()));
                        }
                        "content" if value.starts_with("default-src") => parsed.policy = value.clone(),
                        _ => {}
                    }
                }
                if !VOID.contains(&name.as_str()) && !tag.self_closing {
                    open.push(name);
                }
            }
            Token::EndTag(tag) => {
                let name = String::from_utf8(tag.name.to_vec()).unwrap();
                assert_eq!(open.pop(), Some(name), "an end tag without its element");
            }
            Token::String(text) => {
                let text = String::from_utf8(text.value.to_vec()).unwrap();
                match open.last().map(String::as_str) {
                    Some("style") => parsed.style.push_str(&text),
                    Some("script") => parsed.script.push_str(&text),
                    _ => parsed.text.push_str(&text),
                }
            }
            Token::Comment(comment) => panic!("a comment: {comment:?}"),
            Token::Doctype(_) => {}
            // Browsers show these characters as boxes.
            Token::Error(error) if error.value == Error::NoncharacterInInputStream => {}
            Token::Error(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(open, [""; 0], "elements without an end");
    for part in &parsed.links {
        assert!(parsed.ids.contains(part), "a link to #{part}, which is not there");
    }
    parsed
}

fn page(outcome: &Outcome) -> String {
    let mut page = Vec::new();
    super::write(&mut page, Reported::Outcome(outcome)).unwrap();
    String::from_utf8(page).unwrap()
}

/// Returns the sample with this text in each place that a text from outside reaches.
fn with_text(text: &str) -> Outcome {
    let mut outcome = outcome(text);
    let findings = &mut outcome.findings;
    findings.problems = vec![text.to_owned()];
    findings.problem_count = 1;
    findings.account.lose(text, text, 1);
    findings.account.leave_out(text, text, 1);
    for conflict in &mut findings.conflicts {
        conflict.message = text.to_owned();
        conflict.output = Some(text.to_owned());
        conflict.name_parts = Some(text.to_owned());
        conflict.static_facts = Some(StaticFacts {
            declared: Some(format!("{text}:5")),
            type_name: text.to_owned(),
            ..StaticFacts::default()
        });
        conflict.grade = Some(Grade::Unguarded);
        conflict.pairs = vec![Pair {
            tests: [0, 1],
            grade: Grade::Unguarded,
            tries: 1,
            reason: text.to_owned(),
        }];
        for test in &mut conflict.tests {
            test.binary = text.to_owned();
            test.worker = text.to_owned();
            for used in &mut test.uses {
                used.place = Some(format!("{text}:3"));
                used.service = Some(text.to_owned());
            }
        }
    }
    outcome
}

#[test]
fn the_page_is_sound_and_allows_its_own_style_and_script_alone() {
    let text = page(&with_text("orders::stores_one"));
    let page = parsed(&text);
    assert_eq!(page.policy, policy(&page.style, &page.script));
    assert_eq!((page.style.as_str(), page.script.as_str()), (STYLE, SCRIPT));
    for name in ["script", "style", "title", "h1", "main"] {
        assert_eq!(
            page.elements.get(name).copied(),
            Some(1 + usize::from(name == "title") * (page.elements["title"] - 1)),
            "{name}"
        );
    }
    for name in ["img", "iframe", "link", "form", "object", "base"] {
        assert_eq!(page.elements.get(name), None, "{name}");
    }
    for text in [
        "of type orders::stores_one, declared at orders::stores_one:5.",
        "orders::stores_one",
        "reports::exports_all",
        "orders::stores_one:3",
        "give each test its own",
    ] {
        assert!(page.text.contains(text), "{text}");
    }
    assert!(
        !text.contains("a secret"),
        "what a test printed is not in the page"
    );
}

#[test]
fn each_failed_test_and_each_use_in_conflict_is_marked_in_the_timeline() {
    let page = page(&outcome("orders::stores_one"));
    for (class, number) in [("bar failed", 2), ("bar unfinished", 1)] {
        assert_eq!(
            page.matches(&format!("<a class=\"{class}\"")).count(),
            number,
            "{class}"
        );
    }
    assert!(page.contains("orders::stores_one changes file"), "{page}");
    assert!(page.contains("reports::exports_all reads file"));
}

#[test]
fn five_thousand_tests_are_few_bars_and_as_many_rows() {
    let mut outcome = outcome("orders::stores_one");
    let observed = outcome.findings.observed.as_mut().unwrap();
    observed.results = (0..5_000)
        .map(|number| TestResult {
            binary: "shop".to_owned(),
            name: format!("orders::test_{number}"),
            outcome: ReportedOutcome::Passed,
            failure: None,
            pid: 7,
            began: 1_000_000 + number / 8 * 1_000,
            ended: Some(1_000_000 + number / 8 * 1_000 + 900),
        })
        .collect();
    let page = page(&outcome);
    let parsed = parsed(&page);
    assert!(page.matches("class=\"bar").count() < 1_000);
    assert!(parsed.elements["tr"] > 5_000);
    assert!(page.len() < 2_000_000, "{}", page.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_text_from_outside_is_markup_or_is_lost(text in HOSTILE) {
        let harmless = parsed(&page(&with_text("a")));
        let page = parsed(&page(&with_text(&text)));
        // Backticks mark code, and a line's first word is bold.
        let others = |parsed: &Parsed| {
            let mut elements = parsed.elements.clone();
            elements.retain(|name, _| name != "code" && name != "strong" && name != "li");
            elements
        };
        prop_assert_eq!(others(&page), others(&harmless));
        prop_assert!(!page.text.chars().any(|letter| is_harmful(letter) && letter != '\n'), "{:?}", page.text);
        prop_assert!(page.text.contains(&*plain(&text)));
    }
}
