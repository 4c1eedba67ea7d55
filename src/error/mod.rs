//! The error type: opaque, with a message that names the operation, its object, the cause, and the next step.

mod kind;
#[cfg(test)]
pub(crate) mod page;

use kind::Kind;
pub(crate) use kind::ThreadOrigin;
use std::ffi::OsStr;
use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The error of a factory: any type that `?` converts.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// An error whose message names the operation, its object, the cause (such as the test or process that holds a lock), and
/// the next step.
///
/// It is opaque: only its text and its presence are part of the API. It can be cloned, because all waiters of a factory get
/// its error. [`source`](std::error::Error::source) is the factory's error or the operating system's.
///
/// ```
/// use cofferdam::ServiceLocator;
/// let error = ServiceLocator::builder().capacity(0).try_build().unwrap_err();
/// assert!(error.to_string().contains("capacity"));
/// ```
#[derive(Clone)]
pub struct Error(Arc<Kind>);

/// Returns the value, or panics with the error at the caller's own line.
///
/// Not `unwrap_or_else` with a closure: `#[track_caller]` does not reach into it, so the panic would name this file.
#[inline]
#[track_caller]
pub(crate) fn or_panic<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// Awaits the value, or panics with the error and the caller's line: `#[track_caller]` does not reach into a future.
#[cfg(feature = "tokio")]
pub(crate) async fn or_panic_at<T>(
    result: impl Future<Output = Result<T, Error>>,
    place: &'static Location<'static>,
) -> T {
    result
        .await
        .unwrap_or_else(|error| panic!("{error}\nIt was requested at {place}"))
}

/// Returns the text of an error and its causes, without those that an outer message already contains.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let inner = next.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = next.source();
    }
    text
}

impl Error {
    pub(crate) fn no_worker(thread: impl Into<String>) -> Self {
        Kind::NoWorker {
            thread: thread.into(),
            origin: ThreadOrigin::Started,
        }
        .into()
    }

