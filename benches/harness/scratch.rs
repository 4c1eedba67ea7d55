//! Temporary crates, built by cargo as outside of the workspace.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A crate in a directory of its own, removed on drop.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// Creates the crate. `tables` is the manifest after `[package]`; each file is a path and its content.
    pub(crate) fn new(tables: &str, (path, text): (&str, &str)) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        fs::create_dir(dir.path().join("src")).expect("a folder in our own");
        let package = "[package]\nname = \"scratch\"\nedition = \"2024\"\n\n[workspace]\n\n";
        fs::write(dir.path().join("Cargo.toml"), format!("{package}{tables}\n")).expect("a manifest");
        fs::write(dir.path().join(path), text).expect("a source file");
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs cargo in the crate, or returns why it failed.
    ///
    /// Inherits nothing of the outer build: no flags, and no wrapper that caches results.
    #[expect(clippy::disallowed_methods, reason = "a benchmark of builds has to build")]
    pub(crate) fn cargo(&self, arguments: &[&str], rustflags: &str) -> Result<(), String> {
        let mut cargo = Command::new(env!("CARGO"));
        for name in [
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET_DIR",
            "RUSTC_WRAPPER",
        ] {
            cargo.env_remove(name);
        }
        cargo
            .args(arguments)
            .current_dir(self.path())
            .env("RUSTFLAGS", rustflags)
            // Crates from a registry are not compiled incrementally, and this crate represents one.
            .env("CARGO_INCREMENTAL", "0");
        let done = cargo
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        let errors = String::from_utf8_lossy(&done.stderr);
        if done.status.success() {
            Ok(())
        } else {
            Err(errors.into_owned())
        }
    }
}

/// Returns the dependency on `cofferdam` with these features, in the checkout of this benchmark.
pub(crate) fn cofferdam(features: &[&str]) -> String {
    let path = env!("CARGO_MANIFEST_DIR");
    format!("cofferdam = {{ path = {path:?}, features = {features:?} }}")
}
