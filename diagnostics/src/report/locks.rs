//! Locks, for people and for programs.

use super::json_line::{self, path};
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::locks::Locks;
use cofferdam::diagnostics::{Lock, LockHolder, LockState};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};

/// The version of the report that this build writes.
const VERSION: u64 = 2;

const HELD: [LockState; 2] = [LockState::Exclusive, LockState::Shared];

pub(super) fn write(out: &mut impl Write, format: ListFormat, locks: &Locks) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, locks),
        ListFormat::Json => json_line::write(out, &LocksView::of(locks)),
    }
}

fn human(out: &mut impl Write, locks: &Locks) -> io::Result<()> {
    for lock in locks.in_state(&HELD) {
        let how = if lock.state == LockState::Shared {
            "held by readers"
        } else {
            "held"
        };
        line(out, how, lock)?;
    }
    for lock in locks.in_state(&[LockState::Left]) {
        line(out, "left", lock)?;
    }
    let number = |states: &[LockState]| locks.in_state(states).count() as u64;
    writeln!(
        out,
        "cofferdam: {} held, {} abandoned by killed processes, {} free",
        count(number(&HELD), "lock"),
        number(&[LockState::Left]),
        number(&[LockState::Free]),
    )
}

fn line(out: &mut impl Write, how: &str, lock: &Lock) -> io::Result<()> {
    let name = plain(&lock.name);
    let Some(holder) = &lock.holder else {
        return writeln!(out, "{how}: {name}, owner not recorded");
    };
    let gone = if holder.is_gone { ", gone" } else { "" };
    let when = match lock.state {
        LockState::Left => format!("taken {} s ago", holder.seconds),
        _ => format!("for {} s", holder.seconds),
    };
    writeln!(
        out,
        "{how}: {name}, by {} (worker {}, pid {}{gone}, run {}) {when}",
        plain(&holder.test),
        plain(&holder.worker),
        holder.pid,
        plain(&holder.run),
    )
}

/// The report, for programs.
#[derive(Serialize)]
struct LocksView<'a> {
    version: u64,
    looked_in: Cow<'a, str>,
    locks: Vec<LockView<'a>>,
}

#[derive(Serialize)]
struct LockView<'a> {
    name: &'a str,
    scope: &'static str,
    state: &'static str,
    file: Cow<'a, str>,
    holder: Option<HolderView<'a>>,
}

#[derive(Serialize)]
struct HolderView<'a> {
    test: &'a str,
    worker: &'a str,
    run: &'a str,
    pid: u32,
    is_gone: bool,
    since: u64,
    seconds: u64,
}

impl<'a> LocksView<'a> {
    fn of(locks: &'a Locks) -> Self {
        let holder = |holder: &'a LockHolder| HolderView {
            test: &holder.test,
            worker: &holder.worker,
            run: &holder.run,
            pid: holder.pid,
            is_gone: holder.is_gone,
            since: holder.since,
            seconds: holder.seconds,
        };
        let lock = |lock: &'a Lock| LockView {
            name: &lock.name,
            scope: if lock.machine { "machine" } else { "workspace" },
            state: lock.state.as_str(),
            file: path(&lock.file),
            holder: lock.holder.as_ref().map(holder),
        };
        Self {
            version: VERSION,
            looked_in: path(&locks.place),
            locks: locks.all.iter().map(lock).collect(),
        }
    }
}
