//! The functions and modules of a program, as its source tells them.

use super::attributes::{Annotation, Names};
use super::source::Insertion;
use std::collections::HashMap;
use std::path::PathBuf;

/// A function of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// With its modules: `orders::tests::stores_one`.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    /// The place of a new attribute: behind the others, but for those that refuse one below them.
    pub(crate) at: usize,
    /// Its own, and what it has from its module, which is in the same file.
    pub(crate) annotations: Vec<Annotation>,
    /// No place for an attribute of cofferdam's: `#[test_with::…]`, which refuses one below it, stands above `#[rstest]`,
    /// which has to be above it.
    pub(crate) has_no_place: bool,
    /// Whether it may have more, by a condition.
    pub(crate) is_conditional: bool,
    /// The module, by its number.
    pub(crate) module: usize,
}

/// What one module says of names, and where a `use` can be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) names: Names,
    pub(crate) insertion: Insertion,
}

/// The source of one program.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) functions: Vec<Function>,
    pub(crate) modules: Vec<Module>,
    pub(crate) texts: HashMap<PathBuf, String>,
    /// Files that could not be read or understood, each a sentence.
    pub(crate) problems: Vec<String>,
}

impl Program {
    /// The functions that a test's name means: itself, else what its cases are made from. Several where each is for
    /// another platform.
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
