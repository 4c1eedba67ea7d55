//! Limits for the sources: imports, names, words and sizes.

use crate::files::{self, hold};
use crate::source::{Token, test_modules, tokens, without_tests};
use std::collections::{BTreeMap, BTreeSet};

/// The source folders of the crates.
const CRATES: [&str; 7] = [
    "src",
    "macros/src",
    "diagnostics/src",
    "diagnostics/batch/src",
    "diagnostics/conflicts/src",
    "diagnostics/observer",
    "diagnostics/runner",
];

/// A source file: its path below the root of the repository and its text without tests, empty for a file of tests.
struct Source {
    path: String,
    product: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let all: Vec<_> = CRATES
        .iter()
        .flat_map(|folder| files::all(folder, "rs"))
        .collect();
    let of_tests: BTreeSet<String> = all
        .iter()
        .flat_map(|(path, text)| test_files(path, text))
        .collect();
    all.into_iter()
        .map(|(path, text)| Source {
            product: if of_tests.contains(&path) {
                String::new()
            } else {
                without_tests(&text).to_owned()
            },
            path,
            text,
        })
        .collect()
}

/// Returns the paths of the files that this one declares as modules for tests.
fn test_files(path: &str, text: &str) -> Vec<String> {
    let (folder, _) = path.rsplit_once('/').unwrap_or_default();
    let is_root = ["mod.rs", "lib.rs", "main.rs"]
        .iter()
        .any(|root| path.ends_with(root));
    let folder = if is_root {
        folder
    } else {
        path.trim_end_matches(".rs")
    };
    let modules = test_modules(text).into_iter();
    modules.map(|module| format!("{folder}/{module}.rs")).collect()
}

/// A module by its names from the crate's root on.
type Module = Vec<String>;

/// Returns the sources of a crate by module.
fn modules(folder: &str) -> BTreeMap<Module, Source> {
    let below = format!("{folder}/");
    let in_crate = sources()
        .into_iter()
        .filter(|source| source.path.starts_with(&below));
    in_crate
        .map(|source| {
            let path = source.path[below.len()..].trim_end_matches(".rs");
            let mut names: Module = path.split('/').map(str::to_owned).collect();
            if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                names.pop();
            }
            (names, source)
        })
        .collect()
}

/// Returns the paths that the tokens name, from the root of the crate on. `module` is the module of the file.
fn paths_named(tokens: &[Token], module: &Module) -> Vec<Module> {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let is_name = |text: &str| text.starts_with(|sign: char| sign.is_alphabetic() || sign == '_');
    let mut named = Vec::new();
    // Inline modules, each with the depth of braces outside of it.
    let mut inner: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut at) = (0, 0);
    while at < tokens.len() {
        match word(at) {
            "{" => {
                if at >= 2 && word(at - 2) == "mod" {
                    inner.push((word(at - 1).to_owned(), depth));
                }
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                inner.pop_if(|(_, outside)| *outside == depth);
            }
            "crate" | "self" | "super" if word(at + 1) == "::" && (at == 0 || word(at - 1) != "::") => {
                let mut base: Module = module.clone();
                base.extend(inner.iter().map(|(name, _)| name.clone()));
                if word(at) == "crate" {
                    base.clear();
                    at += 2;
                }
                while matches!(word(at), "self" | "super") && word(at + 1) == "::" {
                    if word(at) == "super" {
                        base.pop();
                    }
                    at += 2;
                }
                at = tree(tokens, at, base, &mut named);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    named.retain(|path| path.iter().all(|name| is_name(name)));
    named
}

/// Reads one path, or a tree of them in braces, and returns where it ends.
fn tree(tokens: &[Token], mut at: usize, base: Module, named: &mut Vec<Module>) -> usize {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut path = base;
    loop {
        if word(at) == "{" {
            at += 1;
            while !matches!(word(at), "}" | "") {
                at = tree(tokens, at, path.clone(), named);
                // Skips `as NAME`, up to the next comma.
                while !matches!(word(at), "}" | "" | ",") {
                    at += 1;
                }
                if word(at) == "," {
                    at += 1;
                }
            }
            return at + 1;
        }
        if !matches!(word(at), "*" | "self") {
            path.push(word(at).to_owned());
        }
        if word(at + 1) != "::" {
            named.push(path);
            return at + 1;
        }
        at += 2;
    }
}

/// Returns the modules that each module imports, without its ancestors and descendants.
fn imports(modules: &BTreeMap<Module, Source>) -> BTreeMap<&Module, BTreeSet<&Module>> {
    let edges = modules.iter().map(|(module, source)| {
        let named = paths_named(&tokens(&source.product), module);
        let targets = named.iter().filter_map(|path| {
            let longest = (0..=path.len())
                .rev()
                .find_map(|length| modules.get_key_value(&path[..length]));
            let (target, _) = longest?;
            let is_kin = module.starts_with(target) || target.starts_with(module);
            (!is_kin).then_some(target)
        });
        (module, targets.collect())
    });
    edges.collect()
}

/// Returns the groups of modules that import each other, directly or through others.
fn circles<'a>(edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>) -> BTreeSet<BTreeSet<&'a Module>> {
    let reached = |start: &'a Module| {
        let mut found = BTreeSet::new();
        let mut open = vec![start];
        while let Some(module) = open.pop() {
            open.extend(edges[module].iter().filter(|target| found.insert(**target)));
        }
        found
    };
    let reached: BTreeMap<_, _> = edges.keys().map(|module| (*module, reached(module))).collect();
    let both = |one: &'a Module| {
        let group = reached[one].iter().filter(|other| reached[**other].contains(one));
        group.copied().collect::<BTreeSet<_>>()
    };
    edges
        .keys()
        .map(|module| both(module))
        .filter(|group| !group.is_empty())
        .collect()
}

