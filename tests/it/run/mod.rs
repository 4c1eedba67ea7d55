//! Locks, leases, files and fixtures across threads, processes and runs.

/// Returns whether the process is one test, with all threads in one worker.
#[expect(clippy::disallowed_methods, reason = "the two runners differ in this")]
fn is_one_test() -> bool {
    std::env::var_os("NEXTEST").is_some()
}

#[cfg(all(feature = "macros", feature = "tokio", target_os = "linux", not(miri)))]
mod async_suite;
#[cfg(all(unix, not(miri)))]
mod environment;
#[cfg(not(miri))]
mod files;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
mod fixtures;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
mod fixtures_outside;
#[cfg(all(feature = "macros", target_os = "linux", not(miri)))]
mod isolated;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
mod kept;
#[cfg(all(unix, not(miri)))]
mod killed;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
mod kills;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
mod lasting;
#[cfg(not(miri))]
mod leases;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
mod limits;
#[cfg(not(miri))]
mod lock;
#[cfg(feature = "tokio")]
mod lock_async;
#[cfg(all(unix, not(miri)))]
mod lock_files;
#[cfg(all(target_os = "linux", not(miri)))]
mod lock_fork;
#[cfg(all(feature = "macros", target_os = "linux", not(miri)))]
mod moved;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
mod planted;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
mod ready;
#[cfg(all(feature = "macros", not(miri)))]
mod serial;
#[cfg(all(feature = "macros", feature = "tokio", not(miri)))]
pub(crate) use serial::state;
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
mod teardown;
#[cfg(all(unix, not(miri)))]
mod test_dirs;
#[cfg(all(feature = "macros", target_os = "linux", not(miri)))]
mod two_runs;
#[cfg(all(target_os = "linux", not(miri)))]
mod without_fixtures;
