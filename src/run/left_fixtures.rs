//! The end of fixtures whose keeper is gone.

#[cfg(all(target_os = "linux", not(miri)))]
use super::teardown;
#[cfg(all(target_os = "linux", not(miri)))]
use crate::sys::family;
use crate::sys::{folder, sorted};
use std::path::Path;
#[cfg(all(target_os = "linux", not(miri)))]
use std::time::Duration;

/// The file in a fixture's directory that lists the started processes: one `PID SIGNAL GRACE` per line, the grace in
/// milliseconds.
pub(crate) const LEADERS: &str = "processes";
/// The file in a fixture's directory with its place in the order of completion.
pub(crate) const ORDER: &str = "order";
/// The variable in the environment of a fixture's processes, with the fixture's directory as its value.
pub(crate) const MARK: &str = "COFFERDAM_FIXTURE";

/// Ends the fixtures whose keeper left them running or was killed together with its runner: their processes, then the
/// commands of their teardown, newest fixture first. Those that were kept get their stop signal first.
pub(super) fn end(fixtures: &Path, is_kept: bool) {
    // The folder names commands to run.
    if !folder::is_safe(fixtures) {
        return;
    }
    let mut found = Vec::new();
    for fixture in folder::folders_in(fixtures).unwrap_or_default() {
        sorted::insert(&mut found, (order_of(&fixture), fixture), |a, b| a.0 > b.0);
    }
    for (_, fixture) in found {
        end_fixture(&fixture, is_kept);
    }
}

/// Returns the number under which the fixture was completed. One that is not complete may need all others.
fn order_of(fixture: &Path) -> u64 {
    let order = std::fs::read_to_string(fixture.join(ORDER)).unwrap_or_default();
    order.parse().unwrap_or(u64::MAX)
}

/// Ends one fixture, by the directory that it was started for. With `grace` its processes get their stop signal and the time
/// to end; otherwise they are killed.
pub(crate) fn end_fixture(fixture: &Path, grace: bool) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        // Looking at every process takes milliseconds, and usually none was started.
        if let Ok(leaders) = std::fs::read_to_string(fixture.join(LEADERS)) {
            let mark = mark(fixture);
            let find = || family::find(Some(&mark), &[]);
            let stop = stop_of(&leaders).filter(|_| grace);
            let (signal, grace) = stop.unwrap_or((libc::SIGKILL, Duration::ZERO));
            family::end_all(find, signal, grace);
        }
        teardown::run_teardown(fixture);
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (fixture, grace);
}

/// Returns the stop signal and the grace of the process that was started last.
#[cfg(all(target_os = "linux", not(miri)))]
fn stop_of(leaders: &str) -> Option<(i32, Duration)> {
    let mut fields = leaders.lines().last()?.split(' ').skip(1);
    let signal = fields.next()?.parse().ok()?;
    Some((signal, Duration::from_millis(fields.next()?.parse().ok()?)))
}

/// Returns the variable that marks a fixture's processes.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn mark(fixture: &Path) -> Vec<u8> {
    [MARK.as_bytes(), b"=", fixture.as_os_str().as_encoded_bytes()].concat()
}
