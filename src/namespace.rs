//! Namespaces, which separate the output of concurrent runs.

use crate::error::Error;
use crate::run;
use crate::sys::env;
use crate::sys::file_lock::{self, Locked};
use crate::worker::Worker;
use std::io;
use std::path::{Path, PathBuf};

/// Returns `base/run_<namespace>/`, the directory for the output of this run only, creating it if necessary.
///
/// Short for [`Namespace::current`] and its [`output_dir`](Namespace::output_dir).
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let base = dir.path();
/// let reports = cofferdam::namespace::output_dir(base).unwrap();
/// assert!(reports.is_dir() && reports.starts_with(base));
/// ```
///
/// # Errors
/// When the namespace is invalid or the directory cannot be created.
pub fn output_dir(base: impl AsRef<Path>) -> Result<PathBuf, Error> {
    Namespace::current()?.output_dir(base)
}

/// The name of a run's output.
///
/// A process's namespace is the first of: the argument of `cargo cofferdam run --run-namespace` (which sets
/// `COFFERDAM_RUN_NAMESPACE`); `COFFERDAM_RUN_NAMESPACE`; `RUN_NAMESPACE`; a generated one, which is the session's in
/// `cargo cofferdam run` and the run's elsewhere. So all processes of a run have the same namespace.
///
/// Any text up to a maximum length is valid. In a directory's name, characters other than letters, digits, `-`, `_` and an
/// inner `.` are written as `%` and two digits, so that `../a` cannot leave the base directory.
///
/// ```
/// use cofferdam::namespace::Namespace;
/// let nightly = Namespace::named("nightly/../1").unwrap();
/// # let dir = tempfile::tempdir().unwrap();
/// # let base = dir.path();
/// assert_eq!(nightly.output_dir(base).unwrap(), base.join("run_nightly%2f..%2f1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

/// The variables that set a namespace, in order of precedence.
const VARIABLES: [&str; 2] = ["COFFERDAM_RUN_NAMESPACE", "RUN_NAMESPACE"];

/// A directory's name is limited to 255 bytes, and suffixes follow.
const LONGEST: usize = 120;

impl Namespace {
    /// Returns this process's namespace.
    ///
    /// # Errors
    /// When the value of the variable is too long.
    pub fn current() -> Result<Self, Error> {
        Ok(Self::from_environment()?.unwrap_or_else(|| Self {
            name: run::run().id.clone(),
        }))
    }

    /// Returns the namespace that the environment sets, if it does.
    ///
    /// # Errors
    /// When the value of the variable is too long.
    pub fn from_environment() -> Result<Option<Self>, Error> {
        Self::of_variables(env::var)
    }

    fn of_variables(var: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        for variable in VARIABLES {
            if let Some(name) = var(variable) {
                return Self::checked(variable, &name).map(Some);
            }
        }
        Ok(None)
    }

    /// Returns a namespace of that name.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn named(name: &str) -> Result<Self, Error> {
        Self::checked("namespace", name)
    }

    /// Returns a namespace for the current test within that of its run, for a test whose output must not mix with that of
    /// concurrent tests.
    ///
    /// # Errors
    /// Like [`current`](Self::current), and on a thread without a worker.
    pub fn of_test() -> Result<Self, Error> {
        let worker = Worker::try_current()?;
        let test = worker.test().map(|test| format!(".{test}")).unwrap_or_default();
        let name = format!("{}.{}{test}", Self::current()?.name, worker.id());
        // A long one is truncated and remains unique.
        let name = match run::escaped(&name).len() {
            0..=200 => name,
            _ => run::file_name(&name),
        };
        Ok(Self { name })
    }

    fn checked(variable: &'static str, name: &str) -> Result<Self, Error> {
        let reason = if name.is_empty() {
            "it is empty"
        } else if run::escaped(name).len() > LONGEST {
            "it is longer than 120 bytes as part of a directory's name"
        } else {
            return Ok(Self {
                name: name.to_owned(),
            });
        };
        Err(Error::bad_variable(variable, name, reason))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns `base/run_<namespace>/`, creating it if necessary; `base` itself if `COFFERDAM_RUN_SUBDIR` is `off`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn output_dir(&self, base: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let dir = self.folder(base.as_ref(), is_on("COFFERDAM_RUN_SUBDIR"));
        std::fs::create_dir_all(&dir).map_err(|source| Error::io("create", &dir, source))?;
        Ok(dir)
    }

    fn folder(&self, base: &Path, own: bool) -> PathBuf {
        if own {
            base.join(format!("run_{}", run::escaped(&self.name)))
        } else {
            base.to_owned()
        }
    }

    /// Reserves the namespace below this base directory for this process, until the guard is dropped or the process ends. Does
    /// nothing if `COFFERDAM_RUN_LOCK` is `off`.
    ///
    /// `cargo cofferdam run` does so, so two sessions of one namespace do not run at the same time.
    ///
    /// # Errors
    /// Immediately, when another process holds it, and when the lock cannot be created.
    pub fn hold(&self, base: &Path) -> Result<NamespaceHold, Error> {
        if !is_on("COFFERDAM_RUN_LOCK") {
            return Ok(NamespaceHold { _lock: None });
        }
        let locks = run::private_dir(base, "locks")?;
        // Never deleted, because another process may be about to lock it.
        let file = locks.join(format!("run_{}.lock", run::escaped(&self.name)));
        match file_lock::try_exclusive(&file) {
            Ok(Some(lock)) => Ok(NamespaceHold { _lock: Some(lock) }),
            Ok(None) => {
                let held = io::Error::other(format!(
                    "another session uses the namespace {:?}: wait for its end, or choose another one with \
                     `--run-namespace` or COFFERDAM_RUN_NAMESPACE; COFFERDAM_RUN_LOCK=off allows both to use it",
                    self.name
                ));
                Err(Error::io("lock", &file, held))
            }
            Err(source) => Err(Error::io("lock", &file, source)),
        }
    }
}

