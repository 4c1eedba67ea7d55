//! The observer of `cargo cofferdam observe`, in processes that it is loaded into.
//!
//! What a fixture's factory does, and what a lease does to find a free port, belongs to the run and not to the test
//! that happened to ask first. The observer cannot see that from outside, so it exports two functions.

use std::ffi::CStr;
use std::marker::PhantomData;

/// The number that stands for the run where the observer expects a test's.
const RUN: u32 = u32::MAX;

/// While this lives, what the calling thread does, and the threads and processes that it starts, belong to the run.
pub(crate) struct ForTheRun {
    before: Option<u32>,
    /// It belongs to its thread.
    _thread: PhantomData<*const ()>,
}

/// Attributes what the calling thread does from now on to the run. Costs a look-up by name.
pub(crate) fn for_the_run() -> ForTheRun {
    ForTheRun {
        before: call(c"cofferdam_observer_works_for", RUN),
        _thread: PhantomData,
    }
}

impl Drop for ForTheRun {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            call(c"cofferdam_observer_works_for", before);
        }
    }
}

/// Reports a leased TCP port: its users were handed it.
pub(crate) fn leased(port: u16) {
    call(c"cofferdam_observer_leased", port.into());
}

/// Calls the observer's function, if there is an observer.
#[cfg(all(target_os = "linux", not(miri)))]
fn call(name: &CStr, argument: u32) -> Option<u32> {
    #[expect(unsafe_code, reason = "dlsym is a C function, and finds one")]
    // SAFETY: a name with a zero at its end; both functions of the observer take a number and return one.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
        if found.is_null() {
            return None;
        }
        let found = std::mem::transmute::<*mut libc::c_void, extern "C" fn(u32) -> u32>(found);
        Some(found(argument))
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn call(_: &CStr, _: u32) -> Option<u32> {
    None
}
