//! The tests of a program, found in its source: where each stands and what stands on it.
//!
//! Modules are followed as the compiler follows them. What a macro makes is not seen.

use super::attributes::{Names, annotations, is_last};
use super::handed::Handed;
use super::program::{Function, Module, Program};
use super::source::Whole;
use std::io;
use std::path::{Path, PathBuf};
use syn::spanned::Spanned as _;
use syn::{Attribute, Expr, Item, ItemFn, ItemMod, Lit, Meta, Visibility};

/// Modules are not nested deeper; a file may name itself.
const DEEPEST: usize = 64;

/// Reads the source that begins in that file. `fallback` is the crate whose attributes are meant where nothing says
/// whose they are.
pub(crate) fn scan(
    root: &Path,
    fallback: Option<&str>,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Program {
    let folder = root.parent().unwrap_or(Path::new("")).to_owned();
    let mut walk = Walk {
        program: Program::default(),
        fallback,
        read,
    };
    let place = Place {
        children: folder.clone(),
        paths: folder,
        file: root.to_owned(),
        prefix: String::new(),
        depth: 0,
    };
    walk.file(&place, &Outer::default());
    walk.program
}

/// A module on its way.
#[derive(Clone, Debug)]
struct Place {
    file: PathBuf,
    /// The folder that the files of its modules are in.
    children: PathBuf,
    /// And the one that `#[path]` starts from.
    paths: PathBuf,
    prefix: String,
    depth: usize,
}

/// What a module has from the one that it is in.
#[derive(Clone, Debug, Default)]
struct Outer {
    names: Names,
    handed: Handed,
}

struct Walk<'a> {
    program: Program,
    fallback: Option<&'a str>,
    read: &'a dyn Fn(&Path) -> io::Result<String>,
}

impl Walk<'_> {
    fn file(&mut self, place: &Place, outer: &Outer) {
        let path = &place.file;
        let text = match (self.read)(path) {
            Ok(text) => text,
            Err(error) => {
                return self
                    .program
                    .problems
                    .push(format!("could not read {}: {error}", path.display()));
            }
        };
        let whole = Whole::new(&text);
        match syn::parse_file(whole.parsed()) {
            Ok(file) => {
                self.module(place, &whole, &file.items, skipped_attributes(&file.attrs), outer);
            }
            Err(error) => {
                let line = whole.line(error.span().start().line);
                let told = format!("could not understand {}:{line}: {error}", path.display());
                self.program.problems.push(told);
            }
        }
        self.program.texts.insert(path.clone(), text);
    }

    fn module(&mut self, place: &Place, whole: &Whole<'_>, items: &[Item], begin: usize, outer: &Outer) {
        let uses = items.iter().filter_map(|item| match item {
            Item::Use(item) => Some(&item.tree),
            _ => None,
        });
        let names = Names::of(uses, &outer.names);
        let module = self.program.modules.len();
        self.program.modules.push(Module {
            names: names.clone(),
            insertion: whole.insertion(items, begin),
        });
        for item in items {
            match item {
                Item::Fn(item) => self.function(place, whole, item, module, &names, outer),
                Item::Mod(item) => self.inner(place, whole, item, &names, outer),
                _ => {}
            }
        }
    }

    fn function(
        &mut self,
        place: &Place,
        whole: &Whole<'_>,
        item: &ItemFn,
        module: usize,
        names: &Names,
        outer: &Outer,
    ) {
        let own = annotations(&item.attrs, names, self.fallback, whole.parsed());
        self.program.functions.push(Function {
            name: joined(&place.prefix, &item.sig.ident.to_string()),
            file: place.file.clone(),
            line: whole.line(item.sig.fn_token.span().start().line),
            at: whole.at(attribute_place(item)),
            has_no_place: item
                .attrs
                .iter()
                .skip_while(|one| !is_of_test_with(one))
                .any(|one| is_last(one.path(), &["rstest"])),
            is_conditional: outer.handed.may_hand_to(&item.attrs),
            annotations: outer.handed.for_function(&item.attrs, whole.moved(own)),
            module,
        });
    }

    fn inner(&mut self, place: &Place, whole: &Whole<'_>, item: &ItemMod, names: &Names, outer: &Outer) {
        if place.depth == DEEPEST {
            return;
        }
        let name = item.ident.to_string();
        let prefix = joined(&place.prefix, &name);
        let path = path_of(&item.attrs).map(|path| tidy(&place.paths.join(path)));
        let depth = place.depth + 1;
        let mut within = Outer {
            names: names.clone(),
            handed: Handed::default(),
        };
        if let Some((brace, items)) = &item.content {
            let own = annotations(&item.attrs, names, self.fallback, whole.parsed());
            within.handed = outer.handed.for_module(&item.attrs, whole.moved(own));
            let folder = path.unwrap_or_else(|| place.children.join(&name));
            let inner = Place {
                file: place.file.clone(),
                children: folder.clone(),
                paths: folder,
                prefix,
                depth,
            };
            let begin = brace
                .span
                .open()
                .byte_range()
                .end
                .max(skipped_attributes(&item.attrs));
            return self.module(&inner, whole, items, begin, &within);
        }
        let beside = place.children.join(format!("{name}.rs"));
        let has_path = path.is_some();
        let file = path.unwrap_or_else(|| {
            let own = place.children.join(&name).join("mod.rs");
            if (self.read)(&beside).is_err() {
                own
            } else {
                beside.clone()
            }
        });
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let inner = Place {
            children: if !has_path && file == beside {
                place.children.join(&name)
            } else {
                folder.clone()
            },
            paths: folder,
            file,
            prefix,
            depth,
        };
        self.file(&inner, &within);
    }
}

