//! Panics of the library name the caller's line.

use crate::files;
use crate::role::{play, plays, role};
use crate::source::without_tests;
#[cfg(feature = "fixtures")]
use cofferdam::Fixture;
use cofferdam::environment::{remove_env, set_current_dir, set_env};
use cofferdam::lock::lock_shared;
use cofferdam::{Names, ServiceLocator, Worker, WorkerLocal, lock};
use std::panic::catch_unwind;
use std::sync::Arc;

static STOCK: WorkerLocal<u8> = WorkerLocal::new(|_| Ok(1));
#[cfg(feature = "fixtures")]
static SERVER: Fixture<u8> = Fixture::per_worker("server", |_| Ok(1));

#[cfg(feature = "macros")]
#[cofferdam::serial(caller)]
fn guarded() {}
#[cfg(not(feature = "macros"))]
fn guarded() {
    panic!("as the attribute would")
}

#[expect(unsafe_code, reason = "no worker, no change")]
fn change_variables() {
    // SAFETY: both panic before they change anything.
    unsafe {
        assert!(catch_unwind(|| drop(remove_env("CALLER"))).is_err());
        drop(set_env("CALLER", ""));
    }
}

/// Calls that panic: on a thread without a worker, or anywhere.
fn calls() -> Vec<fn()> {
    fn shop() -> ServiceLocator {
        ServiceLocator::builder()
            .register::<u8>(|_| Ok(Arc::new(1)))
            .build()
    }
    vec![
        || drop(Worker::current()),
        || drop(Names::current()),
        || drop(STOCK.get()),
        || drop(STOCK.override_with(Arc::new(2))),
        #[cfg(feature = "fixtures")]
        || drop(SERVER.get()),
        || drop(shop().get::<u8>()),
        || drop(shop().get_named::<u8>("other")),
        || drop(shop().lazy::<u16>()),
        || drop(shop().lazy_named::<u8>("other")),
        || assert_eq!(*shop().lazy::<u8>(), 1),
        || drop(shop().override_with::<u8>(Arc::new(2))),
        || drop(shop().override_named::<u16>("other", Arc::new(2))),
        || shop().clear_worker(),
        || drop(ServiceLocator::builder().capacity(0).build()),
        || drop(set_current_dir(".")),
        change_variables,
        || drop(lock("caller")),
        || drop(lock_shared("caller")),
        guarded,
    ]
}

const PANICS: &str = "caller::role_panics";

#[test]
#[ignore = "a role"]
fn role_panics() {
    if plays(PANICS) {
        let nameless = std::thread::spawn(|| {
            for call in calls() {
                assert!(catch_unwind(call).is_err());
            }
        });
        nameless.join().unwrap();
    }
}

#[test]
fn a_panic_names_the_line_that_called_and_none_of_ours() {
    let base = tempfile::tempdir().unwrap();
    let ended = play(role(PANICS, "caller").env("COFFERDAM_DIR", base.path())).end();
    let places: Vec<_> = ended
        .passed()
        .stderr
        .lines()
        .filter_map(|line| line.split_once(" panicked at ").map(|(_, place)| place))
        .collect();
    // One of them panics twice.
    assert_eq!(places.len(), calls().len() + 1, "{}", ended.stderr);
    for place in places {
        assert!(
            place.starts_with("tests/it/caller.rs:"),
            "{place}\n{}",
            ended.stderr
        );
    }
}

/// Returns the functions of a source, without its tests: the lines above each, its first line and its body.
fn functions(text: &str) -> Vec<(String, &str, String)> {
    let lines: Vec<&str> = without_tests(text).lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_function = |line: &&str| {
        let signature = line.trim_start();
        signature.starts_with("pub") && signature.contains("fn ") && !signature.starts_with("pub use")
    };
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_function(line)) {
        let is_ended = |above: &&&str| {
            above.is_empty() || above.trim() == "}" || above.ends_with(';') || above.ends_with('{')
        };
        let above: Vec<&str> = lines[..at]
            .iter()
            .rev()
            .take_while(|above| !is_ended(above))
            .copied()
            .collect();
        let is_end = |below: &&&str| indent(below) == indent(line) && below.trim_start().starts_with('}');
        let end = lines[at..].iter().position(|below| is_end(&below)).unwrap_or(0);
        found.push((above.join("\n"), *line, lines[at..at + end].join("\n")));
    }
    found
}

#[test]
fn every_public_function_that_panics_or_keeps_a_place_names_its_caller() {
    let mut breaches = Vec::new();
    let mut checked = 0;
    for (path, text) in files::all("src", "rs") {
        for (above, line, body) in functions(&text) {
            let is_concerned = above.contains("# Panics")
                || body.contains("Location::caller()")
                || body.contains("or_panic(");
            // The attribute does not reach into a future.
            if is_concerned && !line.contains("async fn") {
                checked += 1;
                if !above.contains("#[track_caller]") {
                    breaches.push(format!("{path}: {}", line.trim()));
                }
            }
        }
    }
    assert!(checked > 30, "{checked}");
    files::hold(
        &breaches,
        "A panic or a place in a report is the caller's line: #[track_caller].",
    );
}
