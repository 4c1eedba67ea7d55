//! Tests that conflict on several paths with one cause.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("met").join(name)
}

fn write(name: &str) {
    let path = place(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "").unwrap();
}

/// Like `git commit`, with a file of its working tree.
fn commit() {
    write("repo/.git/index.lock");
    fs::rename(place("repo/.git/index.lock"), place("repo/.git/index")).unwrap();
    write("repo/.git/refs/heads/main");
    write("repo/README");
}
#[test]
fn a_commits() {
    commit();
}
#[test]
fn b_commits() {
    commit();
}

/// Like a transaction of SQLite.
fn transact() {
    write("shop.db");
    write("shop.db-journal");
    fs::remove_file(place("shop.db-journal")).unwrap();
}
#[test]
fn a_transacts() {
    transact();
}
#[test]
fn b_transacts() {
    transact();
}
#[test]
fn c_only_looks_into_the_database() {
    let _ = fs::metadata(place("shop.db"));
}

#[test]
fn a_writes_two_files_of_a_directory() {
    write("shared/one");
    write("shared/deep/two");
}
#[test]
fn b_writes_two_files_of_a_directory() {
    a_writes_two_files_of_a_directory();
}

/// The clock has a resolution of milliseconds, so two tests may get the same value.
fn scratch() -> PathBuf {
    let tick = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let path = place(&format!("scratch-{}-{tick}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    path
}
#[test]
fn a_uses_a_temporary_name() {
    fs::write(scratch().join("file"), "").unwrap();
}
#[test]
fn b_uses_a_temporary_name() {
    fs::write(scratch().join("file"), "").unwrap();
}
#[test]
fn c_uses_a_temporary_name() {
    fs::write(scratch().join("file"), "").unwrap();
}
#[test]
fn d_uses_a_fixed_name_that_looks_alike() {
    write("scratch-1-2/file");
}

#[test]
fn a_says_where_its_random_directory_is() {
    write(".tmpAbC12x/file");
    fs::write(place("where"), ".tmpAbC12x/file").unwrap();
}
#[test]
fn b_looks_there() {
    if let Ok(name) = fs::read_to_string(place("where")) {
        let _ = fs::metadata(place(&name));
    }
}

#[test]
fn a_removes_a_name() {
    write("listed/name");
    fs::remove_file(place("listed/name")).unwrap();
}
#[test]
fn b_lists_the_names() {
    let _ = fs::read_dir(place("listed")).map(Iterator::count);
}