    /// Returns the error with the help for a thread of this origin, if it is about a thread without a worker.
    pub(crate) fn on_thread_of(self, origin: ThreadOrigin) -> Self {
        match &*self.0 {
            Kind::NoWorker { thread, .. } => Kind::NoWorker {
                thread: thread.clone(),
                origin,
            }
            .into(),
            _ => self,
        }
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

    /// An error with the message of another module.
    #[cfg(any(feature = "fixtures", feature = "tokio"))]
    pub(crate) fn message(text: impl fmt::Display + Send + Sync + 'static) -> Self {
        Kind::Message(Box::new(text)).into()
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

    pub(crate) fn pointless(service: String, lives: &'static str, method: &'static str) -> Self {
        Kind::Pointless {
            service,
            lives,
            method,
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

    /// Returns whether it is a cycle of factories.
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

    #[cfg(any(test, feature = "tokio"))]
    pub(crate) fn needs_await(service: String) -> Self {
        Kind::NeedsAwait { service }.into()
    }

    #[cfg(any(test, feature = "tokio"))]
    pub(crate) fn foreign_runtime(service: String, runtime: String, here: String) -> Self {
        Kind::ForeignRuntime {
            service,
            runtime,
            here,
        }
        .into()
    }

    #[cfg(any(test, feature = "tokio"))]
    pub(crate) fn build_ended(service: String, worker: String) -> Self {
        Kind::BuildEnded { service, worker }.into()
    }

    pub(crate) fn busy(lock: String, waited: Duration, holder: String) -> Self {
        Kind::Busy { lock, waited, holder }.into()
    }

    pub(crate) fn own_lock(lock: String, holder: String) -> Self {
        Kind::OwnLock { lock, holder }.into()
    }

    pub(crate) fn env_busy(waited: Duration, owner: String) -> Self {
        Kind::EnvBusy { waited, owner }.into()
    }

    pub(crate) fn bad_env(name: &OsStr, reason: &'static str) -> Self {
        Kind::BadEnv {
            name: name.to_string_lossy().into_owned(),
            reason,
        }
        .into()
    }

    pub(crate) fn not_safe(folder: &Path, reason: &'static str) -> Self {
        Kind::Unsafe {
            folder: folder.to_owned(),
            reason,
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
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    /// Like [`Display`](fmt::Display), because an `unwrap` in a test should print the message.
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

    #[test]
    fn a_chain_of_factories_is_named_once_each_and_its_cause_once() {
        let place = place();
        let factory = |service: &str, source: BoxError| {
            Error::factory(service.to_owned(), "w0".to_owned(), place, source)
        };
        let lost = IoError::other("no such table");
        let inner = factory("Pool", Error::io("open", Path::new("db"), lost).into());
        let text = factory("Shop", factory("Repo", inner.into()).into()).to_string();
        for part in [
            "Shop could",
            "Repo could",
            "Pool could",
            "could not open db",
            "no such table",
            "Nothing was",
        ] {
            assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
        }
        assert!(
            text.ends_with("no such table. Nothing was cached; the next call tries again"),
            "{text}"
        );
    }

    /// All messages, in the order of messages.txt.
    fn all() -> Vec<Error> {
        let place = place();
        let repo = || "dyn Repo".to_owned();
        vec![
            Error::no_worker("a thread without a name"),
            Error::no_worker("the thread \"tokio-rt-worker\"").on_thread_of(ThreadOrigin::Runtime),
            Error::no_worker("a second thread \"opens\"").on_thread_of(ThreadOrigin::SecondOfName),
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
            Error::pointless("Config".to_owned(), "is shared by all workers", "reset"),
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
                "another thread is still building it".to_owned(),
                Duration::from_secs(60),
            ),
            Error::needs_await("Pool".to_owned()),
            Error::foreign_runtime(
                "Pool".to_owned(),
                "tokio runtime 1 of worker w0".to_owned(),
                "on tokio runtime 2".to_owned(),
            ),
            Error::build_ended("Pool".to_owned(), "w0".to_owned()),
            Error::busy(
                "schema".to_owned(),
                Duration::from_secs(300),
                "it is held by test orders::migrates (worker w1, pid 4711) for 312 s".to_owned(),
            ),
            Error::own_lock(
                "schema".to_owned(),
                "another thread or task of test orders::migrates (worker w1, pid 4711) holds it".to_owned(),
            ),
            Error::env_busy(
                Duration::from_secs(300),
                "test orders::migrates changed it at tests/shop.rs:7:5".to_owned(),
            ),
            Error::bad_env(OsStr::new("A=B"), "its name contains `=`"),
            Error::not_safe(Path::new("cofferdam-1000"), "it belongs to another user"),
        ]
    }

    #[test]
    fn every_message_is_in_the_list_of_errors() {
        // The lines of this file change; the list has an example instead.
        let here = place().to_string();
        let messages: Vec<_> = all()
            .iter()
            .map(|error| error.to_string().replace(&here, "tests/shop.rs:7:5"))
            .collect();
        super::page::hold(&messages, None);
    }

    #[derive(Debug)]
    struct Outer(&'static str, std::io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn a_cause_that_its_outer_message_contains_is_not_repeated() {
        let with = |text| chain(&Outer(text, std::io::Error::other("no room")));
        assert_eq!(with("could not write x"), "could not write x: no room");
        assert_eq!(with("could not write x: no room"), "could not write x: no room");
    }

    #[test]
    fn the_cause_of_a_failed_factory_is_its_source() {
        let cause = Box::new(IoError::from(ErrorKind::NotFound));
        let error = Error::factory("Repo".to_owned(), "w0".to_owned(), Location::caller(), cause);
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<IoError>());
        assert_eq!(source.map(IoError::kind), Some(ErrorKind::NotFound));
    }
}
