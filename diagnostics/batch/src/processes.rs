//! Finds processes: those of a job's group, those that descend from it, those that were started with a session's name.

use std::collections::{HashMap, HashSet};

/// A process, as the kernel tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub group: u32,
    /// Over, and not yet waited for.
    pub is_zombie: bool,
    /// With the number, this is one process and no later one.
    pub started: u64,
    /// The program's name, as the kernel cuts it.
    pub name: String,
    /// In pages.
    pub resident: u64,
}

/// All processes that can be seen; none where there is no `/proc`.
pub fn all() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(one)
        .collect()
}

/// How many children this process has, started by itself or left to it; `None` where that is not known.
///
/// It has to be asked on the thread that starts them all.
pub fn children() -> Option<usize> {
    let told = std::fs::read("/proc/thread-self/children").ok()?;
    Some(
        told.split(|byte| *byte == b' ')
            .filter(|pid| !pid.is_empty())
            .count(),
    )
}

/// One process, if it is there.
pub fn one(pid: u32) -> Option<Process> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse(pid, &stat)
}

/// The name may hold anything, also `)` and spaces.
fn parse(pid: u32, stat: &[u8]) -> Option<Process> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let id = |index: usize| u32::try_from(number(index)?).ok();
    Some(Process {
        pid,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: id(1)?,
        group: id(2)?,
        started: number(19)?,
        resident: number(21)?,
        name: String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned(),
    })
}

/// The numbers of those that live in the group `leader` or descend from `leader` or from one of the group.
pub fn below(all: &[Process], leader: u32) -> HashSet<u32> {
    let mut members: HashSet<u32> = all
        .iter()
        .filter(|process| process.group == leader || process.pid == leader)
        .map(|process| process.pid)
        .collect();
    // A child may stand before its parent.
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

/// The process itself, and those from which it descends.
pub fn above(all: &[Process], pid: u32) -> HashSet<u32> {
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

/// The values of variables in the environment that a process was started with. Other users' processes have none.
pub fn variables<const N: usize>(pid: u32, names: [&str; N]) -> [Option<String>; N] {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    names.map(|name| {
        let mut lines = environment.split(|byte| *byte == 0);
        let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// One look at all processes, taken when it is first needed.
#[derive(Debug, Default)]
pub struct Scan {
    all: Option<Vec<Process>>,
    /// The job of each process of the session, by what it was started with.
    jobs: Option<HashMap<u32, String>>,
}

impl Scan {
    pub fn all(&mut self) -> &[Process] {
        self.all.get_or_insert_with(all)
    }

    /// The living in the group.
    pub fn in_group(&mut self, leader: u32) -> u32 {
        let here = |process: &&Process| process.group == leader && !process.is_zombie;
        u32::try_from(self.all().iter().filter(here).count()).unwrap_or(u32::MAX)
    }

    /// The living of a job: its group as long as there is one, what descends from it, and whatever was started with the
    /// session's name and the job's, wherever it went.
    pub fn of_job(&mut self, leader: Option<u32>, session: &str, job: &str) -> Vec<u32> {
        let all = self.all.get_or_insert_with(all);
        let jobs = self.jobs.get_or_insert_with(|| jobs(all, session));
        let members = leader.map_or_else(HashSet::new, |leader| below(all, leader));
        all.iter()
            .filter(|process| !process.is_zombie)
            .map(|process| process.pid)
            .filter(|pid| members.contains(pid) || jobs.get(pid).is_some_and(|name| name == job))
            .collect()
    }
}

/// The processes that were started with the session's name, and the name of the job of each.
pub fn jobs(all: &[Process], session: &str) -> HashMap<u32, String> {
    let job = |process: &Process| {
        let names = ["COFFERDAM_RECORD", "COFFERDAM_JOB", "COFFERDAM_KEEPER"];
        let [record, job, keeper] = variables(process.pid, names);
        // A keeper ends with its run, after it has torn down what it keeps.
        let is_ours = record.as_deref() == Some(session) && keeper.is_none();
        is_ours.then(|| (process.pid, job.unwrap_or_default()))
    };
    all.iter().filter_map(job).collect()
}

/// Returns the living processes that were started for the session, without this process and its ancestors. Fixture
/// keepers are left out: they end by themselves.
pub fn of_session(session: &str) -> Vec<Process> {
    let mut all = all();
    let jobs = jobs(&all, session);
    #[expect(
        clippy::disallowed_methods,
        reason = "this process may itself have been started by the session"
    )]
    let above = above(&all, std::process::id());
    all.retain(|process| {
        jobs.contains_key(&process.pid) && !process.is_zombie && !above.contains(&process.pid)
    });
    all
}

/// What a process has for itself, plus its share of what it has with others, in bytes. Slow: a page table is walked.
pub fn proportional(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_everything_in_it_does_not_shift_the_fields() {
        let mut stat = b"12 (a) Z 1 (b\xff) S 7 9 9 0 -1 0".to_vec();
        stat.extend(b" 1 2 3 4 5 6 7 8 9 10 11 12 4711 900 33 0 0");
        let told = parse(12, &stat).unwrap();
        assert_eq!((told.pid, told.parent, told.group), (12, 7, 9));
        assert_eq!((told.started, told.resident, told.is_zombie), (4711, 33, false));
        assert_eq!(told.name, "a) Z 1 (b\u{fffd}");
        assert_eq!(parse(12, b"12 (cut"), None);
    }

    fn process(pid: u32, parent: u32, group: u32) -> Process {
        Process {
            pid,
            parent,
            group,
            is_zombie: false,
            started: 0,
            name: String::new(),
            resident: 0,
        }
    }

    #[test]
    fn a_job_s_processes_are_its_group_and_all_that_descends_from_it() {
        let all = [
            process(30, 20, 30),
            process(1, 0, 1),
            process(10, 1, 10),
            process(20, 10, 20),
            process(11, 1, 10),
            process(12, 11, 12),
            process(99, 1, 99),
        ];
        let mut found: Vec<u32> = below(&all, 10).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [10, 11, 12, 20, 30]);
        let mut found: Vec<u32> = above(&all, 20).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [0, 1, 10, 20]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_s_own_table_is_read() {
        #[expect(clippy::disallowed_methods, reason = "this very process is looked for")]
        let own = std::process::id();
        let told = one(own).unwrap();
        assert!(
            !told.is_zombie && told.resident > 0 && told.started > 0,
            "{told:?}"
        );
        assert!(all().iter().any(|process| process.pid == told.parent));
        assert!(proportional(own).is_some_and(|bytes| bytes > 0));
    }
}
