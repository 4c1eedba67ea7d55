//! The observer: a library that is loaded into test processes before all others, and notes what their tests do to
//! files, ports and the environment. docs/observe.md says how it works and what it does not see.
//!
//! It is built by the build script of `cargo-cofferdam` and travels inside of that program. In Cargo's eyes it is an
//! example, so that formatting, lints and warnings cover it.
//!
//! What holds everywhere here: no std and no allocation, for both would come back to our own functions; what a test
//! does comes first and unchanged, then it is noted; `errno` is as libc left it; nothing big lies on the stack, of which
//! little may be left; when something cannot be noted, that is counted, and the test goes on.
#![no_std]
#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
#![expect(unsafe_code, reason = "stands in front of libc")]
#![expect(
    unreachable_pub,
    reason = "what stands in front of libc is seen by the loader, not by Rust"
)]

#[expect(dead_code, reason = "the other half is the reader's")]
mod account_layout;
mod calls;
mod dedupe;
mod dispatch;
#[expect(dead_code, reason = "the other half is the reader's")]
mod format;
mod hold;
mod hooks;
mod log;
mod record;
mod stack;
mod start;
mod sys;
mod thread;

/// Nothing here panics by intention; what does all the same must not go on.
#[cfg(panic = "abort")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: ends the process.
    unsafe { sys::abort() }
}
