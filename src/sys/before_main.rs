//! Code that runs before `main` in every program that is linked with this crate.

/// Registers a function to run before `main`, while the process has one thread and no other code has run.
///
/// The function must not unwind. It is added to the list of initializers of the C library; on Linux a dependency for that
/// would contain the same four lines.
#[cfg(all(target_os = "linux", not(miri)))]
macro_rules! before_main {
    ($function:path) => {
        #[used]
        #[expect(unsafe_code, reason = "a section is named")]
        // SAFETY: `.init_array` contains pointers to functions of this type, and this one is valid for the whole program.
        #[unsafe(link_section = ".init_array")]
        static BEFORE_MAIN: extern "C" fn() = $function;
    };
}
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) use before_main;
