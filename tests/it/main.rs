//! What only shows from outside: the rules of the sources, the documents, and the crate as its users see it.

// All of it is tests, and clippy is told so: helpers unwrap too.
#![cfg(test)]

#[cfg(all(unix, not(miri)))]
mod compile_fail;
mod console;
mod docs;
mod files;
mod locator;
mod markdown;
#[path = "../../src/sys/role.rs"]
mod role;
mod rooms;
mod source;
mod tidy;
mod worker;
