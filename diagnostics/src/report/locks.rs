//! Locks, for a person and for programs.

use super::text::harmless;
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::locks::Locks;
use cofferdam::diagnostics::{Lock, LockState};
use serde_json::{Value, json};
use std::io::{self, Write};

/// The version of the report that this build writes.
const VERSION: u64 = 1;

const HELD: [LockState; 2] = [LockState::Exclusive, LockState::Shared];

pub(super) fn write(out: &mut impl Write, format: ListFormat, locks: &Locks) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, locks),
        ListFormat::Json => {
            let value = json!({
                "version": VERSION,
                "looked_in": locks.place.to_string_lossy(),
                "locks": locks.all.iter().map(lock).collect::<Vec<_>>(),
            });
            writeln!(out, "{}", harmless(&value.to_string()))
        }
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
        "cofferdam: {} held, {} left by whoever was killed and free again, {} free",
        count(number(&HELD), "lock"),
        number(&[LockState::Left]),
        number(&[LockState::Free]),
    )
}

fn line(out: &mut impl Write, how: &str, lock: &Lock) -> io::Result<()> {
    let name = plain(&lock.name);
    let Some(holder) = &lock.holder else {
        return writeln!(out, "{how}: {name}, by nobody who said so");
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

fn lock(lock: &Lock) -> Value {
    json!({
        "name": lock.name,
        "scope": if lock.machine { "machine" } else { "workspace" },
        "state": lock.state.as_str(),
        "file": lock.file.to_string_lossy(),
        "holder": lock.holder.as_ref().map(|holder| json!({
            "test": holder.test,
            "worker": holder.worker,
            "run": holder.run,
            "pid": holder.pid,
            "is_gone": holder.is_gone,
            "since": holder.since,
            "seconds": holder.seconds,
        })),
    })
}
