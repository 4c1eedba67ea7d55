//! The observer: a library that is loaded into test processes before all others, and records their tests' accesses to
//! files, ports, the environment and other shared state. docs/observe/how-it-works.md describes how it works and what it misses.
//!
//! The build script of `cargo-cofferdam` builds it and embeds it in that program. For Cargo it is an example, so that
//! formatting, lints and warnings cover it.
//!
//! Rules that hold everywhere here: no std and no allocation, because both would call our own hooks; a test's call is
//! made first and unchanged, then it is recorded; `errno` stays as libc left it; nothing big lies on the stack, which may
//! be nearly full; what cannot be recorded is counted, and the test goes on.
#![no_std]
#![cfg(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#![expect(unsafe_code, reason = "replaces functions of libc")]
#![expect(unreachable_pub, reason = "the loader uses the hooks, and Rust does not")]

#[expect(dead_code, reason = "the binary uses the rest")]
mod account_layout;
mod breakpoints;
mod calls;
mod dedupe;
mod dispatch;
mod hash;
mod hold;
mod hooks;
mod lock_state;
mod log;
#[expect(dead_code, reason = "the binary uses the rest")]
mod log_format;
mod open_paths;
mod order;
mod recording;
mod rerun_arguments;
mod selector;
#[expect(dead_code, reason = "the binary uses the rest")]
mod site_table;
mod stack;
mod start;
mod static_bytes;
mod static_locks;
mod static_uses;
mod sys;
mod this_process;
mod thread;

/// Ends the process. Nothing here panics intentionally.
#[cfg(panic = "abort")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: ends the process.
    unsafe { sys::abort() }
}
