//! Attributes that tests inherit from their module. cofferdam and serial_test differ here; neither crosses files.

use super::attributes::{self, Annotation, Family, conditional, is_last, parts};
use syn::{Attribute, Expr, Meta, MetaNameValue, Path};

/// The attributes that items inherit from their module.
#[derive(Clone, Debug, Default)]
pub(super) struct Handed {
    annotations: Vec<Annotation>,
    /// Whether more attributes may apply under a condition.
    is_conditional: bool,
}

impl Handed {
    /// Returns the attributes that items of a nested module inherit. `own` are the module's annotations among `all`.
    pub(super) fn for_module(&self, all: &[Attribute], own: Vec<Annotation>) -> Self {
        // serial_test does not apply to nested modules.
        let from_above = self
            .annotations
            .iter()
            .filter(|one| one.family == Family::Cofferdam);
        let mut handed: Vec<Annotation> = from_above
            .filter(|_| !all.iter().any(passes_for_ours))
            .cloned()
            .collect();
        for one in own {
            // serial_test's first attribute expands first and drops the others.
            let crate_name = one.family.crate_name();
            let is_gone = |first: &Annotation| first.family.crate_name() == crate_name;
            if one.family == Family::Cofferdam || !handed.iter().any(is_gone) {
                handed.push(Annotation {
                    is_of_module: true,
                    ..one
                });
            }
        }
        Self {
            annotations: handed,
            is_conditional: self.may_hand_to(all),
        }
    }

    /// Returns whether an item with these attributes may inherit conditional ones.
    pub(super) fn may_hand_to(&self, all: &[Attribute]) -> bool {
        self.is_conditional || attributes::is_conditional(all)
    }

    /// Returns the attributes of a function, inherited ones included.
    pub(super) fn for_function(&self, all: &[Attribute], mut own: Vec<Annotation>) -> Vec<Annotation> {
        let handed = self.annotations.iter().filter(|one| match one.family {
            Family::Cofferdam => {
                all.iter().any(|attribute| makes_test(&attribute.meta)) && !all.iter().any(passes_for_ours)
            }
            // serial_test looks for the name anywhere in the path.
            Family::SerialTest | Family::SerialTestFile => all.iter().any(|attribute| {
                let mut parts = attribute.path().segments.iter();
                parts.any(|part| part.ident.to_string().contains("test"))
            }),
        });
        own.extend(handed.cloned());
        own
    }
}

/// Returns whether cofferdam's macro recognizes the attribute as its own, in which case the item inherits nothing.
fn passes_for_ours(attribute: &Attribute) -> bool {
    if !is_last(attribute.path(), &["serial", "parallel"]) {
        return false;
    }
    let words = words(attribute.path());
    match words.as_slice() {
        [_] => true,
        [first, ..] if first == "cofferdam" => true,
        [root @ .., _] => said_root(attribute).is_some_and(|said| said == root),
        [] => false,
    }
}

/// Returns the path in `crate = …`.
fn said_root(attribute: &Attribute) -> Option<Vec<String>> {
    let Meta::List(list) = &attribute.meta else {
        return None;
    };
    let said = parts(&list.tokens).into_iter().find_map(|part| {
        let named: MetaNameValue = syn::parse2(part).ok()?;
        named.path.is_ident("crate").then_some(named.value)
    });
    match said? {
        Expr::Path(said) => Some(words(&said.path)),
        _ => None,
    }
}

fn words(path: &Path) -> Vec<String> {
    path.segments.iter().map(|part| part.ident.to_string()).collect()
}

/// Returns whether cofferdam's macro recognizes an item with this attribute as a test.
fn makes_test(attribute: &Meta) -> bool {
    let is_test = |one: &Meta| is_last(one.path(), &["test", "rstest"]);
    is_test(attribute) || conditional(attribute).iter().any(is_test)
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;
    use super::*;

    fn keys(text: &str, test: &str) -> String {
        let program = scan(std::path::Path::new("lib.rs"), None, &|path| {
            Ok(match path.to_str() {
                Some("lib.rs") => text.to_owned(),
                _ => "#[test] fn far() {}".to_owned(),
            })
        });
        let found = program.find(test);
        let keys = found[0].annotations.iter().flat_map(Annotation::held);
        keys.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_module_s_attribute_counts_for_tests_without_one() {
        let text = "use cofferdam::serial;\n#[serial(db)] #[cofferdam::parallel(too)] mod t {\n#[test] fn f() {}\n#[test] \
                    #[cofferdam::parallel(x)] fn g() {}\n#[test] #[serial_test::serial(y)] fn h() {}\n#[test_case(1)] fn i() {}\n\
                    mod u { #[rstest] fn j() {} }\nmod m;\n\
                    #[cfg_attr(not(miri), test)] fn k() {}\n\
                    #[cfg_attr(true, cfg_attr(unix, ignore, tokio::test(flavor = \"x\")))] fn l() {}\n\
                    #[cfg_attr(test, doc = \"test\")] fn n() {}\n\
                    #[test] #[a::b::serial(\"x y\", crate = ::a::b)] fn o() {}\n\
                    #[test] #[a::b::serial(x, crate = a)] fn p() {}\n}";
        for (test, held) in [
            ("t::f", "db too"),
            ("t::k", "db too"),
            ("t::l", "db too"),
            ("t::n", ""),
            // Named as the crate that it says is ours, and as another.
            ("t::o", ""),
            ("t::p", "db too"),
            ("t::g", "x"),
            ("t::h", "y db too"),
            ("t::i", ""),
            ("t::u::j", "db too"),
            ("t::m::far", ""),
        ] {
            assert_eq!(keys(text, test), held, "{test}");
        }
    }

    #[test]
    fn a_module_s_attribute_of_serial_test_s_counts_for_all_its_tests_and_for_no_module_s_in_it() {
        let text = "use serial_test::serial;\n#[serial(db)] mod t {\n#[test] fn f() {}\n#[test] #[serial_test::parallel(x)] fn g() {}\n\
                    #[test_case(1)] fn h() {}\nfn i() {}\nmod u { #[test] fn j() {} }\nmod m;\n}";
        for (test, held) in [
            ("t::f", "db"),
            ("t::g", "x db"),
            ("t::h", "db"),
            ("t::i", ""),
            ("t::u::j", ""),
            ("t::m::far", ""),
        ] {
            assert_eq!(keys(text, test), held, "{test}");
        }
    }
}
