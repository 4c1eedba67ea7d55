//! The journal: events in one file per worker. Does nothing while recording is off.
//!
//! Recording is on while `COFFERDAM_RECORD` names a session. Each line is written with one `write` to a file opened for
//! appending, so the events of a killed process are complete. A process's first write begins with a newline, which ends an
//! incomplete line of an earlier process of the same worker. A journal that cannot be written causes one warning and never
//! fails a test; the session's account, whose space was reserved before, records that.

use crate::error::Error;
use crate::event::{Event, Record, VERSION};
use crate::run;
#[cfg(all(target_os = "linux", not(miri)))]
use crate::sys::before_main::before_main;
use crate::sys::marker::{self, Marker};
use crate::sys::{clock, env, exit_hook, file_size, process, stderr, sync};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use once_cell::sync::OnceCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

static BROKEN: AtomicBool = AtomicBool::new(false);

// Before `main`, because a test may use up all descriptors before it records anything.
#[cfg(all(target_os = "linux", not(miri)))]
before_main!(mark);

#[cfg(all(target_os = "linux", not(miri)))]
extern "C" fn mark() {
    // Nothing may unwind from here, and the panic has been printed.
    let _ = std::panic::catch_unwind(marker);
}

/// Returns this process's slot in the session's account. `None` while recording is off, or without an account.
fn marker() -> Option<&'static Marker> {
    static MARKER: OnceCell<Option<Marker>> = OnceCell::new();
    extern "C" fn end() {
        if let Some(marker) = marker() {
            marker.end(process::id());
        }
    }
    let take = || {
        let account = marker::path(&env::path("COFFERDAM_DIR")?, &run::file_name(&run::session()?));
        let exe = process::exe();
        let program = exe.as_deref().map(stem).unwrap_or_default();
        let name = match env::var("NEXTEST_TEST_NAME") {
            Some(test) => format!("{program} {test}"),
            None => program,
        };
        let marker = Marker::take(&account, process::id(), &name)?;
        exit_hook::at_exit(end);
        Some(marker)
    };
    MARKER.get_or_init(take).as_ref()
}

/// Returns whether recording is on.
pub(crate) fn is_on() -> bool {
    // The build without recording, for the benchmark of this check.
    if cfg!(cofferdam_without_journal) {
        return false;
    }
    static ON: OnceCell<bool> = OnceCell::new();
    *ON.get_or_init(|| run::session().is_some()) && !BROKEN.load(Ordering::Relaxed)
}

/// Records an event of `worker`, if recording is on.
pub(crate) fn write(worker: &str, event: impl FnOnce() -> Event) {
    if is_on() {
        append(worker, event());
    }
}

fn append(worker: &str, event: Event) {
    static JOURNALS: OnceCell<DashMap<String, File>> = OnceCell::new();
    static RECORDS: AtomicBool = AtomicBool::new(false);
    if !RECORDS.swap(true, Ordering::Relaxed)
        && let Some(marker) = marker()
    {
        marker.record();
    }
    let record = Record {
        at: clock::micros(),
        // A forked child and an isolated test work for their parent's test, so their lines belong to the parent.
        pid: run::recorded_as(),
        event,
    };
    let written = match JOURNALS.get_or_init(sync::map).entry(worker.to_owned()) {
        Entry::Occupied(mut file) => {
            let line = record.to_line() + "\n";
            file_size::unsignaled(|| file.get_mut().write_all(line.as_bytes()))
        }
        Entry::Vacant(empty) => file_size::unsignaled(|| {
            let mut file = open(worker)?;
            begin(&mut file, worker, &record)?;
            empty.insert(file);
            Ok(())
        }),
    };
    if let Err(error) = written
        && !BROKEN.swap(true, Ordering::Relaxed)
    {
        if let Some(marker) = marker() {
            marker.stop(number(&error));
        }
        stderr::line(&format!("recording stops and the tests continue: {error}"));
    }
}

fn open(worker: &str) -> io::Result<File> {
    let path = run::worker_dir(worker)
        .map_err(io::Error::other)?
        .join("journal.ndjson");
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|source| io::Error::other(Error::io("open", &path, source)))
}

/// Returns the system's number of the underlying error; 0 if there is none.
fn number(error: &io::Error) -> i32 {
    if let Some(number) = error.raw_os_error() {
        return number;
    }
    let mut source = std::error::Error::source(error);
    while let Some(found) = source {
        if let Some(number) = found.downcast_ref().and_then(io::Error::raw_os_error) {
            return number;
        }
        source = found.source();
    }
    0
}

/// Performs a process's first write: a newline, the description of the process, and the first event. An isolated test's parent
/// has described itself for both.
fn begin(file: &mut File, worker: &str, first: &Record) -> io::Result<()> {
    if run::inherited().is_some() {
        return file.write_all(format!("\n{}\n", first.to_line()).as_bytes());
    }
    let run = run::run();
    let event = Event::Process {
        version: VERSION,
        run: run.id.clone(),
        session: run::session().unwrap_or_default(),
        runner: run.runner.as_str().to_owned(),
        binary: binary(),
        worker: worker.to_owned(),
        started: run::facts().started,
        boot: run::facts().space.boot.clone(),
    };
    let header = Record {
        at: first.at,
        pid: first.pid,
        event,
    };
    let mut text = String::from("\n");
    for record in [&header, first] {
        text.push_str(&record.to_line());
        text.push('\n');
    }
    file.write_all(text.as_bytes())
}

/// Returns the name of this program: nextest's name for it, or the file name without Cargo's hash.
pub(crate) fn binary() -> String {
    let facts = run::facts();
    if let (run::Runner::Nextest, Some(id)) = (run::run().runner, (facts.env)("NEXTEST_BINARY_ID")) {
        return id;
    }
    facts.exe.as_deref().map_or_else(|| "unknown".to_owned(), stem)
}

/// Returns the file name of an executable without Cargo's hash.
fn stem(exe: &Path) -> String {
    let stem = exe.file_stem().unwrap_or_default().to_string_lossy();
    match stem.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            name.to_owned()
        }
        _ => stem.into_owned(),
    }
}
