//! Events to one file per worker; nothing at all when recording is off.
//!
//! Recording is on while `COFFERDAM_RECORD` names a session. Each line goes out with one `write` to a file opened
//! for appending, so what a killed process had done is known. A process's first write begins with a newline: a
//! line torn by a predecessor in the same lane ends there. A journal that cannot be written costs one warning and
//! never a test.

use crate::event::{Event, Record, VERSION};
use crate::place;
use crate::sys::{clock, stderr, sync};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use once_cell::sync::OnceCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

static BROKEN: AtomicBool = AtomicBool::new(false);

/// Whether anything is recorded.
pub(crate) fn is_on() -> bool {
    // The build that the cost of this question is measured against.
    if cfg!(cofferdam_without_journal) {
        return false;
    }
    static ON: OnceCell<bool> = OnceCell::new();
    *ON.get_or_init(|| place::session().is_some()) && !BROKEN.load(Ordering::Relaxed)
}

/// Records what happened to `worker`, if anything is recorded at all.
pub(crate) fn write(worker: &str, event: impl FnOnce() -> Event) {
    if is_on() {
        append(worker, event());
    }
}

fn append(worker: &str, event: Event) {
    static JOURNALS: OnceCell<DashMap<String, File>> = OnceCell::new();
    let record = Record {
        at: clock::micros(),
        // A forked child works for its parent's test, and its lines are its parent's.
        pid: place::facts().pid,
        event,
    };
    let written = match JOURNALS.get_or_init(sync::map).entry(worker.to_owned()) {
        Entry::Occupied(mut file) => file.get_mut().write_all((record.to_line() + "\n").as_bytes()),
        Entry::Vacant(empty) => open(worker).and_then(|mut file| {
            begin(&mut file, worker, &record)?;
            empty.insert(file);
            Ok(())
        }),
    };
    if let Err(error) = written
        && !BROKEN.swap(true, Ordering::Relaxed)
    {
        stderr::line(&format!("nothing more is recorded, the tests go on: {error}"));
    }
}

fn open(worker: &str) -> io::Result<File> {
    let path = place::worker_dir(worker)
        .map_err(io::Error::other)?
        .join("journal.ndjson");
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("could not open {}: {error}", path.display()),
            )
        })
}

/// A process's first write: the end of whatever its predecessor left, who it is, and the first event.
fn begin(file: &mut File, worker: &str, first: &Record) -> io::Result<()> {
    let run = place::run();
    let event = Event::Process {
        version: VERSION,
        run: run.id.clone(),
        session: place::session().unwrap_or_default(),
        runner: run.runner.as_str().to_owned(),
        binary: binary(),
        worker: worker.to_owned(),
        started: place::facts().started,
        boot: place::facts().space.boot.clone(),
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

/// What a person calls this program: nextest's name for it, else the file without Cargo's hash.
pub(crate) fn binary() -> String {
    let facts = place::facts();
    if let (place::Runner::Nextest, Some(id)) = (place::run().runner, (facts.env)("NEXTEST_BINARY_ID")) {
        return id;
    }
    let stem = facts
        .exe
        .as_deref()
        .and_then(|exe| exe.file_stem())
        .map(|stem| stem.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_else(|| "unknown".to_owned());
    match stem.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            name.to_owned()
        }
        _ => stem,
    }
}
