//! Conversion of planned keys to new file contents.

use super::attributes::Family;
use super::edit::{Edits, Target};
use super::key_plan::KeysToAdd;
use super::manifest::{self, Manifest};
use super::own_statics::OwnStatic;
use super::program::{Function, Program};
use similar::TextDiff;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A file and its new content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) path: PathBuf,
    /// `None` for a new file.
    pub(crate) old: Option<String>,
    pub(crate) new: String,
}

impl Change {
    /// Returns a unified diff for `patch` and `git apply`, with paths relative to `root`.
    pub(crate) fn diff(&self, root: &Path) -> String {
        let shown = self
            .path
            .strip_prefix(root)
            .unwrap_or(&self.path)
            .display()
            .to_string();
        let shown = shown.trim_start_matches('/');
        let before = if self.old.is_some() {
            format!("a/{shown}")
        } else {
            "/dev/null".to_owned()
        };
        let old = self.old.as_deref().unwrap_or_default();
        let diff = TextDiff::from_lines(old, &self.new);
        diff.unified_diff()
            .header(&before, &format!("b/{shown}"))
            .to_string()
    }
}

/// The new attributes of test functions, and declarations of statics.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    /// Keyed by file and offset, since a file may be part of several programs.
    keys: BTreeMap<(&'a Path, usize), FunctionKeys<'a>>,
    statics: Vec<&'a OwnStatic>,
}

/// The keys to add to one function.
#[derive(Debug)]
struct FunctionKeys<'a> {
    program: &'a Program,
    function: &'a Function,
    keys: KeysToAdd,
    family: Family,
}

impl<'a> Draft<'a> {
    /// Adds keys to a test.
    pub(crate) fn add_keys(
        &mut self,
        program: &'a Program,
        function: &'a Function,
        keys: &KeysToAdd,
        family: Family,
    ) {
        let one = self
            .keys
            .entry((&function.file, function.at))
            .or_insert(FunctionKeys {
                program,
                function,
                keys: KeysToAdd::default(),
                family,
            });
        one.keys.exclusive.extend(keys.exclusive.iter().cloned());
        one.keys.shared.extend(keys.shared.iter().cloned());
        one.keys.shared.retain(|key| !one.keys.exclusive.contains(key));
    }

    /// Adds the new declaration of a static.
    pub(crate) fn add_static(&mut self, own: &'a OwnStatic) {
        self.statics.push(own);
    }

    /// Returns the number of functions that change.
    pub(crate) fn functions(&self) -> usize {
        self.keys.len()
    }

    /// Returns the changed files.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut files: BTreeMap<&Path, (&str, Edits)> = BTreeMap::new();
        for ((path, _), one) in &self.keys {
            let Some(text) = one.program.texts.get(*path) else {
                continue;
            };
            let (_, edits) = files.entry(path).or_insert_with(|| (text, Edits::default()));
            let target = Target {
                function: one.function,
                module: &one.program.modules[one.function.module],
                family: one.family,
                text,
            };
            edits.add_keys(&target, &one.keys);
        }
        for own in &self.statics {
            let (_, edits) = files
                .entry(&own.path)
                .or_insert_with(|| (&own.text, Edits::default()));
            edits.declare(&own.declaration);
        }
        let change = |(path, (text, edits)): (&Path, (&str, Edits))| Change {
            path: path.to_owned(),
            old: Some(text.to_owned()),
            new: edits.apply(text),
        };
        files.into_iter().map(change).collect()
    }
}

/// Returns the changed manifests with the feature that the attributes need, and the manifests that lack the library.
/// `library` is a checkout to add it from.
pub(crate) fn manifests(
    texts: &BTreeMap<PathBuf, String>,
    library: Option<&Path>,
) -> Result<(Vec<Change>, BTreeSet<PathBuf>), String> {
    let mut changes = Vec::new();
    let mut missing = BTreeSet::new();
    for (path, text) in texts {
        let from = path.parent().unwrap_or(Path::new(""));
        let library = library.map(|library| relative_path(from, library));
        let manifest = manifest::with_serial(text, library.as_deref());
        match manifest.map_err(|error| format!("could not understand {}: {error}", path.display()))? {
            Manifest::Fine => {}
            Manifest::Missing => _ = missing.insert(path.clone()),
            Manifest::New(new) => changes.push(Change {
                path: path.clone(),
                old: Some(text.clone()),
                new,
            }),
        }
    }
    Ok((changes, missing))
}