/// Returns where a new attribute goes: below the others, for `#[rstest]` has to be above ours, but above
/// `#[test_with::…]`, which refuses to compile when a `#[serial]` follows it.
fn attribute_place(item: &ItemFn) -> usize {
    let refusing = item.attrs.iter().find(|one| is_of_test_with(one));
    refusing.map_or_else(|| begin_of(item), |one| one.span().byte_range().start)
}

fn is_of_test_with(attribute: &Attribute) -> bool {
    let path = &attribute.path().segments;
    path.len() > 1 && path[0].ident == "test_with"
}

/// Where a function begins behind its attributes.
fn begin_of(item: &ItemFn) -> usize {
    let signature = &item.sig;
    let first = match &item.vis {
        Visibility::Inherited => signature.span(),
        visible => visible.span(),
    };
    first.byte_range().start
}

fn skipped_attributes(attributes: &[Attribute]) -> usize {
    let inner = attributes
        .iter()
        .filter(|one| matches!(one.style, syn::AttrStyle::Inner(_)));
    inner.map(|one| one.span().byte_range().end).max().unwrap_or(0)
}

/// What `#[path = "…"]` says.
fn path_of(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(value) => match &value.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}

/// Without the ways back that `#[path]` makes.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir if tidy.file_name().is_some() => _ = tidy.pop(),
            std::path::Component::CurDir => {}
            other => tidy.push(other),
        }
    }
    tidy
}

