//! The keeper's loop: one thread, which all its processes die with.

use super::books::{Books, Caller, Replies};
use super::request::{Reply, Request};
use super::services::Services;
use super::socket;
use crate::place::sweep::{self, Standing};
use crate::sys::before_main::before_main;
use crate::sys::child::{self, Handle};
use crate::sys::clock::{self, Deadline};
use crate::sys::file_lock::{self, Locked};
use crate::sys::{detach, env, file_size, folder, poll, process};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long tests that outlive their runner may go on.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is asked whether they are gone, for locks tell nobody.
const LOOK: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);
/// The longest request; an environment has a few thousand bytes.
const LONGEST: usize = 1 << 24;

/// Makes a process the keeper: `PID:STARTED:NAMED:RECORDED:KEEP`, what it waits for and what it leaves behind.
pub(super) const VARIABLE: &str = "COFFERDAM_KEEPER";

before_main!(caught);

/// Runs before `main` of every program that is linked with this crate, and does nothing but in a keeper.
extern "C" fn caught() {
    let Some(told) = env::var(VARIABLE) else {
        return;
    };
    // Whatever happens, this process must not go on as the program that it looks like.
    let code = match std::panic::catch_unwind(|| serve(&told)) {
        Ok(Ok(())) => 0,
        Ok(Err(_)) => 1,
        Err(panic) => {
            std::mem::forget(panic);
            101
        }
    };
    detach::leave(code)
}

/// What the variable says.
struct Terms {
    anchor: (u32, u64),
    /// A person named the run: it goes on while anybody works in it.
    named: bool,
    /// Somebody reads the run's folder afterwards.
    recorded: bool,
    keep: bool,
}

impl Terms {
    fn read(told: &str) -> Option<Self> {
        let mut numbers = told.split(':').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        Some(Self {
            anchor: (u32::try_from(next()?).ok()?, next()?),
            named: next()? != 0,
            recorded: next()? != 0,
            keep: next()? != 0,
        })
    }
}

fn serve(told: &str) -> io::Result<()> {
    let run = process::current_dir().ok_or(io::ErrorKind::NotFound)?;
    let terms = Terms::read(told).ok_or(io::ErrorKind::InvalidInput)?;
    detach::detach()?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(own_folder(&run).join("log"))?;
    detach::errors_to(&log);
    child::adopt_orphans();
    file_size::spare_for_good();
    let Some(_only) = file_lock::try_exclusive(&own_folder(&run).join("lock"))? else {
        return Ok(());
    };
    let alive_lock = run.join("alive.lock");
    let Some(alive) = file_lock::shared(&alive_lock)? else {
        return Ok(());
    };
    let services = Services::new(&run, terms.keep);
    // Before anybody can take a predecessor's word for this keeper's.
    services.forget();
    let keeper = Keeper {
        services,
        listener: socket::listen(&run)?,
        run,
        books: Books::default(),
        callers: BTreeMap::new(),
    };
    // Whoever started this waits for the end of its output.
    detach::close_output();
    keeper.until_the_run_is_over(&terms, alive, &alive_lock);
    Ok(())
}

struct Connection {
    stream: UnixStream,
    heard: Vec<u8>,
}

struct Keeper {
    run: PathBuf,
    listener: UnixListener,
    books: Books,
    services: Services,
    callers: BTreeMap<Caller, Connection>,
}

