//! A suite of forty tests that were serial_test's, moved by one `use`, under both runners.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Forty tests, ten of each of four kinds, of which one alone may be inside.
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
#[test] #[serial] fn tells_{number}() -> Result<(), String> {{ alone(); Ok(()) }}
#[test] #[serial] #[should_panic(expected = \"on purpose\")] fn panics_{number}() {{ alone(); panic!(\"on purpose\") }}
"
        ));
    }
    text
}

/// The suite's folder; `name` is the crate that it takes `serial` from.
fn suite(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("serial-{name}"));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(folder.join("tests")).unwrap();
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"moved\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\ncofferdam = {{ path = \
         {:?}, features = [\"serial\"] }}\nserial_test = {{ version = \"4.0\", default-features = false }}\n\n\
         [workspace]\n",
        repository.to_str().unwrap()
    );
    let put = |file: &str, text: &str| {
        let path = folder.join(file);
        let is_there = std::fs::read_to_string(&path).is_ok_and(|there| there == text);
        if !is_there {
            std::fs::write(path, text).unwrap();
        }
        !is_there
    };
    put("src/lib.rs", "");
    put("tests/serial.rs", &format!("use {name}::serial;\n{}", tests()));
    // The versions that are known to be there; Cargo leaves out what the suite does not need.
    if put("Cargo.toml", &manifest) {
        std::fs::copy(repository.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    }
    folder
}

#[expect(clippy::disallowed_methods, reason = "runners are real processes")]
fn cargo(folder: &Path, args: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let misleads = ["CARGO_MANIFEST", "CARGO_PKG", "COFFERDAM", "NEXTEST"];
        if misleads.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    cargo
        .args(args.split_whitespace())
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env("CARGO_NET_OFFLINE", "true")
        .stdin(Stdio::null());
    cargo
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn has_nextest(folder: &Path) -> bool {
    let is_there = cargo(folder, "nextest --version")
        .output()
        .unwrap()
        .status
        .success();
    if !is_there {
        let note = "\nSKIPPED, NOT TESTED: cargo-nextest is not installed\n";
        std::io::stderr().write_all(note.as_bytes()).unwrap();
    }
    is_there
}

#[test]
fn forty_tests_moved_by_one_use_never_meet_under_either_runner() {
    let folder = suite("cofferdam");
    let tested = cargo(&folder, "test --test serial -- --test-threads 8")
        .output()
        .unwrap();
    assert!(text(&tested).contains("40 passed; 0 failed"), "{}", text(&tested));
    if has_nextest(&folder) {
        let tested = cargo(&folder, "nextest run --test serial --test-threads 8")
            .output()
            .unwrap();
        assert!(
            text(&tested).contains("40 tests run: 40 passed"),
            "{}",
            text(&tested)
        );
    }
}

/// Two of them are inside at one time: both have come, and neither was let go.
#[test]
fn before_they_met_under_nextest() {
    let folder = suite("serial_test");
    if !has_nextest(&folder) {
        return;
    }
    let meeting = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut runs = cargo(
        &folder,
        "nextest run --test serial --test-threads 2 -E test(plain)",
    );
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
