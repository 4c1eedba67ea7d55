//! Workers of real threads and processes.

#[cfg(all(unix, not(miri)))]
mod begun;
#[cfg(all(target_os = "linux", not(miri)))]
mod four_ways;
#[cfg(feature = "tokio")]
mod futures;
#[cfg(all(target_os = "linux", not(miri)))]
mod places;
#[cfg(all(unix, not(miri)))]
mod processes;
mod threads;
