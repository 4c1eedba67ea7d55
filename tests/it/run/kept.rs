//! The suite `kept`, run by real runners: two tests that share a server and wait to be released.
//!
//! Every process of it connects to this one, and its connection closes when it ends, so that no test has to poll for
//! the end of a process.

use crate::stranger::Suite;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// A deadline that can only fail a test.
const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runner {
    CargoTest,
    Nextest,
}

/// The program whose tests hold the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tests {
    Sync,
    Async,
}

pub(super) fn has_nextest() -> bool {
    suite().has_nextest()
}

/// A connected process: a server or a test.
pub(super) struct Guest {
    stream: BufReader<TcpStream>,
    /// Its words about itself.
    pub(super) words: Vec<String>,
}

impl Guest {
    /// Waits until the process is gone.
    pub(super) fn is_gone(&mut self) {
        let mut rest = String::new();
        self.stream.read_line(&mut rest).or_else(gone).unwrap();
        assert_eq!(rest, "");
    }

    pub(super) fn is_here(&self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).unwrap();
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

/// A reset connection counts as a closed one.
fn gone(error: std::io::Error) -> std::io::Result<usize> {
    match error.kind() {
        std::io::ErrorKind::ConnectionReset => Ok(0),
        _ => Err(error),
    }
}

/// A run in which the server is up and both tests use it.
pub(super) struct Running {
    pub(super) begun: Begun,
    /// The server and its grandchild.
    pub(super) servers: Vec<Guest>,
    pub(super) tests: Vec<Guest>,
    pub(super) keeper: Process,
    /// The directory of the run.
    pub(super) folder: PathBuf,
}

impl Running {
    /// Starts the suite with its files below `base`.
    pub(super) fn start(runner: Runner, base: &Path, name: &str) -> Self {
        Self::start_with(runner, base, name, &[])
    }

    pub(super) fn start_with(runner: Runner, base: &Path, name: &str, env: &[(&str, &str)]) -> Self {
        Begun::new(runner, base, name, env).until_it_runs()
    }

    pub(super) fn start_of(tests: Tests, runner: Runner, base: &Path, name: &str) -> Self {
        Begun::of(tests, runner, base, name, &[]).until_it_runs()
    }

    /// Releases the tests, and returns the output of the runner.
    pub(super) fn finish(&mut self) -> String {
        self.tests.clear();
        let status = self.begun.runner.wait().unwrap();
        let text = self.begun.text();
        assert!(status.success(), "{status}\n{text}");
        text
    }

    /// Waits until nothing of the run is left.
    pub(super) fn is_torn_down(&mut self) {
        self.servers.iter_mut().for_each(Guest::is_gone);
        self.keeper.ended();
        assert!(!self.folder.exists(), "{} is left", self.folder.display());
        let torn_down = &self.begun.torn_down;
        assert!(torn_down.exists(), "the teardown's command did not run");
    }
}

/// A run that was started.
pub(super) struct Begun {
    pub(super) runner: Child,
    pub(super) torn_down: PathBuf,
    listener: TcpListener,
    output: PathBuf,
}

impl Begun {
    pub(super) fn new(runner: Runner, base: &Path, name: &str, env: &[(&str, &str)]) -> Self {
        Self::of(Tests::Sync, runner, base, name, env)
    }

