//! Test groups in nextest's configuration that run one test at a time. Everything else keeps its formatting.

use super::key_names;
use super::key_plan::SharedResource;
use std::collections::{BTreeMap, BTreeSet};
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, TomlError, Value, value};

/// A group of tests of which nextest runs one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestGroup {
    pub(crate) name: String,
    /// Set if the configuration has it, with fewer tests.
    pub(crate) is_existing: bool,
    pub(crate) tests: BTreeSet<usize>,
    /// The shared resources.
    pub(crate) resources: Vec<cofferdam::Resource>,
}

/// Returns the groups of tests connected by shared resources: nextest allows one group per test.
pub(crate) fn groups(shared_resources: &[SharedResource], taken: &BTreeSet<String>) -> Vec<TestGroup> {
    let mut groups: Vec<TestGroup> = Vec::new();
    for shared in shared_resources
        .iter()
        .filter(|shared| shared.users.values().any(|writes| *writes))
    {
        let mut new = TestGroup {
            name: String::new(),
            is_existing: false,
            tests: shared.users.keys().copied().collect(),
            resources: vec![shared.resource.clone()],
        };
        if new.tests.len() < 2 {
            continue;
        }
        let (linked, others) = groups
            .into_iter()
            .partition(|group: &TestGroup| !group.tests.is_disjoint(&new.tests));
        groups = others;
        let linked: Vec<TestGroup> = linked;
        for group in linked.into_iter().rev() {
            new.tests.extend(group.tests);
            new.resources.splice(0..0, group.resources);
        }
        groups.push(new);
    }
    let mut taken = taken.clone();
    for group in &mut groups {
        group.name = key_names::new_key(&group.resources[0], &taken);
        taken.insert(group.name.clone());
    }
    groups
}

/// Returns the names of the configured groups.
pub(crate) fn names(text: &str) -> Result<BTreeSet<String>, TomlError> {
    let document: DocumentMut = text.parse()?;
    let table = document.get("test-groups").and_then(Item::as_table_like);
    Ok(table
        .into_iter()
        .flat_map(|table| table.iter())
        .map(|(name, _)| name.to_owned())
        .collect())
}

/// Returns the configuration with a single-threaded group for these tests, which are keyed by nextest's binary ID.
pub(crate) fn with_group(text: &str, name: &str, tests: &GroupTests) -> Result<String, TomlError> {
    let mut document: DocumentMut = text.parse()?;
    let groups = document.entry("test-groups").or_insert_with(toml_edit::table);
    if let Some(groups) = groups.as_table_like_mut() {
        let mut settings = InlineTable::new();
        settings.insert("max-threads", 1.into());
        groups.insert(name, value(settings));
    }
    let mut rule = Table::new();
    rule.insert("filter", filter(tests));
    rule.insert("test-group", value(name));
    let profile = document
        .entry("profile")
        .or_insert_with(|| implicit(Table::new()));
    if let Some(profile) = profile.as_table_like_mut() {
        let default = profile.entry("default").or_insert_with(|| implicit(Table::new()));
        if let Some(default) = default.as_table_like_mut() {
            let rules = default
                .entry("overrides")
                .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
            if let Some(rules) = rules.as_array_of_tables_mut() {
                rules.push(rule);
            } else if let Some(rules) = rules.as_array_mut() {
                rules.push(rule.into_inline_table());
            }
        }
    }
    Ok(document.to_string())
}

/// The test groups that the configuration assigns to some tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AssignedGroup {
    None,
    /// The single-threaded group of an override that [`with_group`] wrote, with all its tests.
    Own(String, GroupTests),
    /// Another group, or several, or a filter that only nextest can evaluate.
    Other,
}

/// Tests by nextest's binary ID.
pub(crate) type GroupTests = BTreeMap<String, BTreeSet<String>>;

/// Returns the groups that existing overrides assign to these tests, or may assign: nextest uses the first override that
/// matches, those of a profile before those of the default profile.
pub(crate) fn assigned_group(text: &str, tests: &GroupTests) -> Result<AssignedGroup, TomlError> {
    let document: DocumentMut = text.parse()?;
    let profiles = document.get("profile").and_then(Item::as_table_like);
    let profiles = profiles.into_iter().flat_map(|profiles| profiles.iter());
    let with_group = profiles.flat_map(|(profile, settings)| {
        let rules = settings.get("overrides");
        let rules = (0..).map_while(move |number| rules?.get(number));
        rules.filter_map(move |rule| Some((profile, rule, rule.get("test-group")?.as_str()?)))
    });
    let mut assigned = AssignedGroup::None;
    for (profile, rule, group) in with_group {
        let filter = rule.get("filter").and_then(Item::as_str);
        let Some(named) = filter.and_then(tests_in_filter) else {
            return Ok(AssignedGroup::Other);
        };
        let is_named = |(program, names): (&String, &BTreeSet<String>)| {
            let named = named.get(program);
            named.is_some_and(|named| !named.is_disjoint(names))
        };
        if !tests.iter().any(is_named) {
            continue;
        }
        let threads = document
            .get("test-groups")
            .and_then(|groups| groups.get(group)?.get("max-threads"));
        let settings = rule.as_table_like().map_or(0, |rule| rule.len());
        let is_own = profile == "default" && settings == 2 && threads.and_then(Item::as_integer) == Some(1);
        if !is_own || assigned != AssignedGroup::None {
            return Ok(AssignedGroup::Other);
        }
        assigned = AssignedGroup::Own(group.to_owned(), named);
    }
    Ok(assigned)
}

