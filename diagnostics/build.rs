//! Builds the observer, which is embedded in the binary: `cargo install` installs no libraries.
//!
//! The compiler is called as cargo would call it: for the same target, with the same linker. On targets other than Linux
//! with glibc on x86_64 there is no observer, and `observe` reports that.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    println!("cargo::rerun-if-changed=observer");
    println!("cargo::rustc-check-cfg=cfg(has_observer)");
    if variable("TARGET") != TARGET {
        return;
    }
    println!("cargo::rustc-cfg=has_observer");
    let out = PathBuf::from(variable("OUT_DIR")).join("observer.so");
    #[expect(clippy::disallowed_methods, reason = "a build script starts the compiler")]
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--crate-name", "cofferdam_observer", "--edition", "2024"]);
    rustc.args([
        "--crate-type",
        "cdylib",
        "--target",
        TARGET,
        "--cap-lints",
        "warn",
    ]);
    // Without frames to unwind, a test's own frames could not be found behind those of the observer.
    rustc.args(["-C", "panic=abort", "-C", "force-unwind-tables=yes"]);
    rustc.args([
        "-C",
        "opt-level=3",
        "-C",
        "lto=fat",
        "-C",
        "codegen-units=1",
        "-C",
        "strip=symbols",
    ]);
    if let Some(linker) = optional("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    rustc.arg("-o").arg(out).arg("observer/lib.rs");
    let status = rustc
        .status()
        .unwrap_or_else(|error| panic!("could not start {rustc:?}: {error}"));
    assert!(status.success(), "the observer could not be built: {rustc:?}");
}

fn variable(name: &str) -> String {
    optional(name).unwrap_or_else(|| panic!("cargo did not set {name}"))
}

fn optional(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo passes values to a build script by variables"
    )]
    env::var(name).ok()
}