    fn of(tests: Tests, runner: Runner, base: &Path, name: &str, env: &[(&str, &str)]) -> Self {
        // The build has no deadline, only the run.
        let built = suite()
            .cargo("test --no-run --test suite --test async_suite")
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (torn_down, output) = (
            base.join(format!("{name}.torn-down")),
            base.join(format!("{name}.output")),
        );
        let log = File::create(&output).unwrap();
        let program = match tests {
            Tests::Sync => "suite",
            Tests::Async => "async_suite",
        };
        let args = match runner {
            Runner::CargoTest => format!("test --test {program} -- --test-threads 2"),
            Runner::Nextest => format!("nextest run --test {program} --test-threads 2 --no-fail-fast"),
        };
        let mut command = suite().cargo(&args);
        command
            .envs(env.iter().copied())
            .env("COFFERDAM_DIR", base)
            .env("MEET", listener.local_addr().unwrap().to_string())
            .env("TORN_DOWN", &torn_down)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0);
        // `nohup` and background shells ignore signals, which children inherit.
        #[expect(unsafe_code, reason = "signals are reset between fork and exec")]
        // SAFETY: signal(2) may be called there, and the default is no handler of ours.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            });
        }
        Self {
            runner: command.spawn().unwrap(),
            torn_down,
            listener,
            output,
        }
    }

    /// Waits for the next connection.
    pub(super) fn guest(&self) -> Guest {
        // A process that ended early says why in its output.
        if !poll(self.listener.as_raw_fd()) {
            panic!("nobody came:\n{}", self.text());
        }
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let words = line.split_whitespace().map(str::to_owned).collect();
        Guest { stream, words }
    }

    /// Waits for the next connections, in order of their kinds: servers, processes that start them, then tests.
    pub(super) fn guests(&self, count: usize) -> Vec<Guest> {
        let mut guests: Vec<_> = (0..count).map(|_| self.guest()).collect();
        guests.sort_by(|a, b| a.words[0].cmp(&b.words[0]));
        guests
    }

    /// Returns the output of the runner so far.
    pub(super) fn text(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    /// Waits until the server is up and both tests use it.
    pub(super) fn until_it_runs(self) -> Running {
        let mut guests = self.guests(4);
        let tests = guests.split_off(2);
        let (keeper, folder) = of_the_servers(&guests);
        assert!(folder.join("run.json").exists(), "{}", folder.display());
        Running {
            begun: self,
            keeper,
            servers: guests,
            tests,
            folder,
        }
    }
}

/// Returns the keeper of a server and its grandchild, and the directory of the run.
pub(super) fn of_the_servers(servers: &[Guest]) -> (Process, PathBuf) {
    let words = servers.iter().map(|server| &server.words);
    // The grandchild's parent is the server, whose parent is the keeper.
    let pids: Vec<_> = words.clone().map(|words| words[1].clone()).collect();
    let server = words.clone().find(|words| !pids.contains(&words[2])).unwrap();
    let folder = Path::new(&server[3]).ancestors().nth(3).unwrap().to_owned();
    (Process::open(server[2].parse().unwrap()), folder)
}

/// A process that is not our child.
pub(super) struct Process(OwnedFd);

#[expect(
    unsafe_code,
    reason = "processes that are not our children have no safe interface"
)]
impl Process {
    pub(super) fn open(pid: i32) -> Self {
        // SAFETY: the call takes numbers, and what it returns is ours.
        unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            Self(OwnedFd::from_raw_fd(fd as i32))
        }
    }

    pub(super) fn kill(&self) {
        // SAFETY: the call takes numbers and no structure.
        let failed = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                libc::SIGKILL,
                0_usize,
                0,
            )
        };
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
        self.ended();
    }

    pub(super) fn ended(&self) {
        assert!(poll(self.0.as_raw_fd()), "the process is still there");
    }
}

/// Sends a signal to a process, or to a group if the number is negative.
#[expect(unsafe_code, reason = "std sends no signals")]
pub(super) fn kill(pid: i32, signal: i32) {
    // SAFETY: the call takes numbers.
    let failed = unsafe { libc::kill(pid, signal) };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
}

#[expect(unsafe_code, reason = "std does not wait for descriptors")]
fn poll(fd: i32) -> bool {
    let mut polled = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one live structure.
    unsafe { libc::poll(&raw mut polled, 1, LONG.as_millis() as i32) == 1 }
}

fn suite() -> Suite {
    let files = [
        ("src/lib.rs", include_str!("suite/lib.rs")),
        ("src/main.rs", include_str!("suite/main.rs")),
        (".config/nextest.toml", include_str!("suite/nextest.toml")),
        ("tests/server/mod.rs", include_str!("suite/server.rs")),
        ("tests/suite.rs", include_str!("suite/tests.rs")),
        ("tests/async_suite.rs", include_str!("suite/async_kept.rs")),
    ];
    Suite::new("kept", &["fixtures", "macros", "tokio"], "", &files)
}