/// Returns the configuration with these tests in a group that [`assigned_group`] found.
pub(crate) fn with_extended_group(text: &str, name: &str, tests: &GroupTests) -> Result<String, TomlError> {
    let mut document: DocumentMut = text.parse()?;
    let rules = document
        .get_mut("profile")
        .and_then(|profiles| profiles.get_mut("default")?.get_mut("overrides"));
    let of_group = |rule: &&mut dyn TableLike| rule.get("test-group").and_then(Item::as_str) == Some(name);
    let rule = rules.and_then(|rules| match rules {
        Item::ArrayOfTables(rules) => rules
            .iter_mut()
            .map(|rule| rule as &mut dyn TableLike)
            .find(of_group),
        _ => {
            let mut rules = rules
                .as_array_mut()?
                .iter_mut()
                .filter_map(Value::as_inline_table_mut);
            rules
                .by_ref()
                .map(|rule| rule as &mut dyn TableLike)
                .find(of_group)
        }
    });
    if let Some(rule) = rule {
        rule.insert("filter", filter(tests));
    }
    Ok(document.to_string())
}

/// Returns the tests of a filter in the form that `filter` writes.
fn tests_in_filter(filter: &str) -> Option<GroupTests> {
    let mut named = GroupTests::new();
    let mut program = String::new();
    let mut shape = String::new();
    let mut rest = filter;
    while let Some(first) = rest.chars().next() {
        let test = rest.strip_prefix("test(=");
        if let Some(name) = test.or_else(|| rest.strip_prefix("binary_id(=")) {
            let end = end_of_name(name)?;
            let unescaped = unescaped(&name[..end]);
            if test.is_some() {
                named.entry(program.clone()).or_default().insert(unescaped);
                shape.push('t');
            } else {
                program = unescaped;
                shape.push('p');
            }
            rest = &name[end + 1..];
        } else {
            shape.extend(Some(first).filter(|first| !first.is_whitespace()));
            rest = &rest[first.len_utf8()..];
        }
    }
    let shape = shape.replace("t|", "");
    shape
        .split('|')
        .all(|program| program == "(p&(t))")
        .then_some(named)
}

/// Returns the offset of the first unbalanced closing parenthesis.
fn end_of_name(text: &str) -> Option<usize> {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            ')' => return Some(at),
            '\\' => _ = letters.next(),
            _ => {}
        }
    }
    None
}

fn implicit(mut table: Table) -> Item {
    table.set_implicit(true);
    Item::Table(table)
}

/// Returns a filter expression with one line per test.
fn filter(tests: &GroupTests) -> Item {
    let of_program = |(program, tests): (&String, &BTreeSet<String>)| {
        let names: Vec<String> = tests
            .iter()
            .map(|test| format!("test(={})", escaped(test)))
            .collect();
        format!(
            "(binary_id(={}) & (\n    {}\n))",
            escaped(program),
            names.join("\n  | ")
        )
    };
    let programs: Vec<String> = tests.iter().map(of_program).collect();
    let text = programs.join(" | ");
    // A multi-line literal string.
    let written = format!("'''\n{text}\n'''").parse();
    Item::Value(written.unwrap_or_else(|_| text.into()))
}

fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for letter in name.chars() {
        if matches!(letter, '\\' | '(' | ')' | ',') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

fn unescaped(name: &str) -> String {
    let mut letters = name.chars();
    std::iter::from_fn(|| match letters.next() {
        Some('\\') => letters.next(),
        letter => letter,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam::Resource;

    fn tests(all: &[(&str, &[&str])]) -> GroupTests {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        all.iter()
            .map(|(program, names)| ((*program).to_owned(), set(names)))
            .collect()
    }

    #[test]
    fn a_new_group_leaves_the_other_settings_unchanged() {
        let two = tests(&[("desk", &["a"]), ("desk::shop", &["b", "c(1)"])]);
        let rule = "filter = '''\n(binary_id(=desk) & (\n    test(=a)\n)) | (binary_id(=desk::shop) & (\n    \
                    test(=b)\n  | test(=c\\(1\\))\n))\n'''\ntest-group = \"report_csv\"\n";
        let new = with_group("", "report_csv", &two).unwrap();
        assert_eq!(
            new,
            format!(
                "[test-groups]\nreport_csv = {{ max-threads = 1 }}\n\n[[profile.default.overrides]]\n{rule}"
            )
        );
        let before = "# ours\n[test-groups]\ndb = { max-threads = 2 } # why\n\n[profile.default]\nretries = 1\n\n\
                      [[profile.default.overrides]]\nfilter = 'test(x)'\nretries = 2\n";
        let after = with_group(before, "report_csv", &two).unwrap();
        let with_group = before.replace("# why\n", "# why\nreport_csv = { max-threads = 1 }\n");
        assert_eq!(
            after,
            format!("{with_group}\n[[profile.default.overrides]]\n{rule}")
        );
        assert_eq!(
            names(&after).unwrap(),
            BTreeSet::from(["db".to_owned(), "report_csv".to_owned()])
        );
    }

    #[test]
    fn an_existing_group_of_the_tests_is_found_in_every_profile() {
        let two = tests(&[("desk", &["a"]), ("desk::shop", &["b", "c(1)"])]);
        let others = tests(&[("desk", &["x", "c"])]);
        let written = with_group("", "report_csv", &two).unwrap();
        let assigned = |text: &str, tests: &GroupTests| assigned_group(text, tests).unwrap();
        let own = AssignedGroup::Own("report_csv".to_owned(), two.clone());
        assert_eq!(assigned(&written, &two), own);
        assert_eq!(assigned(&written, &tests(&[("desk::shop", &["c(1)", "d"])])), own);
        assert_eq!(assigned(&written, &others), AssignedGroup::None);
        // Two groups, other settings, or another number of threads.
        let three = with_group(&written, "x", &others).unwrap();
        let of_both = tests(&[("desk", &["a", "x"])]);
        assert_eq!(assigned(&three, &of_both), AssignedGroup::Other);
        for (ours, theirs) in [
            ("max-threads = 1", "max-threads = 2"),
            ("test-group =", "retries = 2\ntest-group ="),
            ("profile.default", "profile.ci"),
        ] {
            let changed = written.replace(ours, theirs);
            assert_eq!(assigned(&changed, &two), AssignedGroup::Other, "{theirs}");
        }
        let may = |text: &str, tests: &GroupTests| assigned(text, tests) != AssignedGroup::None;
        for (rule, is_one) in [
            ("filter = 'test(x)'\nretries = 2", false),
            ("filter = 'test(y)'\ntest-group = 'db'", true),
            (
                "filter = 'not (binary_id(=desk) & (test(=y)))'\ntest-group = 'db'",
                true,
            ),
            (
                "filter = '(binary_id(=desk) & (test(=y)))'\ntest-group = 'db'",
                false,
            ),
            (
                "filter = '(binary_id(=desk) & (test(=x)))'\ntest-group = 'db'",
                true,
            ),
            ("platform = 'cfg(unix)'\ntest-group = '@global'", true),
        ] {
            let text = format!("[profile.ci]\n\n[[profile.ci.overrides]]\n{rule}\n");
            assert_eq!(may(&text, &others), is_one, "{rule}");
        }
        let inline = "[profile.default]\noverrides = [{ filter = 'all()', test-group = 'db' }]\n";
        assert!(may(inline, &others));
    }

    #[test]
    fn a_group_is_extended_in_place() {
        let old = tests(&[("desk", &["a"])]);
        let new = tests(&[("desk", &["a", "b"]), ("desk::shop", &["c"])]);
        let before = "# ours\n[profile.default]\nretries = 1\n\n[[profile.default.overrides]]\nfilter = 'test(x)'\nretries = 2\n";
        let text = with_group(before, "report_csv", &old).unwrap();
        let extended = with_extended_group(&text, "report_csv", &new).unwrap();
        assert_eq!(extended, with_group(before, "report_csv", &new).unwrap());
        let inline = "test-groups = { db = { max-threads = 1 } }\n[profile.default]\n\
                      overrides = [{ filter = '(binary_id(=desk) & (test(=a)))', test-group = 'db' }] # ours\n";
        let extended = with_extended_group(inline, "db", &new).unwrap();
        assert_eq!(
            assigned_group(&extended, &old).unwrap(),
            AssignedGroup::Own("db".to_owned(), new)
        );
        assert!(extended.ends_with("# ours\n"), "{extended}");
    }

    #[test]
    fn tests_connected_by_any_resource_are_in_one_group() {
        let shared = |name: &str, users: &[usize]| SharedResource {
            resource: Resource::new(cofferdam::format::ResourceKind::File, name),
            users: users.iter().map(|test| (*test, true)).collect(),
        };
        let all = [
            shared("a", &[0, 1]),
            shared("b", &[2, 3]),
            shared("c", &[4]),
            shared("d", &[1, 2]),
            shared("e", &[5, 6]),
        ];
        let groups = groups(&all, &BTreeSet::from(["e".to_owned()]));
        let summary: Vec<_> = groups
            .iter()
            .map(|group| (group.name.as_str(), group.tests.len(), group.resources.len()))
            .collect();
        assert_eq!(summary, [("a", 4, 3), ("e_2", 2, 1)]);
    }
}
