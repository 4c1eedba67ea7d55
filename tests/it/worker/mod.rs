//! Workers of real threads and processes.

#[cfg(all(feature = "macros", feature = "tokio", unix, not(miri)))]
mod async_ends;
#[cfg(all(feature = "macros", feature = "tokio", not(miri)))]
mod async_tests;
#[cfg(all(unix, not(miri)))]
mod begun;
#[cfg(all(target_os = "linux", not(miri)))]
mod four_ways;
mod futures;
#[cfg(all(target_os = "linux", not(miri)))]
mod places;
#[cfg(all(unix, not(miri)))]
mod processes;
mod threads;
