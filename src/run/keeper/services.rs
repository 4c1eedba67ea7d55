//! The processes of fixtures and their teardown, in the keeper.

use super::request::{Order, Request, Stop};
use super::script::Script;
use crate::place;
use crate::place::sweep::{self, LEADERS, MARK};
use crate::run::lease::Held;
use crate::sys::child::{self, Handle};
use crate::sys::clock::Deadline;
use crate::sys::process;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the commands of a teardown stand, in the fixture's folder. A cache may bring another machine's folder, whose
/// commands are not for this one, so what process numbers mean is in the name.
fn commands(folder: &Path) -> PathBuf {
    folder.join(format!(
        "teardown-{}.jsonl",
        place::of_space(&place::facts().space)
    ))
}

/// How long one command of a teardown may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);

struct Running {
    child: Child,
    name: String,
    stop: Stop,
}

/// What belongs to one fixture.
#[derive(Default)]
struct Belongings {
    /// Those that were complete later have higher numbers, for whom they need was complete before. `None` while it starts.
    order: Option<u64>,
    running: Vec<Running>,
    teardown: Vec<Order>,
    ports: Vec<Held>,
}

/// Everything that the keeper owns.
pub(super) struct Services {
    /// The run's folder.
    run: PathBuf,
    /// What is started stays after the keeper.
    keep: bool,
    fixtures: BTreeMap<String, Belongings>,
    next: u64,
}

impl Services {
    pub(super) fn new(run: &Path, keep: bool) -> Self {
        Self {
            run: run.to_owned(),
            keep,
            fixtures: BTreeMap::new(),
            next: 0,
        }
    }

    fn of(&mut self, key: &str) -> &mut Belongings {
        self.fixtures.entry(key.to_owned()).or_default()
    }

    /// Starts a process of the fixture and returns its number.
    pub(super) fn spawn(&mut self, key: &str, order: &Order, stop: Stop) -> Result<u32, String> {
        let name = Path::new(&order.program).file_name().unwrap_or(&order.program);
        let name = name.to_string_lossy().into_owned();
        let folder = super::folder(&self.run, key);
        let log = folder.join("log");
        let mut command = command(order, &log).map_err(|error| format!("{}: {error}", log.display()))?;
        command.env(MARK, &folder);
        if !self.keep {
            child::dies_with_us(&mut command);
        }
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        let pid = child.id();
        self.of(key).running.push(Running { child, name, stop });
        self.write_script();
        // For the keeper that may have to take over; without it, it has less to go by.
        let _ = append(&folder.join(LEADERS), &format!("{pid}\n"));
        Ok(pid)
    }

    /// Adds a command to the fixture's teardown, also on disk, for the keeper that may have to take over.
    pub(super) fn on_teardown(&mut self, key: &str, order: Order) -> Result<(), String> {
        let path = commands(&super::folder(&self.run, key));
        let line = Request::Teardown { order: order.clone() }.to_line();
        append(&path, &line).map_err(|error| format!("{}: {error}", path.display()))?;
        self.of(key).teardown.push(order);
        self.write_script();
        Ok(())
    }

    /// Leases a port for the fixture, by a lock in the folder.
    pub(super) fn lease(&mut self, key: &str, folder: &Path) -> Result<u16, String> {
        let held = Held::any(folder).map_err(|error| error.to_string())?;
        let port = held.port();
        self.of(key).ports.push(held);
        Ok(port)
    }

    /// The fixture is complete: all may have its handle.
    pub(super) fn publish(&mut self, key: &str) -> Result<(), String> {
        super::publish(&super::folder(&self.run, key))?;
        self.next += 1;
        self.of(key).order = Some(self.next);
        self.write_script();
        Ok(())
    }

    /// What a keeper before this one kept stands no more.
    pub(super) fn forget(&self) {
        let fixtures = std::fs::read_dir(self.run.join("fixtures"));
        for fixture in fixtures.into_iter().flatten().flatten() {
            let _ = std::fs::remove_file(fixture.path().join(super::HANDLE));
        }
    }

