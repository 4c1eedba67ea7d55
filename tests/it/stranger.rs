//! Suites outside of the workspace, run by real runners: each a crate that depends on this one.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The directory of this library's manifest.
pub(crate) const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// A suite in a directory of its own, which is its checkout.
pub(crate) struct Suite(PathBuf);

impl Suite {
    /// Creates the suite `name` from these files. `features` are those of the library; a suite with `tokio` depends on tokio,
    /// too. `dependencies` are the others. Unchanged files are not written again, because Cargo compares modification times.
    pub(crate) fn new(name: &str, features: &[&str], dependencies: &str, files: &[(&str, &str)]) -> Self {
        let tokio = if features.contains(&"tokio") {
            "tokio = { version = \"1\", features = [\"io-util\", \"macros\", \"net\", \"rt\", \"sync\"] }\n"
        } else {
            ""
        };
        let manifest = format!(
            "[dependencies]\ncofferdam = {{ path = {REPOSITORY:?}, features = {features:?} }}\n{tokio}{dependencies}"
        );
        Self::with_manifest(name, &manifest, files)
    }

    /// Creates the suite `name`, whose manifest ends with `manifest`.
    pub(crate) fn with_manifest(name: &str, manifest: &str, files: &[(&str, &str)]) -> Self {
        let suite = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        let repository = Path::new(REPOSITORY);
        let package = format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"");
        suite.put("Cargo.toml", &format!("{package}\n\n{manifest}\n[workspace]\n"));
        for (file, text) in files {
            suite.put(file, text);
        }
        // Reuses the versions of this workspace; Cargo removes those that the suite does not need.
        let lock = std::fs::read_to_string(repository.join("Cargo.lock")).unwrap();
        if suite.put("target/lock-of-the-repository", &lock) {
            suite.put("Cargo.lock", &lock);
        }
        suite
    }

    /// Writes the file if its content differs, and returns whether it did.
    fn put(&self, file: &str, text: &str) -> bool {
        let path = self.0.join(file);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return false;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Other tests may write here at the same time.
        let mut whole = tempfile::NamedTempFile::new_in(&self.0).unwrap();
        whole.write_all(text.as_bytes()).unwrap();
        whole.persist(&path).unwrap();
        true
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Returns a command in the suite, without the variables that this test's runner set for this package.
    #[expect(clippy::disallowed_methods, reason = "runners are real processes")]
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let misleads = ["CARGO_MANIFEST", "CARGO_PKG", "COFFERDAM", "NEXTEST"];
            if misleads.iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
            .current_dir(&self.0)
            .env("CARGO_TARGET_DIR", self.0.join("target"))
            // The suites share compiled dependencies in one target directory, so their names must differ.
            .env("CARGO_BUILD_BUILD_DIR", self.0.with_file_name("strangers"))
            .env("CARGO_NET_OFFLINE", "true");
        command
    }

    #[expect(clippy::disallowed_methods, reason = "the cargo that runs this test")]
    pub(crate) fn cargo(&self, args: &str) -> Command {
        let mut cargo = self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(args.split_whitespace()).stdin(Stdio::null());
        cargo
    }

    /// Returns whether nextest is installed; prints a note if not.
    pub(crate) fn has_nextest(&self) -> bool {
        let found = self.cargo("nextest --version").output().unwrap();
        if !found.status.success() {
            let note = "\nSKIPPED, NOT TESTED: cargo-nextest is not installed\n";
            std::io::stderr().write_all(note.as_bytes()).unwrap();
        }
        found.status.success()
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
