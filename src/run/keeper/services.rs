//! The processes of fixtures and their teardown, in the keeper.

use super::request::Stop;
use crate::place;
use crate::place::order::{Order, bury, teardown_file};
use crate::place::sweep::{self, KEPT, LEADERS, MARK, ORDER};
use crate::run::lease::Held;
use crate::sys::child::{self, Handle};
use crate::sys::clock::Deadline;
use crate::sys::folder;
use crate::sys::process::{self, Living};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

/// The end that a process is expected to have.
enum Expected {
    /// None before the teardown.
    Lasts,
    /// By itself, with exit code 0.
    Ends,
    /// It had that. These it left behind; of them one at least is expected to last.
    Left(Vec<Living>),
}

struct Running {
    child: Child,
    name: String,
    stop: Stop,
    expected: Expected,
}

impl Running {
    /// Returns the end that was not expected; `is_complete` if the fixture is.
    fn wrong_end(&self, is_complete: bool) -> Option<String> {
        let (name, pid) = (&self.name, self.child.id());
        if let Expected::Left(left) = &self.expected {
            let is_over = is_complete && !left.is_empty() && !left.iter().any(|process| process.is_alive());
            return is_over
                .then(|| format!("all that its command {name} (pid {pid}) left running has ended"));
        }
        let how = child::how_it_ended(pid)?;
        let ended = format!("its process {name} (pid {pid}) ended by itself with {how}");
        match (&self.expected, how.as_str()) {
            (Expected::Ends, "exit code 0") => None,
            (Expected::Lasts, "exit code 0") => Some(format!(
                "{ended}; start a command that is expected to end by `Setup::run`"
            )),
            _ => Some(ended),
        }
    }

    /// Asks it to end, waits, and kills what is left of its group.
    fn end(mut self) {
        let (pid, Stop { signal, grace }) = (self.child.id(), self.stop);
        let by = Deadline::after(grace);
        if let Expected::Left(left) = &self.expected {
            child::wait_for(&child::signal_all(left, signal), by);
        }
        child::signal_group(pid, signal);
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
        bury(&mut self.child);
    }
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

    /// Waits for orphans that were adopted and have ended, but for those that are watched: nobody is to get their numbers.
    pub(super) fn bury_orphans(&self) {
        let all = || self.fixtures.values().flat_map(|belongings| &belongings.running);
        let is_known = |pid: u32| {
            all().any(|running| {
                let is_left = matches!(&running.expected, Expected::Left(left) if left.iter().any(|one| one.pid == pid));
                running.child.id() == pid || is_left
            })
        };
        let orphans = process::children().into_iter().filter(|pid| !is_known(*pid));
        orphans.for_each(child::bury_if_ended);
    }

    /// Starts a process of the fixture and returns its number.
    pub(super) fn spawn(&mut self, key: &str, order: &Order, stop: Stop, ends: bool) -> Result<u32, String> {
        let name = Path::new(&order.program).file_name().unwrap_or(&order.program);
        let name = name.to_string_lossy().into_owned();
        let folder = super::folder(&self.run, key);
        let log = folder.join("log");
        let mut command = order
            .command(&log)
            .map_err(|error| format!("{}: {error}", log.display()))?;
        command.env(MARK, &folder);
        if !self.keep {
            child::dies_with_us(&mut command);
        }
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        let pid = child.id();
        let expected = if ends { Expected::Ends } else { Expected::Lasts };
        self.of(key).running.push(Running {
            child,
            name,
            stop,
            expected,
        });
        // For whatever ends the process if this keeper cannot: the next keeper, or `clean`.
        let Stop { signal, grace } = stop;
        self.mark_as_kept();
        let _ = append(
            &folder.join(LEADERS),
            &format!("{pid} {signal} {}\n", grace.as_millis()),
        );
        Ok(pid)
    }

    /// Adds a command to the fixture's teardown, also on disk, for the keeper that may have to take over.
    pub(super) fn on_teardown(&mut self, key: &str, order: Order) -> Result<(), String> {
        let path = teardown_file(&super::folder(&self.run, key));
        append(&path, &order.to_teardown_line()).map_err(|error| format!("{}: {error}", path.display()))?;
        self.of(key).teardown.push(order);
        self.mark_as_kept();
        Ok(())
    }

    /// With `COFFERDAM_KEEP`, says in the run's folder that something stays running after the keeper.
    fn mark_as_kept(&self) {
        if self.keep {
            let _ = append(&self.run.join(KEPT), "");
        }
    }

