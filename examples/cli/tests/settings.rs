//! Tests of the library: it reads variables and the working directory in the process of all these tests.

use cofferdam::Worker;
use cofferdam::environment::{EnvGuard, remove_env, set_current_dir, set_env};
use notes::Notes;

fn set(name: &str, value: &str) -> EnvGuard {
    // SAFETY: no C function in this suite reads the environment.
    unsafe { set_env(name, value) }
}

fn remove(name: &str) -> EnvGuard {
    // SAFETY: as above.
    unsafe { remove_env(name) }
}

#[test]
fn the_variable_selects_the_directory() {
    let dir = Worker::current().test_dir().unwrap();
    let _dir = set("NOTES_DIR", dir.to_str().unwrap());
    assert_eq!(Notes::from_env().unwrap().file(), dir.join("notes.txt"));
}

#[test]
fn without_the_variable_the_working_directory_counts() {
    let dir = Worker::current().test_dir().unwrap();
    let _no_dir = remove("NOTES_DIR");
    let _there = set_current_dir(&dir);
    Notes::from_env().unwrap().add("buy tea").unwrap();
    assert_eq!(
        std::fs::read_to_string(dir.join("notes.txt")).unwrap(),
        "buy tea\n"
    );
}

#[test]
fn a_port_that_is_no_number_is_an_error() {
    let _port = set("NOTES_PORT", "seven");
    assert_eq!(
        Notes::from_env().unwrap_err().to_string(),
        "NOTES_PORT is \"seven\""
    );
}

#[test]
fn a_file_that_does_not_exist_has_no_notes() {
    let dir = Worker::current().test_dir().unwrap();
    let _dir = set("NOTES_DIR", dir.to_str().unwrap());
    assert_eq!(Notes::from_env().unwrap().list().unwrap(), "");
}
