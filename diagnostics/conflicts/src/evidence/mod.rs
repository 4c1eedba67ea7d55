//! Collects journals and snapshots, and returns the conflicts in them.

mod caches;
#[cfg(test)]
mod counted;
mod fold;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod memory;
mod observed_use;
mod process_account;
#[cfg(test)]
mod script;
mod sources;

use super::conflict::Conflict;
use crate::counts::{CacheCount, ServiceCount};
use crate::read_error::ReadError;
use crate::tables::{self, Alone, Lane, Numbered, State};
use crate::{detect, journal_lines, snapshot};
use cofferdam::format::{FailedTeardown, Snapshot};
use fold::Journal;
pub use observed_use::Observed;
pub use process_account::{Account, LostProcess, reserve};
use serde::Serialize;
use sources::Sort;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The recorded facts that conflicts are found in.
///
/// Takes in any number of files and folders, also from several machines: a run is known by its ID, and the same
/// worker of another run is another worker. A file that cannot be read is kept as a [problem](Self::problems), and the
/// rest is still read.
///
/// Memory grows with the number of distinct executions, instances and claims, not with the lines of journals.
///
/// ```no_run
/// use cofferdam_conflicts::Evidence;
/// let mut evidence = Evidence::new();
/// evidence.read("target/cofferdam/runs".as_ref());
/// for conflict in evidence.conflicts() {
///     println!("{conflict}");
/// }
/// ```
#[derive(Debug, Default)]
pub struct Evidence {
    state: State,
    account: Account,
    session: Option<String>,
    problems: Vec<ReadError>,
    problem_count: u64,
    visited: BTreeSet<PathBuf>,
}

/// One execution of a test: an attempt in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Execution<'a> {
    /// The run.
    pub run: &'a str,
    /// The worker, unique in the run.
    pub worker: &'a str,
    /// The process.
    pub pid: u32,
    /// The program.
    pub binary: &'a str,
    /// The name of the test.
    pub test: &'a str,
    /// 1, or more for a retry.
    pub attempt: u64,
    /// The moment of its beginning, in microseconds since 1970.
    pub begin: u64,
    /// The moment of its end, or of its last event if its end was not recorded.
    pub end: u64,
}

/// The extent of a recording: a verdict holds for this and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Watched {
    /// Invocations of a runner.
    pub runs: u64,
    /// Test processes.
    pub processes: u64,
    /// Workers, each in its run.
    pub workers: u64,
    /// Tests in a run, each attempt once. Only those that used cofferdam are known.
    pub tests: u64,
    /// Instances of services.
    pub instances: u64,
    /// Fixtures that tests used, each once in its run.
    pub fixtures: u64,
    /// Claims on resources.
    pub claims: u64,
    /// Journals that were read.
    pub journals: u64,
    /// Snapshots that were read.
    pub snapshots: u64,
    /// Lines that killed processes left half-written, and that were skipped.
    pub torn: u64,
}

impl Evidence {
    /// The maximum number of problems that are kept; the others are counted.
    const KEPT: usize = 50;

    /// Creates an empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty collection that takes in recordings of this session alone.
    pub fn of_session(session: impl Into<String>) -> Self {
        Self {
            session: Some(session.into()),
            ..Self::default()
        }
    }

    /// Creates an empty collection that treats all runs as parts of one run on one machine, such as the shards of a suite:
    /// their tests conflict as if they had run together.
    pub fn of_shards() -> Self {
        let mut evidence = Self::default();
        evidence.state.joins_runs = true;
        evidence
    }

    /// Takes in a journal (`*.ndjson`), a snapshot (`*.json`), a session's account (`*.account`), failed teardowns of fixtures
    /// (`*.teardown`), or all of them in a folder and below.
    ///
    /// In a folder, JSON that is no snapshot is ignored. A file that is reached twice is read once.
    /// Costs about 2 µs a line.
    pub fn read(&mut self, path: &Path) {
        let mut files = Vec::new();
        sources::walk(path, &mut self.visited, &mut |found| match found {
            Ok((file, sort)) => files.push(Ok((file.to_owned(), sort))),
            Err(error) => files.push(Err(error)),
        });
        for file in files {
            match file {
                Ok((file, Sort::Journal)) => self.journal(&file),
                Ok((file, Sort::Json)) => self.snapshot(&file, file == path),
                Ok((file, Sort::Teardown)) => self.teardown(&file),
                Ok((file, Sort::Account)) => {
                    if let Err(error) = self.account.read(&file) {
                        self.problem(error);
                    }
                }
                Err(error) => self.problem(error),
            }
        }
    }

    /// Takes in a snapshot.
    pub fn add(&mut self, snapshot: &Snapshot) {
        let ours = self.session.as_ref();
        if ours.is_none_or(|ours| snapshot.session.as_ref() == Some(ours)) {
            caches::add(&mut self.state, snapshot);
        }
    }

    /// Takes in a command of a fixture's teardown that failed, of any session.
    pub fn add_failed_teardown(&mut self, failed: FailedTeardown) {
        self.state.failed_teardowns.push(failed);
    }

    /// Returns the files and lines that could not be read: the first 50.
    pub fn problems(&self) -> &[ReadError] {
        &self.problems
    }

