//! The public API of locators, under both runners.

#[cfg(all(feature = "macros", feature = "tokio", not(miri)))]
mod async_services;
mod building;
mod clearing;
#[cfg(all(unix, not(miri)))]
mod counting;
mod dropping;
#[cfg(all(unix, not(miri)))]
mod exits;
#[cfg(all(unix, not(miri)))]
mod isolation;
mod lazy;
#[cfg(all(unix, not(miri)))]
mod lifetimes;
mod overrides;
#[cfg(all(target_os = "linux", not(miri)))]
mod production;
mod registering;
#[cfg(all(unix, not(miri)))]
mod statics;
#[cfg(all(unix, not(miri)))]
mod switched_off;
#[cfg(all(unix, not(miri)))]
mod workers;

use cofferdam::Worker;
use std::ops::Deref;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// The events, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A service that logs its drop.
pub(crate) struct Noted {
    pub(crate) name: String,
    pub(crate) log: Log,
}

impl Noted {
    pub(crate) fn new(name: &str, log: &Log) -> Arc<Self> {
        let (name, log) = (name.to_owned(), log.clone());
        Arc::new(Self { name, log })
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.log.note(format!("{} dropped", self.name));
    }
}

/// A service that does something when it is dropped.
pub(crate) struct OnDrop<F: FnMut() + Send + Sync + 'static>(pub(crate) F);

impl<F: FnMut() + Send + Sync + 'static> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Returns whether both hold the same instance.
pub(crate) fn is_same<T: ?Sized>(one: &impl Deref<Target = T>, other: &impl Deref<Target = T>) -> bool {
    std::ptr::addr_eq(&raw const **one, &raw const **other)
}

/// Returns the message of a call's panic.
#[track_caller]
pub(crate) fn panic_of<R>(work: impl FnOnce() -> R) -> String {
    let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) else {
        panic!("it should have panicked");
    };
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

pub(crate) fn own_worker() -> String {
    Worker::current().id().to_owned()
}

/// Runs `work` on another thread of the worker, and fails if it takes too long.
pub(crate) fn in_time<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, is_done) = mpsc::channel();
    let child = Worker::current().spawn(move || drop(done.send(work())));
    match is_done.recv_timeout(Duration::from_secs(20)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(child.join().unwrap_err()),
    }
}

/// Runs `work` as libtest runs a test: on a fresh thread named by the test's path.
pub(crate) fn as_test<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let test = std::thread::Builder::new().name(name.to_owned());
        test.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

/// Tests in separate processes, in which lanes are leased under every runner and no other test has one.
#[cfg(all(unix, not(miri)))]
macro_rules! alone {
    ($($(#[$doc:meta])* fn $name:ident() $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            fn path() -> &'static str {
                concat!(module_path!(), "::role").split_once("::").unwrap().1
            }

            #[test]
            fn in_its_own_process() {
                let base = tempfile::tempdir().unwrap();
                let mut role = crate::role::role(path(), "alone");
                crate::role::play(role.env("COFFERDAM_DIR", base.path())).end().passed();
            }

            #[test]
            #[ignore = "a role"]
            fn role() {
                if crate::role::plays(path()) {
                    $body
                }
            }
        }
    )*};
}
#[cfg(all(unix, not(miri)))]
pub(crate) use alone;
