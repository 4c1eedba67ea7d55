//! Has the test processes of a command observed, and those only: cargo and nextest are told of a runner, which is this
//! program again.

use super::{chain, runner};
use crate::cli::RUNNER_WORD;
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};
use tempfile::TempDir;

/// The observer, as the build script built it.
const OBSERVER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/observer.so"));
/// What the runner is told: frames, raw system calls, what threads are, folder.
pub(super) const VARIABLE: &str = "COFFERDAM_OBSERVED";
/// What stood in cargo's variable before.
pub(super) const RUNNER_BEFORE: &str = "COFFERDAM_OBSERVED_RUNNER";
/// How cargo is told of a runner.
pub(super) const RUNNER: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// As many calls are noted of each access.
const FRAMES: u32 = 24;

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
    folder: TempDir,
    /// Locked as long as the folder is in use.
    _alive: fs::File,
    asked: Asked,
    runner: OsString,
    before: Option<OsString>,
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
        let folder = plain()
            .find_map(|place| tempfile::Builder::new().prefix(PREFIX).tempdir_in(place).ok())
            .ok_or_else(|| failed("no folder for its logs")(io::ErrorKind::NotFound.into()))?;
        let alive = alive(folder.path()).map_err(failed("its sign of life"))?;
        let library = library(&folder, &places)?;
        symlink(library, folder.path().join("library")).map_err(failed("its library"))?;
        let own = own_exe().map_err(failed("this program's own path"))?;
        let link = folder.path().join("run");
        symlink(own, &link).map_err(failed("its runner"))?;
        if asked.again {
            fs::write(folder.path().join(runner::AGAIN), "").map_err(failed("its folder"))?;
        }
        let before = variable(RUNNER).filter(|runner| !runner.is_empty());
        let mut runner = OsString::new();
        let theirs = match &before {
            Some(theirs) => Some(theirs.clone()),
            None => configured(dir).map(|words| words.join(" ").into()),
        };
        if let Some(theirs) = theirs {
            runner.push(theirs);
            runner.push(" ");
        }
        runner.push(link);
        runner.push(" ");
        runner.push(RUNNER_WORD);
        Ok(Self {
            folder,
            _alive: alive,
            asked,
            runner,
            before,
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
        fs::create_dir(&folder)?;
        symlink(
            fs::read_link(self.folder.path().join("library"))?,
            folder.join("library"),
        )?;
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
        variables
    }
}

const PREFIX: &str = "cofferdam-observe-";
const ALIVE: &str = "alive";

/// A file that is locked from the moment it has its name.
fn alive(folder: &Path) -> io::Result<fs::File> {
    let new = folder.join("alive.new");
    let file = fs::File::create_new(&new)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "tells a session that was killed from one that runs"
    )]
    file.lock()?;
    fs::rename(new, folder.join(ALIVE))?;
    Ok(file)
}

/// Removes what a killed session left: it may hold the values of variables.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_ours && let Ok(file) = fs::File::open(entry.path().join(ALIVE)) {
            #[expect(clippy::disallowed_methods, reason = "as above")]
            let is_dead = file.try_lock().is_ok();
            if is_dead {
                // Somebody else may be at it, or it is another user's.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Whether a path can stand in variables that separate by spaces and colons.
fn is_plain(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    path.is_absolute()
        && !text
            .iter()
            .any(|byte| matches!(byte, b' ' | b':' | b';' | b'\t' | b'\n'))
}

/// Writes the library where it may be loaded from: not every place in memory allows that.
fn library(folder: &TempDir, places: &[PathBuf]) -> Result<PathBuf, LaunchError> {
    let allows =
        |place: &Path| statvfs(place).is_ok_and(|place| !place.f_flag.contains(StatVfsMountFlags::NOEXEC));
    let path = if allows(folder.path()) {
        folder.path().join("observer.so")
    } else {
        let place = places
            .iter()
            .find(|place| is_plain(place) && allows(place))
            .ok_or_else(|| {
                failed("every place for its library is mounted without execution")(
                    io::ErrorKind::PermissionDenied.into(),
                )
            })?;
        // Named by what it is, so that the next session finds it and none removes it from under another.
        place.join(format!("cofferdam-observer-{}.so", checksum(OBSERVER)))
    };
    if fs::read(&path).is_ok_and(|there| there == OBSERVER) {
        return Ok(path);
    }
    cofferdam::write_atomic(&path, OBSERVER)
        .map_err(|error| failed(path.display().to_string())(io::Error::other(error)))?;
    Ok(path)
}

fn checksum(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{sum:016x}")
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

fn own_exe() -> io::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the runner is this program")]
    env::current_exe()
}

/// What a launched process was started as: for starting it once more, with other tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) dir: PathBuf,
    /// With values, so it never leaves the folder, which is its owner's alone and is removed at the end.
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
    fn a_folder_with_a_space_cannot_stand_in_a_list_of_libraries() {
        for (path, plain) in [("/dev/shm", true), ("/a b", false), ("/a:b", false), ("a", false)] {
            assert_eq!(is_plain(Path::new(path)), plain, "{path}");
        }
    }

    #[test]
    fn what_a_killed_session_left_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let (dead, other) = (
            place.path().join("cofferdam-observe-x"),
            place.path().join("other"),
        );
        for folder in [&dead, &other] {
            fs::create_dir(folder).unwrap();
            drop(alive(folder).unwrap());
        }
        sweep(place.path());
        assert!(!dead.exists() && other.exists());
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
