//! Changes of the environment variables and the working directory that end with a guard.
//!
//! A process has one environment for all its threads, so a test that changes it affects the tests beside it under
//! `cargo test`. A guard excludes the other tests that use guards, declares the change as a [`claim`](crate::claim()), and
//! restores what was there before. Under nextest, where a process is one test, it never waits.
//!
//! `#[isolated]` and [`Command::env`](std::process::Command::env) set variables without these limits: prefer them where the
//! test does not need its variables in its own process.

use crate::error::{self, Error};
use crate::resource::{Access, Resource};
use crate::sys::clock::Deadline;
use crate::sys::observer::ObservedExclusion;
use crate::sys::{clock, env, stderr};
use crate::worker::claim::guarded_by;
use crate::worker::{Claim, Worker, claim};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Sets a variable of this process until the guard is dropped.
///
/// It waits until no other test holds a guard of this module; one test may hold several, on any of its threads. When guards
/// end, also by a panic and in any order, each variable has the value of its newest guard, or without one its first value.
///
/// Tests without a guard are not excluded: one that reads the variable needs a guard too, for the value that it expects.
/// `cargo cofferdam run` reports a test that [claims](crate::claim()) the variable without one.
///
/// ```
/// use cofferdam::environment::set_env;
/// // SAFETY: this program calls no C function that reads the environment.
/// let _currency = unsafe { set_env("SHOP_CURRENCY", "EUR") };
/// assert_eq!(std::env::var("SHOP_CURRENCY").unwrap(), "EUR");
/// ```
///
/// # Safety
/// As for [`std::env::set_var`], until the guard has been dropped: on systems other than Windows, no other thread may read or
/// change the environment at these two moments other than by [`std::env`](mod@std::env). In C, `getenv` reads it, and so do
/// functions such as `getaddrinfo` and `localtime_r`: a test on another thread that resolves a host name is such a reader.
///
/// # Panics
/// When the other test's guard is not dropped within 300 seconds, on a thread without a worker, when the name is empty or
/// contains `=`, and when name or value contain a zero byte.
#[track_caller]
#[expect(
    unsafe_code,
    reason = "the caller keeps other readers out, as no function can"
)]
pub unsafe fn set_env(name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> EnvGuard {
    let (name, value) = (name.as_ref().to_owned(), value.as_ref().to_owned());
    error::or_panic(change(Target::Variable(name), Some(value), TIMEOUT))
}

/// Removes a variable of this process until the guard is dropped; see [`set_env`].
///
/// # Safety
/// As for [`set_env`].
///
/// # Panics
/// Like [`set_env`].
#[track_caller]
#[expect(
    unsafe_code,
    reason = "the caller keeps other readers out, as no function can"
)]
pub unsafe fn remove_env(name: impl AsRef<OsStr>) -> EnvGuard {
    let name = name.as_ref().to_owned();
    error::or_panic(change(Target::Variable(name), None, TIMEOUT))
}

/// Changes the working directory of this process until the guard is dropped; see [`set_env`].
///
/// ```
/// let dir = cofferdam::Worker::current().test_dir().unwrap();
/// let _there = cofferdam::environment::set_current_dir(&dir);
/// std::fs::write("orders.csv", "7,tea").unwrap();
/// assert!(dir.join("orders.csv").exists());
/// ```
///
/// # Panics
/// When the other test's guard is not dropped within 300 seconds, on a thread without a worker, and when the directory does
/// not exist.
#[track_caller]
pub fn set_current_dir(path: impl AsRef<Path>) -> EnvGuard {
    let path = path.as_ref().as_os_str().to_owned();
    error::or_panic(change(Target::Directory, Some(path), TIMEOUT))
}

/// The time that a test waits for another one's guards.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The guard that all these changes have in common in reports.
const GUARD: &str = "cofferdam::environment";

/// The part of the environment that a guard changes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Variable(OsString),
    Directory,
}