#[test]
fn no_file_imports_a_file_that_imports_it() {
    let mut breaches = Vec::new();
    for folder in CRATES {
        let modules = modules(folder);
        for group in circles(&imports(&modules)) {
            let names: Vec<_> = group.iter().map(|module| module.join("::")).collect();
            breaches.push(format!("{folder}: {}", names.join(", ")));
        }
    }
    hold(&breaches, "Move what both sides need below both of them.");
}

#[test]
fn the_methods_of_a_type_are_in_one_place() {
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let folder = source
            .path
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder)
            .to_owned();
        for line in source.product.lines().filter(|line| line.starts_with("impl")) {
            let Some(name) = inherent(line) else { continue };
            found
                .entry((folder.clone(), name))
                .or_default()
                .insert(source.path.clone());
        }
    }
    let breaches: Vec<_> = found
        .into_iter()
        .filter(|(_, files)| files.len() > 2)
        .map(|((_, name), files)| format!("{name}: {}", files.into_iter().collect::<Vec<_>>().join(", ")))
        .collect();
    hold(
        &breaches,
        "A type's own methods are in the file that defines it, and at most in one more.",
    );
}

/// Returns the type of an inherent `impl`; `None` for a trait implementation.
fn inherent(line: &str) -> Option<String> {
    let mut rest = line.strip_prefix("impl")?;
    if rest.starts_with('<') {
        let mut depth = 0;
        let end = rest.find(|sign| {
            depth += i32::from(sign == '<') - i32::from(sign == '>');
            depth == 0
        })?;
        rest = &rest[end + 1..];
    }
    let is_trait = rest.contains(" for ");
    let name: String = rest
        .trim_start()
        .chars()
        .take_while(|sign| sign.is_alphanumeric() || *sign == '_')
        .collect();
    (!is_trait && !name.is_empty()).then_some(name)
}

/// First words of doc comments that are neither a verb nor a noun phrase.
const OPENINGS: [&str; 8] = [
    "What", "Who", "Whom", "Whose", "Whoever", "Whatever", "Whether", "How",
];

/// Returns the first lines of the doc comments in a file, with their line numbers.
fn doc_comments(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut was_doc = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        if let Some(doc) = doc
            && !was_doc
        {
            found.push((number + 1, doc.trim_start()));
        }
        was_doc = doc.is_some();
    }
    found
}

#[test]
fn doc_comments_begin_with_a_verb_or_a_noun() {
    for folder in CRATES {
        let below = format!("{folder}/");
        let (mut all, mut breaches) = (0, Vec::new());
        for source in sources().iter().filter(|source| source.path.starts_with(&below)) {
            for (line, doc) in doc_comments(&source.text) {
                all += 1;
                let first: Vec<&str> = doc.split_whitespace().take(2).collect();
                let is_count = matches!(
                    first[..],
                    ["As", "many" | "far" | "long" | "often"] | ["So", "many" | "often" | "long"]
                );
                if is_count || first.first().is_some_and(|word| OPENINGS.contains(word)) {
                    breaches.push(format!("{}:{line}: {doc}", source.path));
                }
            }
        }
        if breaches.len() * 20 > all {
            hold(
                &breaches,
                &format!(
                    "{folder}: at most one in 20 of {all}. Begin with \"Returns\", \"Reads\", \"The …\"."
                ),
            );
        }
    }
}

/// Returns the places of a word in the sources, tests included.
fn places_of(word: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let is_part = |sign: char| sign.is_alphanumeric() || sign == '_';
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| is_wanted(&source.path)) {
        for (number, line) in source.text.lines().enumerate() {
            let hits = line.match_indices(word).filter(|(at, _)| {
                let before = line[..*at].chars().next_back();
                let after = line[at + word.len()..].chars().next();
                !before.is_some_and(is_part) && !after.is_some_and(is_part)
            });
            found.extend(hits.map(|_| format!("{}:{}", source.path, number + 1)));
        }
    }
    found
}

#[test]
fn a_value_is_called_by_what_it_is() {
    let found = places_of("told", |_| true);
    if found.len() > 20 {
        hold(
            &found,
            "Say report, message, conflict or value: 20 places may say \"told\".",
        );
    }
}

