//! Logs into evidence: each record to its test, its meaning, and a claim in the words of the one engine.

use super::folders::Uprooted;
use super::format::{self, Kind, header};
use super::guards::Guards;
use super::log::{Log, Record};
use super::meaning::{Act, How, acts};
use super::paths::{Links, is_of_interest};
use super::places::Place;
use super::who::Who;
use cofferdam::diagnostics::{Evidence, Observed};
use cofferdam::{Access, Resource, ResourceKind};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What was watched, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) tests: u64,
    pub(crate) programs: u64,
    /// Accesses that were noted, each once for a test.
    pub(crate) accesses: u64,
    /// Those of them whose test is not known.
    pub(crate) of_no_test: u64,
    /// Records that found no place in a log.
    pub(crate) dropped: u64,
    /// Processes whose raw system calls were not seen, or not to their end.
    pub(crate) without_raw: u64,
    /// Programs with tests that could not be told apart.
    pub(crate) missed: u64,
}

/// What the logs say.
pub(crate) struct Reading<'a> {
    pub(crate) evidence: Evidence,
    pub(crate) watched: Watched,
    /// Where something was done; a claim's place is `#` and a number of this list.
    pub(crate) places: Vec<Place<'a>>,
    /// Each use of a resource by a test.
    pub(crate) accesses: Vec<Used>,
}

/// A use of a resource by a test.
pub(crate) struct Used {
    /// Of the tests that are known.
    pub(crate) test: usize,
    pub(crate) resource: Resource,
    pub(crate) access: Access,
    /// Of the places.
    pub(crate) place: usize,
}

/// A use of a resource by a test: the first of its kind.
struct Use {
    test: usize,
    act: Act,
    guards: Vec<usize>,
    at: u64,
    place: usize,
}

impl Use {
    fn used(&self) -> Option<Used> {
        let (resource, access) = match &self.act {
            Act::File(path, How::Read | How::Make) => (Resource::file(path), Access::Read),
            Act::File(path, How::Write | How::Uproot) => (Resource::file(path), Access::Write),
            Act::Other(resource, access) => (resource.clone(), *access),
            Act::UsedMask | Act::ClearedVariables => return None,
        };
        Some(Used {
            test: self.test,
            resource,
            access,
            place: self.place,
        })
    }
}

/// Reads all logs of `run`. `ours` is where cofferdam keeps its own files.
pub(crate) fn read<'a>(logs: &'a [Log], who: &Who, run: &str, ours: &Path) -> Reading<'a> {
    let folders: Vec<Folders> = logs.iter().map(Folders::of).collect();
    let mut all = All::new(ours);
    for (index, log) in logs.iter().enumerate() {
        all.look(index, log, &folders[index], who);
    }
    let mut watched = Watched {
        tests: who.tests.len() as u64,
        programs: who
            .tests
            .iter()
            .map(|test| &test.binary)
            .collect::<HashSet<_>>()
            .len() as u64,
        missed: who.missed.len() as u64,
        ..Watched::default()
    };
    for (index, log) in logs
        .iter()
        .enumerate()
        .filter(|(index, _)| !who.is_replaced(*index))
    {
        watched.dropped += log.header(header::DROPPED);
        let raw = log.header(header::RAW);
        watched.without_raw += u64::from(matches!(raw, format::RAW_REFUSED | format::RAW_ENDED));
        all.take_in(index, log, &folders[index], who, &mut watched);
    }
    let (evidence, accesses) = all.claims(run, who);
    Reading {
        evidence,
        watched,
        places: all.places,
        accesses,
    }
}

/// The working directories of a log's processes, by their numbers.
#[derive(Debug, Default)]
struct Folders {
    known: HashMap<(u32, u32), PathBuf>,
}

impl Folders {
    fn of(log: &Log) -> Self {
        let records = log.records().filter(|record| record.kind == Kind::Folder);
        Self {
            known: records
                .map(|record| {
                    (
                        (record.pid, record.value),
                        PathBuf::from(OsStr::from_bytes(record.text)),
                    )
                })
                .collect(),
        }
    }

    /// A process that is a copy has its folder from the one that began the log, until it goes elsewhere.
    fn get(&self, log: &Log, record: &Record<'_>) -> Option<&Path> {
        let find = |pid: u32| self.known.get(&(pid, record.folder));
        find(record.pid).or_else(|| find(log.pid())).map(PathBuf::as_path)
    }
}

/// Everything that tests did, each the first time.
struct All<'o, 'a> {
    ours: &'o Path,
    links: Links,
    guards: Guards,
    uprooted: Uprooted,
    uses: Vec<Use>,
    known: HashSet<(usize, Act, Vec<usize>)>,
    places: Vec<Place<'a>>,
    /// Processes of which a test changed the mask.
    masked: HashSet<u32>,
    /// By process, the variables that anybody spoke of.
    variables: HashMap<u32, BTreeSet<String>>,
}

