//! Calls to the observer of `cargo cofferdam observe`, if it is loaded into this process.
//!
//! The observer cannot know some facts by itself, so it exports functions with which the library reports them:
//! - The accesses of a fixture's factory, and a lease's search for a free port, belong to the run and not to the test that
//!   happens to be first.
//! - A thread of a harness's pool runs a test that its name does not show, and one of another pool or of an async runtime works
//!   for a test that did not start it.
//! - Guards of the environment exclude other tests, without a file that shows it.

use once_cell::sync::OnceCell;
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;

/// The number of the run where the observer expects that of a test.
const RUN: u32 = u32::MAX;

/// Attributes the accesses of the current thread, and of threads and processes that it starts, to the run or to a test until
/// dropped.
#[derive(Debug)]
pub(crate) struct Attributed {
    before: Option<u32>,
    /// The function that ends it.
    end: &'static CStr,
    /// Not `Send`.
    _thread: PhantomData<*const ()>,
}

impl Attributed {
    fn new(before: Option<u32>, end: &'static CStr) -> Self {
        Self {
            before,
            end,
            _thread: PhantomData,
        }
    }
}

impl Drop for Attributed {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            call(self.end, before);
        }
    }
}

/// Begins to attribute the accesses of the current thread to the run.
pub(crate) fn for_the_run() -> Attributed {
    Attributed::new(work_for(RUN), WORKS_FOR)
}

/// A test, by its number in the observer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObservedTest(u32);

impl ObservedTest {
    /// Returns the test of the current thread; `None` without an observer, and where its accesses belong to the run.
    pub(crate) fn current() -> Option<Self> {
        let own = work_for(0)?;
        work_for(own);
        (own != RUN).then_some(Self(own))
    }

    /// Attributes the accesses of the current thread to the test, unless they belong to the run. Returns the previous test.
    pub(crate) fn attribute(self) -> Option<Self> {
        let before = work_for(self.0)?;
        if before == RUN {
            work_for(RUN);
            return None;
        }
        Some(Self(before))
    }
}

const WORKS_FOR: &CStr = c"cofferdam_observer_works_for";

/// Has the current thread work for a test or the run, and returns the number until now; `None` without an observer.
fn work_for(number: u32) -> Option<u32> {
    static FOUND: OnceCell<Option<Function>> = OnceCell::new();
    FOUND
        .get_or_init(|| function(WORKS_FOR))
        .map(|found| found(number))
}

/// Begins to attribute the accesses of the current thread to a test. Costs a lookup by name.
pub(crate) fn for_test(name: &str) -> Attributed {
    Attributed::new(begin(name), c"cofferdam_observer_ends")
}

/// A test's exclusion of others, whose end is reported when it is dropped, on any thread.
#[derive(Debug)]
pub(crate) struct ObservedExclusion {
    /// The observer's number of the test; `None` without an observer.
    test: Option<u32>,
}

impl ObservedExclusion {
    /// Reports that the current thread's test begins to exclude others by guards of the environment. Costs a lookup by name.
    pub(crate) fn by_guards_of_environment() -> Self {
        Self {
            test: call(c"cofferdam_observer_guards", 0),
        }
    }
}

impl Drop for ObservedExclusion {
    fn drop(&mut self) {
        if let Some(test) = self.test {
            call(c"cofferdam_observer_guarded", test);
        }
    }
}

/// Reports a leased TCP port, so that uses of it are attributed to the lease.
pub(crate) fn leased(port: u16) {
    call(c"cofferdam_observer_leased", port.into());
}

/// A function of the observer that takes a number and returns one.
type Function = extern "C" fn(u32) -> u32;

/// Calls a function of the observer, if it is loaded.
fn call(name: &CStr, argument: u32) -> Option<u32> {
    function(name).map(|found| found(argument))
}

fn function(name: &CStr) -> Option<Function> {
    let found = find(name)?;
    #[expect(unsafe_code, reason = "only a cast makes a symbol a function")]
    // SAFETY: the functions with the names above are of this type.
    Some(unsafe { std::mem::transmute::<*mut c_void, Function>(found) })
}

/// Reports the test that begins on this thread to the observer, if it is loaded.
fn begin(test: &str) -> Option<u32> {
    type Begins = unsafe extern "C" fn(*const u8, usize) -> u32;
    let found = find(c"cofferdam_observer_begins")?;
    #[expect(unsafe_code, reason = "only a cast makes a symbol a function")]
    // SAFETY: the function takes a text by address and length, which it only reads, and returns a number.
    unsafe {
        let found = std::mem::transmute::<*mut c_void, Begins>(found);
        Some(found(test.as_ptr(), test.len()))
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
fn find(name: &CStr) -> Option<*mut c_void> {
    #[expect(unsafe_code, reason = "dlsym is a C function")]
    // SAFETY: the name ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn find(_: &CStr) -> Option<*mut c_void> {
    None
}
