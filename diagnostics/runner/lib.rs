//! The runner: cargo and nextest start it in place of each test program, which it becomes. It enters the program in the
//! observation's account and sets the variables that the observer needs.
//!
//! nextest starts it for each test, and a program of this size that is linked with libc spends more time in the dynamic
//! linker than in its work. So it has no libc, and no std. The rare rest is left to `cargo-cofferdam`, whose
//! `src/observe/launch/runner.rs` starts it again: a project's own runner, doctests, statics to be listed, and starts that
//! are only saved.
//!
//! The build script of `cargo-cofferdam` builds it and embeds it in that program. For Cargo it is an example, as the
//! observer is.
#![no_std]
#![no_builtins]
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![cfg_attr(panic = "abort", no_main)]
#![expect(unsafe_code, reason = "makes system calls")]
#![cfg_attr(
    not(panic = "abort"),
    expect(dead_code, reason = "only a program has a beginning")
)]

#[path = "../observer/account_layout.rs"]
#[expect(dead_code, reason = "the observer and the reader use the rest")]
mod account_layout;
mod becoming;
mod buffer;
mod entry;
mod sys;

#[cfg(panic = "abort")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(becoming::UNKNOWN)
}
