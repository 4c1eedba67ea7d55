//! Changes to the dependencies in a Cargo.toml. Everything else keeps its formatting.

use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value};

const CRATE: &str = "cofferdam";
const FEATURE: &str = "macros";
/// The tables that may contain the library.
const TABLES: [&str; 2] = ["dev-dependencies", "dependencies"];

/// The necessary change of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// None.
    Fine,
    /// The new content.
    New(String),
    /// It lacks the library, and no checkout was given.
    Missing,
}

/// Returns the manifest with the feature, and with the library if `path`, relative to the package, is given.
pub(super) fn with_serial(text: &str, path: Option<&str>) -> Result<Manifest, String> {
    let mut document = parsed(text)?;
    let has = |table: &&&str| {
        document
            .get(table)
            .and_then(Item::as_table_like)
            .is_some_and(|table| table.contains_key(CRATE))
    };
    match (TABLES.iter().find(has), path) {
        (Some(table), _) => {
            if !add_feature(&mut document[table][CRATE]) {
                return Ok(Manifest::Fine);
            }
        }
        (None, Some(path)) => {
            let mut dependency = InlineTable::new();
            dependency.insert("path", path.into());
            dependency.insert("features", Value::Array(Array::from_iter([FEATURE])));
            let table = document.entry(TABLES[0]).or_insert_with(toml_edit::table);
            let Some(table) = table.as_table_like_mut() else {
                return Err(format!("{} is no table", TABLES[0]));
            };
            table.insert(CRATE, Item::Value(dependency.into()));
        }
        (None, None) => return Ok(Manifest::Missing),
    }
    Ok(Manifest::New(document.to_string()))
}

/// Returns the manifest without a dependency or dev-dependency of the package, also for some targets only.
pub(super) fn without(text: &str, crate_name: &str) -> Result<String, String> {
    let mut document = parsed(text)?;
    remove(document.as_table_mut(), crate_name);
    if let Some(targets) = document.get_mut("target").and_then(Item::as_table_like_mut) {
        for (_, target) in targets.iter_mut() {
            if let Some(target) = target.as_table_like_mut() {
                remove(target, crate_name);
            }
        }
    }
    Ok(document.to_string())
}

/// Returns the manifest of a workspace without a dependency that its packages could inherit.
pub(super) fn without_in_workspace(text: &str, crate_name: &str) -> Result<String, String> {
    let mut document = parsed(text)?;
    if let Some(workspace) = document.get_mut("workspace").and_then(Item::as_table_like_mut) {
        remove(workspace, crate_name);
    }
    Ok(document.to_string())
}

fn parsed(text: &str) -> Result<DocumentMut, String> {
    text.parse()
        .map_err(|error: toml_edit::TomlError| error.to_string())
}

/// Removes the dependency from the tables.
fn remove(tables: &mut dyn TableLike, crate_name: &str) {
    for name in TABLES {
        let Some(table) = tables.get_mut(name).and_then(Item::as_table_like_mut) else {
            continue;
        };
        let key = table.iter().map(|(key, _)| key.to_owned());
        let key = key.into_iter().find(|key| key.replace('-', "_") == crate_name);
        if let Some(key) = key {
            table.remove(&key);
        }
    }
}

/// Adds the feature to a dependency. Returns whether it was missing.
fn add_feature(dependency: &mut Item) -> bool {
    if let Some(version) = dependency.as_str().map(str::to_owned) {
        let mut table = InlineTable::new();
        table.insert("version", version.into());
        *dependency = Item::Value(table.into());
    }
    if let Some(last) = dependency
        .as_inline_table_mut()
        .and_then(|table| table.iter_mut().last())
    {
        // Keeps the space before the closing brace.
        last.1.decor_mut().set_suffix("");
    }
    let Some(table) = dependency.as_table_like_mut() else {
        return false;
    };
    let mut features = table
        .get("features")
        .and_then(Item::as_array)
        .cloned()
        .unwrap_or_default();
    let is_there = features.iter().any(|feature| feature.as_str() == Some(FEATURE));
    if !is_there {
        features.push(FEATURE);
        table.insert("features", Item::Value(Value::Array(features)));
    }
    !is_there
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(text: &str, path: Option<&str>) -> String {
        match with_serial(text, path).unwrap() {
            Manifest::New(text) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_feature_is_added_to_a_dependency_of_any_form() {
        for (before, after) in [
            (
                "# mine\n[dev-dependencies] # here\ncofferdam = { path = \"../..\" }\nother = \"1\"\n",
                "# mine\n[dev-dependencies] # here\ncofferdam = { path = \"../..\", features = [\"macros\"] }\nother = \"1\"\n",
            ),
            (
                "[dependencies]\ncofferdam = \"0.1\" # why\n",
                "[dependencies]\ncofferdam = { version = \"0.1\", features = [\"macros\"] }\n",
            ),
            (
                "[dev-dependencies.cofferdam]\npath = \"x\"\nfeatures = [\"tokio\"]\n",
                "[dev-dependencies.cofferdam]\npath = \"x\"\nfeatures = [\"tokio\", \"macros\"]\n",
            ),
            (
                "[dev-dependencies]\ncofferdam.workspace = true\n",
                "[dev-dependencies]\ncofferdam.workspace = true\ncofferdam.features = [\"macros\"]\n",
            ),
        ] {
            assert_eq!(new(before, None), after);
            assert_eq!(new(after, None), "Fine");
        }
    }

    #[test]
    fn a_package_without_the_library_gets_it_only_from_a_given_checkout() {
        assert_eq!(new("[package]\nname = \"x\"\n", None), "Missing");
        assert_eq!(
            new("[package]\nname = \"x\"\n", Some("../cofferdam")),
            "[package]\nname = \"x\"\n\n[dev-dependencies]\ncofferdam = { path = \"../cofferdam\", features = [\"macros\"] }\n"
        );
    }

    #[test]
    fn an_invalid_manifest_is_an_error_with_a_line_number() {
        let error = with_serial("[package]\nname = \n", None).unwrap_err();
        assert!(error.contains("line 2"), "{error}");
    }
}