/// Returns the path from one directory to another, as written in a manifest.
fn relative_path(from: &Path, to: &Path) -> String {
    let common = from
        .components()
        .zip(to.components())
        .take_while(|(one, other)| one == other)
        .count();
    // Paths on different drives have no common prefix.
    if common == 0 {
        return to.display().to_string();
    }
    let back = from.components().skip(common).map(|_| "..".to_owned());
    let forth = to
        .components()
        .skip(common)
        .map(|part| part.as_os_str().to_string_lossy().into_owned());
    let parts: Vec<String> = back.chain(forth).collect();
    if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;
    use super::*;

    /// Returns the file with keys added to its tests: `+` exclusive, `-` shared.
    fn drafted(text: &str, additions: &[(&str, &str)], family: Family) -> String {
        let program = scan(Path::new("lib.rs"), None, &|path| match path.to_str() {
            Some("lib.rs") => Ok(text.to_owned()),
            _ => Ok(String::new()),
        });
        assert_eq!(program.problems, [""; 0]);
        let mut draft = Draft::default();
        for (test, keys) in additions {
            let mut additions = KeysToAdd::default();
            for key in keys.split(' ') {
                let (sign, key) = key.split_at(1);
                if sign == "+" {
                    &mut additions.exclusive
                } else {
                    &mut additions.shared
                }
                .insert(key.to_owned());
            }
            for function in program.find(test) {
                draft.add_keys(&program, function, &additions, family);
            }
        }
        draft.changes().remove(0).new
    }

    fn with_cofferdam(text: &str, additions: &[(&str, &str)]) -> String {
        drafted(text, additions, Family::Cofferdam)
    }

    #[test]
    fn an_attribute_goes_last_and_other_text_stays_unchanged() {
        let text = "//! Doc.\n\nuse std::fs;\nuse super::x;\n\n/// Why.\n#[test]\n// odd\n  fn   a( ) { }\n\nmod t {\n    #[test]\n    fn b() {}\n}\n";
        assert_eq!(
            with_cofferdam(text, &[("a", "+x"), ("t::b", "-x +y")]),
            "//! Doc.\n\nuse cofferdam::serial;\nuse std::fs;\nuse super::x;\n\n/// Why.\n#[test]\n// odd\n  #[serial(x)]\n  \
             fn   a( ) { }\n\nmod t {\n    use cofferdam::{parallel, serial};\n\n    #[test]\n    #[serial(y)]\n    \
             #[parallel(x)]\n    fn b() {}\n}\n"
        );
    }

    #[test]
    fn single_line_tests_and_windows_line_ends_stay_unchanged() {
        assert_eq!(
            with_cofferdam(
                "use super::*;\r\n\r\n#[test] fn a() {}\r\n#[test]\r\nfn b() {}\r\n",
                &[("a", "+x"), ("b", "+x")]
            ),
            "use super::*;\r\nuse cofferdam::serial;\r\n\r\n#[test] #[serial(x)] fn a() {}\r\n#[test]\r\n#[serial(x)]\r\nfn b() {}\r\n"
        );
    }

    #[test]
    fn a_name_of_another_item_is_qualified() {
        let text = "use serial_test::serial;\n#[test]\n#[serial]\nfn a() {}\n";
        assert_eq!(
            with_cofferdam(text, &[("a", "+x")]),
            text.replace("fn a", "#[cofferdam::serial(x)]\nfn a")
        );
        let there = "use cofferdam::serial;\n#[test]\n#[serial(y)]\nfn a() {}\n";
        assert_eq!(
            with_cofferdam(there, &[("a", "+x")]),
            there.replace("fn a", "#[serial(x)]\nfn a")
        );
    }

    #[test]
    fn keys_of_serial_test_go_into_one_attribute() {
        let family = Family::SerialTest;
        let text = "use serial_test::serial;\n#[test]\n#[serial(db)]\nfn a() {}\n#[test]\nfn b() {}\n";
        assert_eq!(
            drafted(text, &[("a", "+x"), ("b", "+x -y")], family),
            "use serial_test::serial;\n#[test]\n#[serial(db, x)]\nfn a() {}\n#[test]\n#[serial(x, y)]\nfn b() {}\n"
        );
        // The key of attributes without one.
        let text = "use serial_test::serial;\n#[test]\nfn a() {}\n";
        assert_eq!(
            drafted(text, &[("a", "+")], family),
            text.replace("fn a", "#[serial]\nfn a")
        );
    }

    #[test]
    fn a_module_without_imports_gets_one_after_its_module_declarations() {
        assert_eq!(
            with_cofferdam("//! Doc.\n\nmod x;\n\n#[test]\nfn a() {}\n", &[("a", "+k")]),
            "//! Doc.\n\nmod x;\n\nuse cofferdam::serial;\n\n#[test]\n#[serial(k)]\nfn a() {}\n"
        );
        let with_use = "mod x;\n\nuse x::y;\n\n#[test]\nfn a() {}\n";
        assert_eq!(
            with_cofferdam(with_use, &[("a", "+k")]),
            "mod x;\n\nuse cofferdam::serial;\nuse x::y;\n\n#[test]\n#[serial(k)]\nfn a() {}\n"
        );
    }

    #[test]
    fn an_inherited_key_is_repeated_on_a_test_with_its_own_attribute() {
        let text = "use cofferdam::serial;\n#[serial(db)]\nmod t {\n    #[test]\n    fn a() {}\n    mod u {\n        #[cofferdam::parallel(c)]\n        \
                    #[test]\n        fn b() {}\n        #[test]\n        fn c() {}\n    }\n}\n";
        assert_eq!(
            with_cofferdam(text, &[("t::a", "-x"), ("t::u::b", "+x"), ("t::u::c", "+x")]),
            text.replace(
                "mod t {\n    #[test]\n    fn a",
                "mod t {\n    use cofferdam::{parallel, serial};\n\n    #[test]\n    #[serial(db)]\n    #[parallel(x)]\n    fn a"
            )
            .replace("mod u {\n", "mod u {\n        use cofferdam::serial;\n\n")
            .replace("        fn b", "        #[serial(x)]\n        fn b")
            .replace("        fn c", "        #[serial(db, x)]\n        fn c")
        );
        let shared =
            "use cofferdam::*;\n#[parallel]\nmod t {\n    use cofferdam::*;\n    #[test]\n    fn a() {}\n}\n";
        assert_eq!(
            with_cofferdam(shared, &[("t::a", "+x")]),
            shared.replace("    fn a", "    #[parallel]\n    #[serial(x)]\n    fn a")
        );
    }

    #[test]
    fn parallel_of_serial_test_becomes_serial_for_an_exclusive_key() {
        let family = Family::SerialTest;
        let text =
            "use serial_test::*;\n#[test]\n#[parallel(db,)]\nfn a() {}\n#[test]\n#[serial(db)]\nfn b() {}\n";
        assert_eq!(
            drafted(text, &[("a", "+x"), ("b", "-x")], family),
            text.replace("parallel(db,)", "serial(db, x,)")
                .replace("serial(db)", "serial(db, x)")
        );
        let named = "use serial_test::parallel as p;\n#[test]\n#[p(\n    db\n)]\nfn a() {}\n";
        assert_eq!(
            drafted(named, &[("a", "+x -y")], family),
            "use serial_test::serial;\nuse serial_test::parallel as p;\n#[test]\n#[serial(\n    db, x, y\n)]\nfn a() {}\n"
        );
    }

    #[test]
    fn named_keys_of_serial_test_are_locked_before_the_default_key() {
        let family = Family::SerialTest;
        let text = "use serial_test::*;\n#[test]\n#[serial]\nfn a() {}\n#[test]\n#[serial(x)]\nfn b() {}\n#[test]\nfn c() {}\n";
        assert_eq!(
            drafted(text, &[("a", "+x"), ("b", "-"), ("c", "+x -")], family),
            "use serial_test::*;\n#[test]\n#[serial]\n#[serial(x)]\nfn a() {}\n#[test]\n#[parallel]\n#[serial(x)]\nfn b() {}\n\
             #[test]\n#[parallel]\n#[serial(x)]\nfn c() {}\n"
        );
    }

    #[test]
    fn a_key_that_is_no_identifier_is_quoted() {
        let text = "use cofferdam::serial;\n#[test]\nfn a() {}\n";
        assert_eq!(
            with_cofferdam(text, &[("a", "+order-db +type +x")]),
            text.replace("fn a", "#[serial(\"order-db\", type, x)]\nfn a")
        );
    }

    #[test]
    fn a_single_line_module_gets_its_import_inside() {
        assert_eq!(
            with_cofferdam("mod t { use super::*; #[test] fn a() {} }\n", &[("t::a", "+x")]),
            "mod t { use super::*; use cofferdam::serial; #[test] #[serial(x)] fn a() {} }\n"
        );
        assert_eq!(
            with_cofferdam("mod t { #[test] fn a() {} }\n", &[("t::a", "+x")]),
            "mod t { use cofferdam::serial; #[test] #[serial(x)] fn a() {} }\n"
        );
    }

    #[test]
    fn a_new_import_is_not_swallowed_by_a_comment_after_the_last_one() {
        let text = "use super::*; /* odd\nas it is */\n#[test]\nfn a() {}\n";
        assert_eq!(
            with_cofferdam(text, &[("a", "+x")]),
            "use super::*; use cofferdam::serial; /* odd\nas it is */\n#[test]\n#[serial(x)]\nfn a() {}\n"
        );
        let line = "use super::*; // odd\n#[test]\nfn a() {}\n";
        assert_eq!(
            with_cofferdam(line, &[("a", "+x")]),
            "use super::*; // odd\nuse cofferdam::serial;\n#[test]\n#[serial(x)]\nfn a() {}\n"
        );
    }

    #[test]
    fn a_change_is_shown_as_a_unified_diff() {
        let change = |old: Option<&str>| Change {
            path: PathBuf::from("/w/src/lib.rs"),
            old: old.map(str::to_owned),
            new: "a\nb\n".to_owned(),
        };
        let root = Path::new("/w");
        assert_eq!(
            change(Some("a\n")).diff(root),
            "--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1 +1,2 @@\n a\n+b\n"
        );
        assert_eq!(
            change(None).diff(root),
            "--- /dev/null\n+++ b/src/lib.rs\n@@ -0,0 +1,2 @@\n+a\n+b\n"
        );
    }

    #[test]
    fn a_checkout_path_is_relative_to_the_package() {
        for (from, to, found) in [
            ("/w/shop", "/w/cofferdam", "../cofferdam"),
            ("/w/a/b", "/w", "../.."),
            ("/w", "/w/x/y", "x/y"),
            ("/w", "/w", "."),
        ] {
            assert_eq!(relative_path(Path::new(from), Path::new(to)), found);
        }
    }
}
