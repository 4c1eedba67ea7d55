//! Two concurrent runs under real runners, in one checkout and in two.

use crate::stranger::{Suite, text};
use cofferdam::serial;
use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::thread::JoinHandle;

const CARGO_TEST: &str = "test --test suite -- --test-threads 2";
const NEXTEST: &str = "nextest run --test suite --test-threads 2";

fn checkouts() -> [Suite; 2] {
    ["one", "other"].map(|name| {
        let files = [
            ("src/lib.rs", ""),
            ("tests/suite.rs", include_str!("suite/two_runs.rs")),
        ];
        let suite = Suite::new(&format!("checkout-{name}"), &["macros"], "", &files);
        // Possibly left by a killed run.
        let _ = std::fs::remove_file(suite.folder().join("inside"));
        let built = suite.cargo("test --test suite --no-run").output().unwrap();
        assert!(built.status.success(), "{}", text(&built));
        suite
    })
}

/// The runners of two concurrent runs, each with two tests at a time.
fn pairs(suite: &Suite) -> Vec<[&'static str; 2]> {
    if suite.has_nextest() {
        vec![
            [CARGO_TEST, CARGO_TEST],
            [NEXTEST, NEXTEST],
            [CARGO_TEST, NEXTEST],
        ]
    } else {
        vec![[CARGO_TEST, CARGO_TEST]]
    }
}

/// The output of a failed run.
const FAILED: &str = "failed\n";

struct Runs {
    meeting: TcpListener,
    runners: Vec<JoinHandle<Output>>,
}

impl Runs {
    /// Starts the four tests with this prefix, in each of two runs.
    fn start(suites: [&Suite; 2], runners: [&str; 2], tests: &str) -> Self {
        let meeting = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = meeting.local_addr().unwrap();
        let start = |(suite, runner): (&Suite, &str)| {
            let mut run = suite.cargo(runner);
            run.arg(tests).env("MEET", address.to_string());
            std::thread::spawn(move || {
                let ended = run.output().unwrap();
                // A test that still waits gets an error.
                if !ended.status.success() {
                    let mut meeting = TcpStream::connect(address).unwrap();
                    meeting
                        .write_all(format!("{FAILED}{}", text(&ended)).as_bytes())
                        .unwrap();
                }
                ended
            })
        };
        Self {
            runners: suites.into_iter().zip(runners).map(start).collect(),
            meeting,
        }
    }

    /// Waits for the next test: returns its report, and a connection that holds it until it is dropped.
    fn next(&self) -> (Vec<String>, TcpStream) {
        let (stream, _) = self.meeting.accept().unwrap();
        let (mut line, mut reader) = (String::new(), BufReader::new(&stream));
        reader.read_line(&mut line).unwrap();
        if line == FAILED {
            reader.read_to_string(&mut line).unwrap();
            panic!("{line}");
        }
        (line.split_whitespace().map(str::to_owned).collect(), stream)
    }

    fn end(self) {
        for runner in self.runners {
            let ended = runner.join().unwrap();
            assert!(ended.status.success(), "{}", text(&ended));
        }
    }
}

#[test]
#[serial(two_runs)]
fn no_two_tests_have_a_port_a_folder_or_a_name_in_common() {
    let [one, other] = checkouts();
    for second in [&one, &other] {
        for runners in pairs(&one) {
            let runs = Runs::start([&one, second], runners, "leases");
            for _ in 0..2 {
                // Two of each run, at the same time.
                let tests = [(); 4].map(|()| runs.next());
                for what in 0..6 {
                    let given: HashSet<_> = tests.iter().map(|(words, _)| &words[what]).collect();
                    assert_eq!(given.len(), 4, "{given:?} under {runners:?}");
                }
            }
            runs.end();
        }
    }
}

#[test]
#[serial(two_runs)]
fn a_lock_reaches_the_other_run_of_its_checkout_and_no_other_checkout() {
    let [one, other] = checkouts();
    for runners in pairs(&one) {
        // The tests themselves fail if two of one checkout overlap.
        let runs = Runs::start([&one, &one], runners, "alone");
        for _ in 0..8 {
            drop(runs.next());
        }
        runs.end();

        let runs = Runs::start([&one, &other], runners, "alone");
        for _ in 0..4 {
            let [(first, _held), (second, _too)] = [runs.next(), runs.next()];
            assert_ne!(first, second);
        }
        runs.end();
    }
}
