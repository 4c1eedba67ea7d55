//! Runs two tests once more, and nothing else of their suite.

use super::super::causes::held;
use super::super::launch::{Launch, Started, VARIABLE};
use super::super::log::Log;
use super::super::ports::number_of;
use super::super::{account, runner};
use super::grade::Pauses;
use super::waits::Waits;
use super::windows::{Both, both};
use crate::observe::format::Target;
use cofferdam::{Resource, ResourceKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// For the observer: how long to pause at which resource.
const HOLD: &str = "COFFERDAM_HOLD";
/// A run that takes longer is ended.
const LONGEST: Duration = Duration::from_secs(30);
/// How often is looked whether everything is to end.
const SLICE: Duration = Duration::from_millis(100);
/// As much of what a program says is read, from its beginning.
const SAID: usize = 1 << 20;

/// A test, and how it was started.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) binary: String,
    pub(super) started: Arc<Started>,
    /// Whether the process is this test's alone.
    pub(super) own_process: bool,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Passed,
    Failed,
    /// It was ended by us.
    Late,
}

/// What a run of a pair came to.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub(super) endings: [Ending; 2],
    pub(super) uses: Both,
}

pub(super) struct Rerunner<'a> {
    launch: &'a Launch,
    /// When nothing runs any more.
    deadline: Instant,
    stop: Arc<AtomicBool>,
    runs: AtomicU64,
    waits: Waits,
}

impl<'a> Rerunner<'a> {
    pub(super) fn new(launch: &'a Launch, budget: Duration, stop: Arc<AtomicBool>) -> Self {
        let now = now();
        Self {
            launch,
            // A budget beyond what the clock can say is as good as a year.
            deadline: now
                .checked_add(budget)
                .unwrap_or(now + Duration::from_secs(31_536_000)),
            stop,
            runs: AtomicU64::new(0),
            waits: Waits::default(),
        }
    }

    /// Whether nothing more is to begin.
    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || now() >= self.deadline
    }

    /// Runs both at one time, pausing at the resource.
    pub(super) fn together(&self, parts: [&Part; 2], resource: &Resource, pauses: Pauses) -> io::Result<Ran> {
        // By its calls are known who waits for std's lock around the variables, and what std does when a test panics.
        let with_calls = matches!(resource.kind(), ResourceKind::Env | ResourceKind::Cwd);
        let (folder, told) = self.folder(with_calls)?;
        let hold = hold(resource, pauses);
        let endings = if parts[0].own_process {
            let mut first = Running::begin(self.launch, parts[0], &[], &told, Some(&hold))?;
            let second = Running::begin(self.launch, parts[1], &[], &told, Some(&hold));
            let mut second = match second {
                Ok(second) => second,
                Err(error) => {
                    first.end();
                    return Err(error);
                }
            };
            let until = self.until();
            self.wait(&mut first, until);
            self.wait(&mut second, until);
            [first.ending(parts[0]), second.ending(parts[1])]
        } else {
            let mut both = Running::begin(self.launch, parts[0], &[&parts[1].name], &told, Some(&hold))?;
            self.wait(&mut both, self.until());
            [both.ending(parts[0]), both.ending(parts[1])]
        };
        let names = parts.map(|part| (part.binary.as_str(), part.name.as_str()));
        let at_variables = |log: &Log, stack: u32| self.waits.for_variables(log, stack);
        let (account, logs) = account::read(&folder);
        if let Some(lost) = account.lost.first() {
            // That the two kept apart cannot be said when one of them was not seen.
            let _ = fs::remove_dir_all(folder);
            return Err(io::Error::other(format!(
                "{} was lost: {}",
                lost.name, lost.reason
            )));
        }
        let uses = both(&logs, names, resource, pauses, &at_variables);
        let _ = fs::remove_dir_all(folder);
        Ok(Ran { endings, uses })
    }

    /// Runs one, with the same pauses if there were any.
    pub(super) fn alone(&self, part: &Part, held: Option<(&Resource, Pauses)>) -> io::Result<Ending> {
        let (folder, told) = self.folder(false)?;
        let hold = held.map(|(resource, pauses)| hold(resource, pauses));
        let mut running = Running::begin(self.launch, part, &[], &told, hold.as_ref())?;
        self.wait(&mut running, self.until());
        let _ = fs::remove_dir_all(folder);
        Ok(running.ending(part))
    }

    fn folder(&self, with_calls: bool) -> io::Result<(PathBuf, OsString)> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        self.launch.beside(&format!("again-{run}"), with_calls)
    }

    fn until(&self) -> Instant {
        self.deadline.min(now() + LONGEST)
    }

    fn wait(&self, running: &mut Running, until: Instant) {
        while !running.has_ended(SLICE) {
            if self.stop.load(Ordering::Relaxed) || now() >= until {
                running.end();
                return;
            }
        }
    }
}

