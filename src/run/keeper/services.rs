//! The processes of fixtures and their teardown, in the keeper.

use super::request::{Order, Request, Stop};
use crate::place::sweep::{self, LEADERS, MARK};
use crate::run::lease::Held;
use crate::sys::child::{self, Handle};
use crate::sys::clock::Deadline;
use crate::sys::process;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the commands of a teardown stand, in the fixture's folder. A cache may bring another machine's folder, whose
/// commands are not for this one, so the boot is in the name.
fn commands(folder: &Path) -> PathBuf {
    folder.join(format!("teardown-{}.jsonl", process::boot()))
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
    /// Later ones have higher numbers.
    order: u64,
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
        self.next += 1;
        let order = self.next;
        let found = self.fixtures.entry(key.to_owned()).or_default();
        if found.order == 0 {
            found.order = order;
        }
        found
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
    pub(super) fn publish(&self, key: &str) -> Result<(), String> {
        super::publish(&super::folder(&self.run, key))
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
    }

    /// Ends every fixture, the newest first.
    pub(super) fn undo_all(&mut self) {
        let mut keys: Vec<_> = self
            .fixtures
            .iter()
            .map(|(key, found)| (found.order, key.clone()))
            .collect();
        keys.sort();
        keys.iter().rev().for_each(|(_, key)| self.undo(key));
    }

    /// With `COFFERDAM_KEEP` what is left is a person's to end: this is how.
    fn write_script(&self) {
        if !self.keep {
            return;
        }
        let mut text =
            "#!/bin/sh\n# Ends what a run with COFFERDAM_KEEP left, and removes its folder.\n".to_owned();
        let mut found: Vec<_> = self.fixtures.values().collect();
        found.sort_by_key(|belongings| std::cmp::Reverse(belongings.order));
        for belongings in found {
            for running in belongings.running.iter().rev() {
                let (signal, pid) = (running.stop.signal, running.child.id());
                text.push_str(&format!("kill -{signal} -{pid} 2>/dev/null\n"));
                // A group that is gone ends the wait, and one that will not go is killed after its grace.
                let tenths = running.stop.grace.as_millis() / 100;
                text.push_str(&format!(
                    "n=0; while kill -0 -{pid} 2>/dev/null && [ $n -lt {tenths} ]; do sleep 0.1; n=$((n + 1)); \
                     done\nkill -9 -{pid} 2>/dev/null\n"
                ));
            }
            for order in belongings.teardown.iter().rev() {
                let words: Vec<_> = std::iter::once(&order.program).chain(&order.args).collect();
                let words: Vec<_> = words
                    .into_iter()
                    .map(|word| quoted(&word.to_string_lossy()))
                    .collect();
                let dir = quoted(&order.dir.to_string_lossy());
                text.push_str(&format!("(cd {dir} && {})\n", words.join(" ")));
            }
        }
        text.push_str(&format!("rm -rf -- {}\n", quoted(&self.run.to_string_lossy())));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(self.run.join(super::SCRIPT));
        let _ = file.and_then(|mut file| file.write_all(text.as_bytes()));
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

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
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
    // Without a way to wait for a while, what the signal did not end at once is killed.
    if let Ok(handle) = Handle::open(pid) {
        handle.ended(Deadline::after(running.stop.grace));
    }
    // Also those of the group that outlive its leader; its number is its own until it is waited for.
    child::signal_group(pid, libc::SIGKILL);
    let _ = running.child.wait();
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
    let _ = child.wait();
}
