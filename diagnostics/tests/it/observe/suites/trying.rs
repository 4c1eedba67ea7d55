//! Tests that conflict by their attempts, regardless of the outcome in one run, and tests that only seem to.

use std::fs::{self, File, OpenOptions};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

unsafe extern "C" {
    fn syscall(number: i64, ...) -> i64;
    fn shm_open(name: *const i8, flags: i32, mode: u32) -> i32;
}

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name)
}

macro_rules! pairs {
    ($($name:ident $body:block)*) => {
        $(mod $name {
            use super::*;
            #[test]
            fn a() $body
            #[test]
            fn b() $body
        })*
    };
}

// The second of the two fails or finds nothing.
pairs! {
    folder_is_made_and_removed {
        let _ = fs::create_dir(place("folder"));
        let _ = fs::remove_dir(place("folder"));
    }
    socket_is_bound {
        let _ = UnixListener::bind(place("socket"));
    }
    name_without_a_file_is_bound {
        use std::os::linux::net::SocketAddrExt as _;
        let name = SocketAddr::from_abstract_name("cofferdam-trying").unwrap();
        // Held until the process ends, so that no other test gets it.
        std::mem::forget(UnixListener::bind_addr(&name));
    }
    file_has_to_be_new {
        let _ = File::create_new(place("new"));
    }
    file_has_to_be_new_by_the_number_of_the_call {
        let path = std::ffi::CString::new(place("raw").to_str().unwrap()).unwrap();
        const OPENAT: i64 = if cfg!(target_arch = "aarch64") { 56 } else { 257 };
        unsafe { syscall(OPENAT, -100, path.as_ptr(), 0o301, 0o600) };
    }
    link_is_made {
        let _ = symlink("nowhere", place("soft"));
    }
    memory_has_to_be_new {
        unsafe { shm_open(c"/cofferdam-trying".as_ptr().cast(), 0o302, 0o600) };
    }
    file_is_moved_away {
        let _ = fs::write(place("to-move"), "");
        let _ = fs::rename(place("to-move"), place("moved"));
    }

    // No conflicts.
    folder_is_made_and_used {
        let _ = fs::create_dir(place("made"));
        assert!(place("made").exists());
    }
    file_that_nobody_makes_is_removed {
        let _ = fs::remove_file(place("never"));
    }
    file_cannot_be_made_there {
        File::create_new(place("../Cargo.toml/x")).unwrap_err();
        OpenOptions::new().write(true).open(place("absent")).unwrap_err();
    }
    variable_is_unset_by_all {
        unsafe { std::env::remove_var("TRYING") };
        assert!(std::env::var("TRYING").is_err());
    }
}

#[test]
fn file_is_made() {
    fs::write(place("here"), "").unwrap();
}
#[test]
fn file_is_removed_before_or_after_it_is_made() {
    let _ = fs::remove_file(place("here"));
}

#[test]
fn folder_is_listed() {
    let _ = fs::create_dir(place("listed"));
    assert!(fs::read_dir(place("listed")).unwrap().count() < 2);
}
#[test]
fn folder_gets_a_name() {
    let _ = fs::create_dir(place("listed"));
    fs::write(place("listed/name"), "").unwrap();
    fs::remove_file(place("listed/name")).unwrap();
}

const PORT: u16 = 28_931;

#[test]
fn port_of_the_other_family() {
    let _ = TcpListener::bind(("::1", PORT));
}
#[test]
fn port_here() {
    let _ = TcpListener::bind(("127.0.0.1", PORT));
}
#[test]
fn port_here_too() {
    let _ = TcpListener::bind(("127.0.0.1", PORT));
}
#[test]
fn port_of_datagrams() {
    let _ = UdpSocket::bind(("127.0.0.1", PORT));
}
#[test]
fn port_of_datagrams_at_another_address() {
    let _ = UdpSocket::bind(("127.0.0.2", PORT));
}
