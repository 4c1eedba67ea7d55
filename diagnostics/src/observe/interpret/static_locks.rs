//! Locks in statics that tests held at each access, as far as breakpoints have shown it.
//!
//! What is seen is the beginning of an attempt, which may fail, and the beginning of a release, which may be inlined. A lock
//! counts as held between an attempt and the release that is the thread's next event at that lock. After an attempt without such
//! a release, and before a release without such an attempt, the lock is perhaps held.

use super::file_locks::FileLocks;
use crate::observe::format::{ALL_SITES, Kind, SHARED};
use crate::observe::log::Record;
use cofferdam::Access;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// The position and the time of a record in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    log: usize,
    position: usize,
    /// Microseconds since 1970.
    at: u64,
}

impl Moment {
    fn of(log: usize, record: &Record<'_>) -> Self {
        let Record { position, at, .. } = *record;
        Self { log, position, at }
    }

    /// Returns whether it is before another one; records of different logs that have one time are not in order.
    fn is_before(self, other: Self) -> bool {
        if self.log == other.log {
            self.position < other.position
        } else {
            self.at < other.at
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Event {
    moment: Moment,
    is_attempt: bool,
    is_shared: bool,
}

/// Whether a lock is held at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Perhaps { is_shared: bool },
    Held { is_shared: bool },
}

/// Returns the state at a moment, from a thread's events at one lock in their order.
fn state_at(events: &[Event], moment: Moment) -> State {
    let next = events.partition_point(|event| event.moment.is_before(moment));
    if events
        .get(next)
        .is_some_and(|event| !moment.is_before(event.moment))
    {
        return State::Perhaps { is_shared: false };
    }
    let before = next.checked_sub(1).map(|last| &events[last]);
    let attempt = before.filter(|event| event.is_attempt);
    let release = events.get(next).filter(|event| !event.is_attempt);
    match (attempt, release) {
        (Some(attempt), Some(release)) if attempt.is_shared == release.is_shared => State::Held {
            is_shared: attempt.is_shared,
        },
        (Some(event), _) | (None, Some(event)) => State::Perhaps {
            is_shared: event.is_shared,
        },
        (None, None) => State::Free,
    }
}

/// The events of one thread at one lock.
#[derive(Debug)]
struct ThreadLock {
    log: usize,
    helper: u16,
    lock: usize,
    events: Vec<Event>,
}

/// A static with locks in it.
#[derive(Debug, Default)]
struct LockStatic {
    locks: BTreeSet<usize>,
    /// The sites that have reported one of its locks.
    sites: BTreeSet<u32>,
    /// The tests that use it.
    users: BTreeSet<usize>,
}

/// Locks of which events may be missing from some moment on.
#[derive(Debug)]
struct UnseenLocks {
    from: Moment,
    locks: Vec<usize>,
}

/// The locks that guarded an access, and those that perhaps did. They have the numbers of [`FileLocks`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldLocks {
    pub(crate) known: Vec<usize>,
    pub(crate) perhaps: Vec<usize>,
}

/// The locks in statics that each test took.
#[derive(Debug, Default)]
pub(crate) struct StaticLocks {
    of_tests: HashMap<usize, Vec<ThreadLock>>,
    statics: BTreeMap<(usize, Vec<u8>), LockStatic>,
    /// The moments from which on a site reported nothing.
    lost: Vec<(Moment, u32)>,
    begun: HashMap<(usize, usize), Moment>,
    unseen: HashMap<usize, Vec<UnseenLocks>>,
}

impl StaticLocks {
    /// Notes the beginning of a test.
    pub(crate) fn begin(&mut self, log: usize, test: usize, record: &Record<'_>) {
        self.begun.entry((log, test)).or_insert(Moment::of(log, record));
    }

