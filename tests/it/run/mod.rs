//! What outlives a test process, with real runners and real signals.

#[cfg(all(target_os = "linux", not(miri)))]
mod fixtures;
#[cfg(all(target_os = "linux", not(miri)))]
mod kept;
#[cfg(all(target_os = "linux", not(miri)))]
mod kills;
