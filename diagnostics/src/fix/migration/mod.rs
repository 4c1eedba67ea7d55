//! Rewrites a suite from another crate's way to keep tests apart to cofferdam's.
//!
//! `serial_test`, `temp_env` and `rusty_fork` translate the uses of one crate each; `fix::imports` finds the items that import from it.
//! Uses without an equivalent are left and reported.

mod rusty_fork;
mod serial_test;
mod temp_env;

use super::draft::{self, Change};
use super::manifest;
use super::proposal::MissingCrate;
use super::replacements::Replacements;
use super::source_file::SourceFile;
use super::test_sources::{Package, Sources};
use crate::cli::OtherCrate;
use serial_test::SerialFile;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A place that is left, or that a person has to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Remark {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    /// The source text from there to the end of the line.
    pub(crate) text: String,
    pub(crate) why: String,
}

impl Remark {
    fn new(path: &Path, file: &SourceFile<'_>, range: &Range<usize>, why: &str) -> Self {
        let text = file.text[range.start..].lines().next().unwrap_or_default();
        Self {
            file: path.to_owned(),
            line: file.line(range.start),
            text: text.trim().to_owned(),
            why: why.to_owned(),
        }
    }
}

/// The changes of one file.
#[derive(Debug, Default)]
struct FileMigration {
    replacements: Replacements,
    left: Vec<Remark>,
    to_check: Vec<Remark>,
    /// The number of rewritten attributes or tests.
    rewritten: usize,
}

/// The changes of a workspace.
#[derive(Debug, Default)]
pub(crate) struct Migration {
    pub(crate) changes: Vec<Change>,
    /// The number of rewritten attributes or tests.
    pub(crate) rewritten: usize,
    /// Places that keep the other crate.
    pub(crate) left: Vec<Remark>,
    /// Changed places whose meaning may differ.
    pub(crate) to_check: Vec<Remark>,
    /// Manifests that lack cofferdam.
    pub(crate) missing_crates: BTreeMap<PathBuf, MissingCrate>,
}

/// Translates the packages that depend on the crate. `library` is a checkout of cofferdam for packages that lack it.
pub(crate) fn migrate(
    sources: &Sources,
    from: OtherCrate,
    library: Option<&Path>,
) -> Result<Migration, String> {
    let crate_name = from.name().replace('-', "_");
    let packages: Vec<&Package> = sources
        .packages()
        .filter(|package| package.depends_on(&crate_name))
        .collect();
    let texts: BTreeMap<&Path, &str> = packages
        .iter()
        .flat_map(|package| sources.texts(package))
        .collect();
    let files = files(from, &texts);
    let mut migration = Migration::default();
    let mut written = BTreeSet::new();
    for package in &packages {
        // Packages may share a file.
        let paths = sources.texts(package).map(|(path, _)| path);
        let of_package: Vec<_> = paths.filter_map(|path| files.get_key_value(path)).collect();
        let is_rewritten = of_package.iter().any(|(_, file)| file.rewritten > 0);
        let is_left = of_package.iter().any(|(_, file)| !file.left.is_empty());
        if is_rewritten {
            written.extend(of_package.iter().map(|(path, _)| **path));
        }
        if is_rewritten || !is_left {
            migration.change_manifest(package, &crate_name, is_rewritten, is_left, library)?;
        }
    }
    for (path, file) in files {
        migration.rewritten += file.rewritten;
        migration.left.extend(file.left);
        migration.to_check.extend(file.to_check);
        if written.contains(path) {
            migration.changes.push(Change {
                path: path.to_owned(),
                old: Some(texts[path].to_owned()),
                new: file.replacements.apply(texts[path]),
            });
        }
    }
    if !packages.is_empty() && migration.left.is_empty() {
        migration.change_workspaces(sources, &crate_name)?;
    }
    migration
        .changes
        .retain(|change| change.old.as_ref() != Some(&change.new));
    migration.changes.sort_by(|one, other| one.path.cmp(&other.path));
    migration.left.sort();
    Ok(migration)
}

/// Translates the files. Those that are no Rust are left out.
fn files<'a>(from: OtherCrate, texts: &BTreeMap<&'a Path, &'a str>) -> BTreeMap<&'a Path, FileMigration> {
    let translate = match from {
        OtherCrate::TempEnv => temp_env::migrate,
        OtherCrate::RustyFork => rusty_fork::migrate,
        OtherCrate::SerialTest => {
            let read = texts
                .iter()
                .filter_map(|(path, text)| SerialFile::read(path, text));
            let mut read: Vec<SerialFile<'_>> = read.collect();
            let migrated = serial_test::migrate(&mut read);
            return read.iter().map(|file| file.path).zip(migrated).collect();
        }
    };
    let all = texts.iter();
    all.filter_map(|(path, text)| Some((*path, translate(path, text)?)))
        .collect()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("could not read {}: {error}", path.display()))
}

