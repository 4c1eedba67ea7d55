//! `shards` over real suites, and the shards run by their runners.

use crate::observe::package::Package;
use crate::recording::CommandOutput;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

const NEXTEST: [&str; 4] = ["cargo", "nextest", "run", "--offline"];
const CARGO: [&str; 3] = ["cargo", "test", "--offline"];

const TESTS: &str = "
#[test] fn a() {}
#[test] fn b() {}
#[test] #[ignore] fn ignored() {}
mod deep { #[test] fn c() {} }
";

/// A harness whose tests have the names of files.
const NAMES: &str = r#"
const NAMES: [&str; 6] = ["data/a (1), b.json", " lead", "back\\slash", "=equal", "/re/", "gr\u{f6}\u{df}e & | !"];

fn main() {
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    if has("--list") && !has("--ignored") {
        NAMES.iter().for_each(|name| println!("{name}: test"));
    }
}
"#;

fn package() -> Package {
    let package = Package::new("shop", TESTS);
    package.write(
        "src/lib.rs",
        "//! ```\n//! assert!(true);\n//! ```\n#[test] fn a() {}\n",
    );
    package.write("tests/names.rs", NAMES);
    let manifest = std::fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
    let manifest = format!("{manifest}[[test]]\nname = \"names\"\nharness = false\n");
    package.write("Cargo.toml", &manifest);
    // The target directory is kept, and with it the times of an earlier execution.
    let _ = std::fs::remove_dir_all(package.built().join("cofferdam"));
    package
}

fn shards(package: &Package, words: &[&str], command: &[&str]) -> CommandOutput {
    let words = [&["shards"], words].concat();
    package.cofferdam(&words, command).output().unwrap().into()
}

fn report(package: &Package, words: &[&str], command: &[&str]) -> Value {
    let output = shards(package, &[words, &["--format", "json"]].concat(), command);
    assert_eq!(output.code, Some(0), "{}", output.err);
    output.report()
}

/// The tests that nextest would run with this filterset.
fn nextest_lists(package: &Package, filterset: &str) -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "the runner that the filtersets are for")]
    let mut nextest = Command::new("cargo");
    let output = nextest
        .args([
            "nextest",
            "list",
            "--offline",
            "--message-format",
            "json",
            "-E",
            filterset,
        ])
        .current_dir(package.path())
        .env("CARGO_TARGET_DIR", package.built())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let suites = list["rust-suites"].as_object().unwrap();
    let of_suite = |(id, suite): (&String, &Value)| {
        let cases = suite["testcases"].as_object().unwrap().clone().into_iter();
        let id = id.clone();
        cases
            .filter(|(_, case)| case["filter-match"]["status"] == "matches")
            .map(move |(name, _)| format!("{id} {name}"))
    };
    suites.iter().flat_map(of_suite).collect()
}

#[test]
fn nextest_runs_every_test_in_exactly_one_of_the_filtersets() {
    if !crate::suites::has_nextest() {
        return;
    }
    let package = package();
    for count in ["1", "2", "5"] {
        let output = shards(&package, &[count, "--format", "nextest"], &NEXTEST);
        assert_eq!(output.code, Some(0), "{}", output.err);
        assert_eq!(output.out.lines().count().to_string(), count);
        let mut found: Vec<String> = output
            .out
            .lines()
            .flat_map(|filterset| nextest_lists(&package, filterset))
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                "shop a",
                "shop::names  lead",
                "shop::names /re/",
                "shop::names =equal",
                "shop::names back\\slash",
                "shop::names data/a (1), b.json",
                "shop::names größe & | !",
                "shop::shop a",
                "shop::shop b",
                "shop::shop deep::c"
            ]
        );
        let one = format!("1/{count}");
        let first = shards(&package, &["--shard", &one, "--format", "nextest"], &NEXTEST);
        assert_eq!(first.out.lines().next(), output.out.lines().next());
        assert_eq!(first.out.lines().count(), 1);
    }
}

#[test]
fn cargo_test_runs_every_test_in_exactly_one_of_the_shards_and_its_time_counts_next() {
    let package = package();
    let whole = report(&package, &["3"], &CARGO);
    assert_eq!((&whole["version"], &whole["seconds"]), (&json!(1), &json!(null)));
    let mut ran: BTreeMap<String, u32> = BTreeMap::new();
    for shard in whole["shards"].as_array().unwrap() {
        assert_eq!(shard["filterset"], json!(null));
        for line in shard["arguments"].as_array().unwrap() {
            let words = shlex_words(line.as_str().unwrap());
            let output: CommandOutput = run_cargo(&package, &words).into();
            assert_eq!(output.code, Some(0), "{words:?}{}", output.err);
            let target = words[2..].iter().take_while(|word| *word != "--offline");
            let target = target.cloned().collect::<Vec<_>>().join(" ");
            for line in output.out.lines().filter(|line| line.ends_with(" ... ok")) {
                let name = line.trim_start_matches("test ").trim_end_matches(" ... ok");
                *ran.entry(format!("{target} {name}")).or_default() += 1;
            }
        }
    }
    let ran: Vec<_> = ran.iter().map(|(name, times)| (name.as_str(), *times)).collect();
    assert_eq!(
        ran,
        [
            ("--doc src/lib.rs - (line 1)", 1),
            ("--lib a", 1),
            ("--test shop a", 1),
            ("--test shop b", 1),
            ("--test shop deep::c", 1)
        ]
    );
    // Once observed, each test has its time.
    let observed = package.observe(
        &["--no-explain"],
        &[&CARGO[..], &["--lib", "--test", "shop"]].concat(),
    );
    assert_eq!(observed.code, Some(0), "{}{}", observed.out, observed.err);
    let timed = report(
        &package,
        &["3"],
        &[&CARGO[..], &["--lib", "--test", "shop"]].concat(),
    );
    assert_eq!((&timed["tests"], &timed["without_time"]), (&json!(4), &json!(0)));
    assert!(timed["seconds"].as_f64().unwrap() > 0.0);
}

