//! One observation: from the launch to what was found.

use super::format::{Kind, header};
use super::launch::{Asked, Launch, LaunchError, Started};
use super::log::{Log, Unreadable};
use super::places::Lines;
use super::who::{Alone, Known, Who};
use super::{Watched, alone, reading, runner};
use cofferdam::diagnostics::Conflict;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// A command's test processes, while they are observed and afterwards.
#[derive(Debug)]
pub(crate) struct Session {
    launch: Launch,
    dir: PathBuf,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) watched: Watched,
    /// The same, as the library counts it.
    pub(crate) recorded: cofferdam::diagnostics::Watched,
    pub(crate) conflicts: Vec<Conflict>,
    /// What could not be read, each a sentence.
    pub(crate) problems: Vec<String>,
    /// Each use of a resource by a test: a line of JSON.
    pub(crate) accesses: String,
}

impl Session {
    /// Prepares to observe what a command starts that is started in `dir`.
    pub(crate) fn begin(dir: &Path, asked: Asked) -> Result<Self, LaunchError> {
        Ok(Self {
            launch: Launch::new(dir, asked)?,
            dir: dir.to_owned(),
        })
    }

    /// What the command has to find in its environment.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        self.launch.variables()
    }

    /// Reads what was noted under the run's name. `ours` is where cofferdam keeps its own files.
    /// `listed`: whether to tell all accesses, too.
    pub(crate) fn end(&self, run: &str, ours: &Path, listed: bool) -> Observed {
        let mut problems = Vec::new();
        let mut logs = self.logs(&mut problems);
        let mut known = self.known(&logs);
        let mut who = Who::of(&logs, &known);
        if !who.missed.is_empty() {
            self.tell_apart(&logs, &who, &mut known);
            problems.clear();
            logs = self.logs(&mut problems);
            who = Who::of(&logs, &known);
        }
        let reading = reading::read(&logs, &who, run, ours);
        let mut conflicts = reading.evidence.conflicts();
        let mut lines = Lines::new(&logs, &self.dir);
        let mut recorded = reading.evidence.watched();
        // The evidence holds what several tests use.
        recorded.executions = reading.watched.tests;
        recorded.claims = reading.used().count() as u64;
        let mut accesses = String::new();
        for one in reading.used().filter(|_| listed) {
            let test = &who.tests[one.test];
            let place = reading.place(one.place).and_then(|place| lines.line(place));
            let line = serde_json::json!({
                "test": test.name, "binary": test.binary, "access": one.access.to_string(), "place": place,
                "kind": one.resource.kind().as_str(), "name": one.resource.as_str(),
                "from": one.window.0, "to": one.window.1,
            });
            accesses.push_str(&line.to_string());
            accesses.push('\n');
        }
        for party in conflicts.iter_mut().flat_map(|told| &mut told.parties) {
            let number = party
                .place
                .as_deref()
                .and_then(|place| place.strip_prefix('#')?.parse::<usize>().ok());
            let place = number.and_then(|number| reading.place(number));
            party.place = place.and_then(|place| lines.line(place));
        }
        Observed {
            watched: reading.watched,
            recorded,
            conflicts,
            problems,
            accesses,
        }
    }

    /// Runs the tests alone that could not be told apart.
    fn tell_apart(&self, logs: &[Log], who: &Who, known: &mut Known) {
        let mut replaced = BTreeSet::new();
        for (index, names) in &who.missed {
            let log = &logs[*index];
            let Some(started) = Started::read(self.launch.folder(), log.pid()) else {
                continue;
            };
            for test in names {
                if let Some(pid) = alone::run(&self.launch, &started, test) {
                    replaced.insert(log.pid());
                    let alone = Alone {
                        test: test.clone(),
                        pid: log.pid(),
                        started: log.header(header::MONOTONIC),
                    };
                    known.alone.insert(pid, alone);
                }
            }
        }
        known.replaced = replaced;
    }

    fn logs(&self, problems: &mut Vec<String>) -> Vec<Log> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.launch.folder())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        paths.sort();
        let mut logs = Vec::new();
        for path in paths {
            match Log::read(&path) {
                Ok(Ok(log)) => logs.push(log),
                Ok(Err(Unreadable::Unfinished)) => {}
                Ok(Err(Unreadable::Version(version))) => {
                    problems.push(format!("{} is of version {version}", path.display()));
                }
                Err(error) => problems.push(format!("could not read {}: {error}", path.display())),
            }
        }
        logs
    }

    /// Asks each program with libtest for its tests.
    fn known(&self, logs: &[Log]) -> Known {
        let mut known = Known::default();
        for log in logs.iter().filter(|log| log.is_test()) {
            let Some(started) = Started::read(self.launch.folder(), log.pid()) else {
                continue;
            };
            let mut program = PathBuf::new();
            let mut is_libtest = false;
            for record in log.records() {
                match record.kind {
                    Kind::Program => program = PathBuf::from(&*record.words()),
                    // libtest asks for its variables before it begins.
                    Kind::GetVariable if record.test == 0 => {
                        is_libtest |= record.text.starts_with(b"RUST_TEST_")
                    }
                    _ => {}
                }
            }
            if known.lists.contains_key(&program) || !(is_libtest || runner::has_libtest(&program)) {
                continue;
            }
            let list: Option<BTreeSet<String>> = runner::listed(&started);
            if let Some(list) = list {
                known.lists.insert(program, list);
            }
        }
        known
    }
}
