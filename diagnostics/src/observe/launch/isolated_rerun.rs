//! Reruns of single tests whose records could not be attributed: each test gets a process of its own.

use super::{Launch, StartedProgram};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::process::Child;

/// The time limit of one test. A test that exceeds it is killed; the records it has written so far count.
const TIME_LIMIT: Timespec = Timespec {
    tv_sec: 120,
    tv_nsec: 0,
};

/// Runs one test of a program under observation, with the arguments, directory and variables the program was started with.
/// Returns the process ID, or `None` if the program could not be started.
pub(crate) fn run(launch: &Launch, program: &StartedProgram, test: &str) -> Option<u32> {
    let mut child = program
        .command(&launch.runner(), &launch.instructions_for_one_test())
        .args([test, "--exact", "--test-threads=1"])
        .args(program.ignored())
        .spawn()
        .ok()?;
    let pid = child.id();
    wait(&mut child);
    Some(pid)
}

fn wait(child: &mut Child) {
    let pidfd = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    if let Some(pidfd) = pidfd
        && poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&TIME_LIMIT)) == Ok(0)
    {
        // Fails if the test has ended in the meantime.
        let _ = child.kill();
    }
    // An error leaves nothing to do: the records are read anyway.
    let _ = child.wait();
}
