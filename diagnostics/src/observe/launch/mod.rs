//! Observes the test processes of a command, and only those: cargo and nextest start them through a runner, which is this
//! program.

pub(crate) mod isolated_rerun;
mod project_runner;
pub(crate) mod runner;
pub(crate) mod scratch_dir;
pub(crate) mod test_groups;

use super::layout;
use super::log::account_file;
use crate::cli::RUNNER_WORD;
use scratch_dir::{Own, allows, is_plain, sweep};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

/// The observer's library, built by the build script.
const OBSERVER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/observer.so"));
/// The variable with the runner's instructions: number of frames, raw system calls, role of threads, directory.
pub(crate) const VARIABLE: &str = "COFFERDAM_OBSERVED";
/// The variable with the previous value of [`RUNNER`].
pub(crate) const RUNNER_BEFORE: &str = "COFFERDAM_OBSERVED_RUNNER";
/// The variable with the project's own runner, which ours starts first: a JSON list of words, since cargo's variable cannot
/// hold a word with a space.
pub(crate) const THEIRS: &str = "COFFERDAM_OBSERVED_THEIRS";
/// Cargo's variable for a runner.
pub(crate) const RUNNER: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The number of programs that a rerun of a few tests may start.
const SLOTS_OF_FEW: u64 = 4096;

/// The number of calls recorded per access.
pub(crate) const FRAMES: u32 = 24;

/// The settings of an observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Whether to record call stacks.
    pub(crate) places: bool,
    /// Whether to read thread names; only cofferdam's own tests disable it.
    pub(crate) names: bool,
    /// Whether tests may be rerun.
    pub(crate) again: bool,
}

/// The directory for the logs and the variables that lead the processes to it. Dropping it removes the directory.
#[derive(Debug)]
pub(crate) struct Launch {
    folder: Own,
    /// The directory of the library, if it cannot be loaded from `folder`.
    _elsewhere: Option<Own>,
    /// The directory where logs continue when `folder`, which is in memory, is full.
    spill: Option<Own>,
    asked: Asked,
    runner: OsString,
    before: Option<OsString>,
    theirs: Option<Vec<String>>,
}

/// The suite cannot be observed.
#[derive(Debug)]
pub(crate) struct LaunchError {
    what: String,
    source: io::Error,
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "could not prepare the observer: {}: {}",
            self.what, self.source
        )
    }
}

impl std::error::Error for LaunchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> LaunchError {
    let what = what.into();
    move |source| LaunchError { what, source }
}

impl Launch {
    /// Prepares the observation of a command started in `dir`.
    pub(crate) fn new(dir: &Path, asked: Asked) -> Result<Self, LaunchError> {
        // Memory is preferred: every record is written there and read once.
        let places = [PathBuf::from("/dev/shm"), env::temp_dir()];
        let plain = || places.iter().filter(|place| is_plain(place));
        plain().for_each(|place| sweep(place));
        // A full file system has no room for the account or the library, so the next place is tried.
        let mut error = failed("no folder for its logs")(io::ErrorKind::NotFound.into());
        let mut prepared = None;
        for place in plain() {
            match prepare(place, &places) {
                Ok(all) => {
                    prepared = Some(all);
                    break;
                }
                Err(found) => error = found,
            }
        }
        let Some((folder, elsewhere)) = prepared else {
            return Err(error);
        };
        // Without it, logs that find no room are reported as lost.
        let spill = plain()
            .find(|place| !folder.path().starts_with(place))
            .and_then(|place| Own::new(place).ok());
        if let Some(spill) = &spill {
            let _ = account_file::create_spill(folder.path(), spill.path());
        }
        let own = own_exe().map_err(failed("this program's own path"))?;
        let link = folder.path().join("run");
        symlink(own, &link).map_err(failed("its runner"))?;
        if asked.again {
            fs::write(folder.path().join(runner::AGAIN), "").map_err(failed("its folder"))?;
        }
        let before = variable(RUNNER).filter(|runner| !runner.is_empty());
        let theirs = match &before {
            Some(theirs) => project_runner::in_variable(&theirs.to_string_lossy(), dir),
            None => configured(dir),
        };
        let mut runner = link.into_os_string();
        runner.push(" ");
        runner.push(RUNNER_WORD);
        Ok(Self {
            folder,
            _elsewhere: elsewhere,
            spill,
            asked,
            runner,
            before,
            theirs,
        })
    }

    /// Returns the directory of the logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of the runner.
    pub(crate) fn runner(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn told(&self, threads: u8) -> OsString {
        let frames = if self.asked.places { FRAMES } else { 0 };
        let mut told = OsString::from(format!("{frames};1;{threads};"));
        told.push(self.folder.path());
        told
    }

    /// Returns the runner's instructions for a program that runs one test.
    pub(crate) fn told_alone(&self) -> OsString {
        self.told(runner::ONE_TEST)
    }

    /// Creates a directory for the logs of one rerun, and returns it with the runner's instructions.
    pub(crate) fn beside(&self, name: &str, with_calls: bool) -> io::Result<(PathBuf, OsString)> {
        let folder = self.folder.path().join(name);
        // The parent directory can be entered by others, so the mode must not depend on the umask.
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        symlink(
            fs::read_link(self.folder.path().join("library"))?,
            folder.join("library"),
        )?;
        account_file::create(&folder, SLOTS_OF_FEW)?;
        if let Some(spill) = &self.spill {
            let elsewhere = spill.path().join(name);
            let _ = fs::create_dir(&elsewhere).and_then(|()| account_file::create_spill(&folder, &elsewhere));
        }
        let frames = if with_calls { FRAMES } else { 0 };
        let mut told = OsString::from(format!("{frames};1;{};", runner::THREADS));
        told.push(&folder);
        Ok((folder, told))
    }

    /// Returns the variables to set for the command.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        let threads = if self.asked.names {
            runner::THREADS
        } else {
            runner::WITHOUT_NAMES
        };
        let mut variables = vec![(VARIABLE, self.told(threads)), (RUNNER, self.runner.clone())];
        variables.extend(self.before.clone().map(|before| (RUNNER_BEFORE, before)));
        let theirs = self.theirs.as_ref().map(|words| serde_json::json!(words));
        variables.extend(theirs.map(|words| (THEIRS, words.to_string().into())));
        variables
    }
}