fn hold(resource: &Resource, pauses: Pauses) -> OsString {
    let target = target(resource);
    let name = match target {
        // Without a name it is any of them.
        Target::Env if pauses.everywhere => OsString::new(),
        Target::File => held(resource).unwrap_or_default().into(),
        Target::Port => number_of(resource).unwrap_or_default().to_string().into(),
        _ => resource.as_str().into(),
    };
    let mut hold = OsString::from(format!("{},{};{};", pauses.first, pauses.others, target as u8));
    hold.push(name);
    hold
}

fn target(resource: &Resource) -> Target {
    match resource.kind() {
        ResourceKind::UnixSocket if held(resource).is_none() => Target::Name,
        ResourceKind::File
        | ResourceKind::Directory
        | ResourceKind::GitRepository
        | ResourceKind::Database
        | ResourceKind::TempName
        | ResourceKind::UnixSocket
        | ResourceKind::SharedMemory => Target::File,
        ResourceKind::Name => Target::Name,
        ResourceKind::Port | ResourceKind::UdpPort => Target::Port,
        ResourceKind::Env => Target::Env,
        ResourceKind::Cwd => Target::Cwd,
        ResourceKind::Umask => Target::Umask,
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "people ask for a budget of time")]
    Instant::now()
}

/// A process of one or two tests.
struct Running {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    /// Hears when all was said.
    over: Option<Receiver<()>>,
    late: bool,
    status: Option<std::process::ExitStatus>,
}

impl Running {
    fn begin(
        launch: &Launch,
        part: &Part,
        and: &[&str],
        told: &OsString,
        hold: Option<&OsString>,
    ) -> io::Result<Self> {
        let started = &part.started;
        let mut command = runner::started(launch.runner().as_os_str());
        command.arg(crate::cli::RUNNER_WORD).arg(&started.program);
        if part.own_process {
            command.args(&started.arguments);
        } else {
            let ignored = ["--ignored", "--include-ignored"];
            let ignored = started
                .arguments
                .iter()
                .find(|one| ignored.iter().any(|word| *one == word));
            let threads = format!("--test-threads={}", 1 + and.len());
            command
                .arg(&part.name)
                .args(and)
                .arg("--exact")
                .arg(threads)
                .args(ignored);
        }
        let mut child = command
            .current_dir(&started.dir)
            .env_clear()
            .envs(started.variables.iter().map(|(name, value)| (name, value)))
            .env(VARIABLE, told)
            .envs(hold.map(|hold| (HOLD, hold)))
            .stdin(Stdio::null())
            .stdout(if part.own_process {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stderr(Stdio::null())
            // So that all of it can be ended; and a Ctrl-C reaches it through us.
            .process_group(0)
            .spawn()?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let over = child.stdout.take().map(|mut out| {
            let said = Arc::clone(&said);
            let (tell, over) = mpsc::channel();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = out.read(&mut buffer) {
                    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = SAID.saturating_sub(said.len()).min(length);
                    said.extend(&buffer[..room]);
                }
                // Nobody may wait for it any more.
                let _ = tell.send(());
            });
            over
        });
        Ok(Self {
            child,
            said,
            over,
            late: false,
            status: None,
        })
    }

