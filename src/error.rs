//! One opaque error: what was tried, on what, who is in the way, and the next step.

use std::fmt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a factory may fail with: anything that `?` turns into it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What went wrong, told whole: what was tried, on what, who is in the way, and what to do next.
///
/// It is opaque on purpose: tests read its text, programs its presence. It can be cloned, because a factory's
/// failure reaches everyone who waited for that factory. [`source`](std::error::Error::source) is the factory's
/// own error, or the operating system's.
///
/// ```
/// use cofferdam::ServiceLocator;
/// let error = ServiceLocator::builder().capacity(0).try_build().unwrap_err();
/// assert!(error.to_string().contains("capacity"));
/// ```
#[derive(Clone)]
pub struct Error(Arc<Kind>);

enum Kind {
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
    Unreadable {
        file: PathBuf,
        line: Option<u64>,
        reason: String,
    },
    Newer {
        file: PathBuf,
        found: u64,
        known: u64,
    },
}

impl Error {
    pub(crate) fn no_worker(asker: impl Into<String>) -> Self {
        Kind::NoWorker { asker: asker.into() }.into()
    }

    pub(crate) fn test_over() -> Self {
        Kind::TestOver.into()
    }

    pub(crate) fn bad_variable(name: &'static str, value: &str, reason: &'static str) -> Self {
        Kind::BadVariable {
            name,
            value: value.chars().take(80).collect(),
            reason,
        }
        .into()
    }

    pub(crate) fn no_place() -> Self {
        Kind::NoPlace.into()
    }

    pub(crate) fn io(tried: &'static str, path: &Path, source: std::io::Error) -> Self {
        Kind::Io {
            tried,
            path: path.to_owned(),
            source,
        }
        .into()
    }

    pub(crate) fn zero_capacity() -> Self {
        Kind::ZeroCapacity.into()
    }

    pub(crate) fn twice(
        service: String,
        first: &'static Location<'static>,
        second: &'static Location<'static>,
    ) -> Self {
        Kind::Twice {
            service,
            first,
            second,
        }
        .into()
    }

    pub(crate) fn unknown(service: String, locator: String, known: Vec<String>) -> Self {
        Kind::Unknown {
            service,
            locator,
            known,
        }
        .into()
    }

    pub(crate) fn no_locator(service: String) -> Self {
        Kind::NoLocator { service }.into()
    }

    pub(crate) fn outlives(
        service: String,
        lives: &'static str,
        asked: String,
        that_lives: &'static str,
    ) -> Self {
        Kind::Outlives {
            service,
            lives,
            asked,
            that_lives,
        }
        .into()
    }

    pub(crate) fn factory(
        service: String,
        worker: String,
        at: &'static Location<'static>,
        source: BoxError,
    ) -> Self {
        Kind::Factory {
            service,
            worker,
            at,
            source,
        }
        .into()
    }

    pub(crate) fn panic(
        service: String,
        worker: String,
        at: &'static Location<'static>,
        message: String,
    ) -> Self {
        Kind::Panic {
            service,
            worker,
            at,
            message,
        }
        .into()
    }

    pub(crate) fn cycle(path: Vec<String>) -> Self {
        Kind::Cycle { path }.into()
    }

    /// Whether it names a circle of factories.
    pub(crate) fn is_cycle(&self) -> bool {
        matches!(*self.0, Kind::Cycle { .. })
    }

    pub(crate) fn blocked(service: String, worker: String, builder: String, waited: Duration) -> Self {
        Kind::Blocked {
            service,
            worker,
            builder,
            waited,
        }
        .into()
    }

    pub(crate) fn unreadable(file: &Path, line: Option<u64>, reason: impl Into<String>) -> Self {
        Kind::Unreadable {
            file: file.to_owned(),
            line,
            reason: reason.into(),
        }
        .into()
    }

