//! The smallest set of changes that ends the observed conflicts.
//!
//! `mending` turns findings into new file contents: `sources` reads the workspaces and finds each test with its attributes,
//! `plan` chooses the keys, and `draft` writes them into Rust files, Cargo.toml and nextest's configuration. `idle` finds
//! unneeded attributes, and `help` writes the help texts. `tree` applies the changes. Only `tool`, `tree`, `sources` and
//! `mending` have effects.

mod attributes;
pub(crate) mod draft;
mod edit;
pub(crate) mod groups;
mod handed;
pub(crate) mod help;
pub(crate) mod idle;
mod manifest;
pub(crate) mod mending;
pub(crate) mod plan;
mod program;
mod scan;
mod source;
pub(crate) mod sources;
mod tool;
pub(crate) mod tree;
mod words;
mod workspace;

pub(crate) use attributes::{Annotation, Family, spelled};
