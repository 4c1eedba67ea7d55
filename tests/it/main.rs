//! What the library promises, seen from outside. The folders mirror `src`.

#[cfg(all(unix, not(miri)))]
mod compile_fail;
#[path = "../../src/sys/role.rs"]
mod role;
mod worker;
