//! A request to run a program's tests in some order, or to begin them at the same moment: a file that the observer reads.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

/// The variable with the request.
const ORDER: &str = "COFFERDAM_ORDER";

/// The way in which the tests are to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    InOrder,
    AtOnce,
}

/// Writes the names of the tests to `file`, and returns the variable to set for the program. All of them have to begin within
/// `patience`, so the program needs as many threads as there are tests.
pub(crate) fn write(
    file: &Path,
    tests: &[&str],
    begin: Begin,
    patience: Duration,
) -> io::Result<(&'static str, OsString)> {
    let is_name = |name: &&str| !name.is_empty() && !name.contains(['\n', '\0']);
    let names: BTreeSet<&&str> = tests.iter().collect();
    if !tests.iter().all(is_name) || names.len() < tests.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a test's name is empty, has several lines, or is there twice",
        ));
    }
    fs::write(file, tests.join("\n"))?;
    let way = match begin {
        Begin::InOrder => "order",
        Begin::AtOnce => "at-once",
    };
    let mut value = OsString::from(format!("{};{way};", patience.as_millis()));
    value.push(file);
    Ok((ORDER, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_observer_could_not_tell_apart_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("order");
        let write = |tests: &[&str]| write(&file, tests, Begin::InOrder, Duration::from_secs(10));
        let mut wanted = OsString::from("10000;order;");
        wanted.push(&file);
        assert_eq!(write(&["b", "a x"]).unwrap(), ("COFFERDAM_ORDER", wanted));
        assert_eq!(fs::read_to_string(&file).unwrap(), "b\na x");
        for tests in [&["a", ""][..], &["a\nb"], &["a", "b", "a"]] {
            assert!(write(tests).is_err(), "{tests:?}");
        }
    }
}
