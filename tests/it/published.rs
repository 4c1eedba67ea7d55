//! What is published: the packages with their dependencies, the action, the workflows that make a release.

use crate::files::{self, hold};
use serde_json::Value;

/// Returns what cargo says about all packages that are compiled on Linux.
fn metadata() -> Value {
    #[expect(clippy::disallowed_methods, reason = "this is a developer's cargo")]
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--all-features"]);
    cargo
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(files::root());
    let output = cargo.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the packages that users compile: those of the workspace and all they depend on, not for tests.
fn compiled(metadata: &Value) -> Vec<&Value> {
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().unwrap().iter();
        all.map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let mut found = texts(&metadata["workspace_members"]);
    let mut next = 0;
    while let Some(id) = found.get(next) {
        next += 1;
        let node = nodes.iter().find(|node| node["id"] == id.as_str()).unwrap();
        for dependency in node["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            let id = dependency["pkg"].as_str().unwrap();
            if kinds.iter().any(|kind| kind["kind"] != "dev") && !found.iter().any(|known| known == id) {
                found.push(id.to_owned());
            }
        }
    }
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .filter(|package| found.iter().any(|id| package["id"] == id.as_str()))
        .collect()
}

/// Returns the version of Rust as numbers.
fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap()).collect()
}

/// Returns if one may use a package with this license under licenses that are `allowed`.
fn may_use(license: &str, allowed: &[&str]) -> bool {
    license.replace('/', " OR ").split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')']);
        part.split(" OR ").any(|one| allowed.contains(&one.trim()))
    })
}

#[test]
fn users_can_compile_all_packages_with_the_oldest_rust_that_is_promised() {
    let metadata = metadata();
    let promised = |package: &Value| package["rust_version"].as_str().map(version);
    let packages = compiled(&metadata);
    let ours = metadata["workspace_members"].as_array().unwrap();
    let ours = packages.iter().filter(|package| ours.contains(&package["id"]));
    let oldest = ours
        .map(|package| promised(package).expect("each package of ours promises one"))
        .max()
        .unwrap();
    let newer = packages
        .iter()
        .filter(|package| promised(package).is_some_and(|needed| needed[..2] > oldest[..2]));
    let newer: Vec<_> = newer
        .map(|package| format!("{}: {}", package["name"], package["rust_version"]))
        .collect();
    hold(
        &newer,
        "A dependency needs a newer Rust than `rust-version` promises.",
    );
}

#[test]
fn the_license_of_every_dependency_is_allowed() {
    let deny = files::read("deny.toml");
    let line = deny.lines().find(|line| line.starts_with("allow = ")).unwrap();
    let allowed: Vec<_> = line.split('"').skip(1).step_by(2).collect();
    assert!(may_use("(MIT OR GPL-3.0) AND Zlib", &allowed) && !may_use("GPL-3.0", &allowed));
    let metadata = metadata();
    let refused = compiled(&metadata).into_iter();
    let refused =
        refused.filter(|package| !may_use(package["license"].as_str().unwrap_or_default(), &allowed));
    let refused: Vec<_> = refused
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    hold(&refused, "deny.toml does not allow these licenses.");
}

#[test]
fn workflows_and_the_action_run_scripts_of_this_repository_and_pinned_actions() {
    let mut breaches = Vec::new();
    for path in [
        ".github/workflows/ci.yml",
        ".github/workflows/release.yml",
        "action.yml",
    ] {
        for line in files::read(path).lines() {
            let step = line.trim().trim_start_matches("- ");
            if let Some(command) = step.strip_prefix("run: ") {
                let script = command
                    .trim_matches('\'')
                    .replace("\"$GITHUB_ACTION_PATH/", "")
                    .replace('"', "");
                let script = script.split(' ').next().unwrap();
                if !script.starts_with(".ci/") || !files::root().join(script).exists() {
                    breaches.push(format!("{path}: {step}"));
                }
            } else if let Some(workflow) = step.strip_prefix("uses: $/") {
                if !files::root().join(workflow).exists() {
                    breaches.push(format!("{path}: {step}"));
                }
            } else if let Some(action) = step.strip_prefix("uses: ") {
                let commit = action
                    .split('@')
                    .nth(1)
                    .and_then(|commit| commit.split(' ').next());
                if !commit.is_some_and(|commit| commit.len() == 40 && !commit.contains('.')) {
                    breaches.push(format!("{path}: {step}"));
                }
            }
        }
    }
    hold(
        &breaches,
        "A step runs a script below .ci/, or an action at a commit.",
    );
}

#[test]
fn nothing_is_published_before_all_checks_have_passed() {
    let release = files::read(".github/workflows/release.yml");
    for lines in [
        "\n  checks:\n    uses: $/.github/workflows/ci.yml\n",
        "\n    needs: checks\n",
    ] {
        assert!(release.contains(lines), "{release}");
    }
}

#[test]
fn the_action_installs_the_release_of_this_version() {
    let action = files::read("action.yml");
    assert!(
        action.contains(&format!("default: {}\n", env!("CARGO_PKG_VERSION"))),
        "{action}"
    );
}
