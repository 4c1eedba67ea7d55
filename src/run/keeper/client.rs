//! The tests' side: finds the keeper, or starts it.

use super::request::{Reply, Request};
use super::server::own_folder;
use super::{server, socket};
use crate::place::{self, Runner};
use crate::sys::child::Handle;
use crate::sys::clock::{self, Deadline};
use crate::sys::{env, file_lock, poll, process};
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// How long a keeper may take to start, or another process to start it.
const START: Duration = Duration::from_secs(20);

/// A line to the keeper. Dropped before a start is complete, the start is undone.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
    /// The processes without which the fixture is none; `None` if they cannot be watched.
    watched: Option<Vec<Vec<Handle>>>,
}

impl Connection {
    /// Connects to the keeper of the run with this folder, which is started if need be.
    pub(crate) fn open(run: &Path) -> Result<Self, String> {
        let stream = match socket::connect(run) {
            Ok(stream) => stream,
            Err(_) => start(run)?,
        };
        Ok(Self {
            stream: BufReader::new(stream),
            watched: Some(Vec::new()),
        })
    }

    /// Asks, and waits for the answer until the deadline. `None` when the keeper is gone or says nothing.
    pub(crate) fn ask(&mut self, request: &Request, by: Deadline) -> Option<Reply> {
        self.stream
            .get_ref()
            .write_all(request.to_line().as_bytes())
            .ok()?;
        self.hear(by)
    }

    /// The next answer.
    pub(crate) fn hear(&mut self, by: Deadline) -> Option<Reply> {
        self.stream.get_ref().set_read_timeout(Some(by.left()?)).ok()?;
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        Reply::from_line(&line)
    }

    pub(crate) fn to_cut(&self) -> io::Result<Cut> {
        self.stream.get_ref().try_clone().map(Cut)
    }

    /// From now on the line counts as closed when all processes of one of these groups have ended.
    pub(crate) fn watch(&mut self, groups: &[Vec<u32>]) {
        let open = |group: &Vec<u32>| {
            group
                .iter()
                .map(|pid| Handle::open(*pid))
                .collect::<io::Result<_>>()
        };
        self.watched = groups.iter().map(open).collect::<io::Result<_>>().ok();
    }

    /// Whether the keeper is there, and so are the processes that are watched: one system call.
    pub(crate) fn is_open(&self) -> bool {
        let Some(watched) = &self.watched else {
            return false;
        };
        let mut fds = vec![self.stream.get_ref().as_raw_fd()];
        fds.extend(watched.iter().flatten().map(Handle::fd));
        let ready = poll::ready(&fds, Duration::ZERO);
        // The keeper says nothing unasked, so what can be read is the end.
        let (closed, mut ended) = (ready[0], &ready[1..]);
        let mut all_stand = !closed;
        for group in watched {
            let (own, rest) = ended.split_at(group.len());
            all_stand &= !own.iter().all(|ended| *ended);
            ended = rest;
        }
        all_stand
    }
}

/// The same line, for whoever gives up on what happens at its other copy.
#[derive(Debug)]
pub(crate) struct Cut(UnixStream);

impl Cut {
    /// Says a last word and ends the line, for the other copy too.
    pub(crate) fn with(self, request: &Request) {
        let mut stream = self.0;
        let _ = stream.write_all(request.to_line().as_bytes());
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn start(run: &Path) -> Result<UnixStream, String> {
    if env::var(server::VARIABLE).is_some() {
        return Err("this process was to be the keeper and was not caught before `main`".to_owned());
    }
    let told = place::run();
    let (runner, started) = told.anchor;
    // A test that outlives its runner finds the keeper gone with it, and what another one made nobody would use.
    if told.runner != Runner::Named && !process::is_alive(runner, started) {
        return Err(format!(
            "the run is over: its runner, process {runner}, has ended"
        ));
    }
    let folder = own_folder(run);
    let told = |error: io::Error| format!("{}: {error}", folder.display());
    server::make_room(run).map_err(told)?;
    let patience = Deadline::after(START);
    loop {
        let one_at_a_time = file_lock::try_exclusive(&folder.join("start.lock")).map_err(told)?;
        if let Ok(stream) = socket::connect(run) {
            return Ok(stream);
        }
        if one_at_a_time.is_some() {
            launch(run).map_err(told)?;
            return socket::connect(run).map_err(|error| {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                format!(
                    "it was started and does not listen ({error}); the run may be over. {}",
                    log.trim()
                )
            });
        }
        if patience.left().is_none() {
            return Err("another process has been starting it for too long".to_owned());
        }
        clock::pause(Duration::from_millis(2));
    }
}

/// Starts the keeper and waits until it listens or has ended.
fn launch(run: &Path) -> io::Result<()> {
    let told = place::run();
    let flags = [
        told.runner == Runner::Named,
        place::session().is_some(),
        env::var("COFFERDAM_KEEP").is_some(),
    ];
    let flags = flags.map(|flag| if flag { ":1" } else { ":0" }).concat();
    // Not by its path: the file may have been replaced or removed since this process began.
    let mut keeper = process::command(OsStr::new("/proc/self/exe"));
    let mut first = keeper
        .env(
            server::VARIABLE,
            format!("{}:{}{flags}", told.anchor.0, told.anchor.1),
        )
        .env_remove("LD_PRELOAD")
        .current_dir(run)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // It is copied at once and the copy is the keeper.
    let output = first.stdout.take();
    first.wait()?;
    let patience = Deadline::after(START);
    while let Some(output) = &output
        && let Some(left) = patience.left()
    {
        if poll::ready(&[output.as_raw_fd()], left)[0] {
            break;
        }
    }
    Ok(())
}
