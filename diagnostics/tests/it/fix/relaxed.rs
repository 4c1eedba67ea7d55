//! `fix --relax` on a suite with serial_test.

use crate::observe::package::Package;
use crate::recording::CommandOutput;
use serde_json::Value;
use std::fs;
use std::path::Path;

const CARGO: [&str; 4] = ["cargo", "test", "--offline", "--quiet"];

/// One key for two files and for nothing, one for a static, and one whose tests share what nobody sees.
const DESK: &str = "\
use serial_test::{parallel, serial};
use std::fs;
use std::sync::Mutex;

const REPORT: &str = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/report\");
const STOCK: &str = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/stock\");
static OPEN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

#[test]
#[serial]
fn monday() {
    fs::write(REPORT, \"monday\").unwrap();
}

#[test]
#[serial]
fn tuesday() {
    fs::write(REPORT, \"tuesday\").unwrap();
}

#[test]
#[serial]
fn apples() {
    fs::write(STOCK, \"apples\").unwrap();
}

#[test]
#[serial]
fn pears() {
    let _ = fs::read_to_string(STOCK);
}

#[test]
#[serial]
fn adds() {}

#[test]
#[serial(desk)]
fn opens() {
    OPEN.lock().unwrap().push(1);
}

#[test]
#[serial(desk)]
fn closes() {
    OPEN.lock().unwrap().clear();
}

#[test]
#[parallel(idle)]
fn looks_elsewhere() {}

#[test]
#[serial(late)]
fn waits() {}

#[test]
#[serial(late)]
#[ignore]
fn waits_for_the_weekend() {}

mod till {
    use serial_test::serial;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The address of a number: what is behind it is not observed.
    static INSIDE: LazyLock<Vec<usize>> = LazyLock::new(|| {
        vec![std::ptr::from_ref::<AtomicUsize>(Box::leak(Box::default())) as usize]
    });

    fn meet(file: &str) {
        let inside = unsafe { &*(INSIDE[0] as *const AtomicUsize) };
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
        super::fs::write(file, \"\").unwrap();
        inside.fetch_sub(1, Ordering::SeqCst);
    }

    #[test]
    #[serial(till)]
    fn pays() {
        meet(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/paid\"));
    }

    #[test]
    #[serial(till)]
    fn pays_back() {
        meet(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/paid back\"));
    }

    #[test]
    #[serial(till)]
    fn prints() {}
}
";

fn desk() -> Package {
    let package = Package::new("desk", DESK);
    let manifest = fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
    let dependency = "[dev-dependencies]\nserial_test = { version = \"4\", default-features = false }\n";
    package.write("Cargo.toml", &format!("{manifest}{dependency}"));
    // Reuses the versions of this workspace; Cargo removes those that the suite does not need.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::copy(root.join("Cargo.lock"), package.path().join("Cargo.lock")).unwrap();
    package
}

/// Returns what became of the key of each test: `outcome new_key`.
fn outcomes(report: &Value) -> Vec<String> {
    let attributes = report["attributes"].as_array().unwrap().iter();
    let mut outcomes: Vec<String> = attributes
        .map(|one| {
            let tests: Vec<&str> = one["tests"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let (outcome, key) = (
                one["outcome"].as_str().unwrap(),
                one["key"].as_str().unwrap_or_default(),
            );
            format!("{}: {outcome} {key}", tests.join(" ")).trim().to_owned()
        })
        .collect();
    outcomes.sort();
    outcomes
}

#[test]
fn attributes_that_guard_nothing_are_removed_and_what_fails_without_one_keeps_it() {
    let package = desk();
    let relax = |options: &[&str]| -> CommandOutput {
        let words = [&["fix", "--relax", "--format", "json"], options].concat();
        let mut relax = package.cofferdam(&words, &CARGO);
        // Statics are found by the debug information of variables.
        relax.envs(["DEV", "TEST"].map(|profile| (format!("CARGO_PROFILE_{profile}_DEBUG"), "2")));
        relax.output().unwrap().into()
    };
    let proposed = relax(&[]);
    assert_eq!(proposed.code, Some(1), "{}{}", proposed.out, proposed.err);
    let report = proposed.report();
    let mut expected = vec![
        ": unknown",
        "adds: removed",
        "apples: split stock",
        "closes: kept",
        "looks_elsewhere: removed",
        "monday: split report",
        "opens: kept",
        "pears: split stock",
        "till::pays: removed",
        "till::pays_back: removed",
        "till::prints: removed",
        "tuesday: split report",
        "waits: unknown",
    ];
    assert_eq!(outcomes(&report), expected, "{report}");
    let source = || fs::read_to_string(package.path().join("tests/desk.rs")).unwrap();
    assert_eq!(source(), DESK);

    let applied = relax(&["--apply", "--allow-no-vcs"]);
    assert_eq!(applied.code, Some(0), "{}{}", applied.out, applied.err);
    let report = applied.report();
    expected[8..10].copy_from_slice(&["till::pays: needed", "till::pays_back: needed"]);
    assert_eq!(outcomes(&report), expected, "{report}");
    assert_eq!(report["measured"]["after"].as_array().map(Vec::len), Some(3));
    let new = source();
    for gone in ["#[serial]\nfn", "parallel"] {
        assert!(!new.contains(gone), "{new}");
    }
    for (key, count) in [("report", 2), ("stock", 2), ("desk", 2), ("late", 2), ("till", 2)] {
        assert_eq!(new.matches(&format!("#[serial({key})]")).count(), count, "{new}");
    }
}
