//! What the factory of a fixture may ask.

use super::fault::{Fault, tail};
use super::handle::Declared;
use super::keeper::{Connection, LIMIT_OF_A_REPLY, Order, Reply, Request, Stop};
use super::lease;
use crate::error::Error;
use crate::place;
use crate::resource::{Access, Resource};
use crate::sys::clock::{self, Deadline};
use crate::sys::{env, observer, process};
use crate::worker::Worker;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How a process is asked to end, before it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopSignal {
    /// `SIGTERM`, which most servers understand.
    Terminate,
    /// `SIGINT`, as Ctrl-C: PostgreSQL's fast shutdown.
    Interrupt,
    /// `SIGQUIT`.
    Quit,
    /// `SIGKILL`: nothing is asked.
    Kill,
}

impl StopSignal {
    fn number(self) -> i32 {
        match self {
            Self::Terminate => 15,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Kill => 9,
        }
    }
}

/// What a fixture is started with: see [`Fixture`](super::Fixture).
///
/// What it starts belongs to the run's keeper, not to the test that happened to come first. If the factory fails, or its
/// test process is killed, all of it is stopped and removed.
pub struct Setup {
    name: String,
    folder: PathBuf,
    /// Whose test starts it, if that is known.
    worker: Option<Worker>,
    connection: RefCell<Connection>,
    deadline: Deadline,
    limit: Duration,
    stop: Cell<Stop>,
    /// Of each group one process has to be there for the fixture to be.
    processes: RefCell<Vec<Vec<u32>>>,
    claims: RefCell<Vec<Declared>>,
}

