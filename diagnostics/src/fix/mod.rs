//! The smallest set of changes that ends the conflicts that were seen.
//!
//! `mending` goes from findings to drafts of files. `plan` chooses the keys and who takes them; `words` names them.
//! `workspace` says where a program's source begins, `scan` finds the tests in it (`program`) with what stands
//! on them and on their modules (`attributes`, `handed`, `source`), and `sources` is all of that. `draft` turns a plan
//! into new texts: by `edit` in Rust, by `manifest` in Cargo.toml; `groups` does it for nextest's settings. `idle` finds
//! attributes that guard nothing, `help` words the help for a conflict, and `tree` writes. What touches the outside is `tool`, `tree` and the reading in
//! `sources` and `mending`.

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
