//! Observes the test processes of a command, and only those: cargo and nextest start them through a runner.

pub(crate) mod hold_request;
mod instructions;
pub(crate) mod isolated_rerun;
pub(crate) mod order_request;
mod project_runner;
pub(crate) mod runner;
mod saved_starts;
pub(crate) mod scratch_dir;
mod started_program;
pub(crate) mod test_groups;

use super::layout;
use super::log::account_file;
use super::statics::{FOLDER, KEPT, Wanted};
use crate::cli::RUNNER_WORD;
use crate::fixtures::{self, Exports};
use instructions::{EXPORTS, Instructions, PREVIOUS_RUNNER, PROJECT_RUNNER, RUNNER, TestUnit, VARIABLE};
use saved_starts::SavedStarts;
use scratch_dir::{ScratchDir, allows_execution, is_plain, sweep};
pub(crate) use started_program::{StartedProgram, has_libtest};
use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

/// The observer's library, built by the build script.
const OBSERVER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/observer.so"));
/// The runner, built by the build script.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runner"));
/// The name of the runner in the directory of the logs.
const RUN: &str = "run";
/// The name of the library in the directory of the logs.
const LIBRARY: &str = "library";

/// The number of programs that a rerun of a few tests may start.
const SLOTS_OF_FEW: u64 = 4096;

/// The settings of an observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaunchSettings {
    /// Records call stacks.
    pub(crate) call_stacks: bool,
    /// Reads thread names; only cofferdam's own tests disable it.
    pub(crate) thread_names: bool,
    /// Keeps what is needed to rerun tests.
    pub(crate) reruns: bool,
    /// Observes statics.
    pub(crate) statics: bool,
    /// Saves how each test program is started, in place of starting it. Programs still list their tests.
    pub(crate) only_starts: bool,
}

impl LaunchSettings {
    /// Returns the settings of a launch that runs no test.
    pub(crate) fn only_starts() -> Self {
        Self {
            call_stacks: false,
            thread_names: true,
            reruns: false,
            statics: false,
            only_starts: true,
        }
    }
}

/// The directory for the logs and the variables that lead the processes to it. Dropping it removes the directory.
#[derive(Debug)]
pub(crate) struct Launch {
    folder: ScratchDir,
    /// The directory of the library and of the runner, if they cannot be loaded from `folder`.
    _elsewhere: Option<ScratchDir>,
    /// The directory where logs continue when `folder`, which is in memory, is full.
    spill: Option<ScratchDir>,
    settings: LaunchSettings,
    test_runner: TestRunner,
}

/// The runner of test programs, and the runners that it replaces.
#[derive(Debug)]
struct TestRunner {
    runner: OsString,
    previous_runner: Option<OsString>,
    project_runner: Option<Vec<String>>,
    /// The file with the variables of declared fixtures.
    exports: Option<PathBuf>,
}

impl TestRunner {
    /// Prepares the runner for a command started in `dir`, with its files in `folder`.
    fn new(dir: &Path, folder: &Path) -> Result<Self, LaunchError> {
        let previous_runner = variable(RUNNER).filter(|runner| !runner.is_empty());
        let project_runner = match &previous_runner {
            Some(runner) => project_runner::in_variable(&runner.to_string_lossy(), dir),
            None => configured(dir),
        };
        let mut runner = folder.join(RUN).into_os_string();
        runner.push(" ");
        runner.push(RUNNER_WORD);
        let exports = fixtures::exports()
            .map(|exports| write_exports(folder, exports))
            .transpose()
            .map_err(failed("the variables of fixtures"))?;
        Ok(Self {
            runner,
            previous_runner,
            project_runner,
            exports,
        })
    }

    /// Returns the variables to set for the command.
    fn variables(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![(RUNNER, self.runner.clone())];
        variables.extend(
            self.previous_runner
                .clone()
                .map(|runner| (PREVIOUS_RUNNER, runner)),
        );
        let words = self.project_runner.as_ref().map(|words| serde_json::json!(words));
        variables.extend(words.map(|words| (PROJECT_RUNNER, words.to_string().into())));
        variables.extend(self.exports.clone().map(|file| (EXPORTS, file.into())));
        variables
    }
}

/// Writes the file with the variables of declared fixtures, which may contain passwords.
fn write_exports(folder: &Path, exports: &Exports) -> io::Result<PathBuf> {
    let path = folder.join("exports.json");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    serde_json::to_writer(&mut file, exports)?;
    Ok(path)
}

/// The runner of a command that is not observed, while test programs need the variables of declared fixtures.
#[derive(Debug)]
pub(crate) struct FixtureRunner {
    test_runner: TestRunner,
    _folders: (ScratchDir, Option<ScratchDir>),
}

