//! Where there is no keeper: what a process starts it stops at its own normal end.

use super::books::{Books, Caller, Replies};
use super::request::{Reply, Request};
use crate::exit::{self, Cleanup};
use crate::place::order::Order;
use crate::run::lease::Held;
use crate::sys::clock::{self, Deadline};
use crate::sys::process;
use crate::sys::sync::{Condvar, Mutex, lock, wait};
use once_cell::sync::Lazy;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The part of a folder that is this process's: others of the run have fixtures of their own.
pub(super) fn own(fixtures: &Path) -> PathBuf {
    fixtures.join(process::id().to_string())
}

struct Running {
    child: Child,
    /// It is expected to end by itself, with exit code 0.
    ends: bool,
}

#[derive(Default)]
struct Belongings {
    folder: PathBuf,
    order: u64,
    running: Vec<Running>,
    teardown: Vec<Order>,
    ports: Vec<Held>,
}

#[derive(Default)]
struct House {
    books: Books,
    fixtures: BTreeMap<String, Belongings>,
    mail: BTreeMap<Caller, Vec<Reply>>,
}

static HOUSE: Lazy<Mutex<House>> = Lazy::new(Mutex::default);
static POSTED: Condvar = Condvar::new();

/// A line to the keeper that is not there. Dropped before a start is complete, the start is undone.
#[derive(Debug)]
pub(crate) struct Connection {
    caller: Caller,
    run: PathBuf,
    /// The processes without which the fixture is none.
    watched: Vec<u32>,
}

impl Connection {
    pub(crate) fn open(run: &Path) -> Result<Self, String> {
        exit::register(|| {
            vec![Cleanup {
                // Older than every service: those may still use it.
                order: 0,
                what: "the fixtures of this process".to_owned(),
                run: Box::new(|| {
                    let mut fixtures: Vec<_> =
                        std::mem::take(&mut lock(&HOUSE).fixtures).into_values().collect();
                    fixtures.sort_by_key(|belongings| std::cmp::Reverse(belongings.order));
                    fixtures.into_iter().for_each(undo);
                }),
            }]
        });
        Ok(Self {
            caller: clock::unique(),
            run: run.to_owned(),
            watched: Vec::new(),
        })
    }

    pub(crate) fn ask(&mut self, request: &Request, by: Deadline) -> Option<Reply> {
        act(self.caller, request.clone(), &self.run);
        self.hear(by)
    }

    pub(crate) fn hear(&mut self, by: Deadline) -> Option<Reply> {
        let mut house = lock(&HOUSE);
        loop {
            let mail = house.mail.entry(self.caller).or_default();
            if !mail.is_empty() {
                return Some(mail.remove(0));
            }
            house = wait(&POSTED, house, by.left()?);
        }
    }

    pub(crate) fn to_cut(&self) -> io::Result<Cut> {
        Ok(Cut(self.caller, self.run.clone()))
    }

    pub(crate) fn watch(&mut self, groups: &[Vec<u32>]) {
        self.watched = groups.concat();
    }

    pub(crate) fn is_open(&self) -> bool {
        let mut house = lock(&HOUSE);
        let mut all = house.fixtures.values_mut().flat_map(|one| &mut one.running);
        !all.any(|running| self.watched.contains(&running.child.id()) && has_ended(running).is_some())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        leave(self.caller, &self.run);
    }
}

/// The same line, for whoever gives up on what happens at its other copy.
#[derive(Debug)]
pub(crate) struct Cut(Caller, PathBuf);

impl Cut {
    pub(crate) fn with(self, request: &Request) {
        act(self.0, request.clone(), &self.1);
        leave(self.0, &self.1);
    }
}

fn leave(caller: Caller, run: &Path) {
    let mut house = lock(&HOUSE);
    house.mail.remove(&caller);
    let key = house.books.started_by(caller).map(str::to_owned);
    let left = key.and_then(|key| house.fixtures.remove(&key));
    drop(house);
    left.into_iter().for_each(undo);
    let mut house = lock(&HOUSE);
    let replies = house.books.gone(caller);
    post(&mut house, replies, run);
}

fn post(house: &mut House, replies: Replies, run: &Path) {
    for (caller, reply) in replies {
        if reply == Reply::Yours
            && let Some(key) = house.books.started_by(caller).map(str::to_owned)
        {
            let folder = super::folder(run, &key);
            let _ = std::fs::remove_dir_all(&folder);
            let _ = crate::sys::folder::make(&folder, "dir");
            house.fixtures.insert(
                key,
                Belongings {
                    folder,
                    // What is not complete may need all others.
                    order: u64::MAX,
                    ..Belongings::default()
                },
            );
        }
        house.mail.entry(caller).or_default().push(reply);
    }
    POSTED.notify_all();
}