    /// Returns what a command left behind that has ended well, `None` while it runs.
    pub(super) fn ran(&mut self, key: &str, pid: u32) -> Result<Option<Vec<u32>>, String> {
        let mark = sweep::mark(&super::folder(&self.run, key));
        let all = &mut self.of(key).running;
        let Some(index) = all.iter().position(|running| running.child.id() == pid) else {
            return Err(format!("no process {pid} was started here"));
        };
        if let Some(how) = all[index].wrong_end(false) {
            return Err(how);
        }
        if child::how_it_ended(pid).is_none() {
            return Ok(None);
        }
        let others: Vec<u32> = all
            .iter()
            .map(|running| running.child.id())
            .filter(|other| *other != pid)
            .collect();
        let mut left = process::family(Some(&mark), &[pid]);
        let theirs = process::family(None, &others);
        let earlier = |process: &Living| {
            all.iter()
                .any(|running| matches!(&running.expected, Expected::Left(left) if left.contains(process)))
        };
        left.retain(|process| !theirs.contains(process) && !earlier(process));
        let pids = left.iter().map(|process| process.pid).collect();
        all[index].expected = Expected::Left(left);
        Ok(Some(pids))
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
        let folder = super::folder(&self.run, key);
        super::publish(&folder)?;
        self.next += 1;
        let order = self.next;
        let _ = append(&folder.join(ORDER), &order.to_string());
        let belongings = self.of(key);
        belongings.order = Some(order);
        for running in &mut belongings.running {
            // What was done when the fixture was complete is no part of it.
            if let Expected::Left(left) = &mut running.expected {
                left.retain(|process| process.is_alive());
            }
        }
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
        let own = super::folder(&self.run, key);
        sweep::end_fixture(&own, false);
        let _ = std::fs::remove_dir_all(&own);
        let fixtures = own.parent().unwrap_or(&self.run);
        folder::make(fixtures, Path::new(&place::file_name(key)).join("dir"))
            .map(drop)
            .map_err(|error| format!("{}: {error}", own.display()))
    }

    /// Returns the end of a process of the fixture that was not expected, if there was one.
    pub(super) fn ended(&self, key: &str) -> Option<String> {
        let belongings = self.fixtures.get(key)?;
        let is_complete = belongings.order.is_some();
        let mut all = belongings.running.iter();
        all.find_map(|running| running.wrong_end(is_complete))
    }

    /// Ends the fixture: processes newest first, what left their groups, commands newest first, then its folder.
    pub(super) fn undo(&mut self, key: &str) {
        let folder = super::folder(&self.run, key);
        if let Some(belongings) = self.fixtures.remove(key) {
            end_processes(belongings.running, &sweep::mark(&folder));
            for order in belongings.teardown.iter().rev() {
                order.run(&folder.join("log"));
            }
            // Not before nothing can listen on them any more.
            drop(belongings.ports);
        }
        let _ = std::fs::remove_dir_all(&folder);
        if self.fixtures.is_empty() {
            let _ = std::fs::remove_file(self.run.join(KEPT));
        }
    }

    /// Ends every fixture, the newest first.
    pub(super) fn undo_all(&mut self) {
        for key in self.newest_first() {
            self.undo(&key);
        }
        // Processes that left their group, their parent and their environment are known by us alone, their adopter.
        let find = || process::family(None, &[process::id()]);
        child::end_all(find, libc::SIGTERM, LAST_GRACE);
    }

    fn newest_first(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.fixtures.keys().cloned().collect();
        // What is not complete may need all others.
        keys.sort_by_key(|key| Reverse(self.fixtures[key].order.unwrap_or(u64::MAX)));
        keys
    }
}

/// The time to go for processes whose fixture is not known any more.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Ends a fixture's processes, and those of their descendants that left their groups.
fn end_processes(running: Vec<Running>, mark: &[u8]) {
    let Some(Stop { signal, grace }) = running.last().map(|last| last.stop) else {
        return;
    };
    // Before their parents end, which is the end of the tie.
    let leaders: Vec<u32> = running.iter().map(|running| running.child.id()).collect();
    let family = process::family(Some(mark), &leaders);
    running.into_iter().rev().for_each(Running::end);
    let find = || {
        let mut left = process::family(Some(mark), &[]);
        let others = family
            .iter()
            .filter(|process| process.is_alive() && !left.contains(process));
        let others: Vec<_> = others.copied().collect();
        left.extend(others);
        left
    };
    child::end_all(find, signal, grace);
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
}
