//! Finds the processes of fixtures by mark, group and descent, signals them, and waits for their end.

use super::child::Handle;
use super::clock::Deadline;
use super::process::{Stat, id, is_alive, proc_folder, stat};
use std::time::Duration;

/// A process that was running, identified by its number and start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Living {
    pub(crate) pid: u32,
    pub(crate) started: u64,
}

impl Living {
    pub(crate) fn is_alive(self) -> bool {
        is_alive(self.pid, self.started)
    }
}

/// Returns all running processes except this one, with their status.
fn living() -> impl Iterator<Item = (u32, Stat)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let us = id();
    pids.filter(move |pid| *pid != us)
        .filter_map(|pid| stat(pid).map(|stat| (pid, stat)))
        .filter(|(_, stat)| !matches!(stat.state, 'Z' | 'X'))
}

/// Returns the running processes with `mark` (`NAME=value`) in their environment, those in the groups that `leaders` lead,
/// and the descendants of any of these or of a leader. Takes milliseconds, because it checks all processes of the machine.
///
/// A leader must not have been waited for, because its number could be reused.
pub(crate) fn find(mark: Option<&[u8]>, leaders: &[u32]) -> Vec<Living> {
    let is_marked = |pid: u32| {
        mark.is_some_and(|mark| {
            let environment = std::fs::read(proc_folder(pid).join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark)
        })
    };
    let is_first = |pid: u32, stat: &Stat| {
        leaders.contains(&pid)
            || leaders.contains(&stat.group)
            || leaders.contains(&stat.parent)
            || is_marked(pid)
    };
    let mut found = Vec::new();
    let mut others = Vec::new();
    for (pid, stat) in living() {
        let started = stat.started;
        if is_first(pid, &stat) {
            found.push(Living { pid, started });
        } else {
            others.push((Living { pid, started }, stat.parent));
        }
    }
    // A child may come before its parent.
    loop {
        let known = found.len();
        others.retain(|(process, parent)| {
            let is_child = found.iter().any(|found| found.pid == *parent);
            if is_child {
                found.push(*process);
            }
            !is_child
        });
        if found.len() == known {
            return found;
        }
    }
}

/// Returns this process's children, including adopted ones and zombies. Empty if the kernel was built without the list.
pub(crate) fn children() -> Vec<u32> {
    let list = proc_folder(id())
        .join("task")
        .join(id().to_string())
        .join("children");
    let list = std::fs::read_to_string(list).unwrap_or_default();
    list.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Returns the running processes of a group.
pub(crate) fn members(group: u32) -> impl Iterator<Item = u32> {
    living()
        .filter(move |(_, stat)| stat.group == group)
        .map(|(pid, _)| pid)
}

/// Sends a signal to the group that `leader` leads. The leader must not have been waited for, because its number could be
/// reused.
pub(crate) fn signal_group(leader: u32, signal: i32) {
    #[expect(unsafe_code, reason = "kill is a C function")]
    // SAFETY: it takes numbers. A group that has ended is an error that can be ignored.
    unsafe {
        libc::kill(-(leader as i32), signal);
    }
}

/// Makes this process adopt descendants whose parents end, so that they remain known.
pub(crate) fn adopt_orphans() {
    #[expect(unsafe_code, reason = "prctl is a C function")]
    // SAFETY: it takes numbers.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
    }
}

/// The time limit for the end of killed processes.
const LAST: Duration = Duration::from_secs(5);

/// Ends the processes that `find` returns: sends the signal, waits for the grace period, and kills those that are left and
/// those that they started meanwhile.
pub(crate) fn end_all(find: impl Fn() -> Vec<Living>, signal: i32, grace: Duration) {
    let found = find();
    if found.is_empty() {
        return;
    }
    wait_for(&signal_all(&found, signal), Deadline::after(grace));
    let patience = Deadline::after(LAST);
    loop {
        let left = find();
        if left.is_empty() || patience.left().is_none() {
            return;
        }
        wait_for(&signal_all(&left, libc::SIGKILL), patience);
    }
}

/// Sends a signal to each process, and returns handles to wait for.
pub(crate) fn signal_all(processes: &[Living], signal: i32) -> Vec<Handle> {
    let signal_one = |process: &Living| {
        // Opened first, so that the handle refers to the process that is checked next.
        let handle = Handle::open(process.pid);
        if process.is_alive() {
            #[expect(unsafe_code, reason = "kill is a C function")]
            // SAFETY: it takes numbers. A process that has ended is an error that can be ignored.
            unsafe {
                match &handle {
                    Ok(handle) => {
                        _ = libc::syscall(libc::SYS_pidfd_send_signal, handle.fd(), signal, 0_usize, 0)
                    }
                    Err(_) => _ = libc::kill(process.pid as i32, signal),
                }
            }
        }
        handle.ok()
    };
    processes.iter().filter_map(signal_one).collect()
}

/// Waits until all have ended or the deadline has passed.
pub(crate) fn wait_for(handles: &[Handle], by: Deadline) {
    for handle in handles {
        handle.ended(by);
    }
}

/// Reaps a child if it has ended.
pub(crate) fn reap_if_ended(child: u32) {
    #[expect(unsafe_code, reason = "std waits only for its own children")]
    // SAFETY: it takes numbers, and wants no status.
    unsafe {
        libc::waitpid(child as i32, std::ptr::null_mut(), libc::WNOHANG);
    }
}

/// Returns the exit status of a child as text, or `None` while it runs. The child is not reaped, so its number is not
/// reused.
pub(crate) fn how_it_ended(child: u32) -> Option<String> {
    #[expect(unsafe_code, reason = "std always reaps")]
    // SAFETY: `info` is plain data that the call fills, and its fields are read as the call says they are set.
    let (code, status) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let failed = libc::waitid(libc::P_PID, child, &raw mut info, flags) != 0;
        if failed || info.si_pid() == 0 {
            return None;
        }
        (info.si_code, info.si_status())
    };
    Some(if code == libc::CLD_EXITED {
        format!("exit code {status}")
    } else {
        format!("signal {status}")
    })
}
