//! Services at the end of a process, in real processes.

use super::{is_same, own_worker};
use crate::role::{Ended, listen, play, plays, role, say};
use cofferdam::locator::LazyProxy;
use cofferdam::{ServiceLocator, Worker, WorkerLocal};
use cofferdam_conflicts::{Evidence, Kind};
use std::io::Write as _;
use std::sync::{Arc, OnceLock, mpsc};

/// A service that reports its drop and its process on standard error.
struct ReportsItsDrop(String);

impl ReportsItsDrop {
    fn new(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl Drop for ReportsItsDrop {
    fn drop(&mut self) {
        let line = format!("{} dropped in {}\n", self.0, pid());
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a forked child is distinguished from its parent"
)]
fn pid() -> u32 {
    std::process::id()
}

static LOCAL: WorkerLocal<ReportsItsDrop> = WorkerLocal::new(|_| Ok(ReportsItsDrop::new("static")));

fn locator() -> &'static ServiceLocator {
    static LOCATOR: OnceLock<ServiceLocator> = OnceLock::new();
    LOCATOR.get_or_init(|| {
        ServiceLocator::builder()
            .register::<ReportsItsDrop>(|_| Ok(Arc::new(ReportsItsDrop::new("first"))))
            .named("first")
            .register_shared::<ReportsItsDrop>(|_| Ok(Arc::new(ReportsItsDrop::new("shared"))))
            .named("shared")
            .register::<ReportsItsDrop>(|_| Ok(Arc::new(ReportsItsDrop::new("last"))))
            .named("last")
            .build()
    })
}

/// Creates one service after another, in several lanes.
fn use_all() {
    say(&pid().to_string());
    locator().get_named::<ReportsItsDrop>("first");
    let other = std::thread::Builder::new().name("a::other".to_owned());
    let other = other.spawn(|| {
        assert_ne!(own_worker(), "w0");
        drop(LOCAL.get());
    });
    other.unwrap().join().unwrap();
    locator().get_named::<ReportsItsDrop>("shared");
    locator().get_named::<ReportsItsDrop>("last");
}

const NEWEST_FIRST: [&str; 4] = ["last", "shared", "static", "first"];

/// Plays the role, and checks which services were dropped in its process and that only libtest wrote to standard
/// output.
#[track_caller]
fn dropped(path: &str, names: &[&str]) -> Ended {
    let base = tempfile::tempdir().unwrap();
    let mut player = play(role(path, "exits").env("COFFERDAM_DIR", base.path()));
    let pid = player.hear();
    let ended = player.end();
    let lines: Vec<_> = ended
        .stderr
        .lines()
        .filter(|line| line.contains(" dropped in "))
        .collect();
    let expected: Vec<_> = names
        .iter()
        .map(|name| format!("{name} dropped in {pid}"))
        .collect();
    assert_eq!(lines, expected, "{}", ended.stderr);
    let foreign: Vec<_> = ended
        .stdout
        .lines()
        .filter(|line| {
            !["", "running", "test", "failures:", "    locator::"]
                .iter()
                .any(|own| line.starts_with(own) && own.is_empty() == line.is_empty())
        })
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    ended
}

macro_rules! roles {
    ($($name:ident $body:block)*) => {$(
        #[test]
        #[ignore = "a role"]
        fn $name() {
            if plays(concat!("locator::exits::", stringify!($name))) $body
        }
    )*};
}

#[test]
fn after_a_test_that_passes_services_go_newest_first() {
    let ended = dropped("locator::exits::role_pass", &NEWEST_FIRST);
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.warnings().is_empty(), "{}", ended.stderr);
}

#[test]
fn after_a_test_that_fails_services_go_newest_first_and_the_exit_code_stays() {
    assert_eq!(
        dropped("locator::exits::role_panic", &NEWEST_FIRST).status.code(),
        Some(101)
    );
}

#[test]
fn a_test_that_leaves_the_process_leaves_no_service_and_keeps_its_exit_code() {
    assert_eq!(
        dropped("locator::exits::role_leave", &NEWEST_FIRST).status.code(),
        Some(7)
    );
}