fn joined(prefix: &str, name: &str) -> String {
    let name = name.trim_start_matches("r#");
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}::{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn program(files: &[(&str, &str)]) -> Program {
        let files: BTreeMap<PathBuf, String> = files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
            .collect();
        let root = files
            .keys()
            .find(|path| path.ends_with("lib.rs"))
            .unwrap()
            .clone();
        scan(&root, None, &|path| {
            files
                .get(path)
                .cloned()
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn names(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let program = program(files);
        assert_eq!(program.problems, [""; 0]);
        let functions = program.functions.iter();
        functions
            .map(|one| (one.name.clone(), one.file.display().to_string()))
            .collect()
    }

    fn is_at(files: &[(&str, &str)], name: &str, file: &str) {
        let found = names(files);
        assert!(
            found.contains(&(name.to_owned(), file.to_owned())),
            "{name} in {found:?}"
        );
    }

    #[test]
    fn modules_are_followed_as_the_compiler_follows_them() {
        is_at(
            &[("src/lib.rs", "mod a;"), ("src/a.rs", "fn f() {}")],
            "a::f",
            "src/a.rs",
        );
        is_at(
            &[("src/lib.rs", "mod a;"), ("src/a/mod.rs", "fn f() {}")],
            "a::f",
            "src/a/mod.rs",
        );
        let nested = [
            ("src/lib.rs", "mod a;"),
            ("src/a.rs", "mod b;"),
            ("src/a/b.rs", "fn f() {}"),
        ];
        is_at(&nested, "a::b::f", "src/a/b.rs");
        let of_folder = [
            ("src/lib.rs", "mod a;"),
            ("src/a/mod.rs", "mod b;"),
            ("src/a/b.rs", "fn f() {}"),
        ];
        is_at(&of_folder, "a::b::f", "src/a/b.rs");
        let inline = [("src/lib.rs", "mod a { mod b; }"), ("src/a/b.rs", "fn f() {}")];
        is_at(&inline, "a::b::f", "src/a/b.rs");
        let elsewhere = [
            ("src/lib.rs", "#[path = \"../t/m.rs\"] mod a;"),
            ("t/m.rs", "mod b;"),
            ("t/b.rs", "fn f() {}"),
        ];
        is_at(&elsewhere, "a::b::f", "t/b.rs");
        let within = [
            ("src/lib.rs", "mod a { #[path = \"x.rs\"] mod b; }"),
            ("src/a/x.rs", "fn f() {}"),
        ];
        is_at(&within, "a::b::f", "src/a/x.rs");
    }

    #[test]
    fn a_file_that_names_itself_is_read_to_an_end() {
        let found = names(&[("lib.rs", "#[path = \"lib.rs\"] mod a; fn f() {}")]);
        assert_eq!(found.len(), DEEPEST + 1);
    }

    #[test]
    fn what_cannot_be_read_or_understood_is_named_and_the_rest_still_found() {
        let program = program(&[("lib.rs", "mod gone; mod odd; fn f() {}"), ("odd.rs", "fn\n)")]);
        assert_eq!(program.find("f").len(), 1);
        assert!(
            program.problems[0].starts_with("could not read gone/mod.rs: "),
            "{:?}",
            program.problems
        );
        assert!(
            program.problems[1].starts_with("could not understand odd.rs:2: "),
            "{:?}",
            program.problems
        );
    }

    #[test]
    fn a_case_is_found_by_the_function_that_it_is_made_from() {
        let program = program(&[(
            "lib.rs",
            "mod t { #[rstest] fn f() {} #[cfg(unix)] fn g() {} #[cfg(windows)] fn g() {} }",
        )]);
        let lines = |test: &str| program.find(test).len();
        assert_eq!(
            (lines("t::f"), lines("t::f::case_1"), lines("t::g"), lines("t::h")),
            (1, 1, 2, 0)
        );
    }

    #[test]
    fn a_new_attribute_goes_below_the_others_and_above_the_one_that_refuses_it_there() {
        for (before, behind) in [
            ("#[rstest]\n", "fn f() {}"),
            ("#[tokio::test]\n", "async fn f() {}"),
            ("#[test]\n#[serial_test::serial(db)]\n", "fn f() {}"),
            ("", "#[test_with::env(TOKEN)]\n#[test]\nfn f() {}"),
            (
                "#[test]\n",
                "#[test_with::env(A)] #[test_with::file(b)]\nfn f() {}",
            ),
            ("#[rstest]\n", "#[test_with::env(A)]\nfn f() {}"),
            ("", "#[test_with::env(A)]\n#[rstest]\nfn f() {}"),
        ] {
            let text = format!("{before}{behind}");
            let program = program(&[("lib.rs", &text)]);
            assert_eq!(&text[program.functions[0].at..], behind);
            assert_eq!(program.functions[0].has_no_place, behind.contains("rstest"));
        }
    }

    #[test]
    fn a_function_begins_behind_its_attributes_whatever_stands_before_it() {
        for (before, function) in [
            ("", "fn f() {}"),
            ("/// é\n#[test]\n", "fn f() {}"),
            ("#[test] ", "pub(crate) async fn f() {}"),
            (
                "#!/usr/bin/env x\n#[test]\n// not this\n",
                "unsafe extern \"C\" fn f() {}",
            ),
            ("\u{feff}#![allow(x)]\r\n", "pub fn f() {}"),
        ] {
            let text = format!("{before}{function}");
            let program = program(&[("lib.rs", &text)]);
            let found = &program.functions[0];
            assert_eq!(&text[found.at..], function);
            assert_eq!(found.line, before.matches('\n').count() + 1, "{text}");
        }
    }
}