fn shlex_words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn run_cargo(package: &Package, words: &[String]) -> std::process::Output {
    #[expect(clippy::disallowed_methods, reason = "the runner that the arguments are for")]
    let mut cargo = Command::new("cargo");
    cargo
        .arg("test")
        .args(words)
        .current_dir(package.path())
        .env("CARGO_TARGET_DIR", package.built())
        .output()
        .unwrap()
}

#[test]
fn times_of_a_junit_report_divide_the_tests_and_one_that_is_too_long_is_named() {
    let package = package();
    package.write(
        "junit.xml",
        r#"<testsuites><testsuite name="shop::shop">
             <testcase name="a" classname="shop::shop" time="9"/>
             <testcase name="b" classname="shop::shop" time="1"/>
             <testcase name="deep::c" classname="shop::shop" time="2"/>
           </testsuite></testsuites>"#,
    );
    let command = [&CARGO[..], &["--test", "shop"]].concat();
    let output = shards(&package, &["2", "--times", "junit.xml"], &command);
    assert_eq!(
        output.out,
        "  shard  tests  time
  1/2    1      9.00 s
  2/2    2      3.00 s
too long: shop::shop::a takes 9.00 s, more than a shard's share of 6.00 s: split it to shorten its shard
cofferdam: 3 tests in 2 shards, 12.00 s
help: cargo cofferdam shards --shard 1/2 --format cargo --times junit.xml -- cargo test --offline --test shop | xargs -L1 cargo test
"
    );
    let report = report(&package, &["2", "--times", "junit.xml"], &command);
    assert_eq!(
        report["too_long"],
        json!([{"binary": "shop::shop", "test": "a", "seconds": 9.0}])
    );
    // Where the output is for a runner, the warning is not part of it.
    let lines = shards(
        &package,
        &["--shard", "2/2", "--times", "junit.xml", "--format", "cargo"],
        &command,
    );
    assert_eq!(lines.out, "-p shop --test shop --offline -- --exact b deep::c\n");
    assert!(
        lines.err.contains("too long: shop::shop::a takes 9.00 s"),
        "{}",
        lines.err
    );
}

#[test]
fn each_cargo_test_of_a_shard_has_the_command_s_options_and_its_package_s_features() {
    let package = Package::new("shop", "#[test] #[cfg(feature = \"tea\")] fn a() {}\n");
    let manifest = std::fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
    let manifest = format!("{manifest}members = [\"till\"]\n[features]\ntea = []\n");
    package.write("Cargo.toml", &manifest);
    package.write(
        "till/Cargo.toml",
        "[package]\nname = \"till\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    package.write("till/src/lib.rs", "#[test] fn b() {}\n");
    let command = [
        &CARGO[..],
        &["--workspace", "--lib", "--tests", "--features", "tea"],
    ]
    .concat();
    let lines = shards(&package, &["2", "--format", "cargo"], &command);
    assert_eq!(
        lines.out,
        "-p shop --test shop --offline --no-default-features --features tea -- --exact a
-p till --lib --offline --no-default-features -- --exact b\n",
        "{}",
        lines.err
    );
    for line in lines.out.lines() {
        let output: CommandOutput = run_cargo(&package, &shlex_words(line)).into();
        assert!(output.out.contains("1 passed"), "{}{}", output.out, output.err);
    }
    if crate::suites::has_nextest() {
        let command = [&NEXTEST[..], &["--workspace", "--features", "tea", "-E", "all()"]].concat();
        let text = shards(&package, &["2"], &command).out;
        let help = "help: cargo nextest run -E \"$(cargo cofferdam shards --shard 1/2 --format nextest -- cargo nextest run --offline \
                    --workspace --features tea -E 'all()')\" --offline --workspace --features tea\n";
        assert!(text.ends_with(help), "{text}");
    }
}

#[test]
fn shards_that_would_not_cover_the_suite_and_wrong_commands_are_refused() {
    let package = package();
    for (words, command, why) in [
        (
            &["9"][..],
            &[&CARGO[..], &["--test", "shop"]].concat()[..],
            "9 shards need at least as many tests, and the command runs 3",
        ),
        (
            &["2", "--format", "nextest"],
            &CARGO[..],
            "needs `cargo nextest run`",
        ),
        (&["2", "--format", "cargo"], &NEXTEST[..], "needs `cargo test`"),
        (
            &["2"],
            &["make", "test"],
            "has to be `cargo nextest run` or `cargo test`",
        ),
        (
            &["2", "--times", "gone.xml"],
            &CARGO[..],
            "could not read the JUnit report gone.xml",
        ),
        (&["0"], &CARGO[..], "invalid value '0'"),
        (&["--shard", "3/2"], &CARGO[..], "not a shard such as 1/4"),
    ] {
        let output = shards(&package, words, command);
        assert_eq!((output.code, output.out.as_str()), (Some(2), ""), "{words:?}");
        assert!(output.err.contains(why), "{}", output.err);
    }
    let failed = shards(&package, &["2"], &["cargo", "test", "--no-such-option"]);
    assert_eq!(failed.code, Some(3), "{}", failed.err);
}