    fn has_ended(&mut self, within: Duration) -> bool {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let slice = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(within.subsec_nanos()),
        };
        if let Some(pidfd) = pidfd {
            // An interruption is as good as time that is over.
            let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&slice));
        }
        match self.child.try_wait() {
            Ok(None) => false,
            Ok(status) => {
                self.status = status;
                true
            }
            Err(_) => true,
        }
    }

    /// Ends it with all that it started.
    fn end(&mut self) {
        self.late = true;
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        self.status = self.child.wait().ok();
    }

    fn ending(&mut self, part: &Part) -> Ending {
        if self.late {
            return Ending::Late;
        }
        if self.status.is_some_and(|status| status.success()) {
            return Ending::Passed;
        }
        // What a test started may keep the pipe open for long; the program itself has said all.
        if let Some(over) = self.over.take() {
            let _ = over.recv_timeout(2 * SLICE);
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if part.own_process || failed(&String::from_utf8_lossy(&said), &part.name) {
            Ending::Failed
        } else {
            Ending::Passed
        }
    }
}

/// Whether libtest says so. Where it says nothing of the test at all, the program broke off: so for both.
fn failed(said: &str, name: &str) -> bool {
    let mut lines = said.lines().filter(|line| {
        line.strip_prefix("test ")
            .and_then(|line| line.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with(" ... ") || rest.starts_with(" - "))
    });
    lines.all(|line| !line.ends_with(" ok"))
}

/// What was started for this test, if it can be started once more.
pub(super) fn started(launch: &Launch, pid: u32, name: &str, own_process: bool) -> Option<Started> {
    let started = Started::read(launch.folder(), pid)?;
    // The numbers of processes are used again.
    let is_it = !own_process || started.arguments.iter().any(|argument| argument == name);
    // A doctest's program is gone.
    (is_it && Path::new(&started.program).exists() && started.dir.exists()).then_some(started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_failed_if_libtest_says_so_or_nothing() {
        let said = "\nrunning 2 tests\ntest a ... ok\ntest orders::b ... FAILED\ntest c - should panic ... ok\n\nfailures:\n";
        for (name, wanted) in [("a", false), ("orders::b", true), ("c", false), ("b", true)] {
            assert_eq!(failed(said, name), wanted, "{name}");
        }
        assert!(failed("", "a"));
    }

    #[test]
    fn the_observer_is_told_of_a_resource_as_it_sees_it() {
        for (resource, text) in [
            (Resource::file("/d/f"), "80,80;1;/d/f"),
            (Resource::port(80), "80,80;2;80"),
            (Resource::udp_port(53), "80,80;2;53"),
            (Resource::env("HOME"), "80,80;3;HOME"),
            (Resource::cwd(), "80,80;4;"),
            (Resource::new(ResourceKind::Port, "[::1]:80"), "80,80;2;80"),
            (Resource::new(ResourceKind::UnixSocket, "@bus"), "80,80;6;@bus"),
            (Resource::new(ResourceKind::UnixSocket, "/d/s"), "80,80;1;/d/s"),
            (
                Resource::new(ResourceKind::SharedMemory, "/m"),
                "80,80;1;/dev/shm/m",
            ),
            (
                Resource::new(ResourceKind::GitRepository, "/d"),
                "80,80;1;/d/.git",
            ),
            (
                Resource::new(ResourceKind::GitRepository, "/d.git"),
                "80,80;1;/d.git",
            ),
            (
                Resource::new(ResourceKind::TempName, "/tmp/shop-*"),
                "80,80;1;/tmp",
            ),
        ] {
            assert_eq!(hold(&resource, Pauses::USUAL), OsString::from(text));
        }
        let everywhere = Pauses {
            everywhere: true,
            ..Pauses::USUAL
        };
        assert_eq!(
            hold(&Resource::env("HOME"), everywhere),
            OsString::from("80,80;3;")
        );
    }
}
