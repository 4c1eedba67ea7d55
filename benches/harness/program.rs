//! Builds `benches/programs/three_services.rs` as a program outside of the workspace.

use super::scratch::{Scratch, cofferdam};
use std::path::PathBuf;
use std::{env, fs};

/// The program, and its directory.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    _scratch: Scratch,
}

impl Program {
    pub(crate) fn build(rustflags: &str) -> Self {
        let tables = format!("[dependencies]\n{}", cofferdam(&[]));
        let scratch = Scratch::new(
            &tables,
            ("src/main.rs", include_str!("../programs/three_services.rs")),
        );
        // The versions of this workspace; cargo removes those that it does not need.
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
        fs::copy(lock, scratch.path().join("Cargo.lock")).expect("the workspace's lock file");
        let built = scratch.cargo(&["build", "--release", "--offline"], rustflags);
        built.unwrap_or_else(|error| panic!("the program does not build: {error}"));
        let name = format!("scratch{}", env::consts::EXE_SUFFIX);
        Self {
            path: scratch.path().join("target/release").join(name),
            _scratch: scratch,
        }
    }
}
