//! The packages of a workspace and the root file of each test program, from `cargo metadata`.

use super::tool;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, TableLike};

/// A workspace in the output of `cargo metadata`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    #[serde(rename = "manifest_path")]
    pub(crate) manifest: PathBuf,
    pub(crate) targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    kind: Vec<String>,
    /// The root file.
    #[serde(rename = "src_path")]
    pub(crate) source: PathBuf,
    /// `harness = false`.
    #[serde(skip)]
    pub(crate) has_own_harness: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Dependency {
    name: String,
    #[serde(default)]
    features: Vec<String>,
}

impl Workspace {
    /// Returns the workspace of the package in `dir`.
    pub(crate) fn containing(dir: &Path) -> Result<Self, String> {
        let output = tool::output("cargo", &["metadata", "--no-deps", "--format-version", "1"], dir)?;
        let mut workspace: Self = serde_json::from_slice(&output)
            .map_err(|error| format!("could not understand `cargo metadata`: {error}"))?;
        for package in &mut workspace.packages {
            // cargo has just read the manifest, so an error here is unlikely and only costs the harness setting.
            let manifest = fs::read_to_string(&package.manifest).unwrap_or_default();
            package.read_harnesses(&manifest);
        }
        Ok(workspace)
    }
}

impl Package {
    /// Marks the targets with a custom harness, which `cargo metadata` omits.
    fn read_harnesses(&mut self, manifest: &str) {
        let document: DocumentMut = manifest.parse().unwrap_or_default();
        for target in &mut self.targets {
            let table = document.get(target.kind());
            let has_own = |table: &dyn TableLike| table.get("harness").and_then(Item::as_bool) == Some(false);
            let is_this = |table: &dyn TableLike| {
                table.get("name").and_then(Item::as_str) == Some(target.name.as_str())
            };
            target.has_own_harness = match table {
                Some(Item::ArrayOfTables(all)) => all.iter().any(|one| is_this(one) && has_own(one)),
                Some(one) => one.as_table_like().is_some_and(has_own),
                None => false,
            };
        }
    }

    /// Returns its directory.
    pub(crate) fn dir(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new(""))
    }

    pub(crate) fn depends_on(&self, name: &str) -> bool {
        self.dependencies_named(name).next().is_some()
    }

    /// Returns whether it depends on a crate with this feature named.
    pub(crate) fn has_feature(&self, name: &str, feature: &str) -> bool {
        let mut features = self.dependencies_named(name).flat_map(|one| &one.features);
        features.any(|one| one == feature)
    }

    fn dependencies_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Dependency> {
        let alike = move |dependency: &&Dependency| dependency.name.replace('-', "_") == name;
        self.dependencies.iter().filter(alike)
    }

    /// Returns the targets that `binary` may name: one by nextest's binary ID, or several by their file name.
    pub(crate) fn targets_named<'a>(&'a self, binary: &'a str) -> impl Iterator<Item = &'a Target> {
        self.targets.iter().filter(move |target| {
            let is_file = target.name.replace('-', "_") == binary.replace('-', "_");
            (is_file || target.binary_id(&self.name) == binary) && target.may_have_tests()
        })
    }
}

impl Target {
    fn kind(&self) -> &str {
        self.kind.first().map_or("", String::as_str)
    }

    pub(crate) fn may_have_tests(&self) -> bool {
        self.kind() != "custom-build"
    }

    /// Returns nextest's binary ID.
    pub(crate) fn binary_id(&self, package: &str) -> String {
        match self.kind() {
            "test" => format!("{package}::{}", self.name),
            kind @ ("bin" | "example" | "bench") => format!("{package}::{kind}/{}", self.name),
            _ => package.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_harnesses_are_read_from_the_manifest() {
        let mut workspace: Workspace = serde_json::from_str(METADATA).unwrap();
        let package = &mut workspace.packages[0];
        let own = |package: &mut Package, manifest: &str| {
            package.read_harnesses(manifest);
            let own = package.targets.iter().filter(|target| target.has_own_harness);
            own.map(|target| target.name.clone())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(own(package, "[lib]\nharness = false\n"), "order_desk");
        let tests = "[[test]]\nname = \"a\"\nharness = false\n[[test]]\nname = \"customers\"\n";
        assert_eq!(own(package, tests), "");
        assert_eq!(own(package, &format!("{tests}harness = false\n")), "customers");
    }

    const METADATA: &str = r#"{"workspace_root": "/w", "packages": [{
        "name": "order-desk", "manifest_path": "/w/desk/Cargo.toml", "dependencies": [{"name": "serial_test", "features": ["file_locks"]}],
        "targets": [
            {"name": "order_desk", "kind": ["lib"], "src_path": "/w/desk/src/lib.rs"},
            {"name": "order-desk", "kind": ["bin"], "src_path": "/w/desk/src/main.rs"},
            {"name": "customers", "kind": ["test"], "src_path": "/w/desk/tests/customers.rs"},
            {"name": "build-script-build", "kind": ["custom-build"], "src_path": "/w/desk/build.rs"}
        ]}]}"#;

    #[test]
    fn a_program_is_found_by_the_names_of_both_runners() {
        let workspace: Workspace = serde_json::from_str(METADATA).unwrap();
        let package = &workspace.packages[0];
        let sources = |binary: &str| {
            let targets = package.targets_named(binary);
            targets
                .map(|target| target.source.file_stem().unwrap().to_str().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (binary, found) in [
            ("order_desk", "lib main"),
            ("order-desk", "lib main"),
            ("order-desk::bin/order-desk", "main"),
            ("customers", "customers"),
            ("order-desk::customers", "customers"),
            ("gone", ""),
        ] {
            assert_eq!(sources(binary), found, "{binary}");
        }
        assert!(package.depends_on("serial_test") && !package.depends_on("cofferdam"));
        assert!(
            package.has_feature("serial_test", "file_locks") && !package.has_feature("cofferdam", "macros")
        );
        assert_eq!(package.dir(), Path::new("/w/desk"));
    }
}