    /// Returns the number of problems, also of those that were not kept.
    pub fn problem_count(&self) -> u64 {
        self.problem_count
    }

    /// Returns the processes that were started and those that are missing; empty if no session's account was read.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Returns the extent of the recording.
    pub fn watched(&self) -> Watched {
        let state = &self.state;
        let count = |rows: usize| rows as u64;
        let is_worker = |lane: &&Lane| !matches!(lane.alone, Some(Alone::Process(_)));
        let tests = state.executions.rows.iter().filter(|row| row.test.is_some());
        Watched {
            runs: count(state.runs.rows.len()),
            processes: count(state.processes.rows.len()),
            workers: count(state.lanes.rows.iter().filter(is_worker).count()),
            tests: count(tests.count()),
            instances: count(state.instances.rows.len()),
            fixtures: count(state.fixtures.len()),
            claims: state.claimed,
            journals: state.journals,
            snapshots: state.snapshots,
            torn: state.torn,
        }
    }

    /// Returns the recorded executions of tests, in the order of the files. Snapshots hold no test's name.
    pub fn executions(&self) -> impl Iterator<Item = Execution<'_>> {
        let state = &self.state;
        state.executions.rows.iter().filter_map(|row| {
            let (process, lane) = (state.processes.get(row.process), state.lanes.get(row.lane));
            Some(Execution {
                run: state.text(state.runs.get(process.run).name),
                worker: state.text(lane.worker),
                pid: process.pid,
                binary: state.text(process.binary),
                test: state.text(row.test?),
                attempt: row.attempt,
                begin: row.begin,
                end: row.end,
            })
        })
    }

    /// Returns every conflict, warning and note, the most severe first, always in the same order.
    pub fn conflicts(&self) -> Vec<Conflict> {
        detect::all(&self.state)
    }

    /// Returns the counters of caches by worker and locator, from journals of processes that ended by themselves. Snapshots
    /// hold the same for one moment, and are not added.
    pub fn cache_counts(&self) -> Vec<CacheCount> {
        self.state.counts.of_caches(&self.state.names)
    }

    /// Returns the counters of services by worker, locator and service, from journals, also of killed processes.
    pub fn service_counts(&self) -> Vec<ServiceCount> {
        self.state.counts.of_services(&self.state.names)
    }

    fn journal(&mut self, file: &Path) {
        match File::open(file) {
            Ok(source) => self.take_in(file, BufReader::with_capacity(1 << 16, source)),
            Err(source) => self.problem(ReadError::io("read", file, source)),
        }
    }

    pub(super) fn take_in(&mut self, file: &Path, source: impl BufRead) {
        self.state.journals += 1;
        let mut journal = Journal::default();
        let mut is_empty = true;
        let torn = journal_lines::read(file, source, |found| {
            is_empty = false;
            let folded = found.and_then(|(line, record)| {
                journal
                    .fold(&mut self.state, self.session.as_deref(), record)
                    .map_err(|reason| ReadError::unreadable(file, Some(line), reason))
            });
            if let Err(error) = folded {
                problem(&mut self.problems, &mut self.problem_count, error);
            }
        });
        self.state.torn += torn;
        journal.finish(&mut self.state);
        if is_empty && torn == 0 {
            self.problem(ReadError::unreadable(
                file,
                None,
                "the journal is empty: its process could not write, or was killed",
            ));
        }
    }

    fn teardown(&mut self, file: &Path) {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(source) => return self.problem(ReadError::io("read", file, source)),
        };
        for (line, text) in (1..).zip(text.lines()) {
            match FailedTeardown::from_line(text) {
                Some(failed) if self.session.as_ref().is_none_or(|ours| failed.session == *ours) => {
                    self.state.failed_teardowns.push(failed);
                }
                Some(_) => {}
                None => self.problem(ReadError::unreadable(
                    file,
                    Some(line),
                    "this line describes no failed teardown",
                )),
            }
        }
    }

    /// Reads a snapshot. JSON that was found in a folder, and not `named`, may be something else.
    fn snapshot(&mut self, file: &Path, named: bool) {
        match snapshot::read_if_ours(file) {
            Ok(Some(snapshot)) => self.add(&snapshot),
            Ok(None) if named => self.problem(ReadError::unreadable(
                file,
                None,
                "this JSON is no snapshot of ours",
            )),
            Ok(None) => {}
            Err(error) => self.problem(error),
        }
    }

    fn problem(&mut self, error: ReadError) {
        problem(&mut self.problems, &mut self.problem_count, error);
    }
}

fn problem(kept: &mut Vec<ReadError>, count: &mut u64, error: ReadError) {
    *count += 1;
    if kept.len() < Evidence::KEPT {
        kept.push(error);
    }
}

impl State {
    /// Returns the execution of a snapshot's worker, whose test is not known.
    fn unnamed(&mut self, process: u32, lane: u32, begin: u64, end: u64) -> u32 {
        let index = self
            .executions
            .row((process, Numbered::Snapshot { lane }), || tables::Execution {
                process,
                lane,
                test: None,
                attempt: 1,
                begin,
                end,
            });
        let row = self.executions.get_mut(index);
        row.begin = row.begin.min(begin);
        row.end = row.end.max(end);
        index
    }
}
