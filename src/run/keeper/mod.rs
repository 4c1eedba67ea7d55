//! The keeper: the small process that owns a run's fixtures and outlives its tests.
//!
//! It is the test binary, run again and caught before `main`. It leaves its parent's session and streams, waits for
//! the runner's end, starts what test processes ask it to, and in the end stops all of that, newest first, and removes
//! the run's folder. Whoever starts a fixture is connected to it meanwhile: a start whose connection ends before it is
//! complete is undone. Killed itself, it takes its processes along, and the next caller starts both anew.
//!
//! `request` is what is said, `protocol` how, `books` decides, `services` acts, `server` is the keeper's loop, `client`
//! the tests' side. All of that is for Linux. Elsewhere `inert` stands in: each test process is its own keeper, to its
//! normal end.

mod books;
#[cfg(all(target_os = "linux", not(miri)))]
mod client;
#[cfg(not(all(target_os = "linux", not(miri))))]
mod inert;
#[cfg(all(target_os = "linux", not(miri)))]
mod protocol;
mod request;
#[cfg(all(target_os = "linux", not(miri)))]
mod server;
#[cfg(all(target_os = "linux", not(miri)))]
mod services;
#[cfg(all(target_os = "linux", not(miri)))]
mod socket;

pub(crate) use crate::place::order::Order;
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) use client::Connection;
#[cfg(not(all(target_os = "linux", not(miri))))]
pub(crate) use inert::Connection;
pub(crate) use request::{Definition, Reply, Request, Stop};

use crate::place;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a reply may take: the keeper may be stopping another fixture first.
pub(crate) const LIMIT_OF_A_REPLY: Duration = Duration::from_secs(30);

/// The file with a fixture's handle, in its folder, while the fixture stands.
pub(crate) const HANDLE: &str = "handle.jsonl";

/// The same before it is kept.
pub(crate) const OFFERED: &str = "handle.new";

/// Gives the handle's file its name: from now on all may have it.
fn publish(folder: &Path) -> Result<(), String> {
    let path = folder.join(HANDLE);
    std::fs::rename(folder.join(OFFERED), &path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The folder of one fixture.
pub(crate) fn folder(run: &Path, key: &str) -> PathBuf {
    let fixtures = run.join("fixtures");
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let fixtures = inert::own(&fixtures);
    fixtures.join(place::file_name(key))
}
