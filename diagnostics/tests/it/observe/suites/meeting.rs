//! Pairs of tests that conflict, each in another way, and tests that only seem to.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{LazyLock, Mutex};

/// Keeps the process sound. The observer does not see this lock, so the conflicts stay.
static ENVIRONMENT: Mutex<()> = Mutex::new(());

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name)
}

unsafe extern "C" {
    fn umask(mask: u32) -> u32;
    fn shm_open(name: *const i8, flags: i32, mode: u32) -> i32;
}

#[test]
fn variable_is_set_by_a_test_with_a_long_name() {
    let _alone = ENVIRONMENT.lock();
    unsafe { std::env::set_var("MEETING_MODE", "planted-5ecret") };
}
#[test]
fn variable_is_set_by_a_test_with_a_long_game() {
    let _alone = ENVIRONMENT.lock();
    unsafe { std::env::set_var("MEETING_MODE", "b") };
    unsafe { std::env::remove_var("MEETING_MODE") };
}
#[test]
fn variable_is_read() {
    let _ = std::env::var("MEETING_MODE");
}
#[test]
fn variable_that_nobody_sets_is_read_a() {
    let _ = std::env::var("MEETING_HOME");
}
#[test]
fn variable_that_nobody_sets_is_read_b() {
    let _ = std::env::var("MEETING_HOME");
}

#[test]
fn variable_is_set_to_what_others_set_it_to_a() {
    let _alone = ENVIRONMENT.lock();
    unsafe { std::env::set_var("MEETING_PLACE", "a") };
    assert_eq!(std::env::var("MEETING_PLACE").unwrap(), "a");
}
#[test]
fn variable_is_set_to_what_others_set_it_to_b() {
    let _alone = ENVIRONMENT.lock();
    unsafe { std::env::set_var("MEETING_PLACE", "a") };
}

#[test]
fn folder_is_changed() {
    let _alone = ENVIRONMENT.lock();
    let before = std::env::current_dir().unwrap();
    std::env::set_current_dir("/").unwrap();
    std::env::set_current_dir(before).unwrap();
}
#[test]
fn folder_is_depended_on() {
    let _alone = ENVIRONMENT.lock();
    assert!(fs::metadata("Cargo.toml").is_ok());
}

#[test]
fn mask_is_changed() {
    let _alone = ENVIRONMENT.lock();
    unsafe { umask(umask(0o077)) };
}
#[test]
fn mask_is_changed_too() {
    let _alone = ENVIRONMENT.lock();
    unsafe { umask(umask(0o027)) };
}

#[test]
fn file_is_written() {
    fs::write(place("report"), "1").unwrap();
}
#[test]
fn file_is_looked_for_in_vain_or_not() {
    let _ = place("report").exists();
}
#[test]
fn file_is_replaced_a() {
    fs::write(place("replaced.a"), "1").unwrap();
    fs::rename(place("replaced.a"), place("replaced")).unwrap();
}
#[test]
fn file_is_replaced_b() {
    fs::write(place("replaced.b"), "1").unwrap();
    fs::rename(place("replaced.b"), place("replaced")).unwrap();
}
#[test]
fn file_that_nobody_writes_is_read_a() {
    let _ = fs::read(place("../Cargo.toml"));
}
#[test]
fn file_that_nobody_writes_is_read_b() {
    let _ = fs::read(place("../Cargo.toml"));
}

#[test]
fn folder_is_removed_with_all_that_is_in_it() {
    let _ = fs::create_dir_all(place("removed"));
    let _ = fs::remove_dir_all(place("removed"));
}
#[test]
fn folder_has_something_in_it() {
    let _ = fs::create_dir_all(place("removed"));
    let _ = fs::write(place("removed/x"), "1");
}
#[test]
fn folder_is_made_by_both_a() {
    fs::create_dir_all(place("made/a")).unwrap();
}
#[test]
fn folder_is_made_by_both_b() {
    fs::create_dir_all(place("made/b")).unwrap();
}

