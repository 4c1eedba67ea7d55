//! The packages of a workspace and where the source of each test program begins, as `cargo metadata` tells it.

use super::tool;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What cargo says of a workspace.
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
    /// The file that it begins in.
    #[serde(rename = "src_path")]
    pub(crate) source: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
struct Dependency {
    name: String,
}

impl Workspace {
    /// That of the package or workspace in `dir`.
    pub(crate) fn around(dir: &Path) -> Result<Self, String> {
        let told = tool::ask("cargo", &["metadata", "--no-deps", "--format-version", "1"], dir)?;
        serde_json::from_slice(&told)
            .map_err(|error| format!("could not understand `cargo metadata`: {error}"))
    }
}

impl Package {
    pub(crate) fn dir(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new(""))
    }

    pub(crate) fn depends_on(&self, name: &str) -> bool {
        let alike = |dependency: &&Dependency| dependency.name.replace('-', "_") == name;
        self.dependencies.iter().any(|dependency| alike(&dependency))
    }

    /// The targets that a program may be: one by nextest's name, or several by the name of their file.
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

    /// As nextest calls it.
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

    const METADATA: &str = r#"{"workspace_root": "/w", "packages": [{
        "name": "order-desk", "manifest_path": "/w/desk/Cargo.toml", "dependencies": [{"name": "serial_test"}],
        "targets": [
            {"name": "order_desk", "kind": ["lib"], "src_path": "/w/desk/src/lib.rs"},
            {"name": "order-desk", "kind": ["bin"], "src_path": "/w/desk/src/main.rs"},
            {"name": "customers", "kind": ["test"], "src_path": "/w/desk/tests/customers.rs"},
            {"name": "build-script-build", "kind": ["custom-build"], "src_path": "/w/desk/build.rs"}
        ]}]}"#;

    #[test]
    fn a_program_is_found_by_either_runner_s_name_for_it() {
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
        assert_eq!(package.dir(), Path::new("/w/desk"));
    }
}