    pub(crate) fn newer(file: &Path, found: u64, known: u64) -> Self {
        Kind::Newer {
            file: file.to_owned(),
            found,
            known,
        }
        .into()
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(Arc::new(kind))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
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
                "there is no folder to work in: COFFERDAM_DIR is not set, no Cargo workspace is near, and the \
                 executable's own place is unknown. Set COFFERDAM_DIR to a folder that may be written to",
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
            Kind::Factory { service, worker, at, source } => {
                write!(f, "{service} could not be built for worker {worker} by the factory at {at}: {source}")?;
                let mut cause = source.source();
                while let Some(next) = cause {
                    write!(f, ": {next}")?;
                    cause = next.source();
                }
                f.write_str(". Nothing was cached; the next call tries again")
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
            Kind::Unreadable { file, line, reason } => {
                write!(f, "{}", file.display())?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                write!(f, ": {reason}")
            }
            Kind::Newer { file, found, known } => write!(
                f,
                "{}: written in format version {found}, this build reads up to {known}: update cargo-cofferdam to \
                 the version of the library that wrote it",
                file.display()
            ),
        }
    }
}

impl fmt::Debug for Error {
    /// As [`Display`](fmt::Display): an `unwrap` in a test should tell the story, not the structure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Kind::Io { source, .. } => Some(source),
            Kind::Factory { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error as IoError, ErrorKind};

    fn place() -> &'static Location<'static> {
        Location::caller()
    }

    /// Every message there is, once, in the order of docs/errors.md.
    fn all() -> Vec<Error> {
        let place = place();
        let repo = || "dyn Repo".to_owned();
        vec![
            Error::no_worker("the thread \"tokio-rt-worker\""),
            Error::test_over(),
            Error::bad_variable("COFFERDAM_WORKER", "../w0", "it starts with a dot"),
            Error::no_place(),
            Error::io(
                "create",
                Path::new("target/cofferdam/runs"),
                IoError::from(ErrorKind::PermissionDenied),
            ),
            Error::zero_capacity(),
            Error::twice(repo(), place, place),
            Error::unknown(
                repo(),
                "shop".to_owned(),
                vec!["Clock".to_owned(), "dyn Repo \"archive\"".to_owned()],
            ),
            Error::unknown(repo(), "shop".to_owned(), Vec::new()),
            Error::no_locator(repo()),
            Error::outlives(
                "Config".to_owned(),
                "is shared by all workers",
                repo(),
                "lives as long as its worker",
            ),
            Error::factory(
                repo(),
                "w0".to_owned(),
                place,
                Box::new(IoError::from(ErrorKind::NotFound)),
            ),
            Error::panic(repo(), "w0".to_owned(), place, "no such table".to_owned()),
            Error::cycle(["A (w0)", "B (w0)", "A (w0)"].map(str::to_owned).to_vec()),
            Error::blocked(
                repo(),
                "w0".to_owned(),
                "another thread builds it and is not done".to_owned(),
                Duration::from_secs(60),
            ),
            Error::unreadable(Path::new("w0/journal.ndjson"), Some(7), "unknown event \"flown\""),
            Error::newer(Path::new("w0/journal.ndjson"), 2, 1),
        ]
    }

    #[test]
    fn every_message_stands_in_the_list_of_errors() {
        let page = include_str!("../docs/errors.md");
        let listed: Vec<_> = page
            .split("```text\n")
            .skip(1)
            .filter_map(|block| block.split("\n```").next())
            .map(|block| block.replace('\n', " "))
            .collect();
        // Lines of this file move; the page names a place of its own.
        let here = place().to_string();
        let told: Vec<_> = all()
            .iter()
            .map(|error| error.to_string().replace(&here, "tests/shop.rs:7:5"))
            .collect();
        assert_eq!(
            listed,
            told,
            "docs/errors.md should list:\n\n{}",
            told.join("\n\n")
        );
    }

    #[test]
    fn the_cause_of_a_failed_factory_can_be_asked_for() {
        let cause = Box::new(IoError::from(ErrorKind::NotFound));
        let error = Error::factory("Repo".to_owned(), "w0".to_owned(), Location::caller(), cause);
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<IoError>());
        assert_eq!(source.map(IoError::kind), Some(ErrorKind::NotFound));
    }
}
