//! Tests that start programs which an observer cannot see, or not for long.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

/// Keeps other tests from starting a process, which would inherit a program that is open for writing.
fn lock() -> fs::File {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met/lock");
    let file = fs::File::create(path).unwrap();
    file.lock().unwrap();
    file
}

fn program(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A program that is linked with nothing and ends at once: `mov eax, 60; xor edi, edi; syscall`.
fn of_its_own() -> Vec<u8> {
    let code = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
    let start: u64 = 0x40_0000 + 120;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for word in [start, 64, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    let length = 120 + code.len() as u64;
    for word in [0, 0x40_0000, 0x40_0000, length, length, 0x1000] {
        bytes.extend(u64::to_ne_bytes(word));
    }
    bytes.extend(code);
    bytes
}

#[test]
fn starts_a_static_program() {
    let _lock = lock();
    let path = program("static", &of_its_own());
    assert!(Command::new(path).status().unwrap().success());
}

#[test]
fn starts_nothing() {
    let _lock = lock();
    let none = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met/none");
    assert!(Command::new(none).status().is_err());
}

#[test]
fn starts_and_kills() {
    let _lock = lock();
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts half of a program, which the loader cannot load.
#[test]
fn breaks() {
    let _lock = lock();
    let whole = fs::read("/bin/true").unwrap();
    let path = program("broken", &whole[..4096]);
    assert!(!Command::new(path).status().unwrap().success());
}

#[test]
fn fails() {
    panic!("for no reason that can be seen");
}
