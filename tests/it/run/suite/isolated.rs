//! Tests in processes of their own, most of which fail.

use cofferdam::isolated;
use std::io::{Read as _, Write as _};

#[test]
#[isolated]
fn passes() {
    println!("the body's line");
    eprintln!("the body's error line");
}

#[test]
#[isolated]
fn panics() {
    println!("printed before the panic");
    panic!("the message of {}", "the test");
}

#[test]
#[isolated]
fn panics_with_a_quiet_hook() {
    std::panic::set_hook(Box::new(|_| ()));
    panic!("quietly");
}

#[test]
#[isolated]
fn panics_with_a_number() {
    std::panic::panic_any(7);
}

#[test]
#[isolated]
fn returns_an_error() -> Result<(), String> {
    Err("the error's text".to_owned())
}

#[test]
#[isolated]
fn exits() {
    std::process::exit(0);
}

#[test]
#[isolated]
fn exits_with_a_code() {
    std::process::exit(7);
}

#[test]
#[isolated]
fn aborts() {
    std::process::abort();
}

#[test]
#[isolated]
fn ends_badly() {
    extern "C" fn at_exit() {
        std::process::abort();
    }
    unsafe extern "C" {
        fn atexit(hook: extern "C" fn()) -> i32;
    }
    unsafe { atexit(at_exit) };
}

#[test]
#[isolated(timeout = "300ms")]
fn takes_too_long() {
    println!("printed before the timeout");
    // In its group.
    let _ = std::process::Command::new("sleep").arg("600").status();
}

#[test]
#[isolated]
#[should_panic(expected = "another message")]
fn should_panic_otherwise() {
    panic!("the message");
}

#[test]
#[isolated]
#[should_panic]
fn should_panic_and_returns() {}

#[test]
#[isolated]
#[should_panic]
fn should_panic_and_aborts() {
    std::process::abort();
}

#[test]
#[isolated]
#[should_panic]
fn should_panic_and_exits() {
    std::process::exit(0);
}

#[test]
#[isolated(timeout = "300ms")]
#[should_panic]
fn should_panic_and_takes_too_long() {
    std::thread::park();
}

#[test]
#[isolated(dir = "no/such/directory")]
fn has_no_directory() {}

#[test]
#[isolated]
#[ignore = "it passes"]
fn ignored_and_passes() {}

/// Its output does not end with it.
#[test]
#[isolated]
fn leaves_a_process_and_passes() {
    let _ = std::process::Command::new("sleep").arg("600").spawn().unwrap();
}

#[test]
#[isolated]
fn closes_everything_and_passes_not() {
    unsafe extern "C" {
        fn close(fd: i32) -> i32;
    }
    for fd in 3..64 {
        unsafe { close(fd) };
    }
}

#[test]
#[isolated]
fn prints_much_and_passes() {
    for number in 0..30_000 {
        println!("line {number}");
        eprintln!("line {number}");
    }
}

/// As a wrapper of another crate would do it.
fn locked(test: impl FnOnce()) {
    let file = std::fs::File::create(concat!(env!("CARGO_MANIFEST_DIR"), "/wrapper.lock")).unwrap();
    file.lock().unwrap();
    test();
}

#[test]
fn waits_for_the_lock_of_a_wrapper() {
    #[isolated]
    fn waits_for_the_lock_of_a_wrapper() {}
    locked(|| waits_for_the_lock_of_a_wrapper());
}

/// Connects to the test that runs this suite, and waits.
#[test]
#[isolated]
#[ignore = "it waits to be killed"]
fn meets() {
    let mut stream = std::net::TcpStream::connect(std::env::var("MEET").unwrap()).unwrap();
    writeln!(stream, "{} {}", std::process::id(), std::os::unix::process::parent_id()).unwrap();
    let _ = stream.read(&mut [0]);
}

/// A hook from before the test keeps working, and so does the report.
#[test]
fn panics_quietly_from_the_start() {
    if std::env::var_os("COFFERDAM_ISOLATED").is_some() {
        std::panic::set_hook(Box::new(|_| ()));
    }
    #[isolated]
    fn panics_quietly_from_the_start() {
        panic!("quietly");
    }
    panics_quietly_from_the_start();
}

#[test]
#[isolated(env(KEPT = tmp))]
fn returns_an_error_with_a_directory() -> Result<(), String> {
    Err(std::env::var("KEPT").unwrap())
}

#[test]
#[isolated(env(KEPT = tmp))]
fn panics_with_a_directory() {
    panic!("{}", std::env::var("KEPT").unwrap());
}

#[test]
#[isolated(env(KEPT = tmp))]
#[should_panic]
fn should_panic_with_a_directory_and_passes() {
    panic!();
}
