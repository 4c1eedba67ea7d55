//! Names for new keys.

use cofferdam::Resource;
use cofferdam::format::ResourceKind as Kind;
use std::collections::BTreeSet;

/// The length limit of a name.
const MAX_LENGTH: usize = 40;

/// Returns an unused key for a resource: `report_csv`, with more of its path if that is taken, with a number otherwise.
pub(crate) fn new_key(resource: &Resource, taken: &BTreeSet<String>) -> String {
    let is_free = |key: &String| !taken.contains(key) && !is_reserved(key);
    let kind = resource.kind();
    let is_path = resource.path().is_some() && kind != Kind::SharedMemory || kind == Kind::UnixSocket;
    let parts: Vec<&str> = if is_path {
        let parts = resource.as_str().split(['/', '\\']);
        parts.filter(|part| !part.is_empty()).collect()
    } else {
        Vec::new()
    };
    let short = match parts.last() {
        Some(last) => identifier(last),
        None if matches!(kind, Kind::Env | Kind::Name) => identifier(resource.as_str()),
        None => identifier(&format!("{} {}", kind.key(), resource.as_str())),
    };
    let folder = parts
        .len()
        .checked_sub(2)
        .map(|at| format!("{}_{short}", identifier(parts[at])));
    let numbered = (2..).map(|number| format!("{short}_{number}"));
    let mut names = std::iter::once(short.clone()).chain(folder).chain(numbered);
    names.find(is_free).unwrap_or_default()
}

/// Returns text as an identifier.
fn identifier(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            name.push(letter.to_ascii_lowercase());
        } else if !name.ends_with('_') && !name.is_empty() {
            name.push('_');
        }
    }
    name.truncate(MAX_LENGTH);
    let name = name.trim_end_matches('_');
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return format!("key_{name}").trim_end_matches('_').to_owned();
    }
    name.to_owned()
}

/// Returns whether a key is reserved. serial_test's default key is called `serial`.
fn is_reserved(key: &str) -> bool {
    key == "serial" || syn::parse_str::<syn::Ident>(key).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_after_the_resource() {
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
    fn a_taken_name_gets_the_directory_as_prefix_or_a_number() {
        let resource = Resource::file("/w/a.csv");
        let taken = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(new_key(&resource, &taken(&["a_csv"])), "w_a_csv");
        assert_eq!(new_key(&resource, &taken(&["a_csv", "w_a_csv"])), "a_csv_2");
    }
}