impl FixtureRunner {
    /// Prepares the runner for a command started in `dir`; `None` if no fixtures are declared.
    pub(crate) fn new(dir: &Path) -> Result<Option<Self>, LaunchError> {
        if fixtures::exports().is_none() {
            return Ok(None);
        }
        let place = env::temp_dir();
        sweep(&place);
        let folder = ScratchDir::new(&place).map_err(failed(format!("a folder in {}", place.display())))?;
        let elsewhere = unpack(folder.path(), &[place], allows_execution)?;
        let test_runner = TestRunner::new(dir, folder.path())?;
        Ok(Some(Self {
            test_runner,
            _folders: (folder, elsewhere),
        }))
    }

    /// Returns the variables to set for the command.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        self.test_runner.variables()
    }
}

/// The error of a suite that cannot be observed.
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
    pub(crate) fn new(dir: &Path, settings: LaunchSettings) -> Result<Self, LaunchError> {
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
            .and_then(|place| ScratchDir::new(place).ok());
        if let Some(spill) = &spill {
            let _ = account_file::create_spill(folder.path(), spill.path());
        }
        let test_runner = TestRunner::new(dir, folder.path())?;
        if settings.reruns {
            fs::write(folder.path().join(runner::KEEP_STARTS), "").map_err(failed("its folder"))?;
        }
        if settings.statics {
            fs::write(folder.path().join(runner::STATICS), "").map_err(failed("its folder"))?;
        }
        // Without a shared folder for listings, the next observation reads each program again.
        let kept = cofferdam::diagnostics::base_dir(Some(dir))
            .and_then(|base| cofferdam::diagnostics::private_dir(&base, FOLDER));
        let here = folder.path().join(KEPT);
        let made = kept.map_or_else(|_| fs::create_dir(&here), |kept| symlink(kept, &here));
        made.map_err(failed("its folder"))?;
        if settings.only_starts {
            SavedStarts::create(folder.path()).map_err(failed("its folder"))?;
        }
        Ok(Self {
            folder,
            _elsewhere: elsewhere,
            spill,
            settings,
            test_runner,
        })
    }

    /// Returns the directory of the logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns whether statics are to be observed.
    pub(super) fn observes_statics(&self) -> bool {
        self.settings.statics
    }

    /// Returns whether reruns are possible, so that the start of each program is saved.
    pub(super) fn keeps_starts(&self) -> bool {
        self.settings.reruns
    }

    /// Returns how the command's test programs would have been started, in their order, if that was to be saved.
    pub(crate) fn saved_starts(&self) -> io::Result<Vec<StartedProgram>> {
        SavedStarts::read(self.folder())
    }

    /// Returns the path of the runner.
    pub(super) fn runner(&self) -> PathBuf {
        self.folder.path().join(RUN)
    }

    /// Returns the runner's instructions for a program that runs one test.
    pub(super) fn instructions_for_one_test(&self) -> OsString {
        Instructions::new(self.folder(), self.settings.call_stacks, TestUnit::Process).to_text()
    }

    /// Creates a directory for the logs of one rerun, and returns it with the runner's instructions. `statics` is the request
    /// for the statics of programs that run several tests.
    pub(super) fn create_rerun_dir(
        &self,
        name: &str,
        with_calls: bool,
        statics: Option<&Wanted>,
    ) -> io::Result<(PathBuf, OsString)> {
        let folder = self.folder.path().join(name);
        // The parent directory can be entered by others, so the mode must not depend on the umask.
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        for link in [LIBRARY, RUN] {
            symlink(fs::read_link(self.folder.path().join(link))?, folder.join(link))?;
        }
        account_file::create(&folder, SLOTS_OF_FEW)?;
        if let Some(wanted) = statics {
            fs::write(folder.join(runner::STATICS), serde_json::to_vec(wanted)?)?;
            symlink(self.folder.path().join(KEPT), folder.join(KEPT))?;
        }
        if let Some(spill) = &self.spill {
            let elsewhere = spill.path().join(name);
            let _ = fs::create_dir(&elsewhere).and_then(|()| account_file::create_spill(&folder, &elsewhere));
        }
        let instructions = Instructions::new(&folder, with_calls, TestUnit::Thread).to_text();
        Ok((folder, instructions))
    }

    /// Returns the variables to set for the command.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        let unit = if self.settings.thread_names {
            TestUnit::Thread
        } else {
            TestUnit::UnnamedThread
        };
        let instructions = Instructions::new(self.folder(), self.settings.call_stacks, unit);
        let mut variables = vec![(VARIABLE, instructions.to_text())];
        variables.extend(self.test_runner.variables());
        variables
    }
}

/// Creates a directory in `place` with the account and the library.
fn prepare(place: &Path, places: &[PathBuf]) -> Result<(ScratchDir, Option<ScratchDir>), LaunchError> {
    let folder = ScratchDir::new(place).map_err(failed(format!("a folder in {}", place.display())))?;
    account_file::create(folder.path(), layout::MOST_SLOTS)
        .map_err(failed(format!("room for its account in {}", place.display())))?;
    let elsewhere = unpack(folder.path(), places, allows_execution)?;
    Ok((folder, elsewhere))
}

