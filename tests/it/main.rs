//! Tests of the library's public API, in directories that mirror `src`, and of the rules for sources and documents.

// The whole crate is tests, which clippy does not know: functions that are no tests unwrap too.
#![cfg(test)]

#[cfg(all(unix, not(miri)))]
mod caller;
#[cfg(all(unix, not(miri)))]
mod compile_fail;
mod console;
mod docs;
mod files;
mod house;
#[cfg(all(feature = "macros", unix, not(miri)))]
mod isolated;
mod locator;
mod markdown;
#[cfg(all(target_os = "linux", not(miri)))]
mod published;
#[path = "../../src/sys/role.rs"]
mod role;
mod rooms;
mod run;
mod source;
#[cfg(all(target_os = "linux", not(miri)))]
mod stranger;
mod tidy;
mod worker;
