//! Names for new keys.

use cofferdam::{Resource, ResourceKind as Kind};
use std::collections::BTreeSet;

/// The length limit of a name.
const LONGEST: usize = 40;

/// Returns an unused key for a resource: `report_csv`, with more of its path if that is taken, with a number otherwise.
pub(crate) fn new_key(resource: &Resource, taken: &BTreeSet<String>) -> String {
    let is_free = |key: &String| !taken.contains(key) && !is_word_of_rust(key);
    let parts: Vec<&str> = match resource.kind() {
        Kind::File
        | Kind::Directory
        | Kind::GitRepository
        | Kind::Database
        | Kind::TempName
        | Kind::UnixSocket => {
            let parts = resource.as_str().split(['/', '\\']);
            parts.filter(|part| !part.is_empty()).collect()
        }
        Kind::SharedMemory
        | Kind::Port
        | Kind::UdpPort
        | Kind::Env
        | Kind::Cwd
        | Kind::Umask
        | Kind::Name => Vec::new(),
    };
    let short = match parts.last() {
        Some(last) => word(last),
        None => match resource.kind() {
            Kind::Env | Kind::Name => word(resource.as_str()),
            kind => word(&format!("{} {}", kind.key(), resource.as_str())),
        },
    };
    let folder = parts
        .len()
        .checked_sub(2)
        .map(|at| format!("{}_{short}", word(parts[at])));
    let numbered = (2..).map(|number| format!("{short}_{number}"));
    let mut names = std::iter::once(short.clone()).chain(folder).chain(numbered);
    names.find(is_free).unwrap_or_default()
}

/// Returns text as an identifier.
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

/// Returns whether a key is reserved. serial_test's default key is called `serial`.
fn is_word_of_rust(key: &str) -> bool {
    key == "serial" || syn::parse_str::<syn::Ident>(key).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_after_what_tests_meet_on() {
        for (kind, name, key) in [
            (Kind::File, "/w/target/report.csv", "report_csv"),
            (Kind::File, "/w/.tmp-x/", "tmp_x"),
            (Kind::File, "/w/in", "w_in"),
            (Kind::File, "/w/2024.log", "key_2024_log"),
            (Kind::File, "/", "file"),
            (Kind::Port, "27481", "port_27481"),
            (Kind::UdpPort, "53", "udp_port_53"),
            (Kind::Env, "NO_COLOR", "no_color"),
            (Kind::Env, "SERIAL", "serial_2"),
            (Kind::Cwd, "", "cwd"),
            (Kind::Name, "queue orders", "queue_orders"),
            (Kind::Name, "Käse", "k_se"),
        ] {
            let resource = Resource::new(kind, name);
            assert_eq!(new_key(&resource, &BTreeSet::new()), key, "{resource}");
        }
    }

    #[test]
    fn a_name_that_is_taken_gets_its_folder_s_and_then_a_number() {
        let resource = Resource::file("/w/a.csv");
        let taken = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(new_key(&resource, &taken(&["a_csv"])), "w_a_csv");
        assert_eq!(new_key(&resource, &taken(&["a_csv", "w_a_csv"])), "a_csv_2");
    }
}