#[test]
fn a_suite_compiles_only_what_a_suite_needs() {
    let manifests = [files::read("Cargo.toml"), files::read("diagnostics/Cargo.toml")];
    let is_there = manifests
        .iter()
        .any(|manifest| manifest.lines().any(|line| line.starts_with("check = ")));
    assert!(!is_there, "the library has a feature for the binary alone");
}

#[test]
fn reports_are_written_from_types() {
    let found = places_of("json!", |path| path.contains("/report/"));
    if found.len() > 5 {
        hold(&found, "Derive the JSON from a type; 5 places may use json!.");
    }
}

#[test]
fn kinds_of_resources_are_no_strings() {
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.path.starts_with("diagnostics/src/"))
    {
        for (number, line) in source.product.lines().enumerate() {
            if line.contains("\"umask\"") || line.contains("\"cwd\"") {
                found.push(format!("{}:{}", source.path, number + 1));
            }
        }
    }
    if found.len() > 1 {
        hold(&found, "Compare with ResourceKind.");
    }
}

#[test]
fn system_calls_have_names() {
    let calls = files::read("diagnostics/observer/calls.rs");
    let is_bare = |line: &&str| {
        let line = line.trim_start();
        line.starts_with(|sign: char| sign.is_ascii_digit()) && (line.contains("=>") || line.contains(" if "))
    };
    let breaches: Vec<_> = calls.lines().filter(is_bare).map(str::to_owned).collect();
    hold(
        &breaches,
        "diagnostics/observer has one list of system calls by name.",
    );
}

#[test]
fn few_files_share_a_name() {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        let name = source.path.rsplit('/').next().unwrap_or_default().to_owned();
        if !matches!(name.as_str(), "mod.rs" | "lib.rs" | "main.rs") {
            names.entry(name).or_default().push(source.path);
        }
    }
    let shared: Vec<_> = names
        .into_values()
        .filter(|paths| paths.len() > 1)
        .map(|paths| paths.join(", "))
        .collect();
    if shared.len() > 12 {
        hold(
            &shared,
            "A file is found by its name: at most 12 names may be used twice.",
        );
    }
}

#[test]
fn the_root_of_the_library_exports_what_tests_write() {
    let root = tokens(&files::read("src/lib.rs"));
    let mut names = BTreeSet::new();
    let mut at = 0;
    while at + 1 < root.len() {
        if root[at].text == "pub" && root[at + 1].text == "use" {
            let end = root[at..]
                .iter()
                .position(|token| token.text == ";")
                .map_or(root.len(), |end| at + end);
            let is_last = |place: usize| matches!(root[place + 1].text.as_str(), ";" | "," | "}");
            names.extend(
                (at + 2..end)
                    .filter(|place| is_last(*place))
                    .map(|place| root[place].text.clone()),
            );
            at = end;
        }
        at += 1;
    }
    names.retain(|name| name.starts_with(char::is_alphabetic));
    assert!(
        names.len() <= 16,
        "{} names at the root, 16 may be there: {names:?}",
        names.len()
    );
}

/// The size of the product, without tests, comments and empty lines.
const CODE_LINES: usize = 75_100;

#[test]
fn the_product_has_not_grown_unseen() {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let lines: usize = sources()
        .iter()
        .map(|source| source.product.lines().filter(is_code).count())
        .sum();
    assert!(
        lines <= CODE_LINES,
        "{lines} lines of code, {CODE_LINES} may be there: make it smaller, or raise the number by at most 1,000 in a commit that says why"
    );
}

fn circle_of(sources: &[(&str, &str)]) -> Vec<String> {
    let modules: BTreeMap<Module, Source> = sources
        .iter()
        .map(|(module, text)| {
            let names = module
                .split("::")
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect();
            let source = Source {
                path: String::new(),
                product: (*text).to_owned(),
                text: String::new(),
            };
            (names, source)
        })
        .collect();
    let groups = circles(&imports(&modules));
    groups
        .into_iter()
        .map(|group| {
            group
                .iter()
                .map(|module| module.join("::"))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

#[test]
fn circles_are_found_through_braces_and_qualified_paths() {
    let down = [
        ("", "mod a; mod b;"),
        ("a", "use crate::b::X;"),
        ("b", "use std::fmt;"),
    ];
    assert_eq!(circle_of(&down), Vec::<String>::new());
    for back in [
        "use crate::{a, c};",
        "use super::a::Y;",
        "fn f() { crate::a::f() }",
        "mod inner { use super::super::a::Y; }",
    ] {
        let mut both = down;
        both[2].1 = back;
        assert_eq!(circle_of(&both), ["a b"], "{back}");
    }
}

#[test]
fn a_folder_and_its_files_are_no_circle() {
    let kin = [
        ("a", "mod b; use self::b::X;"),
        ("a::b", "use super::Y; use crate::a::Z;"),
    ];
    assert_eq!(circle_of(&kin), Vec::<String>::new());
}
