//! What a fixture's start waits for, its containers, and its resets.

use super::fixtures::{asks, outcome, shell};
use super::teardown::uses as below_a_runner;
use crate::role::{play, plays, role, say};
use cofferdam::Fixture;
use cofferdam::fixture::Container;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(300);

/// Answers each request with the next of the statuses.
fn serve(listener: TcpListener, statuses: &'static [u16]) {
    std::thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
        }
    });
}

static WEB: Fixture<u16> = Fixture::per_run("web", |setup| {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    serve(listener, &[503, 404, 204]);
    setup.wait_for_http(port, "/health")?;
    Ok(port)
});
static BUSY_WEB: Fixture<u16> = Fixture::per_run("busy web", |setup| {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    serve(listener, &[503; 1000]);
    setup.wait_for_http(port, "/")?;
    Ok(port)
})
.start_within(SHORT);
static LOUD: Fixture<String> = Fixture::per_run("loud", |setup| {
    setup.spawn(&mut shell("echo not yet; echo listening on 7; exec sleep 600"))?;
    setup.wait_for_log("listening on 7")?;
    Ok("ready".to_owned())
});
static SILENT: Fixture<String> = Fixture::per_run("silent", |setup| {
    setup.spawn(&mut shell("echo not yet; exec sleep 600"))?;
    setup.wait_for_log("listening on 7")?;
    Ok("ready".to_owned())
})
.start_within(SHORT);
static ROW: Fixture<String> = Fixture::per_run("row", |setup| {
    let ports = setup.lease_ports(3)?;
    let (first, last) = (*ports.start(), *ports.end());
    Ok(format!("{} and {}", last - first, setup.name()))
});

const WAIT: &str = "run::ready::role_wait";

#[test]
#[ignore = "a role"]
fn role_wait() {
    if plays(WAIT) {
        for fixture in [&WEB, &BUSY_WEB] {
            say(&outcome(fixture.try_get()));
        }
        for fixture in [&LOUD, &SILENT, &ROW] {
            say(&outcome(fixture.try_get()));
        }
    }
}

#[test]
fn a_start_waits_for_a_reply_or_for_a_line_of_the_log() {
    let base = tempfile::tempdir().unwrap();
    let mut waits = asks(base.path(), WAIT, "wait");
    let [web, busy, loud, silent, row] = [(); 5].map(|()| waits.hear());
    assert!(web.parse::<u16>().is_ok(), "{web}");
    assert!(busy.contains("status 503"), "{busy}");
    assert_eq!(loud, "ready");
    assert!(
        silent.contains("\"listening on 7\" in the log") && silent.contains("not yet"),
        "{silent}"
    );
    assert_eq!(row, "2 and row");
    waits.end().passed();
}

/// An engine that writes what it is asked to do beside itself, and after a removal also to a pipe.
const ENGINE: &str = r#"#!/bin/sh
echo "$*" >> "$0.log"
if [ "$1" = run ]; then echo "secret is $SECRET"; exec sleep 600; fi
cat "$0.log" > "$0.pipe"
"#;

static BOX: Fixture<String> = Fixture::per_run("box", |setup| {
    let container = Container::new("busybox:1")
        .port(80)
        .env("SECRET", "hush")
        .option("--tmpfs=/data")
        .arg("httpd");
    let container = setup.container(container)?;
    setup.wait_for_log("secret is hush")?;
    Ok(format!("{} {}", container.name(), container.port(80)))
});

const CONTAIN: &str = "run::ready::role_contain";

#[test]
#[ignore = "a role"]
fn role_contain() {
    if plays(CONTAIN) {
        say(&outcome(BOX.try_get()));
    }
}

#[test]
fn a_container_is_labeled_published_and_removed_with_the_run() {
    let base = tempfile::tempdir().unwrap();
    let engine = base.path().join("engine");
    fs::write(&engine, ENGINE).unwrap();
    fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
    #[expect(clippy::disallowed_methods, reason = "std makes no pipes with names")]
    let made = Command::new("mkfifo")
        .arg(base.path().join("engine.pipe"))
        .status();
    assert!(made.unwrap().success());
    let mut runner = below_a_runner(CONTAIN, base.path(), "contain");
    let mut uses = play(runner.env("COFFERDAM_CONTAINER_ENGINE", &engine));
    let heard = uses.hear();
    let (name, port) = heard.split_once(' ').unwrap();
    uses.end().passed();
    // The keeper removes it after its runner has ended.
    let log = fs::read_to_string(base.path().join("engine.pipe")).unwrap();
    assert!(log.contains(&format!("rm --force --volumes {name}")), "{log}");
    let run = log.lines().next().unwrap();
    assert!(run.contains("--label=cofferdam.fixture=box"), "{run}");
    let rest = format!("--publish=127.0.0.1:{port}:80 --env SECRET --tmpfs=/data busybox:1 httpd");
    assert!(run.ends_with(&rest), "{run}");
    assert!(!log.contains("hush"), "{log}");
}

