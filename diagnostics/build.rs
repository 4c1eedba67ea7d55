//! Builds the observer and the runner, which are embedded in the binary: `cargo install` installs neither.
//!
//! The compiler is called as cargo would call it, with the same linker. Both are built for Linux with glibc, as the test
//! programs are, also where the binary itself is linked with musl. Elsewhere there is no observer, and `observe` reports that.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The targets of the test programs. A binary for the same processor may also be linked with musl, to run on each Linux.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

fn main() {
    println!("cargo::rerun-if-changed=observer");
    println!("cargo::rerun-if-changed=runner");
    println!("cargo::rustc-check-cfg=cfg(has_observer)");
    let own = variable("TARGET").replace("-musl", "-gnu");
    let Some(target) = TARGETS.into_iter().find(|target| *target == own) else {
        return;
    };
    println!("cargo::rustc-cfg=has_observer");
    // Without frames to unwind, a test's own frames could not be found behind those of the observer.
    build(
        target,
        "observer",
        "observer.so",
        &[
            "--crate-type",
            "cdylib",
            "-C",
            "force-unwind-tables=yes",
            "-C",
            "opt-level=3",
        ],
    );
    let of_itself = ["-nostartfiles", "-nostdlib", "-static"].map(|word| format!("link-arg={word}"));
    let mut options = vec![
        "--crate-type",
        "bin",
        "-C",
        "relocation-model=static",
        "-C",
        "opt-level=s",
    ];
    options.extend(of_itself.iter().flat_map(|word| ["-C", word]));
    build(target, "runner", "runner", &options);
}

/// Builds what is embedded from the room of that name.
fn build(target: &str, room: &str, file: &str, options: &[&str]) {
    let out = PathBuf::from(variable("OUT_DIR")).join(file);
    #[expect(clippy::disallowed_methods, reason = "a build script starts the compiler")]
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.arg("--crate-name").arg(format!("cofferdam_{room}"));
    rustc.args(["--edition", "2024", "--target", target, "--cap-lints", "warn"]);
    for option in ["panic=abort", "lto=fat", "codegen-units=1", "strip=symbols"] {
        rustc.args(["-C", option]);
    }
    rustc.args(options);
    // A linker that was set for musl would find musl's libraries.
    if let Some(linker) = optional("RUSTC_LINKER").filter(|_| variable("TARGET") == target) {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    rustc.arg("-o").arg(out).arg(format!("{room}/lib.rs"));
    let status = rustc
        .status()
        .unwrap_or_else(|error| panic!("could not start {rustc:?}: {error}"));
    assert!(status.success(), "the {room} could not be built: {rustc:?}");
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