#[test]
fn only_instances_held_by_a_leaked_thread_are_not_dropped() {
    let ended = dropped("locator::exits::role_leak", &["shared", "static", "first"]);
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn a_thread_that_builds_for_ever_hangs_no_exit() {
    let ended = dropped("locator::exits::role_build", &NEWEST_FIRST);
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn services_that_panic_or_ask_while_they_are_dropped_are_named_and_the_exit_code_stays() {
    let ended = dropped("locator::exits::role_misbehave", &["first"]);
    assert_eq!(ended.status.code(), Some(0));
    let warnings = ended.warnings();
    assert_eq!(warnings.len(), 2, "{}", ended.stderr);
    assert!(
        warnings[0].contains("Asks of w0 panicked in its drop") && warnings[0].contains("no worker is known"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].contains("Panics of w0 panicked in its drop: as it should"),
        "{warnings:?}"
    );
}

#[test]
fn a_service_that_parks_while_it_is_dropped_is_abandoned_and_named_and_the_exit_code_stays() {
    let ended = dropped("locator::exits::role_park", &["last"]);
    assert_eq!(ended.status.code(), Some(7));
    let warnings = ended.warnings();
    assert!(
        warnings[0].contains("Parks of w0 was still being dropped"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].contains("not dropped because of that: ReportsItsDrop \"first\" of w0"),
        "{warnings:?}"
    );
}

struct Panics;
struct Asks;
struct Parks;

impl Drop for Parks {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("as it should");
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        locator().get_named::<ReportsItsDrop>("first");
    }
}

roles! {
    role_pass {
        use_all();
    }

    role_panic {
        use_all();
        panic!("as it should");
    }

    role_leave {
        use_all();
        #[expect(clippy::disallowed_methods, reason = "what this is about")]
        std::process::exit(7);
    }

    role_leak {
        use_all();
        let (holds, held) = mpsc::channel();
        Worker::current().spawn(move || {
            let _held = locator().get_named::<ReportsItsDrop>("last");
            holds.send(()).unwrap();
            loop {
                std::thread::park();
            }
        });
        held.recv().unwrap();
    }

    role_build {
        static STUCK: OnceLock<ServiceLocator> = OnceLock::new();
        use_all();
        let (builds, building) = mpsc::channel();
        let stuck = STUCK.get_or_init(|| {
            ServiceLocator::builder()
                .register::<u8>(move |_| {
                    builds.send(()).unwrap();
                    loop {
                        std::thread::park();
                    }
                })
                .build()
        });
        Worker::current().spawn(|| stuck.get::<u8>());
        building.recv().unwrap();
    }

    role_park {
        static PARKS: WorkerLocal<Parks> = WorkerLocal::new(|_| Ok(Parks));
        say(&pid().to_string());
        locator().get_named::<ReportsItsDrop>("first");
        PARKS.get();
        locator().get_named::<ReportsItsDrop>("last");
        #[expect(clippy::disallowed_methods, reason = "what this is about")]
        std::process::exit(7);
    }

    role_misbehave {
        static PANICS: WorkerLocal<Panics> = WorkerLocal::new(|_| Ok(Panics));
        static ASKS: WorkerLocal<Asks> = WorkerLocal::new(|_| Ok(Asks));
        say(&pid().to_string());
        locator().get_named::<ReportsItsDrop>("first");
        PANICS.get();
        ASKS.get();
    }
}

const FORK: &str = "locator::exits::role_fork";

#[test]
fn a_forked_child_has_its_parents_services_and_does_not_end_them() {
    let base = tempfile::tempdir().unwrap();
    let mut player = play(role(FORK, "exits").env("COFFERDAM_DIR", base.path()));
    let pid = player.hear();
    assert_eq!(player.hear(), "child in w0: first, and a new last");
    assert_eq!(player.hear(), "child gone");
    player.answer();
    let ended = player.end();
    ended.passed();
    let lines: Vec<_> = ended
        .stderr
        .lines()
        .filter(|line| line.contains(" dropped in "))
        .collect();
    assert_eq!(lines, [format!("first dropped in {pid}")]);
}

#[test]
#[ignore = "a role"]
#[expect(unsafe_code, reason = "fork is what this is about")]
fn role_fork() {
    if !plays(FORK) {
        return;
    }
    say(&pid().to_string());
    let first = locator().get_named::<ReportsItsDrop>("first");
    // SAFETY: no other thread of this process holds a lock: libtest's own waits for this test. The parent waits
    // for the child.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let again = locator().get_named::<ReportsItsDrop>("first");
        assert!(is_same(&first, &again));
        let last = locator().get_named::<ReportsItsDrop>("last");
        say(&format!(
            "child in {}: {}, and a new {}",
            own_worker(),
            again.0,
            last.0
        ));
        // SAFETY: it ends the child, by way of exit handlers.
        unsafe { libc::exit(0) };
    }
    let mut status = 0;
    // SAFETY: the child is ours and the status lives here.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0));
    say("child gone");
    listen();
}

/// Requests the second service, which is therefore newer and dropped first.
struct First(LazyProxy<Second>);
struct Second;

const HOLDS: &str = "locator::exits::role_holds";

#[test]
fn an_instance_about_to_be_dropped_is_not_reported_as_a_holder() {
    for (of, leaks) in [
        ("a locator in a static", 0),
        ("a locator that is dropped", 0),
        ("a thread", 1),
    ] {
        let base = tempfile::tempdir().unwrap();
        let mut role = role(HOLDS, "holds");
        let role = role
            .env("COFFERDAM_DIR", base.path())
            .env("COFFERDAM_RECORD", "held");
        play(role.env("HOLDS", of)).end().passed();
        let mut evidence = Evidence::new();
        evidence.read(base.path());
        assert_eq!(evidence.problem_count(), 0, "{:?}", evidence.problems());
        let conflicts = evidence.conflicts();
        let leaked = conflicts
            .iter()
            .filter(|conflict| conflict.kind == Kind::Leaked)
            .count();
        assert_eq!(leaked, leaks, "{of}: {conflicts:?}");
    }
}

#[test]
#[ignore = "a role"]
#[expect(clippy::disallowed_methods, reason = "the role's own variable")]
fn role_holds() {
    if !plays(HOLDS) {
        return;
    }
    let locator = ServiceLocator::builder()
        .register::<First>(|cx| Ok(Arc::new(First(cx.lazy()?))))
        .register::<Second>(|_| Ok(Arc::new(Second)))
        .build();
    let used = |_: &Second| ();
    used(&locator.get::<First>().0);
    match std::env::var("HOLDS").unwrap().as_str() {
        "a locator that is dropped" => drop(locator),
        "a thread" => std::mem::forget((locator.get::<Second>(), locator)),
        _ => std::mem::forget(locator),
    }
}
