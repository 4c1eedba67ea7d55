//! Ends the jobs of a session whose executor was killed.
//!
//! A small process of our own program listens at a pipe. When the pipe ends without a word, nobody is left who would
//! stop the jobs. It inherits the session's lock as its standard output, so that the namespace stays taken until it is
//! done. Where there is no table of processes (elsewhere than on Linux) there is no guard.

use crate::child::own_exe;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The guard of a session, until it is dismissed or dropped. Dropped, it ends the session's jobs, and is waited for.
#[derive(Debug)]
pub struct Guard {
    child: Child,
}

impl Guard {
    /// Starts it. `temp` goes with the jobs; `lock` is kept until they are gone.
    pub fn start(
        session: &str,
        temp: &Path,
        grace: Duration,
        lock: Option<&File>,
    ) -> io::Result<Option<Self>> {
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        #[expect(clippy::disallowed_methods, reason = "our own program, no job")]
        let mut command = Command::new(own_exe());
        command
            .args(["guard", session])
            .arg(temp)
            .arg(grace.as_millis().to_string())
            // It must not be taken for one of the jobs, ours or those of a session that we are in.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(match lock {
                Some(lock) => Stdio::from(lock.try_clone()?),
                None => Stdio::null(),
            });
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(Some(Self {
            child: command.spawn()?,
        }))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Nothing is left to end.
    pub fn dismiss(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // If it is gone, so be it.
            let _ = pipe.write_all(b".");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(pipe) = self.child.stdin.take() {
            drop(pipe);
            // The session's locks are released next, and its jobs must be gone by then.
            let _ = self.child.wait();
        }
    }
}

/// What the guard does: waits, and returns how many processes it ended.
pub fn watch(session: &str, temp: &Path, grace: Duration) -> usize {
    let mut told = Vec::new();
    let _ = io::stdin().lock().read_to_end(&mut told);
    if !told.is_empty() {
        return 0;
    }
    let ended = sweep(session, grace);
    let _ = std::fs::remove_dir_all(temp);
    ended
}

/// Ends all processes that were started for the session and are still there, and all below them; returns how many.
///
/// What was started with an empty environment and left the job's group and tree is not found.
#[cfg(target_os = "linux")]
pub fn sweep(session: &str, grace: Duration) -> usize {
    use crate::processes;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    use std::collections::BTreeSet;

    /// What forks faster than it is killed is left in the end.
    const ROUNDS: usize = 50;

    #[expect(
        clippy::disallowed_methods,
        reason = "what this process is part of is not ended by it"
    )]
    let own = std::process::id();
    let mut ended = BTreeSet::new();
    for round in 0..ROUNDS {
        let all = processes::all();
        let mut found: BTreeSet<u32> = BTreeSet::new();
        for pid in processes::jobs(&all, session).into_keys() {
            found.extend(processes::below(&all, pid));
        }
        // Who goes on with a session may be started by what it left.
        for pid in processes::above(&all, own) {
            found.remove(&pid);
        }
        found.retain(|pid| {
            all.iter()
                .any(|process| process.pid == *pid && !process.is_zombie)
        });
        let handles: Vec<_> = found
            .iter()
            .filter_map(|pid| pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok())
            .collect();
        if handles.is_empty() {
            break;
        }
        ended.extend(found);
        let (signal, patience) = match round {
            0 => (Signal::TERM, grace),
            _ => (Signal::KILL, Duration::from_millis(100)),
        };
        for handle in &handles {
            let _ = pidfd_send_signal(handle, signal);
            let _ = pidfd_send_signal(handle, Signal::CONT);
        }
        // One after the other, within the same patience: each becomes readable with its end.
        #[expect(clippy::disallowed_methods, reason = "a grace has an end")]
        let begun = std::time::Instant::now();
        for handle in &handles {
            let left = patience.saturating_sub(begun.elapsed());
            let timeout = Timespec::try_from(left).ok();
            let _ = poll(&mut [PollFd::new(handle, PollFlags::IN)], timeout.as_ref());
        }
    }
    ended.len()
}

#[cfg(not(target_os = "linux"))]
pub fn sweep(_session: &str, _grace: Duration) -> usize {
    0
}
