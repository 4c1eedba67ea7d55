//! Stops the jobs of a session whose executor was killed.
//!
//! The guard is a small process of this program that reads from a pipe. If the pipe closes without a message, the
//! executor is gone and the guard stops the jobs. Its standard output is the session's lock, so that the namespace stays
//! taken until the guard is done. Guards exist on Linux only: elsewhere there is no process table to find the jobs in.

use crate::spawn::own_exe;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The guard of a session. Dropped without [`dismiss`](Self::dismiss), it stops the session's jobs, and the drop waits
/// for that.
#[derive(Debug)]
pub struct JobGuard {
    child: Child,
}

impl JobGuard {
    /// Starts the guard; `None` on systems without guards. It removes `temp` together with the jobs, and keeps `lock`
    /// open until they are gone.
    pub fn start(
        session: &str,
        temp: &Path,
        grace: Duration,
        lock: Option<&File>,
    ) -> io::Result<Option<Self>> {
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        #[expect(clippy::disallowed_methods, reason = "the guard is this program, not a job")]
        let mut command = Command::new(own_exe());
        command
            .args(["guard", session])
            .arg(temp)
            .arg(grace.as_millis().to_string())
            // Otherwise it would look like a job of this session, or of the one that this session runs in.
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

    /// Ends the guard without stopping anything.
    pub fn dismiss(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // A guard that is gone needs no message.
            let _ = pipe.write_all(b".");
        }
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        if let Some(pipe) = self.child.stdin.take() {
            drop(pipe);
            // The session's locks are released next; by then its jobs must be gone.
            let _ = self.child.wait();
        }
    }
}

/// Runs the guard: waits for the end of the executor and returns how many processes it then stopped.
pub fn watch(session: &str, temp: &Path, grace: Duration) -> usize {
    let mut message = Vec::new();
    let _ = io::stdin().lock().read_to_end(&mut message);
    if !message.is_empty() {
        return 0;
    }
    let stopped = sweep(session, grace);
    let _ = std::fs::remove_dir_all(temp);
    stopped
}

/// Stops all running processes of the session and their descendants; returns their number.
///
/// A process that started with an empty environment and left the job's group and ancestry is not found.
#[cfg(target_os = "linux")]
pub fn sweep(session: &str, grace: Duration) -> usize {
    use crate::{proc, processes};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    use std::collections::BTreeSet;

    /// A job that forks faster than it is killed is given up after this many rounds.
    const ROUNDS: usize = 50;

    let mut stopped = BTreeSet::new();
    for round in 0..ROUNDS {
        let all = proc::all();
        let mut found: BTreeSet<u32> = BTreeSet::new();
        for pid in processes::jobs_of_session(&all, session).into_keys() {
            found.extend(processes::descendants(&all, pid));
        }
        // A session that resumes another may run inside of a process that the other one left.
        for pid in processes::ancestors(&all, processes::own_pid()) {
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
        stopped.extend(found);
        let (signal, patience) = match round {
            0 => (Signal::TERM, grace),
            _ => (Signal::KILL, Duration::from_millis(100)),
        };
        for handle in &handles {
            let _ = pidfd_send_signal(handle, signal);
            let _ = pidfd_send_signal(handle, Signal::CONT);
        }
        // All share one deadline: a handle becomes readable when its process ends.
        #[expect(clippy::disallowed_methods, reason = "the grace period needs a clock")]
        let began = std::time::Instant::now();
        for handle in &handles {
            let left = patience.saturating_sub(began.elapsed());
            let timeout = Timespec::try_from(left).ok();
            let _ = poll(&mut [PollFd::new(handle, PollFlags::IN)], timeout.as_ref());
        }
    }
    stopped.len()
}

#[cfg(not(target_os = "linux"))]
pub fn sweep(_session: &str, _grace: Duration) -> usize {
    0
}
