//! Names for keys.

use crate::findings::Resource;
use std::collections::BTreeSet;

/// Longer names say no more.
const LONGEST: usize = 40;

/// A key for what tests meet on, and no other's: `report_csv`, else with more of its path, else with a number.
pub(crate) fn new_key(resource: &Resource, taken: &BTreeSet<String>) -> String {
    let is_free = |key: &String| !taken.contains(key) && !is_word_of_rust(key);
    let parts: Vec<&str> = match resource.kind.as_str() {
        "file" => resource
            .name
            .split(['/', '\\'])
            .filter(|part| !part.is_empty())
            .collect(),
        _ => Vec::new(),
    };
    let short = match resource.kind.as_str() {
        "file" => word(parts.last().copied().unwrap_or_default()),
        "env" | "name" => word(&resource.name),
        "port" => word(&format!("port {}", resource.name)),
        // Of these a process has one.
        kind => word(kind),
    };
    let folder = parts
        .len()
        .checked_sub(2)
        .map(|at| format!("{}_{short}", word(parts[at])));
    let numbered = (2..).map(|number| format!("{short}_{number}"));
    let mut names = std::iter::once(short.clone()).chain(folder).chain(numbered);
    names.find(is_free).unwrap_or_default()
}

/// As it can stand in an attribute.
fn word(text: &str) -> String {
    let mut word = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            word.push(letter.to_ascii_lowercase());
        } else if !word.ends_with('_') && !word.is_empty() {
            word.push('_');
        }
    }
    word.truncate(LONGEST);
    let word = word.trim_end_matches('_');
    if word.is_empty() || word.starts_with(|first: char| first.is_ascii_digit()) {
        return format!("key_{word}").trim_end_matches('_').to_owned();
    }
    word.to_owned()
}

/// `serial` is what an attribute without a key means.
fn is_word_of_rust(key: &str) -> bool {
    key == "serial" || syn::parse_str::<syn::Ident>(key).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_after_what_tests_meet_on() {
        for (kind, name, key) in [
            ("file", "/w/target/report.csv", "report_csv"),
            ("file", "/w/.tmp-x/", "tmp_x"),
            ("file", "/w/in", "w_in"),
            ("file", "/w/2024.log", "key_2024_log"),
            ("file", "/", "key"),
            ("port", "27481", "port_27481"),
            ("port", "53/udp", "port_53_udp"),
            ("env", "NO_COLOR", "no_color"),
            ("env", "SERIAL", "serial_2"),
            ("cwd", "", "cwd"),
            ("name", "queue orders", "queue_orders"),
            ("name", "Käse", "k_se"),
        ] {
            let resource = Resource {
                kind: kind.to_owned(),
                name: name.to_owned(),
            };
            assert_eq!(new_key(&resource, &BTreeSet::new()), key, "{kind} {name}");
        }
    }

    #[test]
    fn a_name_that_is_taken_gets_its_folder_s_and_then_a_number() {
        let resource = Resource {
            kind: "file".to_owned(),
            name: "/w/a.csv".to_owned(),
        };
        let taken = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(new_key(&resource, &taken(&["a_csv"])), "w_a_csv");
        assert_eq!(new_key(&resource, &taken(&["a_csv", "w_a_csv"])), "a_csv_2");
    }
}