impl<'o, 'a> All<'o, 'a> {
    fn new(ours: &'o Path) -> Self {
        Self {
            ours,
            links: Links::default(),
            guards: Guards::default(),
            uprooted: Uprooted::default(),
            uses: Vec::new(),
            known: HashSet::new(),
            places: Vec::new(),
            masked: HashSet::new(),
            variables: HashMap::new(),
        }
    }

    /// First the locks, and the folders that are removed: they say what the rest means.
    fn look(&mut self, index: usize, log: &Log, folders: &Folders, who: &Who) {
        for record in log.records() {
            let Some(test) = who.test(index, &record) else {
                continue;
            };
            let path = || PathBuf::from(OsStr::from_bytes(record.text));
            let number = record.number().unwrap_or_default();
            match record.kind {
                Kind::Locked => {
                    let path = self.links.resolve(&path());
                    self.guards
                        .locked(index, test, &path, number, record.value != 0, record.at);
                }
                Kind::Unlocked => self.guards.unlocked(index, test, number, record.at),
                Kind::RemoveFolder | Kind::Rename => {
                    for act in acts(&record, folders.get(log, &record), false) {
                        if let Act::File(path, How::Uproot) = act {
                            self.uprooted.add(&self.links.resolve(&path), test);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn take_in(&mut self, index: usize, log: &'a Log, folders: &Folders, who: &Who, watched: &mut Watched) {
        // A process that a test started is where the test started it.
        let begun = who.begun(index);
        for record in log.records().filter(|record| record.kind.is_access()) {
            watched.accesses += 1;
            let Some(test) = who.test(index, &record) else {
                watched.of_no_test += 1;
                continue;
            };
            let shared = log.is_test() && record.pid == log.pid();
            for act in acts(&record, folders.get(log, &record), shared) {
                let place = match begun {
                    Some((log, position)) => Place::Begun { log, position },
                    None => Place::Here {
                        log: index,
                        frames: record.frames,
                    },
                };
                self.one(test, act, record.at, place, who);
            }
        }
    }

    fn one(&mut self, test: usize, act: Act, at: u64, place: Place<'a>, who: &Who) {
        let (act, held) = match act {
            Act::File(path, how) => {
                let path = self.links.resolve(&path);
                if !is_of_interest(&path, self.ours) {
                    return;
                }
                let access = if how == How::Read {
                    Access::Read
                } else {
                    Access::Write
                };
                let held = self.guards.held(test, Some(&path), access, at);
                (Act::File(path, how), held)
            }
            Act::Other(resource, access) => {
                let held = self.guards.held(test, None, access, at);
                let pid = who.tests[test].pid;
                if resource.kind() == ResourceKind::Umask && access == Access::Write {
                    self.masked.insert(pid);
                } else if resource.kind() == ResourceKind::Env {
                    self.variables
                        .entry(pid)
                        .or_default()
                        .insert(resource.as_str().to_owned());
                }
                (Act::Other(resource, access), held)
            }
            other => (other, Vec::new()),
        };
        let key = (test, act, held);
        if self.known.contains(&key) {
            return;
        }
        let (test, act, guards) = key.clone();
        self.known.insert(key);
        self.uses.push(Use {
            test,
            act,
            guards,
            at,
            place: self.places.len(),
        });
        self.places.push(place);
    }

    fn claims(&self, run: &str, who: &Who) -> (Evidence, Vec<Used>) {
        let mut accesses = Vec::new();
        let mut evidence = Evidence::new();
        evidence.list_up_to(usize::MAX);
        for one in &self.uses {
            let test = &who.tests[one.test];
            accesses.extend(one.used());
            let guards = self.guards.names(&one.guards);
            let place = format!("#{}", one.place);
            let mut claim = |resource: Resource, access: Access| {
                evidence.observe(&Observed {
                    run,
                    binary: &test.binary,
                    pid: test.pid,
                    started: test.started,
                    in_turn: test.in_turn,
                    test: &test.name,
                    attempt: 1,
                    resource,
                    access,
                    guards: &guards,
                    place: &place,
                    window: (one.at, test.end.max(one.at)),
                });
            };
            match &one.act {
                Act::File(path, how) => {
                    for (path, access) in self.uprooted.uses(path, *how, one.test) {
                        claim(Resource::file(path), access);
                    }
                }
                Act::Other(resource, access) => claim(resource.clone(), *access),
                // Everybody who makes files depends on the mask, which matters where somebody changes it.
                Act::UsedMask if self.masked.contains(&test.pid) => claim(Resource::umask(), Access::Read),
                Act::UsedMask => {}
                Act::ClearedVariables => {
                    for name in self.variables.get(&test.pid).into_iter().flatten() {
                        claim(Resource::env(name.as_str()), Access::Write);
                    }
                }
            }
        }
        (evidence, accesses)
    }
}
