//! Suites of strangers, run by real runners: each a crate of its own that depends on this one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A suite in a folder of its own, which is its checkout.
pub(super) struct Suite(PathBuf);

impl Suite {
    /// The suite in the folder `name`, with one test file. What is the same as before is left alone: Cargo goes by the
    /// files' times.
    pub(super) fn new(name: &str, dependencies: &str, tests: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir_all(folder.join("tests")).unwrap();
        std::fs::create_dir_all(folder.join("src")).unwrap();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\ncofferdam = {{ path = \
             {:?}, features = [\"serial\"] }}\n{dependencies}\n[workspace]\n",
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
        put("tests/suite.rs", tests);
        // The versions that are known to be there; Cargo leaves out what the suite does not need.
        if put("Cargo.toml", &manifest) {
            std::fs::copy(repository.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        }
        Self(folder)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// A cargo in the suite, without what this test's own runner said about this package.
    #[expect(clippy::disallowed_methods, reason = "runners are real processes")]
    pub(super) fn cargo(&self, args: &str) -> Command {
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
            .current_dir(&self.0)
            .env("CARGO_TARGET_DIR", self.0.join("target"))
            // What strangers have in common is compiled once; their names have to differ.
            .env("CARGO_BUILD_BUILD_DIR", self.0.with_file_name("strangers"))
            .env("CARGO_NET_OFFLINE", "true")
            .stdin(Stdio::null());
        cargo
    }

    /// Whether nextest is here; if not, that is said.
    pub(super) fn has_nextest(&self) -> bool {
        let told = self.cargo("nextest --version").output().unwrap();
        if !told.status.success() {
            let note = "\nSKIPPED, NOT TESTED: cargo-nextest is not installed\n";
            std::io::stderr().write_all(note.as_bytes()).unwrap();
        }
        told.status.success()
    }
}

pub(super) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