/// Creates a directory in `place` with the account and the library.
fn prepare(place: &Path, places: &[PathBuf]) -> Result<(Own, Option<Own>), LaunchError> {
    let folder = Own::new(place).map_err(failed(format!("a folder in {}", place.display())))?;
    account_file::create(folder.path(), layout::MOST_SLOTS)
        .map_err(failed(format!("room for its account in {}", place.display())))?;
    let (library, elsewhere) = library(folder.path(), places, allows)?;
    symlink(library, folder.path().join("library")).map_err(failed("its library"))?;
    Ok((folder, elsewhere))
}

/// Writes the library to a directory it can be loaded from; not every file system in memory allows that. Only this user can
/// write to the directory, since the library runs in every test.
fn library(
    folder: &Path,
    places: &[PathBuf],
    allows: impl Fn(&Path) -> bool,
) -> Result<(PathBuf, Option<Own>), LaunchError> {
    let elsewhere = if allows(folder) {
        None
    } else {
        let own = places
            .iter()
            .filter(|place| is_plain(place) && allows(place))
            .find_map(|place| Own::new(place).ok());
        Some(own.ok_or_else(|| {
            failed("every place for its library is mounted without execution")(
                io::ErrorKind::PermissionDenied.into(),
            )
        })?)
    };
    let path = elsewhere.as_ref().map_or(folder, Own::path).join("observer.so");
    fs::write(&path, OBSERVER).map_err(failed(path.display().to_string()))?;
    Ok((path, elsewhere))
}

fn configured(dir: &Path) -> Option<Vec<String>> {
    let home = variable("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")));
    project_runner::files(dir, home.as_deref())
        .into_iter()
        .find_map(|(file, from)| project_runner::in_file(&fs::read_to_string(file).ok()?, TRIPLE, &from))
}

fn variable(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "what the command would have found is kept"
    )]
    env::var_os(name)
}

pub(crate) fn own_exe() -> io::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the runner is this program")]
    env::current_exe()
}

/// The command line and environment of a started test program, kept to start it again for other tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) dir: PathBuf,
    /// Includes values, so the file is private to its owner and removed with its directory.
    pub(crate) variables: Vec<(OsString, OsString)>,
}

impl Started {
    pub(crate) fn path(folder: &Path, pid: u32) -> PathBuf {
        folder.join(format!("{pid}.started"))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |text: &OsStr| {
            bytes.extend(text.as_encoded_bytes());
            bytes.push(0);
        };
        put(&self.program);
        put(self.dir.as_os_str());
        put(OsStr::new(&self.arguments.len().to_string()));
        self.arguments.iter().for_each(|argument| put(argument));
        for (name, value) in &self.variables {
            put(name);
            put(value);
        }
        bytes
    }

    pub(crate) fn read(folder: &Path, pid: u32) -> Option<Self> {
        Self::from_bytes(&fs::read(Self::path(folder, pid)).ok()?)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        use std::os::unix::ffi::OsStringExt as _;
        let mut texts = bytes
            .strip_suffix(&[0])?
            .split(|byte| *byte == 0)
            .map(|text| OsString::from_vec(text.to_vec()));
        let (program, dir) = (texts.next()?, texts.next()?.into());
        let count = texts.next()?.to_str()?.parse().ok()?;
        let arguments = texts.by_ref().take(count).collect();
        let mut variables = Vec::new();
        while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            variables.push((name, value));
        }
        Some(Self {
            program,
            arguments,
            dir,
            variables,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_was_started_comes_back_from_its_file() {
        let started = Started {
            program: "/t/shop".into(),
            arguments: vec!["--exact".into(), "a test\n".into(), "".into()],
            dir: "/w".into(),
            variables: vec![("A".into(), "1=2".into()), ("B".into(), "".into())],
        };
        assert_eq!(Started::from_bytes(&started.to_bytes()), Some(started));
    }

    #[test]
    fn a_library_that_cannot_be_loaded_from_memory_is_put_where_nobody_else_writes() {
        let (memory, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let places = [memory.path().to_owned(), disk.path().to_owned()];
        let here = library(memory.path(), &places, |_| true).unwrap();
        assert_eq!(here.0, memory.path().join("observer.so"));
        assert!(here.1.is_none());
        let (path, own) = library(memory.path(), &places, |place| place != memory.path()).unwrap();
        let folder = path.parent().unwrap();
        assert_eq!(folder.parent(), Some(disk.path()));
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o066, 0);
        assert_eq!(fs::read(&path).unwrap(), OBSERVER);
        sweep(disk.path());
        assert!(path.exists());
        drop(own);
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
        assert!(library(memory.path(), &places, |_| false).is_err());
    }

    #[test]
    fn nothing_of_the_observer_is_left_when_the_launch_is_over() {
        let asked = Asked {
            places: true,
            names: true,
            again: false,
        };
        let launch = Launch::new(Path::new("/"), asked).unwrap();
        let folder = launch.folder().to_owned();
        sweep(folder.parent().unwrap());
        assert!(folder.join("library").exists());
        drop(launch);
        assert!(!folder.exists());
    }
}
