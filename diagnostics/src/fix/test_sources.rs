//! The sources of all test programs, and the positions of tests in them.

use super::program::{Function, Program};
use super::scan::scan;
pub(crate) use super::workspace::Package;
use super::workspace::Workspace;
use cofferdam_conflicts::{Harness, Test};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The sources of the workspaces.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    workspaces: Vec<Workspace>,
    /// Programs by their root file.
    programs: BTreeMap<PathBuf, Program>,
}

/// The position of a test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TestPosition<'a> {
    pub(crate) package: &'a Package,
    pub(crate) program: &'a Program,
    pub(crate) function: &'a Function,
}

impl Sources {
    /// Reads the workspaces of these directories, each once.
    pub(crate) fn read<'a>(folders: impl Iterator<Item = &'a Path>) -> Result<Self, String> {
        let mut sources = Self::default();
        for folder in folders {
            if sources.package(folder).is_none() {
                let workspace = Workspace::containing(folder)?;
                if !sources
                    .workspaces
                    .iter()
                    .any(|known| known.root == workspace.root)
                {
                    sources.add(workspace);
                }
            }
        }
        Ok(sources)
    }

    fn add(&mut self, workspace: Workspace) {
        for package in &workspace.packages {
            let fallback = ["serial_test", "cofferdam"]
                .into_iter()
                .find(|name| package.depends_on(name));
            for target in package.targets.iter().filter(|target| target.may_have_tests()) {
                let read = |path: &Path| fs::read_to_string(path);
                self.programs
                    .insert(target.source.clone(), scan(&target.source, fallback, &read));
            }
        }
        self.workspaces.push(workspace);
    }

    /// Returns the package in a directory.
    pub(crate) fn package(&self, folder: &Path) -> Option<&Package> {
        self.packages().find(|package| package.dir() == folder)
    }

    /// Returns the package of a source file or manifest.
    pub(crate) fn package_containing(&self, file: &Path) -> Option<&Package> {
        let is_source = file.extension().is_some_and(|extension| extension == "rs");
        let is_compiled = is_source || file.file_name().is_some_and(|name| name == "Cargo.toml");
        let around = self
            .packages()
            .filter(|package| is_compiled && file.starts_with(package.dir()));
        around.max_by_key(|package| package.dir().components().count())
    }

    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.workspaces.iter().flat_map(|workspace| &workspace.packages)
    }

    /// Returns the root of the package's workspace.
    pub(crate) fn root(&self, package: &Package) -> Option<&Path> {
        let has = |workspace: &&Workspace| {
            workspace
                .packages
                .iter()
                .any(|one| one.manifest == package.manifest)
        };
        self.workspaces
            .iter()
            .find(has)
            .map(|workspace| workspace.root.as_path())
    }

    /// Returns the roots of all workspaces.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Path> {
        self.workspaces.iter().map(|workspace| workspace.root.as_path())
    }

    pub(crate) fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.values()
    }

    /// Returns each program with its package and a function that recognizes the program's name in an observation.
    pub(crate) fn named_programs(&self) -> impl Iterator<Item = (&Package, &Program, impl Fn(&str) -> bool)> {
        let targets = self
            .packages()
            .flat_map(|package| package.targets.iter().map(move |target| (package, target)));
        targets.filter_map(|(package, target)| {
            let program = self.programs.get(&target.source)?;
            let has_name = |binary: &str| {
                package
                    .targets_named(binary)
                    .any(|one| one.source == target.source)
            };
            Some((package, program, has_name))
        })
    }

    /// Returns the source files of a package's programs, with their contents.
    pub(crate) fn texts(&self, package: &Package) -> impl Iterator<Item = (&Path, &str)> {
        let targets = package.targets.iter();
        let programs = targets.filter_map(|target| self.programs.get(&target.source));
        let texts = programs.flat_map(|program| &program.texts);
        texts.map(|(path, text)| (path.as_path(), text.as_str()))
    }

    /// Returns the files that could not be read, one sentence each, without duplicates.
    pub(crate) fn problems(&self) -> Vec<&str> {
        let mut problems: Vec<&str> = self
            .programs()
            .flat_map(|program| &program.problems)
            .map(String::as_str)
            .collect();
        problems.sort_unstable();
        problems.dedup();
        problems
    }

    /// Returns the positions of a test, or the reason they are unknown.
    pub(crate) fn find(
        &self,
        package: &str,
        binary: &str,
        test: &str,
    ) -> Result<Vec<TestPosition<'_>>, String> {
        let packages: Vec<&Package> = match self.package(Path::new(package)) {
            Some(package) => vec![package],
            // If the package was not observed, the program's name has to suffice.
            None => self.packages().collect(),
        };
        let mut is_known = false;
        let mut positions = Vec::new();
        for package in packages {
            for target in package.targets_named(binary) {
                is_known = true;
                let Some(program) = self.programs.get(&target.source) else {
                    continue;
                };
                let functions = program.find(test).into_iter();
                positions.extend(functions.map(|function| TestPosition {
                    package,
                    program,
                    function,
                }));
            }
        }
        let mut found_in: Vec<&Path> = positions.iter().map(|position| position.package.dir()).collect();
        found_in.dedup();
        match (positions.is_empty(), is_known, found_in.as_slice()) {
            (false, _, [_]) => Ok(positions),
            (false, ..) => Err(format!("{} packages have such a test", found_in.len())),
            (true, true, _) => Err("it is not in the source: a macro may have generated it".to_owned()),
            (true, false, _) => Err(format!("no program here is named {binary}")),
        }
    }

    /// Returns the harness that runs the test.
    pub(crate) fn harness(&self, test: &Test) -> Harness {
        // As rustdoc names them: `src/lib.rs - orders::store (line 12)`.
        if test.name().contains(" - ") && test.name().contains("(line ") {
            return Harness::Doctest;
        }
        let package = self.package(Path::new(&test.package));
        let targets = package
            .into_iter()
            .flat_map(|package| package.targets_named(&test.binary));
        let mut own = targets.map(|target| target.has_own_harness);
        if own.any(|has_own| has_own) {
            Harness::Custom
        } else {
            Harness::Libtest
        }
    }

    /// Returns nextest's binary ID of the test's program.
    pub(crate) fn binary_id(&self, test: &Test) -> Option<String> {
        let package = self.package(Path::new(&test.package))?;
        let mut targets = package.targets_named(&test.binary);
        let id = targets.next()?.binary_id(&package.name);
        targets
            .all(|other| other.binary_id(&package.name) == id)
            .then_some(id)
    }
}
