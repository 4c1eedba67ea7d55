//! A suite of forty tests that moves from serial_test to cofferdam by one changed `use`, under both runners.

use crate::stranger::{Suite, text};
use std::io::Read as _;
use std::net::TcpListener;
use std::process::Stdio;

/// Forty tests, ten of each of four kinds, that require exclusion.
fn tests() -> String {
    let mut text = String::from(
        "use std::io::{Read as _, Write as _};
fn alone() {
    if let Ok(address) = std::env::var(\"MEET\") {
        let mut meeting = std::net::TcpStream::connect(address).unwrap();
        meeting.write_all(b\"i\").unwrap();
        let _ = meeting.read(&mut [0]);
        return;
    }
    let inside = concat!(env!(\"CARGO_TARGET_TMPDIR\"), \"/inside\");
    std::fs::File::create_new(inside).expect(\"nobody else is inside\");
    for _ in 0..50 { std::thread::yield_now(); }
    std::fs::remove_file(inside).unwrap();
}
",
    );
    for number in 0..10 {
        text.push_str(&format!(
            "#[test] #[serial] fn plain_{number}() {{ alone() }}
#[serial] #[test] fn above_{number}() {{ alone() }}
#[test] #[serial] fn returns_{number}() -> Result<(), String> {{ alone(); Ok(()) }}
#[test] #[serial] #[should_panic(expected = \"on purpose\")] fn panics_{number}() {{ alone(); panic!(\"on purpose\") }}
"
        ));
    }
    text
}

/// Returns the suite; `name` is the crate that `serial` comes from.
fn suite(name: &str) -> Suite {
    let serial_test = "serial_test = { version = \"4.0\", default-features = false }\n";
    let tests = format!("use {name}::serial;\n{}", tests());
    let files = [("src/lib.rs", ""), ("tests/suite.rs", tests.as_str())];
    Suite::new(&format!("serial-{name}"), &["macros"], serial_test, &files)
}

#[test]
fn forty_tests_moved_by_one_use_never_meet_under_either_runner() {
    let suite = suite("cofferdam");
    let tested = suite
        .cargo("test --test suite -- --test-threads 8")
        .output()
        .unwrap();
    assert!(text(&tested).contains("40 passed; 0 failed"), "{}", text(&tested));
    if suite.has_nextest() {
        let tested = suite
            .cargo("nextest run --test suite --test-threads 8")
            .output()
            .unwrap();
        assert!(
            text(&tested).contains("40 tests run: 40 passed"),
            "{}",
            text(&tested)
        );
    }
}

/// Two of the tests overlap: both have arrived, and neither was released.
#[test]
fn before_they_met_under_nextest() {
    let suite = suite("serial_test");
    if !suite.has_nextest() {
        return;
    }
    let meeting = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut runs = suite.cargo("nextest run --test suite --test-threads 2 -E test(plain)");
    let runs = runs.env("MEET", meeting.local_addr().unwrap().to_string());
    let mut runs = runs.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..5 {
        let both: Vec<_> = (0..2).map(|_| meeting.accept().unwrap().0).collect();
        for mut inside in both {
            inside.read_exact(&mut [0]).unwrap();
        }
    }
    assert!(runs.wait().unwrap().success());
}
