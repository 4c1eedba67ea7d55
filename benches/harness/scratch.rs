//! Crates made for a moment, and built by cargo as a stranger's are.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A crate in a folder of its own, gone when dropped.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// `tables` are the manifest after its `[package]`; a file is its path and what stands in it.
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

    /// Runs cargo in the crate, or tells why it failed.
    ///
    /// Nothing of the outer build comes along: no flags, no wrapper that would have the result at hand.
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
            // What comes from a registry is not compiled incrementally, and this stands for it.
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

/// `cofferdam` as a dependency, from where this benchmark was built.
pub(crate) fn cofferdam() -> String {
    format!("cofferdam = {{ path = {:?} }}", env!("CARGO_MANIFEST_DIR"))
}
