//! Changes of attributes in source files, and the imports that nothing needs afterwards.

use super::super::attributes::{ATTRIBUTE_NAMES, Annotation, spelled};
use super::super::draft::Change;
use super::super::imports::{ImportedName, Imports};
use super::super::replacements::Replacements;
use super::super::source_file::{SourceFile, inner, is_group};
use super::super::test_sources::{Package, Sources};
use proc_macro2::{Delimiter, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The crates whose attributes keep tests apart.
const CRATES: [&str; 2] = ["cofferdam", "serial_test"];

/// An attribute that loses some of its keys, or gets others.
#[derive(Clone, Debug)]
pub(super) struct AttributeEdit {
    pub(super) annotation: Annotation,
    /// The keys that it takes afterwards; empty if the attribute is removed.
    pub(super) keys: Vec<String>,
}

/// The changed files, and the crates that packages do not use any more, by manifest.
#[derive(Debug, Default)]
pub(super) struct Edited {
    pub(super) changes: Vec<Change>,
    pub(super) unused_crates: BTreeSet<(PathBuf, &'static str)>,
}

/// Applies the edits to the files of these sources.
pub(super) fn apply(edits: &BTreeMap<PathBuf, Vec<AttributeEdit>>, sources: &Sources) -> Edited {
    let mut edited = Edited::default();
    let mut done: BTreeMap<&Path, (&str, String)> = BTreeMap::new();
    for package in sources.packages() {
        let texts: BTreeMap<&Path, &str> = sources.texts(package).collect();
        let mut new: BTreeMap<&Path, String> = BTreeMap::new();
        for (path, text) in &texts {
            if let Some(edits) = edits.get(*path) {
                new.insert(path, with_edits(text, edits));
            }
        }
        if new.is_empty() {
            continue;
        }
        let text_of = |new: &BTreeMap<&Path, String>, path: &Path| {
            let changed = new.get(path).cloned();
            changed.unwrap_or_else(|| texts.get(path).copied().unwrap_or_default().to_owned())
        };
        for crate_name in CRATES {
            // A child module in another file may import the names from its parent.
            let inherits = texts
                .keys()
                .any(|path| inherits_names(&text_of(&new, path), crate_name));
            if !inherits {
                for text in new.values_mut() {
                    *text = without_unused_imports(text, crate_name);
                }
            }
        }
        edited.unused_crates.extend(unused_crate(package, &texts, &new));
        for (path, text) in new {
            done.entry(path).or_insert_with(|| (texts[path], text));
        }
    }
    let changes = done.into_iter().map(|(path, (old, new))| Change {
        path: path.to_owned(),
        old: Some(old.to_owned()),
        new,
    });
    edited.changes = changes.collect();
    edited
}

/// Returns the package's manifest and `serial_test` if the package depends on that crate and no longer mentions it.
fn unused_crate(
    package: &Package,
    old: &BTreeMap<&Path, &str>,
    new: &BTreeMap<&Path, String>,
) -> Option<(PathBuf, &'static str)> {
    let name = "serial_test";
    let mentions = |text: &str| SourceFile::new(text).is_none_or(|file| has_word(&file.tokens, name));
    let is_used = old
        .iter()
        .any(|(path, text)| mentions(new.get(path).map_or(text, String::as_str)));
    (package.depends_on(name) && !is_used).then(|| (package.manifest.clone(), name))
}

fn with_edits(text: &str, edits: &[AttributeEdit]) -> String {
    let mut replacements = Replacements::default();
    for AttributeEdit { annotation, keys } in edits {
        let whole = annotation.at..annotation.at + annotation.text.len();
        if keys.is_empty() {
            replacements.add(with_space_around(text, whole), "");
        } else {
            let keys: Vec<String> = keys.iter().map(|key| spelled(key)).collect();
            replacements.add(annotation.name.end..whole.end, format!("({})]", keys.join(", ")));
        }
    }
    replacements.apply(text)
}

/// Extends the range to its line if nothing else is on it, or else to the spaces behind it.
fn with_space_around(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text[..range.start].rfind('\n').map_or(0, |end| end + 1);
    let rest = &text[range.end..];
    let line = rest.split_inclusive('\n').next().unwrap_or_default();
    if text[start..range.start].trim().is_empty() && line.trim().is_empty() {
        start..range.end + line.len()
    } else {
        range.start..range.end + (rest.len() - rest.trim_start_matches([' ', '\t']).len())
    }
}

/// Returns whether the file has an attribute of the crate under a name that it does not import itself.
fn inherits_names(text: &str, crate_name: &str) -> bool {
    let Some(file) = SourceFile::new(text) else {
        return true;
    };
    let imports = Imports::read(&file, crate_name);
    let is_own =
        |name: &str| imports.has_all() || imports.named(name).is_some() || imports.foreign.contains(name);
    let mut names = ATTRIBUTE_NAMES.into_iter();
    names.any(|name| !is_own(name) && has_attribute(&file.tokens, name))
}

/// Returns whether an attribute has this name, without a path.
fn has_attribute(tokens: &[TokenTree], name: &str) -> bool {
    tokens.iter().any(|token| {
        let inside = inner(token);
        let is_it = is_group(token, Delimiter::Bracket)
            && matches!(inside.first(), Some(TokenTree::Ident(first)) if first == name)
            && !matches!(inside.get(1), Some(TokenTree::Punct(_)));
        is_it || has_attribute(&inside, name)
    })
}

fn has_word(tokens: &[TokenTree], word: &str) -> bool {
    tokens.iter().any(|token| match token {
        TokenTree::Ident(one) => one == word,
        TokenTree::Group(_) => has_word(&inner(token), word),
        _ => false,
    })
}

/// Removes the imported names of attributes that are in no attribute of their module.
fn without_unused_imports(text: &str, crate_name: &str) -> String {
    let Some(file) = SourceFile::new(text) else {
        return text.to_owned();
    };
    let imports = Imports::read(&file, crate_name);
    let mut replacements = Replacements::default();
    for import in imports.all.iter().filter(|import| !import.is_public(&file)) {
        let module =
            module_around(&file, &file.tokens, import.range.start).unwrap_or_else(|| file.tokens.clone());
        let is_unused = |one: &ImportedName| {
            ATTRIBUTE_NAMES.contains(&one.original.as_str())
                && !uses_name(&file, &module, &one.name, &imports)
                || one.name == "*"
                    && !ATTRIBUTE_NAMES
                        .iter()
                        .any(|name| uses_name(&file, &module, name, &imports))
        };
        let kept: Vec<ImportedName> = import
            .names
            .iter()
            .filter(|one| !is_unused(one))
            .cloned()
            .collect();
        if kept.len() < import.names.len() {
            import.replace(&file, crate_name, &kept, &[], &mut replacements);
        }
    }
    replacements.apply(text)
}

/// Returns the tokens of the innermost braces around an offset.
fn module_around(file: &SourceFile<'_>, tokens: &[TokenTree], at: usize) -> Option<Vec<TokenTree>> {
    let mut around = tokens.iter().filter(|token| is_group(token, Delimiter::Brace));
    let around = around.find(|token| file.range(token).contains(&at))?;
    let inside = inner(around);
    // The braces of `use {…}` are not a module.
    let is_of_use = !inside
        .iter()
        .any(|token| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ';'));
    match module_around(file, &inside, at) {
        None if is_of_use => None,
        None => Some(inside),
        inner => inner,
    }
}

/// Returns whether the name is used outside of the imports.
fn uses_name(file: &SourceFile<'_>, tokens: &[TokenTree], name: &str, imports: &Imports) -> bool {
    tokens.iter().any(|token| match token {
        TokenTree::Ident(word) => word == name && !imports.contain(file.range(token).start),
        TokenTree::Group(_) => uses_name(file, &inner(token), name, imports),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::scan::scan;
    use super::*;

    /// Returns the file after the attributes in these lines got these keys and all others were removed.
    fn edited(text: &str, keys: &[(usize, &[&str])]) -> String {
        let program = scan(Path::new("lib.rs"), Some("serial_test"), &|_| Ok(text.to_owned()));
        let annotations = program
            .functions
            .iter()
            .flat_map(|function| &function.annotations);
        let edits: BTreeMap<usize, AttributeEdit> = annotations
            .map(|annotation| {
                let of_line = keys.iter().find(|(line, _)| *line == annotation.line);
                let edit = AttributeEdit {
                    annotation: annotation.clone(),
                    keys: of_line.map_or(Vec::new(), |(_, keys)| {
                        keys.iter().map(|key| (*key).to_owned()).collect()
                    }),
                };
                (annotation.at, edit)
            })
            .collect();
        let edits: Vec<AttributeEdit> = edits.into_values().collect();
        without_unused_imports(&with_edits(text, &edits), "serial_test")
    }

    #[test]
    fn an_attribute_goes_with_its_line_and_the_import_that_only_it_needed() {
        let text = "use serial_test::serial;\nuse std::fs;\n\n#[test]\n#[serial]\nfn a() {}\n\n#[test] #[serial(b)] fn b() {}\n";
        let without = "use std::fs;\n\n#[test]\nfn a() {}\n\n#[test] fn b() {}\n";
        assert_eq!(edited(text, &[]), without);
        let with_other = text
            .replace("serial;", "{parallel, serial};")
            .replace("#[serial]", "#[parallel]");
        let kept = with_other
            .replace("{parallel, serial}", "parallel")
            .replace("#[test] #[serial(b)]", "#[test]");
        assert_eq!(
            edited(&with_other, &[(5, &["c"])]),
            kept.replace("#[parallel]", "#[parallel(c)]")
        );
    }

    #[test]
    fn keys_are_replaced_one_by_one() {
        let text =
            "use serial_test::serial;\n#[serial(a, b)]\nfn f() {}\n#[serial]\nmod m { #[test] fn g() {} }\n";
        let new = text
            .replace("(a, b)", "(b, \"x y\")")
            .replace("#[serial]", "#[serial(c)]");
        assert_eq!(edited(text, &[(2, &["b", "x y"]), (4, &["c"])]), new);
    }

    #[test]
    fn an_import_stays_in_the_module_that_needs_it() {
        let text = "mod a {\n    use serial_test::serial;\n    #[serial]\n    fn f() {}\n}\nmod b {\n    use serial_test::*;\n    #[serial]\n    fn g() {}\n}\n";
        let without_a = text.replacen("    use serial_test::serial;\n    #[serial]\n", "", 1);
        assert_eq!(
            edited(text, &[(8, &["c"])]),
            without_a.replace("#[serial]", "#[serial(c)]")
        );
        let without_b = text.replace("    use serial_test::*;\n    #[serial]\n", "");
        assert_eq!(
            edited(text, &[(3, &["c"])]),
            without_b.replace("#[serial]", "#[serial(c)]")
        );
        let exported = "pub use serial_test::serial;\n#[serial]\nfn f() {}\n";
        assert_eq!(edited(exported, &[]), "pub use serial_test::serial;\nfn f() {}\n");
    }

    #[test]
    fn a_file_without_the_import_inherits_the_names() {
        for (text, inherits) in [
            ("use super::*;\n#[serial]\nfn f() {}", true),
            ("use serial_test::serial;\n#[serial]\nfn f() {}", false),
            ("#[serial_test::serial]\nfn f() {}", false),
            ("use other::serial;\n#[serial]\nfn f() {}", false),
            ("use super::*;\nfn serial() {}", false),
        ] {
            assert_eq!(inherits_names(text, "serial_test"), inherits, "{text}");
        }
    }
}