/// Writes the library and the runner to a directory that they can be loaded from, with links to them in `folder`; not every
/// file system in memory allows that. Only this user can write to the directory, since the library runs in every test.
fn unpack(
    folder: &Path,
    places: &[PathBuf],
    allows_execution: impl Fn(&Path) -> bool,
) -> Result<Option<ScratchDir>, LaunchError> {
    let elsewhere = if allows_execution(folder) {
        None
    } else {
        let own = places
            .iter()
            .filter(|place| is_plain(place) && allows_execution(place))
            .find_map(|place| ScratchDir::new(place).ok());
        Some(own.ok_or_else(|| {
            failed("every place for its library is mounted without execution")(
                io::ErrorKind::PermissionDenied.into(),
            )
        })?)
    };
    let dir = elsewhere.as_ref().map_or(folder, ScratchDir::path);
    for (link, name, bytes) in [(LIBRARY, "observer.so", OBSERVER), (RUN, "runner", PROGRAM)] {
        let path = dir.join(name);
        let written = fs::write(&path, bytes).and_then(|()| symlink(&path, folder.join(link)));
        written.map_err(failed(path.display().to_string()))?;
    }
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(dir.join("runner"), executable).map_err(failed("its runner"))?;
    // The runner leaves the rare cases to this program.
    let own = own_exe().map_err(failed("this program's own path"))?;
    symlink(own, dir.join("cofferdam")).map_err(failed("its runner"))?;
    Ok(elsewhere)
}

fn configured(dir: &Path) -> Option<Vec<String>> {
    let home = variable("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")));
    project_runner::files(dir, home.as_deref())
        .into_iter()
        .find_map(|(file, from)| {
            project_runner::in_file(&fs::read_to_string(file).ok()?, layout::TRIPLE, &from)
        })
}

fn variable(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the command's own value is restored for its programs"
    )]
    env::var_os(name)
}

fn own_exe() -> io::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the runner is this program")]
    env::current_exe()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_loaded_from_memory_is_written_to_a_private_directory_on_disk() {
        let (memory, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let places = [memory.path().to_owned(), disk.path().to_owned()];
        assert!(unpack(memory.path(), &places, |_| true).unwrap().is_none());
        let library = memory.path().join("library");
        assert_eq!(
            fs::read_link(&library).unwrap(),
            memory.path().join("observer.so")
        );
        for link in ["library", "run", "cofferdam"] {
            fs::remove_file(memory.path().join(link)).unwrap();
        }
        let own = unpack(memory.path(), &places, |place| place != memory.path()).unwrap();
        let path = fs::read_link(library).unwrap();
        let folder = path.parent().unwrap();
        assert_eq!(folder.parent(), Some(disk.path()));
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o066, 0);
        assert_eq!(fs::read(&path).unwrap(), OBSERVER);
        assert!(folder.join("cofferdam").exists());
        sweep(disk.path());
        assert!(path.exists());
        drop(own);
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
        assert!(unpack(memory.path(), &places, |_| false).is_err());
    }

    #[test]
    fn the_observer_can_be_loaded_with_glibc_2_34() {
        let text = String::from_utf8_lossy(OBSERVER);
        let needed = text.split("GLIBC_2.").skip(1).filter_map(|rest| {
            let digits = rest.split(|next: char| !next.is_ascii_digit()).next();
            digits?.parse::<u32>().ok()
        });
        let newest = needed.max().unwrap();
        assert!(newest <= 34, "2.{newest}");
    }

    #[test]
    fn a_planted_link_in_place_of_a_rerun_s_directory_is_not_followed() {
        let launch = Launch::new(Path::new("/"), LaunchSettings::only_starts()).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let create = |name| launch.create_rerun_dir(name, false, Some(&Wanted::uses()));
        symlink(elsewhere.path(), launch.folder().join("again-0")).unwrap();
        assert_eq!(
            create("again-0").unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        if let Some(spill) = &launch.spill {
            symlink(elsewhere.path(), spill.path().join("again-1")).unwrap();
        }
        let (dir, _) = create("again-1").unwrap();
        assert!(!dir.is_symlink() && dir.join(LIBRARY).exists());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn dropping_a_launch_removes_its_directory() {
        let launch = Launch::new(Path::new("/"), LaunchSettings::only_starts()).unwrap();
        assert_eq!(launch.saved_starts().unwrap(), []);
        let folder = launch.folder().to_owned();
        sweep(folder.parent().unwrap());
        assert!(folder.join("library").exists());
        drop(launch);
        assert!(!folder.exists());
    }
}