impl Keeper {
    fn until_the_run_is_over(mut self, terms: &Terms, alive: Locked, alive_lock: &Path) {
        // Opened first, so that the number cannot pass to another process between the two.
        let anchor = Handle::open(terms.anchor.0).ok();
        let is_there = || process::is_alive(terms.anchor.0, terms.anchor.1);
        let mut alive = Some(alive);
        let mut is_over = !is_there();
        let mut patience = None;
        let _nobody_moves_in = loop {
            if is_over {
                // It would exclude this very process.
                drop(alive.take());
                match file_lock::try_exclusive(alive_lock) {
                    Ok(Some(alone)) => break Some(alone),
                    Ok(None) => {}
                    // The folder is not there any more, and so is nobody who works in it.
                    Err(_) => break None,
                }
                let patience = patience.get_or_insert_with(|| Deadline::after(PATIENCE));
                if !terms.named && patience.left().is_none() {
                    break None;
                }
            }
            // Without a way to wait for its end, it is asked for again and again.
            is_over = match anchor.as_ref().filter(|_| !is_over) {
                Some(anchor) => self.serve_once(Some(anchor), LONG),
                None => {
                    self.serve_once(None, LOOK);
                    is_over || !is_there()
                }
            };
        };
        drop(self.callers);
        if !terms.keep {
            let _ = std::fs::remove_file(own_folder(&self.run).join("socket"));
            self.services.undo_all();
            remove(&self.run, terms.named || terms.recorded);
        }
        // Nobody waits for this process any more, as a test would.
        if let Some(runs) = self.run.parent() {
            sweep::sweep_all(runs, &self.run, Standing::of);
        }
    }

    /// Waits for something to happen, does what is asked, and says whether the anchor has ended.
    fn serve_once(&mut self, anchor: Option<&Handle>, limit: Duration) -> bool {
        let numbers: Vec<_> = self.callers.keys().copied().collect();
        let mut fds: Vec<_> = self
            .callers
            .values()
            .map(|caller| caller.stream.as_raw_fd())
            .collect();
        fds.push(self.listener.as_raw_fd());
        fds.extend(anchor.map(Handle::fd));
        let ready = poll::ready(&fds, limit);
        for (caller, _) in numbers.iter().zip(&ready).filter(|(_, ready)| **ready) {
            self.listen_to(*caller);
        }
        if ready[numbers.len()] {
            self.let_in();
        }
        self.services.bury_orphans();
        anchor.is_some() && ready.last() == Some(&true)
    }