#[test]
fn a_machine_without_an_engine_is_an_error_that_names_the_remedy() {
    let base = tempfile::tempdir().unwrap();
    let mut uses = play(
        role(CONTAIN, "engineless")
            .env("COFFERDAM_DIR", base.path())
            .env("PATH", base.path()),
    );
    let heard = uses.hear();
    assert!(
        heard.contains("neither `docker` nor `podman` is in PATH: install one"),
        "{heard}"
    );
    uses.end().passed();
}

static SPOOL: Fixture<PathBuf> = Fixture::per_worker("spool", |setup| Ok(setup.dir())).reset(|spool| {
    if spool.join("stuck").exists() {
        return Err("a file is stuck".into());
    }
    fs::remove_dir_all(spool)?;
    Ok(fs::create_dir(spool)?)
});
static SELFISH: Fixture<u32> = Fixture::per_worker("selfish", |_| Ok(7)).reset(|_| {
    SELFISH.try_get()?;
    Ok(())
});

const RESET: &str = "run::ready::role_reset";

/// Runs the tests one after the other, each on a thread of its own, like a runner with one thread.
#[test]
#[ignore = "a role"]
fn role_reset() {
    fn files(spool: &PathBuf) -> String {
        let names = fs::read_dir(spool)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        format!("{:?}", names.collect::<Vec<_>>())
    }
    if !plays(RESET) {
        return;
    }
    let tests: [fn(); 5] = [
        || {
            fs::write(SPOOL.get().join("mail"), "").unwrap();
            say(&files(&SPOOL.get()));
        },
        || {
            say(&files(&SPOOL.get()));
            fs::write(SPOOL.get().join("stuck"), "").unwrap();
            // Once for each test.
            say(&files(&SPOOL.get()));
        },
        || {
            for _ in 0..2 {
                say(&SPOOL.try_get().unwrap_err().to_string());
            }
        },
        || say(&SELFISH.get().to_string()),
        || say(&SELFISH.try_get().unwrap_err().to_string()),
    ];
    for (number, test) in tests.into_iter().enumerate() {
        let thread = std::thread::Builder::new().name(format!("tests::number_{number}"));
        thread.spawn(test).unwrap().join().unwrap();
    }
}

#[test]
fn a_fixture_of_a_worker_is_reset_before_its_next_test() {
    let base = tempfile::tempdir().unwrap();
    let mut resets = asks(base.path(), RESET, "reset");
    let heard = [(); 7].map(|()| resets.hear());
    assert_eq!(heard[..3], ["[\"mail\"]", "[]", "[\"stuck\"]"]);
    assert!(
        heard[3].contains("could not be reset for this test: a file is stuck"),
        "{}",
        heard[3]
    );
    assert_eq!(heard[3], heard[4]);
    assert_eq!(heard[5], "7");
    assert!(heard[6].contains("it needs itself"), "{}", heard[6]);
    resets.end().passed();
}

/// A factory that blocks on a runtime of its own.
#[cfg(feature = "tokio")]
static ASYNC: Fixture<u32> = Fixture::per_run("async", |_| {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(async { 7 }))
});

#[cfg(feature = "tokio")]
const START_ASYNC: &str = "run::ready::role_start_async";

#[cfg(feature = "tokio")]
#[test]
#[ignore = "a role"]
fn role_start_async() {
    if plays(START_ASYNC) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.block_on(async {
            // While the fixture starts, the runtime has time for others.
            let other = tokio::spawn(async { 1 });
            ASYNC.get_async().await.checked_add(other.await.unwrap())
        });
        say(&handle.unwrap().to_string());
        let failed = runtime.block_on(FAILING_ASYNC.try_get_async()).unwrap_err();
        say(&failed.to_string());
    }
}

#[cfg(feature = "tokio")]
static FAILING_ASYNC: Fixture<u32> = Fixture::per_run("failing async", |_| Err("no luck".into()));

#[cfg(feature = "tokio")]
#[test]
fn an_async_test_starts_a_fixture_without_blocking_its_runtime() {
    let base = tempfile::tempdir().unwrap();
    let mut starts = asks(base.path(), START_ASYNC, "async");
    assert_eq!(starts.hear(), "8");
    assert!(starts.hear().contains("no luck"));
    starts.end().passed();
}
