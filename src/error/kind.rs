//! All messages in one list, which messages.txt repeats.

use super::BoxError;
use std::fmt;
use std::panic::Location;
use std::path::PathBuf;
use std::time::Duration;

/// The origin of a thread without a worker, which determines the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadOrigin {
    /// The test or the program started it.
    Started,
    /// An async runtime started it.
    Runtime,
    /// Its name could be that of a test, and another thread already has that name.
    SecondOfName,
}

/// The kinds of errors, with the data of their messages.
pub(super) enum Kind {
    NoWorker {
        thread: String,
        origin: ThreadOrigin,
    },
    TestOver,
    BadVariable {
        name: &'static str,
        value: String,
        reason: &'static str,
    },
    NoPlace,
    Io {
        tried: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    ZeroCapacity,
    Twice {
        service: String,
        first: &'static Location<'static>,
        second: &'static Location<'static>,
    },
    Unknown {
        service: String,
        locator: String,
        known: Vec<String>,
    },
    NoLocator {
        service: String,
    },
    Outlives {
        service: String,
        lives: &'static str,
        asked: String,
        that_lives: &'static str,
    },
    Pointless {
        service: String,
        lives: &'static str,
        method: &'static str,
    },
    Factory {
        service: String,
        worker: String,
        at: &'static Location<'static>,
        source: BoxError,
    },
    Panic {
        service: String,
        worker: String,
        at: &'static Location<'static>,
        message: String,
    },
    Cycle {
        path: Vec<String>,
    },
    Blocked {
        service: String,
        worker: String,
        builder: String,
        waited: Duration,
    },
    #[cfg(any(test, feature = "tokio"))]
    NeedsAwait {
        service: String,
    },
    #[cfg(any(test, feature = "tokio"))]
    ForeignRuntime {
        service: String,
        runtime: String,
        here: String,
    },
    #[cfg(any(test, feature = "tokio"))]
    BuildEnded {
        service: String,
        worker: String,
    },
    Busy {
        lock: String,
        waited: Duration,
        holder: String,
    },
    OwnLock {
        lock: String,
        holder: String,
    },
    EnvBusy {
        waited: Duration,
        owner: String,
    },
    BadEnv {
        name: String,
        reason: &'static str,
    },
    Unsafe {
        folder: PathBuf,
        reason: &'static str,
    },
    #[cfg(any(feature = "fixtures", feature = "tokio"))]
    Message(Box<dyn fmt::Display + Send + Sync>),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::NoWorker { thread, origin } => {
                write!(
                    f,
                    "no worker is known on {thread}: only a test's own thread and `main` are assigned a worker \
                     automatically; guessing could hand you another worker's services. "
                )?;
                f.write_str(match origin {
                    ThreadOrigin::Started => {
                        "In the test, call `Worker::current()` and start this work with its `spawn` or `wrap`, or call \
                         `enter()` on it here"
                    }
                    ThreadOrigin::Runtime => {
                        "The thread is one of an async runtime: make the test a `#[cofferdam::test]`, whose runtime has \
                         the worker on each of its threads, or start this work with `Worker::current()` and its \
                         `instrument` (a future) or `wrap` (a closure) in the test"
                    }
                    ThreadOrigin::SecondOfName => {
                        "Give the threads of a pool names that are not paths, such as `pool-1`, and start their work \
                         with the `spawn` or `wrap` of `Worker::current()`; move a test with rstest's `#[timeout]` into \
                         a module"
                    }
                })
            }
            Kind::TestOver => f.write_str(
                "this thread's test has ended and no longer has a worker: a value that outlives its test requested a \
                 service while it was dropped. Keep the service in the value instead of requesting it in `drop`",
            ),
            Kind::BadVariable { name, value, reason } => {
                write!(f, "{name}={value:?} cannot be used: {reason}. Unset it or choose another value")
            }
            Kind::NoPlace => f.write_str(
                "no base directory was found: COFFERDAM_DIR is not set, there is no Cargo workspace at or above the \
                 working directory, and this program is not in a target directory. Run it inside a workspace, or set \
                 COFFERDAM_DIR to a writable directory",
            ),
            Kind::Io { tried, path, source } => write!(f, "could not {tried} {}: {source}", path.display()),
            Kind::ZeroCapacity => f.write_str(
                "a capacity of 0 would build every service anew at each call: set `capacity` to at least 1, or mark \
                 the services `per_test`",
            ),
            Kind::Twice { service, first, second } => write!(
                f,
                "{service} is registered twice, at {first} and at {second}: remove one, or distinguish them with \
                 `named`"
            ),
            Kind::Unknown { service, locator, known } => {
                write!(f, "{service} is not registered in locator `{locator}`")?;
                match known.as_slice() {
                    [] => f.write_str(", which has no services")?,
                    known => write!(f, ", which has {}", known.join(", "))?,
                }
                f.write_str(": add `register` for exactly this type and name where the locator is built")
            }
            Kind::NoLocator { service } => write!(
                f,
                "{service} was requested from the context of a `WorkerLocal`, which belongs to no locator: call `get` \
                 on the other `WorkerLocal` or on the locator"
            ),
            Kind::Outlives { service, lives, asked, that_lives } => write!(
                f,
                "{service} {lives} and requested {asked}, which {that_lives}: it would keep an instance that has \
                 ended or belongs to another worker. Extend the lifetime of {asked}, or shorten that of {service}"
            ),
            Kind::Pointless { service, lives, method } => write!(
                f,
                "{service} {lives}, so its `{method}` would have no effect: remove one of the two"
            ),
            Kind::Factory { service, worker, at, source } => {
                const NEXT: &str = ". Nothing was cached; the next call tries again";
                // The error of a nested factory already ends with this.
                let causes = super::chain(&**source);
                let causes = causes.strip_suffix(NEXT).unwrap_or(&causes);
                write!(f, "{service} could not be built for worker {worker} by the factory at {at}: {causes}{NEXT}")
            }
            Kind::Panic { service, worker, at, message } => write!(
                f,
                "the factory of {service} at {at} panicked for worker {worker}: {message}. Nothing was cached; the \
                 next call tries again"
            ),
            Kind::Cycle { path } => write!(
                f,
                "a cycle of factories, each waiting for the next: {}. Break it with `lazy` in one of them, used \
                 only after building",
                path.join(" -> ")
            ),
            Kind::Blocked { service, worker, builder, waited } => write!(
                f,
                "{service} of worker {worker} is still busy after {} s: {builder}. Find out what that thread waits \
                 for; `build_timeout` sets the limit",
                waited.as_secs_f64()
            ),
            #[cfg(any(test, feature = "tokio"))]
            Kind::NeedsAwait { service } => write!(
                f,
                "{service} has an async factory and was requested by a blocking call inside a runtime, which could never \
                 finish building it: await `get_async` instead"
            ),
            #[cfg(any(test, feature = "tokio"))]
            Kind::ForeignRuntime { service, runtime, here } => write!(
                f,
                "{service} belongs to {runtime} and was requested {here}, where what it started would not run: make the \
                 test a `#[cofferdam::test]`, which runs on the runtime of its worker"
            ),
            #[cfg(any(test, feature = "tokio"))]
            Kind::BuildEnded { service, worker } => write!(
                f,
                "{service} was not built: the runtime of worker {worker} ended first, with the test that requested it. \
                 Await the request in the test's body"
            ),
            Kind::Busy { lock, waited, holder } => write!(
                f,
                "lock `{lock}` was not free within {} s: {holder}. `cargo cofferdam locks` lists all held locks; a \
                 longer `timeout` waits longer; two tests that wait for each other have to take their locks in the \
                 same order",
                waited.as_secs_f64()
            ),
            Kind::OwnLock { lock, holder } => write!(
                f,
                "lock `{lock}` would wait for its own test: {holder}. Locks exclude tests from each other, not the \
                 threads and tasks of one test: take it once, before they start, or use a `Mutex` between them"
            ),
            Kind::EnvBusy { waited, owner } => write!(
                f,
                "the environment was not free within {} s: {owner}. Drop that guard earlier; two tests that wait for \
                 each other have to take their guards and locks in the same order",
                waited.as_secs_f64()
            ),
            Kind::BadEnv { name, reason } => {
                write!(f, "variable {name:?} cannot be changed: {reason}. Choose another name or value")
            }
            Kind::Unsafe { folder, reason } => write!(
                f,
                "{} cannot hold locks for the whole machine: {reason}. Remove it, or set TMPDIR to a directory of \
                 your own, the same for all processes that should exclude each other",
                folder.display()
            ),
            #[cfg(any(feature = "fixtures", feature = "tokio"))]
            Kind::Message(text) => text.fmt(f),
        }
    }
}
