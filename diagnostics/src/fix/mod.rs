//! The smallest set of changes that ends the observed conflicts.
//!
//! `proposal` turns conflicts into new file contents: `test_sources` reads the workspaces and finds each test with its
//! attributes, `key_plan` chooses the keys, and `draft` writes them into Rust files, Cargo.toml and nextest's configuration.
//! `unused_attributes` finds attributes without effect, `named_statics` the values that two tests name, also in functions
//! that they call (`called_functions`), `own_statics` the statics of tests that can be each worker's own, and `conflict_help`
//! writes the help texts. `migration` rewrites a suite that uses other
//! crates, `relaxation` removes attributes that guard nothing. `checkout` applies the changes. Only `tool`, `checkout`,
//! `workspace`, `test_sources`, `static_place`, `own_statics`, `proposal` and `migration` have effects.

mod attributes;
mod called_functions;
pub(crate) mod checkout;
pub(crate) mod conflict_help;
pub(crate) mod draft;
mod edit;
mod imports;
mod involved_tests;
mod key_names;
pub(crate) mod key_plan;
mod manifest;
pub(crate) mod migration;
mod module_attributes;
pub(crate) mod named_statics;
pub(crate) mod nextest_groups;
pub(crate) mod own_statics;
mod parsed_file;
mod program;
pub(crate) mod proposal;
pub(crate) mod relaxation;
mod replacements;
mod scan;
mod source_file;
mod static_declaration;
mod static_place;
pub(crate) mod test_sources;
mod tool;
pub(crate) mod unused_attributes;
mod workspace;

pub(crate) use attributes::{Annotation, Family, spelled};
