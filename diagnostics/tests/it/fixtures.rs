//! A suite with a fixture under nextest, recorded and reported: the same suite as in the library's tests.

use crate::recording::CommandOutput;
use crate::suites::has_nextest;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Creates the directory of the suite.
fn suite() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let manifest = format!(
        "[package]\nname = \"kept\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\ncofferdam = {{ path = \
         {root:?}, features = [\"fixtures\"] }}\n\n[workspace]\n"
    );
    for (file, text) in [
        ("Cargo.toml", manifest.as_str()),
        ("src/lib.rs", include_str!("../../../tests/it/run/suite/lib.rs")),
        (
            "tests/server/mod.rs",
            include_str!("../../../tests/it/run/suite/server.rs"),
        ),
        ("src/main.rs", include_str!("../../../tests/it/run/suite/main.rs")),
        (
            "tests/suite.rs",
            include_str!("../../../tests/it/run/suite/tests.rs"),
        ),
    ] {
        let path = folder.join(file);
        // Cargo compares modification times.
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    // Reuses the versions of this workspace; Cargo removes those that the suite does not need.
    if !folder.join("Cargo.lock").exists() {
        std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    }
    folder
}

/// Releases all tests. Returns the servers, and the file that their keeper has locked while it runs.
fn meet(listener: &TcpListener) -> (Vec<BufReader<TcpStream>>, Option<File>) {
    let (mut servers, mut keeper) = (Vec::new(), None);
    loop {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["server", _, _, folder] => {
                let run = Path::new(folder).ancestors().nth(3).unwrap();
                keeper = Some(File::open(run.join("keeper/lock")).unwrap());
                servers.push(stream);
            }
            ["test", ..] => {}
            _ => return (servers, keeper),
        }
    }
}

/// The suite under nextest, recorded by `run`. Returns the report and what the tests reported.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment of this test is not that of the suite"
)]
fn run(base: &Path, torn_down: &Path) -> (CommandOutput, Vec<BufReader<TcpStream>>, Option<File>) {
    let suite = suite();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let guests = std::thread::spawn(move || meet(&listener));
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-cofferdam"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_MANIFEST", "CARGO_PKG", "COFFERDAM", "NEXTEST"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    let output: CommandOutput = command
        .args([
            "run",
            "--",
            "cargo",
            "nextest",
            "run",
            "--offline",
            "--test",
            "suite",
        ])
        .current_dir(&suite)
        .env("CARGO_TARGET_DIR", suite.join("target"))
        .env("COFFERDAM_DIR", base)
        .env("MEET", address.to_string())
        .env("TORN_DOWN", torn_down)
        .output()
        .unwrap()
        .into();
    std::io::Write::write_all(&mut TcpStream::connect(address).unwrap(), b"over\n").unwrap();
    let (servers, keeper) = guests.join().unwrap();
    (output, servers, keeper)
}

#[test]
fn a_teardown_that_fails_is_reported_and_the_exit_code_is_1() {
    if !has_nextest() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let (output, ..) = run(base.path(), &base.path().join("not-there").join("torn-down"));
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let message = "failed: its command touch ended with exit code 1\n  | touch: cannot touch ";
    assert!(
        output.out.contains("the teardown of fixture server in run ") && output.out.contains(message),
        "{}",
        output.out
    );
}

#[test]
fn a_suite_with_a_fixture_passes_is_torn_down_and_the_report_knows_of_it() {
    if !has_nextest() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let torn_down = base.path().join("torn-down");
    let (output, servers, keeper) = run(base.path(), &torn_down);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    assert!(!output.err.contains("LEAK"), "{}", output.err);
    let last = output.out.lines().last().unwrap();
    assert!(
        last.starts_with("cofferdam: no conflict in what was watched: 2 tests, ")
            && last.ends_with("2 claims, 1 fixture"),
        "{last}"
    );

    assert_eq!(servers.len(), 2);
    for mut server in servers {
        server
            .get_ref()
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    }
    #[expect(clippy::disallowed_methods, reason = "the keeper's end is waited for")]
    keeper.unwrap().lock().unwrap();
    assert!(torn_down.exists());
    let entries = std::fs::read_dir(base.path().join("runs")).unwrap();
    let (runs, beside): (Vec<_>, Vec<_>) = entries
        .map(|entry| entry.unwrap().path())
        .partition(|path| path.is_dir());
    assert_eq!(runs.len(), 1);
    // The account of the session stays beside the run.
    let is_account = |path: &std::path::PathBuf| {
        path.extension()
            .is_some_and(|end| end == "account" || end == "intact")
    };
    assert!(beside.iter().all(is_account), "{beside:?}");
    let run = &runs[0];
    assert!(run.join("run.json").exists() && !run.join("fixtures").exists());
    // Started once, found once, by any worker.
    let journals = std::fs::read_dir(run.join("workers")).unwrap();
    let text: String = journals
        .map(|worker| std::fs::read_to_string(worker.unwrap().path().join("journal.ndjson")).unwrap())
        .collect();
    for event in ["fixture started", "fixture attached"] {
        assert_eq!(text.matches(event).count(), 1, "{text}");
    }
}

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
#[test]
fn a_start_that_failed_is_tried_again_in_the_next_iteration_of_a_stress_run() {
    use crate::observe::package::Package;

    if !has_nextest() {
        return;
    }
    let source = r#"
use cofferdam::Fixture;

static SHOP: Fixture<u32> = Fixture::per_run("shop", |_| {
    let starts = concat!(env!("CARGO_MANIFEST_DIR"), "/starts");
    let text = std::fs::read_to_string(starts).unwrap_or_default() + "start\n";
    std::fs::write(starts, &text)?;
    if text == "start\n" {
        return Err("the disk is full".into());
    }
    Ok(7)
});

#[test]
fn one() {
    assert_eq!(*SHOP.get(), 7);
}

#[test]
fn other() {
    assert_eq!(*SHOP.get(), 7);
}
"#;
    let package = Package::with_library("stressed", source);
    let command = [
        "cargo",
        "nextest",
        "run",
        "--offline",
        "--stress-count=3",
        "--no-fail-fast",
    ];
    let output: CommandOutput = package.cofferdam(&["run"], &command).output().unwrap().into();
    // Both tests of the first iteration fail by one start, and one more start serves the others.
    let failed = output.err.matches("the disk is full").count();
    assert!(failed >= 2, "{}", output.err);
    let hint = "a retry by the runner, the next iteration of a stress run, and the next run start it anew";
    assert!(output.err.contains(hint), "{}", output.err);
    let starts = std::fs::read_to_string(package.path().join("starts")).unwrap();
    assert_eq!(starts, "start\nstart\n", "{}", output.err);
}