    fn let_in(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_ok() {
                let (caller, heard) = (clock::unique(), Vec::new());
                self.callers.insert(caller, Connection { stream, heard });
                // Most say what they want at once, and wait for the answer.
                self.listen_to(caller);
            }
        }
    }

    fn listen_to(&mut self, caller: Caller) {
        let Some(connection) = self.callers.get_mut(&caller) else {
            return;
        };
        let mut is_open = true;
        let mut bytes = [0; 4096];
        loop {
            match connection.stream.read(&mut bytes) {
                Ok(0) => is_open = false,
                Ok(read) => {
                    connection.heard.extend_from_slice(&bytes[..read]);
                    is_open = connection.heard.len() < LONGEST;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => is_open = false,
            }
            if !is_open {
                break;
            }
        }
        while let Some(line) = self.next_line(caller) {
            let request = std::str::from_utf8(&line).ok().and_then(Request::from_line);
            let replies = match request {
                Some(request) => self.act(caller, request),
                None => vec![(
                    caller,
                    Reply::Refused {
                        reason: "the request is not understood".to_owned(),
                    },
                )],
            };
            self.send(replies);
        }
        if !is_open {
            self.leave(caller);
        }
    }

    fn next_line(&mut self, caller: Caller) -> Option<Vec<u8>> {
        let heard = &mut self.callers.get_mut(&caller)?.heard;
        let end = heard.iter().position(|byte| *byte == b'\n')?;
        Some(heard.drain(..=end).collect())
    }

    fn act(&mut self, caller: Caller, request: Request) -> Replies {
        if let Request::Want {
            definition,
            attempt,
            pid,
        } = request
        {
            let key = definition.key.clone();
            let mut replies = self.books.want(definition, caller, attempt, pid);
            if let [(_, reply @ Reply::Ready)] = replies.as_mut_slice()
                && let Some(how) = self.services.ended(&key)
            {
                *reply = Reply::Ended { how };
            }
            return replies;
        }
        let Some(key) = self.books.started_by(caller).map(str::to_owned) else {
            return vec![(
                caller,
                Reply::Refused {
                    reason: "nothing is being started here".to_owned(),
                },
            )];
        };
        let done = Reply::Done { pid: 0 };
        let (reply, mut replies) = match request {
            Request::Spawn { order, stop, ends } => match self.services.spawn(&key, &order, stop, ends) {
                Ok(pid) => (Reply::Done { pid }, Vec::new()),
                Err(reason) => (Reply::Refused { reason }, Vec::new()),
            },
            Request::Ran { pid } => match self.services.ran(&key, pid) {
                Ok(Some(processes)) => (Reply::Left { processes }, Vec::new()),
                Ok(None) => (Reply::Running, Vec::new()),
                Err(how) => (Reply::Ended { how }, Vec::new()),
            },
            Request::Teardown { order } => match self.services.on_teardown(&key, order) {
                Ok(()) => (done, Vec::new()),
                Err(reason) => (Reply::Refused { reason }, Vec::new()),
            },
            Request::Lease { folder } => match self.services.lease(&key, &folder) {
                Ok(port) => (Reply::Leased { port }, Vec::new()),
                Err(reason) => (Reply::Refused { reason }, Vec::new()),
            },
            Request::Keep => match (self.services.ended(&key), self.services.publish(&key)) {
                (Some(how), _) => (Reply::Ended { how }, Vec::new()),
                (None, Ok(())) => (done, self.books.keep(&key)),
                (None, Err(reason)) => (Reply::Refused { reason }, Vec::new()),
            },
            Request::Fail { reason } => {
                self.services.undo(&key);
                (done, self.books.fail(&key, &reason))
            }
            Request::Ended | Request::Want { .. } => match self.services.ended(&key) {
                Some(how) => (Reply::Ended { how }, Vec::new()),
                None => (done, Vec::new()),
            },
        };
        replies.insert(0, (caller, reply));
        replies
    }

    fn send(&mut self, replies: Replies) {
        for (caller, mut reply) in replies {
            if reply == Reply::Yours
                && let Some(key) = self.books.started_by(caller)
                && let Err(reason) = self.services.prepare(key)
            {
                // Nobody can start it in that folder: each who asks hears why.
                let key = key.to_owned();
                let others = self.books.fail(&key, &reason);
                reply = Reply::Failed { reason };
                self.send(others);
            }
            let Some(connection) = self.callers.get_mut(&caller) else {
                continue;
            };
            // A reply fits into a socket's buffer. Who does not take it is gone, or as good as that.
            if connection.stream.write_all(reply.to_line().as_bytes()).is_err() {
                self.leave(caller);
            }
        }
    }

    fn leave(&mut self, caller: Caller) {
        if self.callers.remove(&caller).is_none() {
            return;
        }
        if let Some(key) = self.books.started_by(caller).map(str::to_owned) {
            self.services.undo(&key);
        }
        let replies = self.books.gone(caller);
        self.send(replies);
    }
}

/// Removes the run's folder, or only what was the fixtures' where the rest is wanted.
fn remove(run: &Path, is_wanted: bool) {
    if is_wanted {
        let _ = std::fs::remove_dir_all(run.join("fixtures"));
        let _ = std::fs::remove_dir_all(own_folder(run));
    } else {
        // What cannot be removed is the next run's to sweep.
        let _ = sweep::discard(run);
    }
}

/// The keeper's own folder.
pub(super) fn own_folder(run: &Path) -> PathBuf {
    run.join("keeper")
}

/// Makes what the keeper needs before it can be started.
pub(super) fn make_room(run: &Path) -> io::Result<()> {
    folder::make(run, "keeper")?;
    folder::make(run, "fixtures").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_five_numbers() {
        let terms = Terms::read("7:70:0:1:0").unwrap();
        assert_eq!(
            (terms.anchor, terms.named, terms.recorded, terms.keep),
            ((7, 70), false, true, false)
        );
        for told in [
            "",
            "7",
            "7:70:0:1",
            "x:70:0:1:0",
            "-7:70:0:1:0",
            "99999999999:70:0:1:0",
        ] {
            assert!(Terms::read(told).is_none(), "{told}");
        }
    }
}
