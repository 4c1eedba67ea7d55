//! Test groups in nextest's configuration that run one test at a time. Everything else keeps its formatting.

use super::plan::Meeting;
use super::words;
use std::collections::{BTreeMap, BTreeSet};
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TomlError, value};

/// A group of tests of which nextest runs one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) tests: BTreeSet<usize>,
    /// The shared resources.
    pub(crate) resources: Vec<cofferdam::Resource>,
}

/// Returns the groups of tests connected by shared resources: nextest allows one group per test.
pub(crate) fn groups(meetings: &[Meeting], taken: &BTreeSet<String>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for meeting in meetings
        .iter()
        .filter(|meeting| meeting.users.values().any(|writes| *writes))
    {
        let mut new = Group {
            name: String::new(),
            tests: meeting.users.keys().copied().collect(),
            resources: vec![meeting.resource.clone()],
        };
        if new.tests.len() < 2 {
            continue;
        }
        let (linked, others) = groups
            .into_iter()
            .partition(|group: &Group| !group.tests.is_disjoint(&new.tests));
        groups = others;
        let linked: Vec<Group> = linked;
        for group in linked.into_iter().rev() {
            new.tests.extend(group.tests);
            new.resources.splice(0..0, group.resources);
        }
        groups.push(new);
    }
    let mut taken = taken.clone();
    for group in &mut groups {
        group.name = words::new_key(&group.resources[0], &taken);
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
pub(crate) fn with_group(
    text: &str,
    name: &str,
    tests: &BTreeMap<String, BTreeSet<String>>,
) -> Result<String, TomlError> {
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

/// Returns whether an existing override assigns a group to one of these tests, or may do so: nextest uses the first override
/// that matches, those of a profile before those of the default profile.
pub(crate) fn may_be_in_one(
    text: &str,
    tests: &BTreeMap<String, BTreeSet<String>>,
) -> Result<bool, TomlError> {
    let document: DocumentMut = text.parse()?;
    let profiles = document.get("profile").and_then(Item::as_table_like);
    let mut with_group = profiles
        .into_iter()
        .flat_map(|profiles| profiles.iter())
        .filter_map(|(_, profile)| profile.get("overrides"))
        .flat_map(|rules| (0..).map_while(|number| rules.get(number)))
        .filter(|rule| rule.get("test-group").is_some());
    Ok(with_group.any(|rule| {
        let named = rule.get("filter").and_then(Item::as_str).and_then(named_in);
        // Only nextest can evaluate other filters.
        named.is_none_or(|named| {
            let mut programs = tests.iter();
            programs.any(|(program, tests)| {
                let mut tests = tests.iter();
                tests.any(|test| named.contains(&(escaped(program), escaped(test))))
            })
        })
    }))
}

/// Returns the tests and binary IDs of a filter in the form that `filter` writes.
fn named_in(filter: &str) -> Option<BTreeSet<(String, String)>> {
    let mut named = BTreeSet::new();
    let mut program = "";
    let mut shape = String::new();
    let mut rest = filter;
    while let Some(first) = rest.chars().next() {
        let test = rest.strip_prefix("test(=");
        if let Some(name) = test.or_else(|| rest.strip_prefix("binary_id(=")) {
            let end = end_of_name(name)?;
            if test.is_some() {
                named.insert((program.to_owned(), name[..end].to_owned()));
                shape.push('t');
            } else {
                program = &name[..end];
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
fn filter(tests: &BTreeMap<String, BTreeSet<String>>) -> Item {
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

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam::Resource;

    fn tests(all: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        all.iter()
            .map(|(program, names)| ((*program).to_owned(), set(names)))
            .collect()
    }

    #[test]
    fn a_group_is_added_to_settings_that_stay_as_they_were() {
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
    fn a_group_that_tests_may_have_already_is_seen_in_every_profile() {
        let two = tests(&[("desk", &["a"]), ("desk::shop", &["b", "c(1)"])]);
        let others = tests(&[("desk", &["x", "c"])]);
        let written = with_group("", "report_csv", &two).unwrap();
        let may = |text: &str, tests| may_be_in_one(text, tests).unwrap();
        assert!(may(&written, &two) && !may(&written, &others));
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
    fn whoever_is_linked_by_any_resource_is_in_one_group() {
        let meeting = |name: &str, users: &[usize]| Meeting {
            resource: Resource::new(cofferdam::ResourceKind::File, name),
            users: users.iter().map(|test| (*test, true)).collect(),
        };
        let all = [
            meeting("a", &[0, 1]),
            meeting("b", &[2, 3]),
            meeting("c", &[4]),
            meeting("d", &[1, 2]),
            meeting("e", &[5, 6]),
        ];
        let groups = groups(&all, &BTreeSet::from(["e".to_owned()]));
        let told: Vec<_> = groups
            .iter()
            .map(|group| (group.name.as_str(), group.tests.len(), group.resources.len()))
            .collect();
        assert_eq!(told, [("a", 4, 3), ("e_2", 2, 1)]);
    }
}
