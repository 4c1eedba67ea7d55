//! Tests by the names that people give them.

use super::TestId;

/// The reason a name does not choose a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotOne {
    None,
    /// The tests that it fits.
    Several(Vec<TestId>),
}

/// Returns the test with this name: in full, after its program's name, or by the end of its path.
pub(crate) fn choose<'t>(name: &str, all: &'t [TestId]) -> Result<&'t TestId, NotOne> {
    let is_end = |text: &str| {
        text.strip_suffix(name)
            .is_some_and(|before| before.is_empty() || before.ends_with("::"))
    };
    let rules: [&dyn Fn(&TestId) -> bool; 3] = [
        &|test| test.to_string() == name,
        &|test| test.name == name,
        &|test| is_end(&test.to_string()),
    ];
    for rule in rules {
        let fits: Vec<&TestId> = all.iter().filter(|test| rule(test)).collect();
        match fits[..] {
            [] => {}
            [one] => return Ok(one),
            _ => return Err(NotOne::Several(fits.into_iter().cloned().collect())),
        }
    }
    Err(NotOne::None)
}

/// Splits names at commas, but not within a test's own name.
pub(crate) fn split_names(list: &str, all: &[TestId]) -> Vec<String> {
    let parts: Vec<&str> = list.split(',').collect();
    let mut names = Vec::new();
    let mut from = 0;
    while from < parts.len() {
        let is_name = |to: &usize| choose(&parts[from..*to].join(","), all) != Err(NotOne::None);
        let longest = (from + 1..=parts.len()).rev().find(is_name);
        let to = longest.unwrap_or(from + 1);
        names.push(parts[from..to].join(","));
        from = to;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(binary: &str, name: &str) -> TestId {
        TestId {
            binary: binary.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn names_in_a_list_may_have_commas() {
        let all = [
            test("shop", "sum(1, 2)"),
            test("shop", "total"),
            test("desk", "a,b,c"),
            test("shop", "x"),
        ];
        for (list, names) in [
            ("total,x", &["total", "x"][..]),
            ("x,sum(1, 2),desk::a,b,c", &["x", "sum(1, 2)", "desk::a,b,c"]),
            ("total,a,b", &["total", "a", "b"]),
            ("x,", &["x", ""]),
        ] {
            assert_eq!(split_names(list, &all), names, "{list}");
        }
    }

    #[test]
    fn a_test_is_chosen_by_its_full_name_its_program_or_the_end_of_its_path() {
        let all = [
            test("shop", "orders::total"),
            test("shop", "total"),
            test("desk", "orders::total"),
            test("desk", "stock::left"),
            test("desk", "stock::left over"),
        ];
        for (name, chosen) in [
            ("shop::orders::total", Some(0)),
            ("total", Some(1)),
            ("desk::orders::total", Some(2)),
            ("left", Some(3)),
            ("stock::left", Some(3)),
            ("left over", Some(4)),
            ("ft", None),
            ("stock", None),
            ("", None),
        ] {
            let expected = chosen.map_or(Err(NotOne::None), |number: usize| Ok(&all[number]));
            assert_eq!(choose(name, &all), expected, "{name}");
        }
        let both = NotOne::Several(vec![all[0].clone(), all[2].clone()]);
        assert_eq!(choose("orders::total", &all), Err(both));
    }
}
