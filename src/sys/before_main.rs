//! Code that runs before `main`, in every program that is linked with this crate.

/// Calls a function before `main`, while the process has one thread and nobody's code has run.
///
/// The function must not unwind. It stands in the list that the C library goes through at a program's start; four lines
/// here are what a crate for it would do on Linux.
#[cfg(all(target_os = "linux", not(miri)))]
macro_rules! before_main {
    ($function:path) => {
        #[used]
        #[expect(unsafe_code, reason = "a section is named")]
        // SAFETY: `.init_array` holds pointers to functions of this type, and this is one; it lives as long as the
        // program.
        #[unsafe(link_section = ".init_array")]
        static BEFORE_MAIN: extern "C" fn() = $function;
    };
}
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) use before_main;
