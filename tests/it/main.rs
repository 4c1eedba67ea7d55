//! What the library promises, seen from outside, in folders that mirror `src`; then the rules of the sources and the
//! documents.

// All of it is tests, and clippy is told so: helpers unwrap too.
#![cfg(test)]

#[cfg(all(unix, not(miri)))]
mod caller;
#[cfg(all(unix, not(miri)))]
mod compile_fail;
mod console;
mod docs;
mod files;
mod house;
mod locator;
mod markdown;
#[path = "../../src/sys/role.rs"]
mod role;
mod rooms;
mod run;
mod source;
#[cfg(all(target_os = "linux", not(miri)))]
mod stranger;
mod tidy;
mod worker;
