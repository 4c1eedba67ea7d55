//! Calls to the observer of `cargo cofferdam observe`, if it is loaded into this process.
//!
//! The accesses of a fixture's factory, and the search of a lease for a free port, belong to the run and not to the test
//! that happens to be first. The observer cannot know that by itself, so it exports two functions.

use std::ffi::CStr;
use std::marker::PhantomData;

/// The number of the run where the observer expects that of a test.
const RUN: u32 = u32::MAX;

/// Attributes the accesses of the current thread, and of threads and processes that it starts, to the run until dropped.
pub(crate) struct ForTheRun {
    before: Option<u32>,
    /// Not `Send`.
    _thread: PhantomData<*const ()>,
}

/// Begins to attribute the accesses of the current thread to the run. Costs a lookup by name.
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

/// Reports a leased TCP port, so that uses of it are attributed to the lease.
pub(crate) fn leased(port: u16) {
    call(c"cofferdam_observer_leased", port.into());
}

/// Calls a function of the observer, if it is loaded.
#[cfg(all(target_os = "linux", not(miri)))]
fn call(name: &CStr, argument: u32) -> Option<u32> {
    #[expect(unsafe_code, reason = "dlsym is a C function, and finds one")]
    // SAFETY: the name ends with a zero; both functions of the observer take a number and return one.
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
