//! What keeps the output of two runs apart.

use crate::error::Error;
use crate::run;
use crate::sys::env;
use crate::sys::file_lock::{self, Locked};
use crate::worker::Worker;
use std::io;
use std::path::{Path, PathBuf};

/// `base/run_<namespace>/`, made if need be: where this run puts its output, and no other run does.
///
/// Short for [`Namespace::current`] and its [`output_dir`](Namespace::output_dir).
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let base = dir.path();
/// let reports = cofferdam::output_dir(base).unwrap();
/// assert!(reports.is_dir() && reports.starts_with(base));
/// ```
///
/// # Errors
/// When the namespace cannot be used, or the folder cannot be made.
pub fn output_dir(base: impl AsRef<Path>) -> Result<PathBuf, Error> {
    Namespace::current()?.output_dir(base)
}

/// A name for what one run puts out.
///
/// A process's namespace is, in this order: what `cargo cofferdam run --run-namespace` says (it sets
/// `COFFERDAM_RUN_NAMESPACE`); `COFFERDAM_RUN_NAMESPACE`; `RUN_NAMESPACE`; else one that is generated, a session's in
/// `cargo cofferdam run`, the run's own elsewhere. So all processes of a run have the same.
///
/// Any text will do that is not too long: in a folder's name, what is neither letter, digit, `-`, `_` nor an inner
/// `.` is written as `%` and two digits, so that `../a` stays inside.
///
/// ```
/// use cofferdam::Namespace;
/// let nightly = Namespace::named("nightly/../1").unwrap();
/// # let dir = tempfile::tempdir().unwrap();
/// # let base = dir.path();
/// assert_eq!(nightly.output_dir(base).unwrap(), base.join("run_nightly%2f..%2f1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

/// Where a namespace is looked for, the first one first.
const VARIABLES: [&str; 2] = ["COFFERDAM_RUN_NAMESPACE", "RUN_NAMESPACE"];

/// Folders may have 255 bytes for their names, and other things follow.
const LONGEST: usize = 120;

impl Namespace {
    /// This process's namespace.
    ///
    /// # Errors
    /// When the variable that names it holds what is too long.
    pub fn current() -> Result<Self, Error> {
        Ok(Self::from_environment()?.unwrap_or_else(|| Self {
            name: run::run().id.clone(),
        }))
    }

    /// The namespace that the environment names, if it names one.
    ///
    /// # Errors
    /// When the variable holds what is too long.
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

    /// A namespace of that name.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn named(name: &str) -> Result<Self, Error> {
        Self::checked("namespace", name)
    }

    /// A namespace of the current test's own, inside of its run's: for a test whose output must not meet that of the
    /// tests beside it.
    ///
    /// # Errors
    /// As [`current`](Self::current), and on a thread that no worker was handed to.
    pub fn of_test() -> Result<Self, Error> {
        let worker = Worker::try_current()?;
        let test = worker.test().map(|test| format!(".{test}")).unwrap_or_default();
        let name = format!("{}.{}{test}", Self::current()?.name, worker.id());
        // A long one is cut, and stays unique.
        let name = match run::written_out(&name).len() {
            0..=200 => name,
            _ => run::file_name(&name),
        };
        Ok(Self { name })
    }

    fn checked(variable: &'static str, name: &str) -> Result<Self, Error> {
        let reason = if name.is_empty() {
            "it is empty"
        } else if run::written_out(name).len() > LONGEST {
            "it is longer than 120 bytes, as a folder's name would hold it"
        } else {
            return Ok(Self {
                name: name.to_owned(),
            });
        };
        Err(Error::bad_variable(variable, name, reason))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// `base/run_<namespace>/`, made if need be; `base` itself where `COFFERDAM_RUN_SUBDIR` is `off`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn output_dir(&self, base: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let dir = self.folder(base.as_ref(), is_on("COFFERDAM_RUN_SUBDIR"));
        std::fs::create_dir_all(&dir).map_err(|source| Error::io("create", &dir, source))?;
        Ok(dir)
    }

    fn folder(&self, base: &Path, own: bool) -> PathBuf {
        if own {
            base.join(format!("run_{}", run::written_out(&self.name)))
        } else {
            base.to_owned()
        }
    }

    /// Makes this process the only one that works in the namespace, below this base folder, until the guard is
    /// dropped or the process ends. Nothing is held where `COFFERDAM_RUN_LOCK` is `off`.
    ///
    /// `cargo cofferdam run` does so, so two sessions of one namespace do not run at once.
    ///
    /// # Errors
    /// At once, when another process holds it, and when the lock cannot be made.
    pub fn hold(&self, base: &Path) -> Result<NamespaceHold, Error> {
        if !is_on("COFFERDAM_RUN_LOCK") {
            return Ok(NamespaceHold { _lock: None });
        }
        let locks = run::private_dir(base, "locks")?;
        // Never deleted: somebody may be about to lock it.
        let file = locks.join(format!("run_{}.lock", run::written_out(&self.name)));
        match file_lock::try_exclusive(&file) {
            Ok(Some(lock)) => Ok(NamespaceHold { _lock: Some(lock) }),
            Ok(None) => {
                let held = io::Error::other(format!(
                    "another session works in the namespace {:?}: wait for its end, or choose another by \
                     `--run-namespace` or COFFERDAM_RUN_NAMESPACE; COFFERDAM_RUN_LOCK=off lets both work in it",
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

/// A namespace that is ours alone: see [`Namespace::hold`].
#[must_use = "the namespace is given back when this is dropped"]
#[derive(Debug)]
pub struct NamespaceHold {
    _lock: Option<Locked>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    fn told(vars: &[(&str, &str)]) -> Option<String> {
        let var = |asked: &str| {
            let found = vars.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        };
        Namespace::of_variables(var).unwrap().map(|found| found.name)
    }

    #[test]
    fn our_variable_comes_before_the_common_one() {
        let (ours, common) = (("COFFERDAM_RUN_NAMESPACE", "a"), ("RUN_NAMESPACE", "b"));
        assert_eq!(told(&[ours, common]).as_deref(), Some("a"));
        assert_eq!(told(&[common]).as_deref(), Some("b"));
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn what_is_too_long_is_refused_with_the_reason() {
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
            error.contains("another session works in the namespace \"a\""),
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
