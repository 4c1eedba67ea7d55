//! Attributes that tests inherit from their module. cofferdam and serial_test differ here; neither crosses files.

use super::attributes::{self, Annotation, Family, conditional, is_last, parts};
use syn::{Attribute, Expr, Meta, MetaNameValue, Path};

/// The attributes that items inherit from their module.
#[derive(Clone, Debug, Default)]
pub(super) struct InheritedAttributes {
    annotations: Vec<Annotation>,
    /// Set if more attributes may apply under a condition.
    is_conditional: bool,
}

impl InheritedAttributes {
    /// Returns the attributes that items of a nested module inherit. `own` are the module's annotations among `all`.
    pub(super) fn for_module(&self, all: &[Attribute], own: Vec<Annotation>) -> Self {
        // serial_test does not apply to nested modules.
        let of_parent = self
            .annotations
            .iter()
            .filter(|one| one.family == Family::Cofferdam);
        let mut inherited: Vec<Annotation> = of_parent
            .filter(|_| !all.iter().any(is_cofferdam_attribute))
            .cloned()
            .collect();
        for one in own {
            // serial_test's first attribute expands first and drops the others.
            let crate_name = one.family.crate_name();
            let is_same_crate = |first: &Annotation| first.family.crate_name() == crate_name;
            if one.family == Family::Cofferdam || !inherited.iter().any(is_same_crate) {
                inherited.push(Annotation {
                    is_of_module: true,
                    ..one
                });
            }
        }
        Self {
            annotations: inherited,
            is_conditional: self.is_conditional_for(all),
        }
    }

    /// Returns whether an item with these attributes may inherit conditional ones.
    pub(super) fn is_conditional_for(&self, all: &[Attribute]) -> bool {
        self.is_conditional || attributes::is_conditional(all)
    }

    /// Returns the attributes of a function, inherited ones included.
    pub(super) fn for_function(&self, all: &[Attribute], mut own: Vec<Annotation>) -> Vec<Annotation> {
        let inherited = self.annotations.iter().filter(|one| match one.family {
            Family::Cofferdam => {
                all.iter().any(|attribute| marks_test(&attribute.meta))
                    && !all.iter().any(is_cofferdam_attribute)
            }
            // serial_test looks for the name anywhere in the path.
            Family::SerialTest | Family::SerialTestFile => all.iter().any(|attribute| {
                let mut parts = attribute.path().segments.iter();
                parts.any(|part| part.ident.to_string().contains("test"))
            }),
        });
        own.extend(inherited.cloned());
        own
    }
}

/// Returns whether cofferdam's macro recognizes the attribute as its own, in which case the item inherits nothing.
fn is_cofferdam_attribute(attribute: &Attribute) -> bool {
    if !is_last(attribute.path(), &["serial", "parallel"]) {
        return false;
    }
    let segments = segments(attribute.path());
    match segments.as_slice() {
        [_] => true,
        [first, ..] if first == "cofferdam" => true,
        [root @ .., _] => declared_root(attribute).is_some_and(|declared| declared == root),
        [] => false,
    }
}

/// Returns the path in `crate = …`.
fn declared_root(attribute: &Attribute) -> Option<Vec<String>> {
    let Meta::List(list) = &attribute.meta else {
        return None;
    };
    let declared = parts(&list.tokens).into_iter().find_map(|part| {
        let named: MetaNameValue = syn::parse2(part).ok()?;
        named.path.is_ident("crate").then_some(named.value)
    });
    match declared? {
        Expr::Path(declared) => Some(segments(&declared.path)),
        _ => None,
    }
}

fn segments(path: &Path) -> Vec<String> {
    path.segments.iter().map(|part| part.ident.to_string()).collect()
}

/// Returns whether cofferdam's macro recognizes an item with this attribute as a test.
fn marks_test(attribute: &Meta) -> bool {
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
        let keys = found[0].annotations.iter().flat_map(Annotation::keys_taken);
        keys.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tests_without_an_attribute_inherit_that_of_their_module() {
        let text = "use cofferdam::serial;\n#[serial(db)] #[cofferdam::parallel(too)] mod t {\n#[test] fn f() {}\n#[test] \
                    #[cofferdam::parallel(x)] fn g() {}\n#[test] #[serial_test::serial(y)] fn h() {}\n#[test_case(1)] fn i() {}\n\
                    mod u { #[rstest] fn j() {} }\nmod m;\n\
                    #[cfg_attr(not(miri), test)] fn k() {}\n\
                    #[cfg_attr(true, cfg_attr(unix, ignore, tokio::test(flavor = \"x\")))] fn l() {}\n\
                    #[cfg_attr(test, doc = \"test\")] fn n() {}\n\
                    #[test] #[a::b::serial(\"x y\", crate = ::a::b)] fn o() {}\n\
                    #[test] #[a::b::serial(x, crate = a)] fn p() {}\n}";
        for (test, expected) in [
            ("t::f", "db too"),
            ("t::k", "db too"),
            ("t::l", "db too"),
            ("t::n", ""),
            // `crate = …` names the path of the attribute, or another path.
            ("t::o", ""),
            ("t::p", "db too"),
            ("t::g", "x"),
            ("t::h", "y db too"),
            ("t::i", ""),
            ("t::u::j", "db too"),
            ("t::m::far", ""),
        ] {
            assert_eq!(keys(text, test), expected, "{test}");
        }
    }

    #[test]
    fn serial_test_applies_a_module_s_attribute_to_all_its_tests_but_not_to_nested_modules() {
        let text = "use serial_test::serial;\n#[serial(db)] mod t {\n#[test] fn f() {}\n#[test] #[serial_test::parallel(x)] fn g() {}\n\
                    #[test_case(1)] fn h() {}\nfn i() {}\nmod u { #[test] fn j() {} }\nmod m;\n}";
        for (test, expected) in [
            ("t::f", "db"),
            ("t::g", "x db"),
            ("t::h", "db"),
            ("t::i", ""),
            ("t::u::j", ""),
            ("t::m::far", ""),
        ] {
            assert_eq!(keys(text, test), expected, "{test}");
        }
    }
}