    /// Makes the folder that a start begins with. What a keeper that was killed left there is ended first: its
    /// processes died with it, but theirs may not have.
    pub(super) fn prepare(&mut self, key: &str) -> Result<(), String> {
        let folder = super::folder(&self.run, key);
        sweep::end_processes(&folder);
        let left = std::fs::read_to_string(commands(&folder)).unwrap_or_default();
        for line in left.lines().rev() {
            if let Some(Request::Teardown { order }) = Request::from_line(line) {
                run(&order, &folder.join("log"));
            }
        }
        let _ = std::fs::remove_dir_all(&folder);
        super::server::private_folder(&folder.join("dir"))
            .map_err(|error| format!("{}: {error}", folder.display()))
    }

    /// Which process of the fixture ended by itself, other than well, and how.
    pub(super) fn ended(&self, key: &str) -> Option<String> {
        let running = &self.fixtures.get(key)?.running;
        running.iter().find_map(|running| {
            let pid = running.child.id();
            let how = child::how_it_ended(pid).filter(|how| how != "exit code 0")?;
            Some(format!(
                "its process {} (pid {pid}) ended by itself with {how}",
                running.name
            ))
        })
    }

    /// Ends the fixture: processes newest first, commands newest first, then its folder.
    pub(super) fn undo(&mut self, key: &str) {
        let folder = super::folder(&self.run, key);
        if let Some(belongings) = self.fixtures.remove(key) {
            belongings.running.into_iter().rev().for_each(end);
            for order in belongings.teardown.iter().rev() {
                run(order, &folder.join("log"));
            }
            // Not before nothing can listen on them any more.
            drop(belongings.ports);
        }
        let _ = std::fs::remove_dir_all(&folder);
        self.write_script();
    }

    /// Ends every fixture, the newest first.
    pub(super) fn undo_all(&mut self) {
        for key in self.newest_first() {
            self.undo(&key);
        }
    }

    fn newest_first(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.fixtures.keys().cloned().collect();
        // What is not complete may need all others.
        keys.sort_by_key(|key| Reverse(self.fixtures[key].order.unwrap_or(u64::MAX)));
        keys
    }

    /// With `COFFERDAM_KEEP` what is left is a person's to end: this is how.
    fn write_script(&self) {
        if !self.keep {
            return;
        }
        let mut script = Script::new(&self.run);
        for key in self.newest_first() {
            let belongings = &self.fixtures[&key];
            let folder = super::folder(&self.run, &key);
            for running in belongings.running.iter().rev() {
                script.end(&folder, running.child.id(), running.stop);
            }
            belongings
                .teardown
                .iter()
                .rev()
                .for_each(|order| script.run(order));
        }
        script.write();
    }
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
}

fn command(order: &Order, log: &Path) -> std::io::Result<Command> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        // Where the folder was deleted a teardown has to go on without.
        .or_else(|_| OpenOptions::new().write(true).open("/dev/null"))?;
    let mut command = process::command(&order.program);
    command
        .args(&order.args)
        .env_clear()
        .envs(order.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&order.dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

fn end(mut running: Running) {
    let pid = running.child.id();
    child::signal_group(pid, running.stop.signal);
    let by = Deadline::after(running.stop.grace);
    // Without a way to wait for a while, what the signal did not end at once is killed.
    let mut handle = Handle::open(pid);
    while let Ok(one) = handle
        && one.ended(by)
    {
        // The first may have been but a wrapper of those that are on their way.
        let Some(other) = process::members(pid).next() else {
            break;
        };
        handle = Handle::open(other);
    }
    child::signal_group(pid, libc::SIGKILL);
    bury(&mut running.child);
}

/// How long a killed process may take. One that takes longer hangs, or is not ours to kill: others are not to wait for it.
const LAST: Duration = Duration::from_secs(5);

/// Waits for a child that was killed.
fn bury(child: &mut Child) {
    if Handle::open(child.id()).is_ok_and(|handle| handle.ended(Deadline::after(LAST))) {
        let _ = child.wait();
    }
}

/// Runs a command of a teardown, for a while.
fn run(order: &Order, log: &Path) {
    let Ok(mut child) = command(order, log).and_then(|mut command| command.spawn()) else {
        return;
    };
    if let Ok(handle) = Handle::open(child.id()) {
        handle.ended(Deadline::after(COMMAND_LIMIT));
    }
    child::signal_group(child.id(), libc::SIGKILL);
    bury(&mut child);
}