impl Target {
    /// Returns a reason against the change.
    fn check(&self, value: Option<&OsStr>) -> Result<(), Error> {
        let Self::Variable(name) = self else { return Ok(()) };
        let has = |text: &OsStr, byte: u8| text.as_encoded_bytes().contains(&byte);
        let reason = if name.is_empty() {
            "its name is empty"
        } else if has(name, b'=') {
            "its name contains `=`"
        } else if has(name, 0) || value.is_some_and(|value| has(value, 0)) {
            "it contains a zero byte"
        } else {
            return Ok(());
        };
        Err(Error::bad_env(name, reason))
    }

    /// Returns the current value: that of the variable, or the directory.
    fn value(&self) -> Result<Option<OsString>, Error> {
        match self {
            Self::Variable(name) => Ok(env::value(name)),
            Self::Directory => {
                let there = env::current_dir().map_err(|source| Error::io("read", Path::new("."), source))?;
                Ok(Some(there.into_os_string()))
            }
        }
    }

    /// Sets the value, or removes it.
    fn set(&self, value: Option<&OsStr>) -> Result<(), Error> {
        match (self, value) {
            #[expect(unsafe_code, reason = "see `set_env`")]
            // SAFETY: the caller of `set_env` or `remove_env` has promised it, until its guard has been dropped.
            (Self::Variable(name), value) => unsafe { env::set(name, value) },
            (Self::Directory, Some(path)) => env::set_current_dir(Path::new(path))
                .map_err(|source| Error::io("change the working directory to", Path::new(path), source))?,
            (Self::Directory, None) => {}
        }
        Ok(())
    }

    fn resource(&self) -> Resource {
        match self {
            Self::Variable(name) => Resource::env(name.to_string_lossy()),
            Self::Directory => Resource::cwd(),
        }
    }
}

/// The changes in force, oldest first: of targets `T`, each with the value before it.
#[derive(Debug)]
struct Changes<T, V>(Vec<(u64, T, V)>);

impl<T: PartialEq, V> Changes<T, V> {
    fn add(&mut self, guard: u64, target: T, before: V) {
        self.0.push((guard, target, before));
    }

    /// Ends a change and returns the value to restore. There is none to restore while a newer change is in force; it restores
    /// the value later.
    fn remove(&mut self, guard: u64) -> Option<(T, V)> {
        let index = self.0.iter().position(|(number, ..)| *number == guard)?;
        let (_, target, before) = self.0.remove(index);
        match self.0[index..].iter_mut().find(|(_, other, _)| *other == target) {
            Some((.., theirs)) => {
                *theirs = before;
                None
            }
            None => Some((target, before)),
        }
    }
}

/// The environment of this process.
#[derive(Debug)]
struct Environment {
    owner: Option<Owner>,
    changes: Changes<Target, Option<OsString>>,
}

/// The test that holds guards.
#[derive(Debug)]
struct Owner {
    execution: u64,
    test: String,
    place: &'static Location<'static>,
    _observed: ObservedExclusion,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "test {} changed it at {}", self.test, self.place)
    }
}

static ENVIRONMENT: Mutex<Environment> = Mutex::new(Environment {
    owner: None,
    changes: Changes(Vec::new()),
});
/// Notified when a test has dropped its last guard.
static FREE: Condvar = Condvar::new();

fn environment() -> MutexGuard<'static, Environment> {
    ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner)
}