impl Migration {
    /// Adds cofferdam to a manifest if a use was rewritten, and removes the other crate if nothing is left.
    fn change_manifest(
        &mut self,
        package: &Package,
        crate_name: &str,
        is_rewritten: bool,
        is_left: bool,
        library: Option<&Path>,
    ) -> Result<(), String> {
        let path = &package.manifest;
        let old = read(path)?;
        let mut new = match is_left {
            true => old.clone(),
            false => manifest::without(&old, crate_name)
                .map_err(|error| format!("could not understand {}: {error}", path.display()))?,
        };
        if is_rewritten {
            let texts = BTreeMap::from([(path.clone(), new.clone())]);
            let (changes, missing) = draft::manifests(&texts, library)?;
            new = changes.into_iter().next().map_or(new, |change| change.new);
            let missing = missing.into_iter().map(|path| (path, MissingCrate::ForMigration));
            self.missing_crates.extend(missing);
        }
        self.changes.push(Change {
            path: path.clone(),
            old: Some(old),
            new,
        });
        Ok(())
    }

    /// Removes the crate from the dependencies that packages of the workspaces can inherit.
    fn change_workspaces(&mut self, sources: &Sources, crate_name: &str) -> Result<(), String> {
        for root in sources.roots() {
            let path = root.join("Cargo.toml");
            let known = self.changes.iter_mut().find(|change| change.path == path);
            let invalid = |error: String| format!("could not understand {}: {error}", path.display());
            match known {
                Some(change) => {
                    change.new = manifest::without_in_workspace(&change.new, crate_name).map_err(invalid)?;
                }
                None => {
                    let old = read(&path)?;
                    self.changes.push(Change {
                        new: manifest::without_in_workspace(&old, crate_name).map_err(invalid)?,
                        path,
                        old: Some(old),
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the files after the migration, and the remarks on what is left in them: `line: reason`.
    fn migrated(from: OtherCrate, texts: &[&str]) -> (Vec<String>, Vec<String>) {
        let paths: Vec<PathBuf> = (0..texts.len())
            .map(|number| PathBuf::from(format!("{number}.rs")))
            .collect();
        let texts = paths.iter().map(PathBuf::as_path).zip(texts.iter().copied());
        let texts: BTreeMap<&Path, &str> = texts.collect();
        let files = files(from, &texts);
        assert_eq!(files.len(), texts.len());
        let left = files.values().flat_map(|file| &file.left);
        let left = left.map(|one| format!("{}: {}", one.line, one.why)).collect();
        let files = files.into_iter();
        let files = files.map(|(path, file)| file.replacements.apply(texts[path]));
        (files.collect(), left)
    }

    /// Compares a file after the migration, of which nothing is left.
    #[track_caller]
    fn becomes(from: OtherCrate, text: &str, new: &str) {
        let (found, left) = migrated(from, &[text]);
        assert_eq!((found[0].as_str(), left), (new, Vec::new()), "{text}");
    }

    #[test]
    fn attributes_of_serial_test_become_ours_with_their_keys_and_formatting() {
        for (text, new) in [
            (
                "use serial_test::serial;\n// why\n#[test]\n#[serial( db )] // odd\nfn a() {}\n",
                "use cofferdam::serial;\n// why\n#[test]\n#[serial( db )] // odd\nfn a() {}\n",
            ),
            (
                "use serial_test::{file_parallel, file_serial, serial};\n#[file_serial(a)] fn a() {}\n#[file_parallel] fn b() {}\n#[serial] fn c() {}\n",
                "use cofferdam::{parallel, serial};\n#[serial(a)] fn a() {}\n#[parallel] fn b() {}\n#[serial] fn c() {}\n",
            ),
            (
                "use serial_test::file_serial as alone;\n#[alone(a, \"b-c\")] fn a() {}\n",
                "use cofferdam::serial as alone;\n#[alone(a, \"b-c\")] fn a() {}\n",
            ),
            (
                "mod t { use serial_test::*; #[test] #[parallel] fn a() {} }",
                "mod t { use cofferdam::parallel; #[test] #[parallel] fn a() {} }",
            ),
            (
                "use {std::fs, serial_test::serial};\n#[::serial_test::file_serial] fn a() {}\n",
                "use {std::fs, cofferdam::serial};\n#[::cofferdam::serial] fn a() {}\n",
            ),
            // Names that come from another file.
            (
                "use super::*;\n#[file_serial] fn a() {}\n",
                "use super::*;\n#[serial] fn a() {}\n",
            ),
            (
                "#[macro_use]\nextern crate serial_test;\n#[serial(x)] fn a() {}\n",
                "#[cofferdam::serial(x)] fn a() {}\n",
            ),
            // Tests of macros, and conditional attributes.
            (
                "macro_rules! t { ($k:ident) => { #[test] #[serial_test::serial($k)] fn a() {} } }",
                "macro_rules! t { ($k:ident) => { #[test] #[cofferdam::serial($k)] fn a() {} } }",
            ),
            (
                "#[cfg_attr(unix, ignore, serial_test::serial(db))] fn a() {}",
                "#[cfg_attr(unix, ignore, cofferdam::serial(db))] fn a() {}",
            ),
            // Ours has to be below `#[rstest]`.
            (
                "mod t {\n    #[serial_test::serial(db)]\n    #[rstest]\n    #[case(1)]\n    fn a() {}\n}\n",
                "mod t {\n    #[rstest]\n    #[case(1)]\n    #[cofferdam::serial(db)]\n    fn a() {}\n}\n",
            ),
            (
                "use serial_test::serial;\n#[serial(db)]\nmod t { #[test] fn a() {} #[tokio::test] async fn b() {} }\n",
                "use cofferdam::serial;\n#[serial(db)]\nmod t { #[test] fn a() {} #[tokio::test] async fn b() {} }\n",
            ),
            (
                "macro_rules! m { (use $p:path) => { use $p; }; (fn) => {} }\n#[serial_test::serial] fn a() {}",
                "macro_rules! m { (use $p:path) => { use $p; }; (fn) => {} }\n#[cofferdam::serial] fn a() {}",
            ),
            (
                "use other::serial;\n#[serial] fn a() {}\n",
                "use other::serial;\n#[serial] fn a() {}\n",
            ),
        ] {
            becomes(OtherCrate::SerialTest, text, new);
        }
    }

    #[test]
    fn a_key_of_serial_test_stays_in_all_files_if_it_has_to_in_one() {
        let first =
            "use serial_test::serial;\n#[serial(db, inner_attrs = [x])] fn a() {}\n#[serial(b)] fn b() {}\n";
        let second = "use serial_test::*;\n#[serial(db, c)] fn c() {}\n#[parallel(c)] fn d() {}\n#[file_serial(db)] fn e() {}\n";
        let (found, left) = migrated(OtherCrate::SerialTest, &[first, second]);
        assert_eq!(
            found,
            [
                "use cofferdam::serial;\n#[serial_test::serial(db, inner_attrs = [x])] fn a() {}\n#[serial(b)] fn b() {}\n",
                "use cofferdam::serial;\n#[serial_test::serial(db, c)] fn c() {}\n#[serial_test::parallel(c)] fn d() {}\n#[serial(db)] fn e() {}\n",
            ]
        );
        assert_eq!(
            left,
            [
                "2: it has inner_attrs: write those attributes below #[serial], on the function",
                "2: another attribute with its key is left",
                "3: another attribute with its key is left",
            ]
        );
    }

    #[test]
    fn what_means_something_else_here_is_left_with_serial_test() {
        for (text, line) in [
            (
                "#[serial_test::file_serial(a, path => \"/x\")] fn a() {}",
                "1: it has a path",
            ),
            ("#[serial_test::serial(r\"a\")] fn a() {}", "1: its key is no"),
            ("#[serial_test::serial(crate = x)] fn a() {}", "1: its arguments"),
            (
                "\n#[serial_test::serial] mod t;",
                "2: the module's body is in another file",
            ),
            (
                "#[serial_test::serial] mod t { #[test_case(1)] fn a() {} }",
                "1: a test of the module is made by",
            ),
            (
                "#[serial_test::serial(a)] mod t { #[test] #[serial_test::serial(b)] fn a() {} }",
                "1: a test of the module has an attribute",
            ),
            (
                "fn a() { serial_test::is_locked_serially(None); }",
                "1: no attribute of serial_test",
            ),
            ("use serial_test as _;", "1: no attribute of serial_test"),
            (
                "/// use serial_test::serial;\nfn a() {}",
                "1: no attribute of serial_test",
            ),
            (
                "use serial_test::is_locked_serially;",
                "1: no attribute of serial_test",
            ),
        ] {
            let (found, left) = migrated(OtherCrate::SerialTest, &[text]);
            assert!(left.len() == 1 && left[0].starts_with(line), "{text}: {left:?}");
            assert!(found[0].contains("serial_test"), "{}", found[0]);
        }
    }

    #[test]
    fn a_test_in_a_call_of_temp_env_becomes_isolated() {
        for (text, new) in [
            (
                "mod t {\n    #[test]\n    fn a() {\n        temp_env::with_var(\"A\", Some(\"x\"), || {\n            one();\n\n            two()\n        });\n    }\n}\n",
                "mod t {\n    #[test]\n    #[cofferdam::isolated(env(A = \"x\"))]\n    fn a() {\n        one();\n\n        two();\n    }\n}\n",
            ),
            (
                "use temp_env::{with_vars, with_var_unset};\n#[test]\nfn a() -> R {\n    // why\n    with_vars(\n        vec![(\"A.B\", Some(path())), (\"C\", None)],\n        || {\n            // more\n            f(\"\n  x\")?;\n            Ok(())\n        },\n    )\n}\n#[test]\nfn b() { with_var_unset(\"D\", || g()); }\n",
                "use cofferdam::isolated;\n#[test]\n#[isolated(env(\"A.B\" = path()), env_remove(C))]\nfn a() -> R {\n    // why\n    // more\n    f(\"\n  x\")?;\n    Ok(())\n}\n#[test]\n#[isolated(env_remove(D))]\nfn b() { g(); }\n",
            ),
            (
                "#[tokio::test]\nasync fn a() {\n    temp_env::async_with_vars([(\"A\", Some(\"x\"))], async { f().await; }).await;\n}\n",
                "#[tokio::test]\n#[cofferdam::isolated(env(A = \"x\"))]\nasync fn a() {\n    f().await;\n}\n",
            ),
            // Items may stand before the call.
            (
                "#[test]\nfn a() {\n    struct S;\n    temp_env::with_vars_unset([\"A\", \"B\"], || if x { S; })\n}\n",
                "#[test]\n#[cofferdam::isolated(env_remove(A, B))]\nfn a() {\n    struct S;\n    if x { S; }\n}\n",
            ),
        ] {
            becomes(OtherCrate::TempEnv, text, new);
        }
    }

    #[test]
    fn a_call_of_temp_env_that_is_not_the_test_is_left() {
        for body in [
            "let x = 1; temp_env::with_var(\"A\", Some(\"x\"), || f(x));",
            "temp_env::with_var(\"A\", Some(\"x\"), f);",
            "temp_env::with_var(NAME, Some(\"x\"), || f());",
            "temp_env::with_var(\"A\", value, || f());",
            "temp_env::with_var(\"A\", Some(\"x\".into()), || f());",
            "const X: &str = \"\"; temp_env::with_var(\"A\", Some(X), || f());",
            "temp_env::with_var(\"A\", Some(\"x\"), || f()).unwrap();",
            "temp_env::with_var(\"A\", Some(\"x\"), || { f()?; Ok::<_, E>(()) });",
            "temp_env::with_var(\"A\", Some(\"x\"), /* why */ || f());",
        ] {
            let text = format!(
                "use temp_env::with_var;\n#[test] fn a() {{ {body} }}\nfn b() {{ with_var(\"A\", None, f) }}\n"
            );
            let (found, left) = migrated(OtherCrate::TempEnv, &[&text]);
            assert_eq!((found[0].as_str(), left.len()), (text.as_str(), 2), "{left:?}");
            assert!(
                left[0].starts_with("2: ") && left[1].starts_with("3: "),
                "{left:?}"
            );
        }
        // The import of what is left stays.
        let text = "use temp_env::{with_var, with_vars};\n#[test]\nfn a() { with_vars([(\"A\", None)], || f()) }\nfn b() { with_var(\"A\", None, f) }\n";
        let (found, _) = migrated(OtherCrate::TempEnv, &[text]);
        assert_eq!(
            found[0],
            "use {temp_env::with_var, cofferdam::isolated};\n#[test]\n#[isolated(env_remove(A))]\nfn a() { f() }\nfn b() { with_var(\"A\", None, f) }\n"
        );
    }

    #[test]
    fn a_new_attribute_ends_with_the_line_break_of_its_file() {
        let body = "\r\nfn a() {\r\n    f();\r\n}\r\n";
        for (from, text, new) in [
            (
                OtherCrate::SerialTest,
                format!("#[serial_test::serial]\r\n#[rstest]{body}"),
                format!("#[rstest]\r\n#[cofferdam::serial]{body}"),
            ),
            (
                OtherCrate::TempEnv,
                "#[test]\r\nfn a() {\r\n    temp_env::with_var(\"A\", Some(\"x\"), || f());\r\n}\r\n"
                    .to_owned(),
                format!("#[test]\r\n#[cofferdam::isolated(env(A = \"x\"))]{body}"),
            ),
            (
                OtherCrate::RustyFork,
                format!("rusty_fork::rusty_fork_test! {{\r\n#[test]{body}}}\r\n"),
                format!("#[test]\r\n#[cofferdam::isolated]{body}"),
            ),
        ] {
            becomes(from, &text, &new);
        }
    }

    #[test]
    fn tests_of_rusty_fork_become_isolated() {
        for (text, new) in [
            (
                "mod t {\n    use rusty_fork::rusty_fork_test;\n\n    rusty_fork_test! {\n        #![rusty_fork(timeout_ms = 1_500)]\n        // why\n        #[test]\n        fn a() {\n            f(\"\n x\");\n        }\n\n        /// More.\n        #[test] #[ignore]\n        fn b() {}\n    }\n}\n",
                "mod t {\n    use cofferdam::isolated;\n\n    // why\n    #[test]\n    #[isolated(timeout = \"1500ms\")]\n    fn a() {\n        f(\"\n x\");\n    }\n\n    /// More.\n    #[test] #[ignore]\n    #[isolated(timeout = \"1500ms\")]\n    fn b() {}\n}\n",
            ),
            (
                "#[macro_use] extern crate rusty_fork;\nrusty_fork_test! {\n#[test]\nfn a() {}\n}\n",
                "#[test]\n#[cofferdam::isolated]\nfn a() {}\n",
            ),
            (
                "rusty_fork::rusty_fork_test! {\n    #![rusty_fork(timeout_ms = 2000)]\n    #[test]\n    fn a() {}\n}\n",
                "#[test]\n#[cofferdam::isolated(timeout = \"2s\")]\nfn a() {}\n",
            ),
        ] {
            becomes(OtherCrate::RustyFork, text, new);
        }
        for (text, why) in [
            (
                "rusty_fork::rusty_fork_test! { #![rusty_fork(timeout_ms = T)] #[test] fn a() {} }",
                "1: its timeout is no number",
            ),
            (
                "rusty_fork::rusty_fork_test! { fn a() {} }",
                "1: one of its functions has no #[test]",
            ),
            (
                "rusty_fork::rusty_fork_test! { struct S; }",
                "1: its content is not only functions",
            ),
            ("fn a() { rusty_fork::fork(); }", "1: no test of rusty_fork_test!"),
        ] {
            let (found, left) = migrated(OtherCrate::RustyFork, &[text]);
            assert_eq!(
                (found[0].as_str(), left.first().map(String::as_str)),
                (text, Some(why))
            );
        }
        let text = "rusty_fork::rusty_fork_test! {\n    #[test]\n    #[should_panic]\n    fn a() {}\n}\n";
        let file = rusty_fork::migrate(Path::new("a.rs"), text).unwrap();
        assert_eq!(file.to_check.len(), 1);
    }

    /// A word or sign of the code that is migrated, or a group of them.
    fn code() -> impl Strategy<Value = String> {
        let words = "use serial_test serial file_serial as * :: ; # ! mod fn a test rstest cfg_attr , $ pub extern crate = > \"A\" temp_env \
                     with_var Some None || rusty_fork rusty_fork_test timeout_ms 5 static LazyLock";
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let word = proptest::sample::select(words);
        word.prop_recursive(4, 60, 8, |inner| {
            let group = proptest::sample::select(vec![["(", ")"], ["[", "]"], ["{", "}"]]);
            (group, proptest::collection::vec(inner, 0..8))
                .prop_map(|([open, close], parts)| format!("{open}{}{close}", parts.join(" ")))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_tokens_can_be_read_and_stay_tokens(parts in proptest::collection::vec(code(), 0..20)) {
            let text = parts.join(" ");
            for from in [OtherCrate::SerialTest, OtherCrate::TempEnv, OtherCrate::RustyFork] {
                let texts = BTreeMap::from([(Path::new("a.rs"), text.as_str())]);
                for file in files(from, &texts).into_values() {
                    let new = file.replacements.apply(&text);
                    prop_assert!(SourceFile::new(&new).is_some(), "{text} became {new}");
                }
            }
        }
    }
}
