//! Has the test processes of a command observed, and those only: cargo and nextest are told of a runner, which is this
//! program again.

use super::own::{Own, allows, is_plain, sweep};
use super::{account, chain, layout, runner};
use crate::cli::RUNNER_WORD;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

/// The observer, as the build script built it.
const OBSERVER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/observer.so"));
/// What the runner is told: frames, raw system calls, what threads are, folder.
pub(super) const VARIABLE: &str = "COFFERDAM_OBSERVED";
/// What stood in cargo's variable before.
pub(super) const RUNNER_BEFORE: &str = "COFFERDAM_OBSERVED_RUNNER";
/// The project's own runner, which ours calls first: a list of words in JSON, for cargo's variable takes none with a space.
pub(super) const THEIRS: &str = "COFFERDAM_OBSERVED_THEIRS";
/// How cargo is told of a runner.
pub(super) const RUNNER: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The most programs that a run of one or two tests may start.
const SLOTS_OF_FEW: u64 = 4096;

/// As many calls are noted of each access.
pub(super) const FRAMES: u32 = 24;

/// What is asked of the observer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Whether to note where in the source something is done.
    pub(crate) places: bool,
    /// Whether to read the names of threads; only a test of ours says no.
    pub(crate) names: bool,
    /// Whether each test may be run once more.
    pub(crate) again: bool,
}

/// A folder in which the logs gather, and the variables that bring them there. Removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Launch {
    folder: Own,
    /// Where the library is, if it may not be loaded from there.
    _elsewhere: Option<Own>,
    /// Where logs go on that find no room in `folder`, which is memory.
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
    /// `dir` is where the command is started.
    pub(crate) fn new(dir: &Path, asked: Asked) -> Result<Self, LaunchError> {
        // Memory, for everything that is noted is written there, and read once.
        let places = [PathBuf::from("/dev/shm"), env::temp_dir()];
        let plain = || places.iter().filter(|place| is_plain(place));
        plain().for_each(|place| sweep(place));
        // A file system that is full has no room for the account or for the library: then another one has to do.
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
        // Without it the account says which logs found no room.
        let spill = plain()
            .find(|place| !folder.path().starts_with(place))
            .and_then(|place| Own::new(place).ok());
        if let Some(spill) = &spill {
            let _ = account::create_spill(folder.path(), spill.path());
        }
        let own = own_exe().map_err(failed("this program's own path"))?;
        let link = folder.path().join("run");
        symlink(own, &link).map_err(failed("its runner"))?;
        if asked.again {
            fs::write(folder.path().join(runner::AGAIN), "").map_err(failed("its folder"))?;
        }
        let before = variable(RUNNER).filter(|runner| !runner.is_empty());
        let theirs = match &before {
            Some(theirs) => chain::in_variable(&theirs.to_string_lossy(), dir),
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

    /// Where the logs are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program that stands in front of test programs.
    pub(super) fn runner(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn told(&self, threads: u8) -> OsString {
        let frames = if self.asked.places { FRAMES } else { 0 };
        let mut told = OsString::from(format!("{frames};1;{threads};"));
        told.push(self.folder.path());
        told
    }

    /// What the runner is told of a program that runs one test.
    pub(super) fn told_alone(&self) -> OsString {
        self.told(runner::ONE_TEST)
    }

    /// A folder of its own for the logs of one run of a few tests, and what its runner is told.
    pub(super) fn beside(&self, name: &str, with_calls: bool) -> io::Result<(PathBuf, OsString)> {
        let folder = self.folder.path().join(name);
        // Others may look into the folder that it is in, whatever the mask is.
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        symlink(
            fs::read_link(self.folder.path().join("library"))?,
            folder.join("library"),
        )?;
        account::create(&folder, SLOTS_OF_FEW)?;
        if let Some(spill) = &self.spill {
            let elsewhere = spill.path().join(name);
            let _ = fs::create_dir(&elsewhere).and_then(|()| account::create_spill(&folder, &elsewhere));
        }
        let frames = if with_calls { FRAMES } else { 0 };
        let mut told = OsString::from(format!("{frames};1;{};", runner::THREADS));
        told.push(&folder);
        Ok((folder, told))
    }

    /// What the command has to find in its environment.
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

/// Makes a folder in `place` with the account and the library in it.
fn prepare(place: &Path, places: &[PathBuf]) -> Result<(Own, Option<Own>), LaunchError> {
    let folder = Own::new(place).map_err(failed(format!("a folder in {}", place.display())))?;
    account::create(folder.path(), layout::MOST_SLOTS)
        .map_err(failed(format!("room for its account in {}", place.display())))?;
    let (library, elsewhere) = library(folder.path(), places, allows)?;
    symlink(library, folder.path().join("library")).map_err(failed("its library"))?;
    Ok((folder, elsewhere))
}

/// Writes the library where it may be loaded from: not every place in memory allows that. Into a folder that nobody else
/// writes to, for whoever can change the library is every test.
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
    chain::files(dir, home.as_deref())
        .into_iter()
        .find_map(|(file, from)| chain::in_file(&fs::read_to_string(file).ok()?, TRIPLE, &from))
}

fn variable(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "what the command would have found is kept"
    )]
    env::var_os(name)
}

pub(super) fn own_exe() -> io::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the runner is this program")]
    env::current_exe()
}

/// What a launched process was started as: for starting it once more, with other tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) dir: PathBuf,
    /// With values, so the file is its owner's alone, and removed at the end with its folder.
    pub(crate) variables: Vec<(OsString, OsString)>,
}

impl Started {
    pub(super) fn path(folder: &Path, pid: u32) -> PathBuf {
        folder.join(format!("{pid}.started"))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
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