#[track_caller]
fn change(target: Target, value: Option<OsString>, timeout: Duration) -> Result<EnvGuard, Error> {
    target.check(value.as_deref())?;
    let worker = Worker::try_current()?;
    let (execution, deadline) = (worker.execution(), Deadline::after(timeout));
    let mut environment = environment();
    while let Some(owner) = environment
        .owner
        .as_ref()
        .filter(|owner| owner.execution != execution)
    {
        let Some(left) = deadline.left() else {
            return Err(Error::env_busy(timeout, owner.to_string()));
        };
        environment = FREE
            .wait_timeout(environment, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
    // Dropped again if the change fails.
    let owner = environment.owner.is_none().then(|| Owner {
        execution,
        test: worker.test_or_main(),
        place: Location::caller(),
        _observed: ObservedExclusion::by_guards_of_environment(),
    });
    let before = target.value()?;
    target.set(value.as_deref())?;
    let guard = clock::unique();
    if owner.is_some() {
        environment.owner = owner;
    }
    let resource = target.resource();
    environment.changes.add(guard, target, before);
    drop(environment);
    let _guarded = guarded_by(GUARD);
    Ok(EnvGuard {
        guard,
        claim: Some(claim(resource, Access::Write)),
    })
}

/// A change of the environment in force; see [`set_env`] and [`set_current_dir`].
#[must_use = "the change ends when the guard is dropped"]
#[derive(Debug)]
pub struct EnvGuard {
    guard: u64,
    claim: Option<Claim>,
}

impl Drop for EnvGuard {
    fn drop(&mut self) {
        // Before the next test may begin its own.
        self.claim = None;
        let mut environment = environment();
        if let Some((target, before)) = environment.changes.remove(self.guard)
            && let Err(error) = target.set(before.as_deref())
        {
            stderr::line(&format!("{error}; the test began there"));
        }
        if environment.changes.0.is_empty() {
            environment.owner = None;
            FREE.notify_all();
        }
    }
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use super::*;
    use crate::sys::role::{play, plays, role};
    use proptest::prelude::*;

    const WAITS: &str = "environment::tests::role_waits";

    #[test]
    #[ignore = "a role"]
    fn role_waits() {
        if !plays(WAITS) {
            return;
        }
        let stay = || change(Target::Directory, Some(".".into()), Duration::ZERO);
        let held = stay().unwrap();
        let other = std::thread::Builder::new().name("a::waits".to_owned());
        let error = other
            .spawn(move || stay().unwrap_err().to_string())
            .unwrap()
            .join()
            .unwrap();
        assert!(
            error.starts_with("the environment was not free within 0 s: test environment::tests::role_waits changed it at src/"),
            "{error}"
        );
        drop(held);
        let other = std::thread::Builder::new().name("a::waits".to_owned());
        other
            .spawn(move || drop(stay().unwrap()))
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn a_test_that_waits_too_long_gets_an_error_that_names_the_other_test() {
        let base = tempfile::tempdir().unwrap();
        play(role(WAITS, "waits").env("COFFERDAM_DIR", base.path()))
            .end()
            .passed();
    }

    /// A guard that is alive: its number, its variable and the value that it set.
    type Alive = (u64, usize, u64);

    proptest! {
        /// After each step, every variable has the value of its newest guard, or without one its first value.
        #[test]
        fn guards_restore_their_variables_in_any_order(
            steps in proptest::collection::vec((0_usize..3, any::<bool>(), any::<prop::sample::Index>()), 0..40),
        ) {
            let first = [100, 101, 102];
            let (mut values, mut changes) = (first, Changes(Vec::new()));
            let mut alive: Vec<Alive> = Vec::new();
            for (number, (variable, ends, which)) in (0_u64..).zip(steps) {
                if ends && !alive.is_empty() {
                    let (guard, ..) = alive.remove(which.index(alive.len()));
                    if let Some((variable, before)) = changes.remove(guard) {
                        values[variable] = before;
                    }
                } else {
                    changes.add(number, variable, values[variable]);
                    values[variable] = number;
                    alive.push((number, variable, number));
                }
                for (variable, value) in values.into_iter().enumerate() {
                    let newest = alive.iter().rfind(|(_, of, _)| *of == variable);
                    prop_assert_eq!(value, newest.map_or(first[variable], |(.., value)| *value));
                }
            }
            prop_assert_eq!(changes.0.len(), alive.len());
        }
    }
}
