//! The functions and modules of a program, from its source.

use super::attributes::{Annotation, Names};
use super::parsed_file::Insertion;
use std::collections::HashMap;
use std::path::PathBuf;

/// A function of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// The path from the crate root: `orders::tests::stores_one`.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    /// The byte offset of a new attribute: below the others, except those that allow no attribute below them.
    pub(crate) at: usize,
    /// Its own annotations and those inherited from its module, which is in the same file.
    pub(crate) annotations: Vec<Annotation>,
    /// Set if no position for cofferdam's attribute works: `#[test_with::…]`, which allows no attribute below it, is above
    /// `#[rstest]`, which must be above cofferdam's.
    pub(crate) has_no_position: bool,
    /// Set if more annotations may apply under a condition.
    pub(crate) is_conditional: bool,
    /// The number of its module.
    pub(crate) module: usize,
}

/// The names in scope in a module, and the position for a new `use` item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) names: Names,
    pub(crate) insertion: Insertion,
    /// The paths of the imported names, each with its name here; `*` for all names of a module.
    pub(crate) imports: Vec<(Vec<String>, String)>,
}

/// The source of one program.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) functions: Vec<Function>,
    pub(crate) modules: Vec<Module>,
    pub(crate) texts: HashMap<PathBuf, String>,
    /// Files that could not be read or parsed, one sentence each.
    pub(crate) problems: Vec<String>,
}

impl Program {
    /// Returns the functions of a test name: the function itself, or the one its cases are generated from. Several if there
    /// is one per platform.
    pub(crate) fn find(&self, test: &str) -> Vec<&Function> {
        let named = |name: &str| {
            self.functions
                .iter()
                .filter(|one| one.name == name)
                .collect::<Vec<_>>()
        };
        let found = named(test);
        match test.rsplit_once("::") {
            Some((function, _)) if found.is_empty() => named(function),
            _ => found,
        }
    }
}