#[test]
fn folder_is_listed() {
    let _ = fs::create_dir_all(place("listed"));
    let _ = fs::read_dir(place("listed")).unwrap().count();
}
#[test]
fn folder_has_another_name_in_it() {
    let _ = fs::create_dir_all(place("listed"));
    fs::write(place("listed/name"), "1").unwrap();
}
#[test]
fn folder_has_yet_another_name_in_it_for_a_while() {
    let _ = fs::create_dir_all(place("listed"));
    fs::write(place("listed/while"), "1").unwrap();
    fs::remove_file(place("listed/while")).unwrap();
}

#[test]
fn port_is_taken_everywhere() {
    let _ = TcpListener::bind("0.0.0.0:28917");
}
#[test]
fn port_is_taken_here() {
    let _ = TcpListener::bind("127.0.0.1:28917");
}
#[test]
fn port_of_datagrams_is_another_port() {
    let _ = UdpSocket::bind("127.0.0.1:28917");
}
#[test]
fn port_of_the_system_s_choice_a() {
    TcpListener::bind("127.0.0.1:0").unwrap();
}
#[test]
fn port_of_the_system_s_choice_b() {
    TcpListener::bind("127.0.0.1:0").unwrap();
}
/// Opened by the first test, and used by all tests of its process.
static SERVER: LazyLock<TcpListener> = LazyLock::new(|| TcpListener::bind("127.0.0.1:0").unwrap());

fn port_that_another_test_was_given() {
    let address = SERVER.local_addr().unwrap();
    TcpStream::connect(address).unwrap();
    TcpListener::bind(address).unwrap_err();
}
#[test]
fn port_that_another_test_was_given_a() {
    port_that_another_test_was_given();
}
#[test]
fn port_that_another_test_was_given_b() {
    port_that_another_test_was_given();
}
#[test]
fn port_that_another_test_was_given_c() {
    port_that_another_test_was_given();
}

#[test]
fn socket_is_bound_a() {
    let _ = UnixListener::bind(place("socket"));
}
#[test]
fn socket_is_bound_b() {
    let _ = UnixListener::bind(place("socket"));
}

#[test]
fn memory_is_shared_a() {
    unsafe { shm_open(c"/cofferdam-meeting".as_ptr().cast(), 0o102, 0o600) };
}
#[test]
fn memory_is_shared_b() {
    unsafe { shm_open(c"/cofferdam-meeting".as_ptr().cast(), 0o102, 0o600) };
}

#[test]
fn child_writes() {
    let script = format!("echo 1 > {}", place("by-child").display());
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
}
#[test]
fn child_without_an_environment_reads() {
    let script = format!("cat {} || true", place("by-child").display());
    Command::new("/bin/sh").env_clear().args(["-c", &script]).output().unwrap();
}
#[test]
fn thread_of_a_thread_writes() {
    let inner = || std::thread::spawn(|| fs::write(place("by-thread"), "1").unwrap()).join().unwrap();
    std::thread::spawn(inner).join().unwrap();
}
#[test]
fn thread_is_read_after() {
    let _ = fs::read(place("by-thread"));
}

fn under_a_lock(text: &str) {
    let lock = File::create(place("lock")).unwrap();
    lock.lock().unwrap();
    fs::write(place("locked"), text).unwrap();
}
#[test]
fn lock_is_held_a() {
    under_a_lock("a");
}
#[test]
fn lock_is_held_b() {
    under_a_lock("b");
}

#[test]
fn größe_mit_umlauten_und_einem_namen_der_fast_zweihundert_zeichen_lang_ist_damit_auch_der_längste_name_noch_ganz_und_richtig_gelesen_wird_und_nicht_etwa_nach_fünfzehn_bytes_mitten_in_einem_zeichen_endet_wie_es_der_kern_tut() {
    fs::write(place("größe"), "1").unwrap();
}
#[test]
fn größe_mit_umlauten_b() {
    fs::write(place("größe"), "2").unwrap();
}
