//! `metrics`, read by the parser of another library.

use crate::ledger::{add, create_dir, end, new, start};
use crate::recording::{Journal, output_of, run_folder};
use cofferdam_batch::ledger::{JobState, Ledger, Status, WaitPolicy};
use prometheus_parse::{Sample, Scrape, Value};
use serde_json::json;
use std::path::Path;

fn scraped(base: &Path, args: &[&str]) -> (String, Vec<Sample>) {
    let args = [&["metrics"], args].concat();
    let output = output_of(base, &args);
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""));
    let lines = output.out.lines().map(|line| Ok(line.to_owned()));
    let samples = Scrape::parse(lines).unwrap().samples;
    let written = output.out.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(
        samples.len(),
        written.count(),
        "every line is understood: {}",
        output.out
    );
    (output.out, samples)
}

/// Returns the only sample with this name and these labels.
fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let mut found = samples.iter().filter(|sample| {
        sample.metric == name
            && labels
                .iter()
                .all(|(label, value)| sample.labels.get(label) == Some(value))
    });
    let sample = found.next().unwrap_or_else(|| panic!("{name} {labels:?}"));
    assert!(found.next().is_none(), "{name} {labels:?}");
    match sample.value {
        Value::Counter(number) | Value::Gauge(number) | Value::Untyped(number) => number,
        ref other => panic!("{other:?}"),
    }
}

/// The counters of two processes of one worker, and a session that ran them.
fn recorded(base: &Path) -> String {
    let mut session = start(base, "night");
    add(&mut session, &["te\"st\\", "te\"st\\", "lint"]);
    session.job_finished(&end(1, JobState::Completed)).unwrap();
    session.job_finished(&end(2, JobState::Failed)).unwrap();
    let name = crate::ledger::sessions(base)[0].name.clone();
    session.finish(Status::Failed, &[]).unwrap();
    let folder = run_folder(base, "r1", &name, 1);
    let mut journal = Journal::new("r1", &name, "w0", 10);
    journal.event(
        1,
        json!({"event": "test", "execution": 1, "test": "a", "attempt": 1}),
    );
    journal.event(
        2,
        json!({
            "event": "built", "execution": 1, "locator": "shop", "service": "Db\nhost", "instance": 1, "epoch": 0,
            "micros": 2_500_000, "shared": false, "asked": [], "parts": [], "place": "x:1",
        }),
    );
    journal.event(
        3,
        json!({
            "event": "counters", "locator": "shop", "hits": 3, "misses": 1, "builds": 1, "evictions": 0,
            "capacity": 50,
        }),
    );
    journal.event(
        4,
        json!({
            "event": "dropped", "locator": "shop", "service": "Db\nhost", "instance": 1, "why": "exit", "holders": 0,
            "hits": 3,
        }),
    );
    journal.write(&folder);
    // The same lane in the second job of the session.
    let mut journal = Journal::new("r1", &name, "j2.w0", 11);
    journal.event(
        1,
        json!({
            "event": "counters", "locator": "shop", "hits": 0, "misses": 4, "builds": 4, "evictions": 0,
            "capacity": 50,
        }),
    );
    journal.write(&folder);
    name
}

#[test]
fn another_library_can_parse_the_metrics() {
    let base = tempfile::tempdir().unwrap();
    let name = recorded(base.path());
    let (text, samples) = scraped(base.path(), &[]);
    let get = |name: &str, labels: &[(&str, &str)]| value(&samples, name, labels);
    let shop = [("worker", "w0"), ("locator", "shop")];
    assert_eq!(get("cofferdam_cache_hits_total", &shop), 3.0);
    assert_eq!(get("cofferdam_cache_misses_total", &shop), 5.0);
    assert_eq!(get("cofferdam_cache_builds_total", &shop), 5.0);
    assert_eq!(get("cofferdam_cache_evictions_total", &shop), 0.0);
    assert_eq!(get("cofferdam_cache_hit_ratio", &shop), 0.375);
    assert_eq!(get("cofferdam_service_hits_total", &shop), 3.0);
    assert_eq!(get("cofferdam_service_hit_ratio", &shop), 0.75);
    assert_eq!(get("cofferdam_service_build_seconds_total", &shop), 2.5);
    assert!(text.contains(r#"service="Db\nhost""#), "{text}");
    assert_eq!(
        get(
            "cofferdam_session_info",
            &[("session", &name), ("status", "failed")]
        ),
        1.0
    );
    assert_eq!(get("cofferdam_session_jobs", &[("state", "cancelled")]), 1.0);
    assert_eq!(get("cofferdam_session_findings", &[]), 0.0);
    assert_eq!(get("cofferdam_job_seconds_total", &[("state", "failed")]), 2.0);
    assert_eq!(
        get("cofferdam_job_attempts_total", &[("state", "completed")]),
        1.0
    );
    assert_eq!(get("cofferdam_job_success_ratio", &[]), 0.5);
    assert_eq!(get("cofferdam_watched", &[("what", "tests")]), 1.0);
    for line in text.lines().filter(|line| line.starts_with("# TYPE")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{line}");
        assert_eq!(name.ends_with("_total"), line.ends_with("counter"), "{line}");
    }
}

#[test]
fn the_newest_session_is_measured_or_that_of_a_namespace() {
    let base = tempfile::tempdir().unwrap();
    recorded(base.path());
    let other = Ledger::open(base.path(), create_dir).unwrap();
    let other = other
        .start_session(&new("day"), WaitPolicy::Never, |_| {})
        .unwrap();
    let status = |args: &[&str]| {
        let (_, samples) = scraped(base.path(), args);
        let info = samples
            .iter()
            .find(|sample| sample.metric == "cofferdam_session_info")
            .cloned();
        info.map(|info| info.labels.get("namespace").unwrap().to_owned())
    };
    assert_eq!(status(&[]).as_deref(), Some("day"));
    assert_eq!(status(&["--run-namespace", "night"]).as_deref(), Some("night"));
    assert_eq!(status(&["--run-namespace", "none"]), None);
    other.finish(Status::Passed, &[]).unwrap();
}

#[test]
fn recordings_without_a_ledger_have_metrics_too() {
    let base = tempfile::tempdir().unwrap();
    crate::recording::isolated(base.path(), "r1", "s1", 1);
    let (_, samples) = scraped(base.path(), &[]);
    assert_eq!(value(&samples, "cofferdam_watched", &[("what", "workers")]), 2.0);
    let empty = tempfile::tempdir().unwrap();
    let (_, samples) = scraped(empty.path(), &[]);
    assert_eq!(value(&samples, "cofferdam_watched", &[("what", "tests")]), 0.0);
}
