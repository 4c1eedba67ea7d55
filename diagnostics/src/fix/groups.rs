//! nextest's settings with test groups of one thread. Everything else stays as it was written.

use super::plan::Meeting;
use super::words;
use std::collections::{BTreeMap, BTreeSet};
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TomlError, value};

/// Tests of which nextest runs one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) tests: BTreeSet<usize>,
    /// What they meet on.
    pub(crate) resources: Vec<crate::findings::Resource>,
}

/// A test has one group at most, so whoever is linked by any resource is in one.
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

/// Names of groups that the settings have.
pub(crate) fn names(text: &str) -> Result<BTreeSet<String>, TomlError> {
    let document: DocumentMut = text.parse()?;
    let table = document.get("test-groups").and_then(Item::as_table_like);
    Ok(table
        .into_iter()
        .flat_map(|table| table.iter())
        .map(|(name, _)| name.to_owned())
        .collect())
}

/// The settings with a group of one thread for these tests, by their programs as nextest calls them.
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

fn implicit(mut table: Table) -> Item {
    table.set_implicit(true);
    Item::Table(table)
}

/// In nextest's language, a line for each test.
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
    // Between three quotes there are lines.
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
    use crate::findings::Resource;

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
    fn whoever_is_linked_by_any_resource_is_in_one_group() {
        let meeting = |name: &str, users: &[usize]| Meeting {
            resource: Resource {
                kind: "file".to_owned(),
                name: name.to_owned(),
            },
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