    /// Notes a record about a lock; `test` is that of its thread.
    pub(crate) fn add(
        &mut self,
        log: usize,
        test: Option<usize>,
        record: &Record<'_>,
        locks: &mut FileLocks,
    ) {
        let moment = Moment::of(log, record);
        if record.kind == Kind::LocksUnseen {
            self.lost.push((moment, record.value));
            return;
        }
        let Some(test) = test else { return };
        let one = self.statics.entry((log, record.text.to_vec())).or_default();
        one.users.insert(test);
        if record.kind == Kind::UsesLock {
            return;
        }
        let number = record.number().unwrap_or_default();
        let name = format!(
            "lock at {:#x} in {} of process {}",
            number as u32,
            record.words(),
            record.pid
        );
        let lock = locks.number(Path::new(&name));
        one.sites.insert((number >> 32) as u32);
        one.locks.insert(lock);
        let of_test = self.of_tests.entry(test).or_default();
        let is_own = |one: &ThreadLock| (one.log, one.helper, one.lock) == (log, record.helper, lock);
        let place = of_test.iter().position(is_own).unwrap_or_else(|| {
            of_test.push(ThreadLock {
                log,
                helper: record.helper,
                lock,
                events: Vec::new(),
            });
            of_test.len() - 1
        });
        of_test[place].events.push(Event {
            moment,
            is_attempt: record.kind == Kind::TakesLock,
            is_shared: u64::from(record.value) & SHARED != 0,
        });
    }

    /// Finds out which events may be missing, once all records were added.
    pub(crate) fn find_unseen(&mut self, locks: &mut FileLocks) {
        if self.lost.is_empty() {
            return;
        }
        for ((log, name), one) in &mut self.statics {
            if one.locks.is_empty() {
                let name = format!("lock in {} of log {log}", String::from_utf8_lossy(name));
                one.locks.insert(locks.number(Path::new(&name)));
            }
            for test in &one.users {
                let begun = self.begun.get(&(*log, *test));
                let matters = |(moment, site): &&(Moment, u32)| {
                    let may_report = one.sites.is_empty() || one.sites.contains(site);
                    let is_since = begun.is_none_or(|begun| begun.is_before(*moment));
                    moment.log == *log && (*site == ALL_SITES || may_report && is_since)
                };
                if let Some((from, _)) = self.lost.iter().find(matters) {
                    self.unseen.entry(*test).or_default().push(UnseenLocks {
                        from: *from,
                        locks: one.locks.iter().copied().collect(),
                    });
                }
            }
        }
    }

    /// Returns the locks that a test held at a record of its. A lock held shared does not guard a write. What the test's own
    /// thread holds guards its other threads and its programs, too.
    pub(crate) fn held(&self, log: usize, test: usize, record: &Record<'_>, access: Access) -> HeldLocks {
        let moment = Moment::of(log, record);
        let mut held = HeldLocks::default();
        let unseen = self.unseen.get(&test).map_or(&[][..], Vec::as_slice);
        for one in unseen.iter().filter(|one| !moment.is_before(one.from)) {
            held.perhaps.extend(&one.locks);
        }
        for one in self.of_tests.get(&test).into_iter().flatten() {
            let state = state_at(&one.events, moment);
            let (State::Perhaps { is_shared } | State::Held { is_shared }) = state else {
                continue;
            };
            if is_shared && access == Access::Write {
                continue;
            }
            let is_of_thread = one.log == log && one.helper == record.helper && record.helper != u16::MAX;
            let is_whole = |unseen: &UnseenLocks| {
                let release = one.events.iter().find(|event| moment.is_before(event.moment));
                !unseen.locks.contains(&one.lock)
                    || release.is_some_and(|release| release.moment.is_before(unseen.from))
            };
            let is_known = matches!(state, State::Held { .. })
                && (one.helper == 0 || is_of_thread)
                && unseen.iter().all(is_whole);
            if is_known {
                held.known.push(one.lock);
            } else {
                held.perhaps.push(one.lock);
            }
        }
        held
    }
}
