//! A package outside of the workspace with one suite, run as a user would.

use crate::recording::CommandOutput;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Package {
    dir: tempfile::TempDir,
    /// A directory per test and package, kept between runs. A program contains the path of its package, so two tests
    /// cannot share it.
    built: PathBuf,
}

impl Package {
    /// Creates it with the only program `tests/NAME.rs`.
    pub(crate) fn new(name: &str, source: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manifest =
            format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n");
        let test = std::thread::current().name().unwrap_or("main").replace("::", "-");
        let observed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("observed");
        let package = Self {
            dir,
            built: observed.join(test).join(name),
        };
        package.write("Cargo.toml", &manifest);
        package.write("src/lib.rs", "");
        package.write(&format!("tests/{name}.rs"), source);
        fs::create_dir(package.path().join("met")).unwrap();
        package
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Creates it with cofferdam's library as a dependency.
    pub(crate) fn with_library(name: &str, source: &str) -> Self {
        let package = Self::new(name, source);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
        let manifest = format!(
            "{manifest}[dev-dependencies]\ncofferdam = {{ path = {root:?}, features = [\"fixtures\", \"macros\"] }}\n"
        );
        package.write("Cargo.toml", &manifest);
        // Reuses the versions of this workspace; Cargo removes those that the suite does not need.
        fs::copy(root.join("Cargo.lock"), package.path().join("Cargo.lock")).unwrap();
        package
    }

    /// Returns the target directory, which also contains cofferdam's files.
    pub(crate) fn built(&self) -> &Path {
        &self.built
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs `cargo cofferdam observe OPTIONS -- COMMAND` in the package.
    pub(crate) fn command(&self, options: &[&str], command: &[&str]) -> Command {
        self.cofferdam(&[&["observe"], options].concat(), command)
    }

    /// Returns `cargo cofferdam WORDS -- COMMAND`, in the package.
    pub(crate) fn cofferdam(&self, words: &[&str], command: &[&str]) -> Command {
        let mut cofferdam = self.without_command(words);
        cofferdam.arg("--").args(command);
        cofferdam
    }

    /// Returns `cargo cofferdam WORDS`, in the package.
    pub(crate) fn without_command(&self, words: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the program under test")]
        let mut cofferdam = Command::new(env!("CARGO_BIN_EXE_cargo-cofferdam"));
        cofferdam.args(words);
        cofferdam
            .current_dir(self.path())
            .env("CARGO_TARGET_DIR", &self.built);
        // Removes the variables that this test program was started with.
        for variable in [
            "COFFERDAM_DIR",
            "COFFERDAM_RECORD",
            "COFFERDAM_WORKER",
            "RUST_TEST_THREADS",
            "NO_COLOR",
            "COFFERDAM_GITHUB",
            "GITHUB_ACTIONS",
        ] {
            cofferdam.env_remove(variable);
        }
        cofferdam
    }

    pub(crate) fn observe(&self, options: &[&str], command: &[&str]) -> CommandOutput {
        self.command(options, command).output().unwrap().into()
    }

    /// Returns `kind name: writers × readers` of each conflict, sorted; a path from `met/` on.
    pub(crate) fn met(&self, command: &[&str], options: &[&str]) -> Vec<String> {
        let options = [&["--format", "json"], options].concat();
        self.conflicts(&self.observe(&options, command))
    }

    /// Returns the same of a command that has ended.
    pub(crate) fn conflicts(&self, output: &CommandOutput) -> Vec<String> {
        let report = output.report();
        assert_eq!(report["account"]["lost"], serde_json::json!([]), "{report}");
        let met = self.path().canonicalize().unwrap().join("met");
        let mut found: Vec<String> = report["conflicts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|conflict| resource(conflict, &met))
            .collect();
        found.sort();
        found
    }
}

fn resource(conflict: &serde_json::Value, met: &Path) -> String {
    let name = conflict["resource"]["name"].as_str().unwrap();
    let name = Path::new(name).strip_prefix(met).unwrap_or(Path::new(name));
    let tests = conflict["tests"].as_array().unwrap();
    let writes = |test: &&serde_json::Value| {
        let uses = test["uses"].as_array().unwrap();
        uses.iter().any(|used| used["access"] == "write")
    };
    let writers = tests.iter().filter(writes).count();
    let kind = conflict["resource"]["kind"].as_str().unwrap();
    format!("{kind} {}: {writers} × {}", name.display(), tests.len() - writers)
}
