//! The time to make the page of `--report html`, its size, and the time until Chromium shows it.
//!
//! `cargo bench -p cargo-cofferdam --bench page`. The recording has 5,000 tests and 200 conflicts. Chromium shows the page in turn
//! with one of the same size without style and script; without Chromium, that part says so and is left out.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made is none")]

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TESTS: u64 = 5_000;
const CONFLICTS: u64 = 200;
const WORKERS: u64 = 8;
const ROUNDS: usize = 7;
/// The length of a test in microseconds, and a moment.
const LONG: u64 = 40_000;
const BEGAN: u64 = 1_700_000_000_000_000;
/// The limits of the page.
const SIZE: usize = 3_000_000;
const MAKING: Duration = Duration::from_secs(1);
const PAINTING: Duration = Duration::from_millis(500);

fn main() {
    let dir = tempfile::tempdir().unwrap();
    recording(dir.path());
    let page = dir.path().join("page.html");
    let mut times = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        times[0] = times[0].min(checked(dir.path(), &[]));
        let report = format!("--report=html={}", page.display());
        times[1] = times[1].min(checked(dir.path(), &[&report]));
    }
    let text = fs::read_to_string(&page).unwrap();
    let making = times[1].saturating_sub(times[0]);
    println!(
        "{TESTS} tests, {CONFLICTS} conflicts: {} ms to make, {} kB",
        making.as_millis(),
        text.len() / 1_000
    );
    assert!(
        making <= MAKING && text.len() <= SIZE,
        "the limits are {MAKING:?} and {SIZE} bytes"
    );
    let plain = dir.path().join("plain.html");
    fs::write(&plain, plain_page(&text)).unwrap();
    painted(&[
        ("the page", &page),
        ("a page of that size without style and script", &plain),
    ]);
}

/// Writes journals of workers on which tests write files, two at the same time.
fn recording(dir: &Path) {
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("Cargo.lock"), "").unwrap();
    let lines: String = (1..=2_000)
        .map(|line| format!("    let step_{line} = shop.step({line}).unwrap();\n"))
        .collect();
    fs::write(dir.join("src/lib.rs"), lines).unwrap();
    for worker in 0..WORKERS {
        let mut text = String::new();
        let mut event = |at: u64, mut fields: Value| {
            fields["at"] = json!(at);
            fields["pid"] = json!(10);
            writeln!(text, "{fields}").unwrap();
        };
        event(
            BEGAN,
            json!({
                "event": "process", "version": 1, "run": "r", "session": "s", "runner": "cargo", "binary": "shop",
                "worker": format!("w{worker}"), "started": 1, "boot": "machine",
            }),
        );
        for number in (0..TESTS).filter(|number| number % WORKERS == worker) {
            let at = BEGAN + number / WORKERS * LONG;
            let name = format!("orders::customers::a_customer_with_order_{number}_gets_an_invoice");
            event(
                at,
                json!({"event": "test", "execution": number + 1, "test": name, "attempt": 1}),
            );
            // Two workers' concurrent tests have one file.
            let pair = number / 2;
            let every = TESTS / 2 / CONFLICTS;
            if pair % every == 0 && pair / every < CONFLICTS {
                event(
                    at + LONG / 4,
                    json!({
                        "event": "claimed", "execution": number + 1, "claim": number + 1, "instance": 0,
                        "resource": format!("file:/shop/report-{pair}.csv"), "access": "write", "guards": [],
                        "place": format!("src/lib.rs:{}", 1 + number % 2_000),
                    }),
                );
            }
            event(
                at + LONG - 1_000,
                json!({"event": "end", "execution": number + 1}),
            );
        }
        let folder = dir.join("journals").join(format!("w{worker}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("journal.ndjson"), text).unwrap();
    }
}

/// Returns how long `check` takes with these options.
fn checked(dir: &Path, options: &[&str]) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-cofferdam"));
    command
        .current_dir(dir)
        .arg("check")
        .args(options)
        .arg("journals");
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    let begun = Instant::now();
    let output = command.output().unwrap();
    let lasted = begun.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains(&format!(
            "{CONFLICTS} conflicts in what was watched: {TESTS} tests"
        )),
        "{text}"
    );
    lasted
}

/// Returns a page with text of that length in paragraphs.
fn plain_page(like: &str) -> String {
    let paragraph = "<p>orders::customers::a_customer_gets_an_invoice passed</p>\n";
    let paragraphs = paragraph.repeat(like.len() / paragraph.len());
    format!("<!DOCTYPE html><html lang=en><meta charset=utf-8><title>plain</title>{paragraphs}")
}

/// Prints how long Chromium takes from the start of each navigation to the first paint, the shortest of some rounds.
fn painted(pages: &[(&str, &Path)]) {
    let dir = tempfile::tempdir().unwrap();
    let mut times = vec![Duration::MAX; pages.len()];
    for _ in 0..ROUNDS {
        for ((_, page), time) in pages.iter().zip(&mut times) {
            let Some(painted) = first_paint(page, dir.path()) else {
                return println!(
                    "the time to the first paint was not measured: chromium could not be started"
                );
            };
            *time = (*time).min(painted);
        }
    }
    for ((name, _), time) in pages.iter().zip(&times) {
        println!("first paint of {name}: {} ms", time.as_millis());
    }
    assert!(times[0] <= PAINTING, "the limit is {PAINTING:?}");
}

fn first_paint(page: &Path, dir: &Path) -> Option<Duration> {
    let trace = dir.join("trace.json");
    #[expect(clippy::disallowed_methods, reason = "the browser shows the page")]
    let mut command = Command::new("chromium");
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1280,900",
    ]);
    command.arg(format!("--user-data-dir={}", dir.join("profile").display()));
    command.args([
        "--trace-startup=loading,blink.user_timing",
        "--trace-startup-format=json",
    ]);
    command.arg(format!("--trace-startup-file={}", trace.display()));
    command.arg(format!("--screenshot={}", dir.join("page.png").display()));
    command.arg(format!("file://{}", page.canonicalize().unwrap().display()));
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    let trace: Value = serde_json::from_slice(&fs::read(trace).ok()?).ok()?;
    let events = trace["traceEvents"].as_array()?;
    let painted = events.iter().rfind(|event| event["name"] == "firstPaint")?;
    let of_page = |event: &&Value| {
        event["name"] == "navigationStart"
            && event["pid"] == painted["pid"]
            && event["args"]["frame"] == painted["args"]["frame"]
    };
    let begun = events.iter().rfind(of_page)?;
    let micros = painted["ts"].as_u64()?.checked_sub(begun["ts"].as_u64()?)?;
    status.success().then_some(Duration::from_micros(micros))
}
