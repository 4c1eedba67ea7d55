//! What can go wrong, and how it is told: every message in one list, which docs/errors.md repeats.

use super::BoxError;
use std::fmt;
use std::panic::Location;
use std::path::PathBuf;
use std::time::Duration;

/// What went wrong, with all that its message names.
pub(super) enum Kind {
    NoWorker {
        asker: String,
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
    Busy {
        lock: String,
        waited: Duration,
        holder: String,
    },
    OwnLock {
        lock: String,
        holder: String,
    },
    Unsafe {
        folder: PathBuf,
        reason: &'static str,
    },
    Told(Box<dyn fmt::Display + Send + Sync>),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::NoWorker { asker } => write!(
                f,
                "no worker is known on {asker}: only a test's own thread and main get one by themselves, for a \
                 guess would hand out another worker's services. In the test, take `Worker::current()` and start \
                 this work with its `spawn` or `wrap`, or call `enter()` on it here"
            ),
            Kind::TestOver => f.write_str(
                "this thread's test is over and its worker given back: a value that outlives its test asked for a \
                 service while it was dropped. Keep the service in the value instead of asking for it in `drop`",
            ),
            Kind::BadVariable { name, value, reason } => {
                write!(f, "{name}={value:?} cannot be used: {reason}. Unset it or choose another value")
            }
            Kind::NoPlace => f.write_str(
                "there is no folder to work in: COFFERDAM_DIR is not set, no Cargo workspace is near, and this \
                 program is not in a target folder. Run it inside a workspace, or set COFFERDAM_DIR to a folder that \
                 may be written to",
            ),
            Kind::Io { tried, path, source } => write!(f, "could not {tried} {}: {source}", path.display()),
            Kind::ZeroCapacity => f.write_str(
                "a capacity of 0 would build every service anew at each call: give `capacity` 1 or more, or mark \
                 the services `per_test`",
            ),
            Kind::Twice { service, first, second } => write!(
                f,
                "{service} is registered twice, at {first} and at {second}: remove one, or tell them apart with \
                 `named`"
            ),
            Kind::Unknown { service, locator, known } => {
                write!(f, "{service} is not registered in locator `{locator}`")?;
                match known.as_slice() {
                    [] => f.write_str(", which has no services at all")?,
                    known => write!(f, ", which knows {}", known.join(", "))?,
                }
                f.write_str(": add `register` for exactly this type and name where the locator is built")
            }
            Kind::NoLocator { service } => write!(
                f,
                "{service} was asked of the context of a `WorkerLocal`, which belongs to no locator: call `get` on \
                 the other `WorkerLocal` or on the locator itself"
            ),
            Kind::Outlives { service, lives, asked, that_lives } => write!(
                f,
                "{service} {lives} and asked for {asked}, which {that_lives}: it would go on with what is another's \
                 or gone. Let {asked} live as long, or {service} as short"
            ),
            Kind::Pointless { service, lives, method } => write!(
                f,
                "{service} {lives}, so its `{method}` would never do anything: remove one of the two"
            ),
            Kind::Factory { service, worker, at, source } => {
                const NEXT: &str = ". Nothing was cached; the next call tries again";
                // A factory that needed another one ends with this already.
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
                "{service} of worker {worker} is still busy after {} s: {builder}. See what that thread waits for; \
                 `build_timeout` sets the limit",
                waited.as_secs_f64()
            ),
            Kind::Busy { lock, waited, holder } => write!(
                f,
                "lock `{lock}` was not free within {} s: {holder}. `cargo cofferdam locks` shows all that are held; \
                 a longer `timeout` waits longer; two tests that wait for each other have to take their locks in \
                 one order",
                waited.as_secs_f64()
            ),
            Kind::OwnLock { lock, holder } => write!(
                f,
                "lock `{lock}` would wait for its own test: {holder}. Locks keep tests apart, not the threads and \
                 tasks of one test: take it once, before they start, or use a `Mutex` among them"
            ),
            Kind::Unsafe { folder, reason } => write!(
                f,
                "{} cannot hold locks for the whole machine: {reason}. Remove it, or set TMPDIR to a folder of \
                 your own for all who are to exclude each other",
                folder.display()
            ),
            Kind::Told(words) => words.fmt(f),
        }
    }
}