fn act(caller: Caller, request: Request, run: &Path) {
    let mut house = lock(&HOUSE);
    let replies = match request {
        Request::Want {
            definition,
            attempt,
            pid,
        } => {
            let key = definition.key.clone();
            let mut replies = house.books.want(definition, caller, attempt, pid);
            if let [(_, reply @ Reply::Ready)] = replies.as_mut_slice()
                && let Some(how) = house.fixtures.get_mut(&key).and_then(ended)
            {
                *reply = Reply::Ended { how };
            }
            replies
        }
        request => {
            let key = house.books.started_by(caller).unwrap_or_default().to_owned();
            let reason = "nothing is being started here".to_owned();
            let done = (caller, Reply::Done { pid: 0 });
            match (house.fixtures.get_mut(&key), request) {
                (None, _) => vec![(caller, Reply::Refused { reason })],
                (Some(belongings), Request::Spawn { order, ends, .. }) => {
                    vec![(caller, spawn(belongings, &order, ends))]
                }
                (Some(belongings), Request::Ran { pid }) => vec![(caller, ran(belongings, pid))],
                (Some(belongings), Request::Teardown { order }) => {
                    belongings.teardown.push(order);
                    vec![done]
                }
                (Some(belongings), Request::Lease { folder }) => {
                    vec![(caller, lease(belongings, &folder))]
                }
                (_, Request::Ended | Request::Want { .. }) => {
                    let how = house.fixtures.get_mut(&key).and_then(ended);
                    vec![how.map_or(done, |how| (caller, Reply::Ended { how }))]
                }
                (Some(belongings), Request::Keep) => match super::publish(&belongings.folder) {
                    Ok(()) => {
                        belongings.order = clock::unique();
                        let mut replies = house.books.keep(&key);
                        replies.insert(0, done);
                        replies
                    }
                    Err(reason) => vec![(caller, Reply::Refused { reason })],
                },
                (_, Request::Fail { reason }) => {
                    let left = house.fixtures.remove(&key);
                    drop(house);
                    left.into_iter().for_each(undo);
                    house = lock(&HOUSE);
                    let mut replies = house.books.fail(&key, &reason);
                    replies.insert(0, done);
                    replies
                }
            }
        }
    };
    post(&mut house, replies, run);
}

fn spawn(belongings: &mut Belongings, order: &Order, ends: bool) -> Reply {
    match command(order, &belongings.folder).and_then(|mut command| command.spawn()) {
        Ok(child) => {
            let pid = child.id();
            belongings.running.push(Running { child, ends });
            Reply::Done { pid }
        }
        Err(error) => Reply::Refused {
            reason: error.to_string(),
        },
    }
}

fn lease(belongings: &mut Belongings, folder: &Path) -> Reply {
    match Held::any(folder) {
        Ok(held) => {
            let port = held.port();
            belongings.ports.push(held);
            Reply::Leased { port }
        }
        Err(error) => Reply::Refused {
            reason: error.to_string(),
        },
    }
}

fn ran(belongings: &mut Belongings, pid: u32) -> Reply {
    let mut all = belongings.running.iter_mut();
    let Some(running) = all.find(|running| running.child.id() == pid) else {
        let reason = format!("no process {pid} was started here");
        return Reply::Refused { reason };
    };
    match running.child.try_wait() {
        Ok(None) => Reply::Running,
        Ok(Some(status)) if status.success() => Reply::Left {
            processes: Vec::new(),
        },
        Ok(Some(status)) => Reply::Ended {
            how: format!("its process {pid} ended by itself with {status}"),
        },
        Err(error) => Reply::Refused {
            reason: error.to_string(),
        },
    }
}

fn ended(belongings: &mut Belongings) -> Option<String> {
    belongings.running.iter_mut().find_map(has_ended)
}

/// The end of a process that was not expected.
fn has_ended(running: &mut Running) -> Option<String> {
    let status = running.child.try_wait().ok().flatten()?;
    if running.ends && status.success() {
        return None;
    }
    Some(format!(
        "its process {} ended by itself with {status}",
        running.child.id()
    ))
}

fn command(order: &Order, folder: &Path) -> io::Result<Command> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
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

/// Kills, for there is no other signal everywhere; then the commands, and the folder.
fn undo(belongings: Belongings) {
    for Running { mut child, .. } in belongings.running.into_iter().rev() {
        let _ = child.kill();
        let _ = child.wait();
    }
    for order in belongings.teardown.iter().rev() {
        if let Ok(mut child) = command(order, &belongings.folder).and_then(|mut command| command.spawn()) {
            let _ = child.wait();
        }
    }
    let _ = std::fs::remove_dir_all(&belongings.folder);
}