fn is_on(variable: &str) -> bool {
    env::var(variable).is_none_or(|value| value != "off")
}

/// A reserved namespace; see [`Namespace::hold`].
#[must_use = "the namespace is released when this is dropped"]
#[derive(Debug)]
pub struct NamespaceHold {
    _lock: Option<Locked>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    fn name_of(vars: &[(&str, &str)]) -> Option<String> {
        let var = |asked: &str| {
            let found = vars.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        };
        Namespace::of_variables(var).unwrap().map(|found| found.name)
    }

    #[test]
    fn our_variable_comes_before_the_common_one() {
        let (ours, common) = (("COFFERDAM_RUN_NAMESPACE", "a"), ("RUN_NAMESPACE", "b"));
        assert_eq!(name_of(&[ours, common]).as_deref(), Some("a"));
        assert_eq!(name_of(&[common]).as_deref(), Some("b"));
        assert_eq!(name_of(&[]), None);
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_with_the_reason() {
        let long = |_: &str| Some("é".repeat(30));
        let error = Namespace::of_variables(long).unwrap_err().to_string();
        assert!(
            error.starts_with("COFFERDAM_RUN_NAMESPACE=") && error.contains("longer than 120 bytes"),
            "{error}"
        );
        assert!(Namespace::named("").is_err());
        assert!(Namespace::named(&"x".repeat(120)).is_ok());
    }

    #[test]
    fn a_subfolder_can_be_switched_off() {
        let nightly = Namespace::named("nightly").unwrap();
        let base = Path::new("reports");
        assert_eq!(nightly.folder(base, true), base.join("run_nightly"));
        assert_eq!(nightly.folder(base, false), base);
    }

    #[test]
    fn a_namespace_is_held_by_one() {
        let base = tempfile::tempdir().unwrap();
        let (one, other) = (Namespace::named("a").unwrap(), Namespace::named("b").unwrap());
        let held = one.hold(base.path()).unwrap();
        let error = one.hold(base.path()).unwrap_err().to_string();
        assert!(
            error.contains("another session uses the namespace \"a\""),
            "{error}"
        );
        let _other = other.hold(base.path()).unwrap();
        drop(held);
        assert!(one.hold(base.path()).is_ok());
    }

    proptest! {
        #[test]
        fn a_folder_never_leaves_its_base_and_differs_as_the_names_do(
            one in "[./\\\\%a-z\u{e9}]{1,20}|[ -~]{1,30}", other in "[./\\\\%a-z\u{e9}]{1,20}|[ -~]{1,30}"
        ) {
            let base = Path::new("base");
            let folder = |name: &str| Namespace::named(name).unwrap().folder(base, true);
            let path = folder(&one);
            let below: Vec<_> = path.strip_prefix(base).unwrap().components().collect();
            prop_assert!(matches!(below.as_slice(), [Component::Normal(_)]));
            prop_assert_eq!(one == other, folder(&one) == folder(&other));
        }
    }
}
