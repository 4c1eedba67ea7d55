//! Finds the processes of a job or a session: by process group, by ancestry, and by the variables they started with.

use crate::proc::{self, Process};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// A process as it appears in messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedProcess {
    pub pid: u32,
    /// The program's name without its arguments, if it is known.
    pub program: Option<String>,
}

impl NamedProcess {
    /// Formats processes as `process 4711 (sqlite3), process 12`.
    pub fn list(all: &[Self]) -> String {
        let name = |process: &Self| match &process.program {
            Some(program) => format!("process {} ({program})", process.pid),
            None => format!("process {}", process.pid),
        };
        all.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

/// Returns the number of this process.
pub fn own_pid() -> u32 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the owner of a session and the parent of its jobs is this process"
    )]
    std::process::id()
}

/// Returns the members of the process group `leader`, and all descendants of these and of `leader`.
pub fn descendants(all: &[Process], leader: u32) -> HashSet<u32> {
    let mut members: HashSet<u32> = all
        .iter()
        .filter(|process| process.group == leader || process.pid == leader)
        .map(|process| process.pid)
        .collect();
    // The table is not sorted by ancestry: a child may precede its parent.
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|process| members.contains(&process.parent) && !members.contains(&process.pid))
            .map(|process| process.pid)
            .collect();
        if more.is_empty() {
            return members;
        }
        members.extend(more);
    }
}

/// Returns the process itself and its ancestors.
pub fn ancestors(all: &[Process], pid: u32) -> HashSet<u32> {
    let mut found = HashSet::new();
    let mut next = Some(pid);
    while let Some(pid) = next.filter(|pid| found.insert(*pid)) {
        next = all
            .iter()
            .find(|process| process.pid == pid)
            .map(|process| process.parent);
    }
    found
}

/// A snapshot of the process table, read on first use.
#[derive(Debug, Default)]
pub struct ProcessTable {
    all: Option<Vec<Process>>,
    /// The job of each process of the session, as its environment names it.
    jobs: Option<HashMap<u32, String>>,
}

impl ProcessTable {
    pub fn all(&mut self) -> &[Process] {
        self.all.get_or_insert_with(proc::all)
    }

    /// Counts the running processes of a group.
    pub fn group_size(&mut self, leader: u32) -> u32 {
        let is_member = |process: &&Process| process.group == leader && !process.is_zombie;
        u32::try_from(self.all().iter().filter(is_member).count()).unwrap_or(u32::MAX)
    }

    /// Returns the running processes of a job: the group of `leader` and its descendants, and all processes that started
    /// with the session's and the job's name in their environment.
    pub fn of_job(&mut self, leader: Option<u32>, session: &str, job: &str) -> Vec<u32> {
        let all = self.all.get_or_insert_with(proc::all);
        let jobs = self.jobs.get_or_insert_with(|| match session {
            // The variable may also be empty in processes that are no job.
            "" => HashMap::new(),
            _ => jobs_of_session(all, session),
        });
        let members = leader.map_or_else(HashSet::new, |leader| descendants(all, leader));
        all.iter()
            .filter(|process| !process.is_zombie)
            .map(|process| process.pid)
            .filter(|pid| members.contains(pid) || jobs.get(pid).is_some_and(|name| name == job))
            .collect()
    }
}

/// Returns the processes that started with the session's name in their environment, with the names of their jobs.
pub fn jobs_of_session(all: &[Process], session: &str) -> HashMap<u32, String> {
    let job = |process: &Process| {
        let names = ["COFFERDAM_RECORD", "COFFERDAM_JOB", "COFFERDAM_KEEPER"];
        let [record, job, keeper] = proc::variables(process.pid, names);
        // A keeper ends by itself, once it has torn down its fixtures.
        let is_ours = record.as_deref() == Some(session) && keeper.is_none();
        is_ours.then(|| (process.pid, job.unwrap_or_default()))
    };
    all.iter().filter_map(job).collect()
}

/// Returns the running processes that were started for the session, except this process, its ancestors, and fixture
/// keepers, which end by themselves.
pub fn of_session(session: &str) -> Vec<Process> {
    let mut all = proc::all();
    let jobs = jobs_of_session(&all, session);
    // This process may itself have been started by the session.
    let ancestors = ancestors(&all, own_pid());
    all.retain(|process| {
        jobs.contains_key(&process.pid) && !process.is_zombie && !ancestors.contains(&process.pid)
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_s_processes_are_its_group_and_all_descendants() {
        let table = [
            (30, 20, 30),
            (1, 0, 1),
            (10, 1, 10),
            (20, 10, 20),
            (11, 1, 10),
            (12, 11, 12),
            (99, 1, 99),
        ];
        let all = table.map(|(pid, parent, group)| Process::for_test(pid, parent, group));
        let mut found: Vec<u32> = descendants(&all, 10).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [10, 11, 12, 20, 30]);
        let mut found: Vec<u32> = ancestors(&all, 20).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [0, 1, 10, 20]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_command_outside_sessions_has_no_processes_by_their_variables() {
        use std::io::Read as _;
        use std::process::{Command, Stdio};
        #[expect(clippy::disallowed_methods, reason = "a process that is no job")]
        let mut other = Command::new("sh")
            .args(["-c", "echo; read line"])
            .env("COFFERDAM_RECORD", "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It runs the shell, with these variables.
        other.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        assert!(ProcessTable::default().of_job(None, "", "").is_empty());
        drop(other.stdin.take());
        other.wait().unwrap();
    }
}