impl Setup {
    pub(super) fn new(
        name: &str,
        folder: PathBuf,
        connection: Connection,
        limit: Duration,
        worker: Option<Worker>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            folder,
            worker,
            connection: RefCell::new(connection),
            deadline: Deadline::after(limit),
            limit,
            stop: Cell::new(Stop {
                signal: StopSignal::Terminate.number(),
                grace: Duration::from_secs(5),
            }),
            processes: RefCell::default(),
            claims: RefCell::default(),
        }
    }

    /// Starts a process that lives until the run is over, and returns its number. Its end before that, also with exit code
    /// 0, is an error: the start's, or that of the next [`get`](super::Fixture::get). A command that is expected to end is
    /// one for [`run`](Self::run).
    ///
    /// It gets a process group of its own, nothing on standard input, and the [log](Self::log) as its output. Of the
    /// command its program, arguments, working directory and changes to the environment count; redirections,
    /// `env_clear`, users and `pre_exec` cannot be read from it and do not. It inherits this process's environment
    /// without what is only about this test or about us: `NEXTEST*`, `COFFERDAM_*`, `CARGO_MANIFEST_*`, `CARGO_PKG_*`,
    /// `LD_PRELOAD`.
    ///
    /// In the end its group gets the [stop signal](Self::stop_signal), has the [grace](Self::grace) to go, and is then
    /// killed; and so is what left the group, which is found by its ancestors and by `COFFERDAM_FIXTURE` in its
    /// environment. If the keeper is killed the process dies with it, unless it has changed its user or has left its
    /// children to themselves.
    ///
    /// # Errors
    /// When it cannot be started, or the start's deadline has passed.
    pub fn spawn(&self, command: &mut Command) -> Result<u32, Error> {
        let pid = self.start(command, false)?;
        self.processes.borrow_mut().push(vec![pid]);
        Ok(pid)
    }

    /// Runs a command to its end: `initdb`, `pg_ctl start`, `docker run --detach`. It is started as by
    /// [`spawn`](Self::spawn).
    ///
    /// What it leaves running is the fixture's: it is stopped in the end, and if all of it that was there when the factory
    /// returned has ended before, the next [`get`](super::Fixture::get) is an error.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use cofferdam::Fixture;
    /// use std::process::Command;
    /// static CACHE: Fixture<String> = Fixture::per_run("cache", |setup| {
    ///     setup.run(Command::new("sh").arg("-c").arg("sleep 600 & echo $! > pid").current_dir(setup.dir()))?;
    ///     Ok(std::fs::read_to_string(setup.dir().join("pid"))?)
    /// });
    /// assert!(CACHE.get().trim().parse::<u32>().is_ok());
    /// # }
    /// ```
    ///
    /// # Errors
    /// When it cannot be started, ends with another exit code than 0, or the start's deadline has passed.
    pub fn run(&self, command: &mut Command) -> Result<(), Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        let pid = self.start(command, true)?;
        let mut pause = Duration::from_millis(1);
        loop {
            match self.ask(&Request::Ran { pid })? {
                Reply::Left { processes } => {
                    self.processes.borrow_mut().push(processes);
                    return Ok(());
                }
                Reply::Running => {}
                Reply::Ended { how } => return Err(step(format!("run {program}"), how)),
                other => return Err(self.refused(format!("run {program}"), other)),
            }
            // The keeper answers what it is asked; it tells nothing later.
            clock::pause(pause);
            pause = (pause * 2).min(Duration::from_millis(25));
        }
    }

    fn start(&self, command: &mut Command, ends: bool) -> Result<u32, Error> {
        let request = Request::Spawn {
            order: order(command, &self.folder),
            stop: self.stop.get(),
            ends,
        };
        match self.ask(&request)? {
            Reply::Done { pid } => Ok(pid),
            other => {
                let program = command.get_program().to_string_lossy();
                Err(self.refused(format!("start {program}"), other))
            }
        }
    }

    /// Adds a command to the teardown: it runs when the fixture's processes are gone, the newest command first, for 20 s
    /// at most. For what is no process of ours: `docker rm --force NAME`. Say it before that is started.
    ///
    /// # Errors
    /// When it cannot be noted.
    pub fn on_teardown(&self, command: &mut Command) -> Result<(), Error> {
        let order = order(command, &self.folder);
        match self.ask(&Request::Teardown { order })? {
            Reply::Done { .. } => Ok(()),
            other => Err(self.refused("note a command for the teardown".to_owned(), other)),
        }
    }

    /// The signal that asks those to end that are started from here on; [`Terminate`](StopSignal::Terminate) otherwise.
    pub fn stop_signal(&self, signal: StopSignal) {
        let signal = signal.number();
        self.stop.set(Stop {
            signal,
            ..self.stop.get()
        });
    }

    /// How long those that are started from here on may take to end; 5 s otherwise.
    pub fn grace(&self, grace: Duration) {
        self.stop.set(Stop {
            grace,
            ..self.stop.get()
        });
    }

    /// A folder of the fixture's own, empty at first and removed in the end.
    pub fn dir(&self) -> PathBuf {
        self.folder.join("dir")
    }

    /// The file with what the fixture's processes write.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Leases a port of `127.0.0.1` that is the fixture's until its teardown is over: nobody else leases it, in no run
    /// of this user on this machine. See [`lease_port`](crate::lease_port()) for what that means to who does not
    /// lease. Reports know it as a [claim](Self::claim).
    ///
    /// With `COFFERDAM_KEEP` the lease ends with the run, and the port is the server's for as long as it listens.
    ///
    /// # Errors
    /// As [`lease_port`](crate::lease_port()); when the start's deadline has passed.
    #[track_caller]
    pub fn lease_port(&self) -> Result<u16, Error> {
        let folder = lease::folder()?;
        let place = Location::caller();
        match self.ask(&Request::Lease { folder })? {
            Reply::Leased { port } => {
                observer::leased(port);
                self.declare(Resource::port(port), Access::Write, lease::guard(port), place);
                Ok(port)
            }
            other => Err(self.refused("lease a port".to_owned(), other)),
        }
    }

    /// Declares that the fixture uses a resource: every test that uses the fixture then does. They do not collide on
    /// it with each other, for they share the fixture; a test or a run that uses it by other ways is reported. It
    /// locks nothing, and is free while nothing is recorded.
    ///
    /// ```
    /// use cofferdam::{Access, Fixture, Resource};
    /// static QUEUE: Fixture<String> = Fixture::per_run("queue", |setup| {
    ///     setup.claim(Resource::name("queue of the packers"), Access::Write);
    ///     Ok("amqp://localhost/orders".to_owned())
    /// });
    /// assert!(QUEUE.get().ends_with("orders"));
    /// ```
    #[track_caller]
    pub fn claim(&self, resource: Resource, access: Access) {
        let guard = format!("fixture {} of run {}", self.name, place::run().id);
        self.declare(resource, access, guard, Location::caller());
    }

    fn declare(&self, resource: Resource, access: Access, guard: String, place: &Location<'_>) {
        let claim = Declared {
            resource,
            access,
            guard,
            place: place.to_string(),
        };
        // At once: a start that fails may fail because of it.
        if let Some(worker) = &self.worker {
            claim.record(worker);
        }
        self.claims.borrow_mut().push(claim);
    }

    /// Waits until somebody listens on the port of this machine.
    ///
    /// # Errors
    /// When nobody does by the start's deadline, or one of the fixture's processes ends before.
    pub fn wait_for_port(&self, port: u16) -> Result<(), Error> {
        let addresses = [
            SocketAddr::from(([127, 0, 0, 1], port)),
            SocketAddr::from(([0_u16, 0, 0, 0, 0, 0, 0, 1], port)),
        ];
        self.wait_for(&format!("port {port} to open"), self.limit, || {
            let mut tried = addresses.iter();
            tried.any(|address| TcpStream::connect_timeout(address, Duration::from_millis(500)).is_ok())
        })
    }

    /// Asks again and again until it is so: `what` says in the message what was waited for.
    ///
    /// # Errors
    /// When it is not so within `limit` or by the start's deadline, or one of the fixture's processes ends before.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        mut is_so: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let patience = Deadline::after(limit);
        let mut pause = Duration::from_millis(1);
        loop {
            if is_so() {
                return Ok(());
            }
            if let Reply::Ended { how } = self.ask(&Request::Ended)? {
                return Err(step(format!("wait for {what}"), how));
            }
            if patience.left().is_none() || self.deadline.left().is_none() {
                let waited = limit.min(self.limit).as_secs_f64();
                return Err(step(
                    format!("wait for {what}"),
                    format!("it is not so after {waited} s"),
                ));
            }
            // A server tells nobody that it is ready.
            clock::pause(pause);
            pause = (pause * 2).min(Duration::from_millis(25));
        }
    }

    /// Says it to the keeper, also when the deadline has passed.
    pub(super) fn tell(&self, request: &Request) -> Option<Reply> {
        self.connection
            .borrow_mut()
            .ask(request, Deadline::after(LIMIT_OF_A_REPLY))
    }

    fn ask(&self, request: &Request) -> Result<Reply, Error> {
        if self.deadline.left().is_none() {
            let limit = self.limit.as_secs_f64();
            return Err(step(
                "go on".to_owned(),
                format!("the start's limit of {limit} s has passed"),
            ));
        }
        self.tell(request).ok_or_else(|| {
            Fault::Lost {
                fixture: self.name.clone(),
            }
            .into()
        })
    }

    fn refused(&self, tried: String, reply: Reply) -> Error {
        let reason = match reply {
            Reply::Refused { reason } => reason,
            other => format!("the keeper answered {other:?}"),
        };
        step(tried, reason)
    }

    /// The end of the log, as the end of a message.
    pub(super) fn tail(&self) -> String {
        tail(&std::fs::read(self.log()).unwrap_or_default())
    }

    /// The groups of processes that are there now.
    pub(super) fn processes(&self) -> Vec<Vec<u32>> {
        let alive = |group: &Vec<u32>| -> Vec<u32> {
            let group = group.iter().copied();
            // Elsewhere nobody knows.
            let is_there = |pid: &u32| cfg!(not(target_os = "linux")) || process::is_running(*pid);
            group.filter(is_there).collect()
        };
        let groups = self.processes.borrow();
        groups
            .iter()
            .map(alive)
            .filter(|group| !group.is_empty())
            .collect()
    }

    pub(super) fn claims(&self) -> Vec<Declared> {
        self.claims.borrow().clone()
    }

    pub(super) fn into_connection(self) -> Connection {
        self.connection.into_inner()
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("fixture", &self.name)
            .finish_non_exhaustive()
    }
}

fn step(tried: String, reason: impl fmt::Display) -> Error {
    let reason = reason.to_string();
    Fault::Step { tried, reason }.into()
}

/// What of our own environment is none of a server's business: it is about one test, or about us.
fn is_ours(name: &str) -> bool {
    let prefixes = [
        "NEXTEST",
        "COFFERDAM_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_BIN_",
    ];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || name == "LD_PRELOAD"
}

fn order(command: &Command, folder: &Path) -> Order {
    let mut env = env::all();
    env.retain(|(name, _)| !is_ours(&name.to_string_lossy()));
    for (name, value) in command.get_envs() {
        env.retain(|(known, _)| known != name);
        env.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
    let here = || process::current_dir().unwrap_or_else(|| folder.to_owned());
    let dir = match command.get_current_dir() {
        Some(dir) if dir.is_absolute() => dir.to_owned(),
        Some(dir) => here().join(dir),
        None => here(),
    };
    Order {
        program: command.get_program().to_owned(),
        args: command.get_args().map(|arg| arg.to_owned()).collect(),
        env,
        dir,
    }
}
