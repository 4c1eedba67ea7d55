//! Locks in statics that tests held at each access, as far as breakpoints have shown it.
//!
//! What is seen is the beginning of an attempt, which may fail, and the beginning of a release, which may be inlined. A lock
//! counts as held between an attempt and the release that is the thread's next event at that lock. After an attempt without such
//! a release, and before a release without such an attempt, the lock is perhaps held. It is not held where its memory said so.

use super::file_locks::FileLocks;
use crate::observe::format::{Kind, SHARED};
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

    /// Returns whether it is before another one. Of two moments in different logs that have one time, none is.
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
    Held { is_shared: bool, until: Moment },
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
            until: release.moment,
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
    /// The sites that have reported an attempt or a release of one of its locks.
    attempts: BTreeSet<u32>,
    releases: BTreeSet<u32>,
    /// The tests that use it.
    users: BTreeSet<usize>,
}

/// A lock of which events may be missing from some moment on.
#[derive(Clone, Copy, Debug)]
struct UnseenLock {
    from: Moment,
    lock: usize,
    is_shared: bool,
}

/// A site that reports nothing from some moment on; `None` for all sites.
#[derive(Clone, Copy, Debug)]
struct LostSite {
    from: Moment,
    site: Option<u32>,
    is_shared: bool,
}

/// A thread of a test: its log, process, number of the test, and number of the thread.
type ThreadKey = (usize, u32, u32, u16);

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
    lost: Vec<LostSite>,
    begun: HashMap<(usize, usize), Moment>,
    unseen: HashMap<usize, Vec<UnseenLock>>,
    /// The places of each lock in the masks of a log, with the moments since when they have a meaning.
    places: HashMap<usize, BTreeMap<u32, Moment>>,
    /// The masks of the locks in use at a thread's accesses, by the position from which on they hold.
    masks: HashMap<ThreadKey, BTreeMap<usize, u64>>,
}

impl StaticLocks {
    /// Notes that the breakpoints of a log ended at some moment.
    pub(crate) fn end(&mut self, log: usize) {
        let from = Moment {
            log,
            position: 0,
            at: 0,
        };
        self.lost.push(LostSite {
            from,
            site: None,
            is_shared: false,
        });
    }

    /// Notes a record that is about locks, or the beginning of a test. `test` is that of its thread, or that which begins.
    pub(crate) fn add(
        &mut self,
        log: usize,
        test: Option<usize>,
        record: &Record<'_>,
        locks: &mut FileLocks,
    ) {
        let (moment, number) = (Moment::of(log, record), record.number().unwrap_or_default());
        let (address, site) = (number as u32, (number >> 32) as u32);
        let is_shared = u64::from(record.value) & SHARED != 0;
        if record.kind == Kind::LocksUnseen {
            self.lost.push(LostSite {
                from: moment,
                site: Some(site),
                is_shared,
            });
            return;
        }
        let Some(test) = test else { return };
        match record.kind {
            Kind::Test => {
                self.begun.entry((log, test)).or_insert(moment);
                return;
            }
            Kind::LocksInUse => {
                let masks = self.masks.entry(thread_of(log, record)).or_default();
                masks.insert(record.position, number);
                return;
            }
            _ => {}
        }
        let one = self.statics.entry((log, record.text.to_vec())).or_default();
        one.users.insert(test);
        if record.kind == Kind::UsesLock {
            return;
        }
        let name = format!("lock at {address:#x} of process {}", record.pid);
        let lock = locks.number(Path::new(&name));
        one.locks.insert(lock);
        if record.kind == Kind::TakesLock {
            one.attempts.insert(site);
            let places = self.places.entry(lock).or_default();
            places.entry(record.value >> 8).or_insert(moment);
        } else {
            one.releases.insert(site);
        }
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
            is_shared,
        });
    }

    /// Finds out which events may be missing, once all records were added.
    pub(crate) fn find_unseen(&mut self, locks: &mut FileLocks) {
        for ((log, name), one) in &mut self.statics {
            let is_of_log = |lost: &&LostSite| {
                let known = [&one.attempts, &one.releases];
                let may_report = |site| {
                    known
                        .iter()
                        .any(|sites| sites.is_empty() || sites.contains(&site))
                };
                lost.from.log == *log && lost.site.is_none_or(may_report)
            };
            let lost: Vec<LostSite> = self.lost.iter().filter(is_of_log).copied().collect();
            if !lost.is_empty() && one.locks.is_empty() {
                let name = format!("lock in {} of log {log}", String::from_utf8_lossy(name));
                one.locks.insert(locks.number(Path::new(&name)));
            }
            for test in &one.users {
                let begun = self.begun.get(&(*log, *test));
                let is_since = |lost: &LostSite| begun.is_none_or(|begun| begun.is_before(lost.from));
                let of_test = lost.iter().filter(|lost| lost.site.is_none() || is_since(lost));
                // The first of each mode.
                let mut modes = BTreeSet::new();
                for first in of_test.filter(|lost| modes.insert(lost.is_shared)) {
                    let of_lock = |lock: &usize| UnseenLock {
                        from: first.from,
                        lock: *lock,
                        is_shared: first.is_shared,
                    };
                    let unseen = self.unseen.entry(*test).or_default();
                    unseen.extend(one.locks.iter().map(of_lock));
                }
            }
        }
    }

    /// Returns the locks that a test held at a record of its. A lock held shared does not guard a write. What the test's own
    /// thread holds guards its other threads and its programs, too.
    pub(crate) fn held(&self, log: usize, test: usize, record: &Record<'_>, access: Access) -> HeldLocks {
        let moment = Moment::of(log, record);
        let mut held = HeldLocks::default();
        let of_test = self.of_tests.get(&test).map_or(&[][..], Vec::as_slice);
        let unseen = self.unseen.get(&test).map_or(&[][..], Vec::as_slice);
        if of_test.is_empty() && unseen.is_empty() {
            return held;
        }
        let mask = self.mask(log, record);
        let counts = |lock: usize, is_shared: bool| {
            (!is_shared || access != Access::Write) && !self.is_free(lock, moment, mask)
        };
        let unseen_now = unseen.iter().filter(|one| one.from.is_before(moment));
        held.perhaps.extend(
            unseen_now
                .filter(|one| counts(one.lock, one.is_shared))
                .map(|one| one.lock),
        );
        for one in of_test {
            match state_at(&one.events, moment) {
                State::Held { is_shared, until } if counts(one.lock, is_shared) => {
                    let is_own = one.log == log && one.helper == record.helper && one.helper != u16::MAX;
                    let is_seen =
                        |unseen: &UnseenLock| unseen.lock != one.lock || until.is_before(unseen.from);
                    if (one.helper == 0 || is_own) && unseen.iter().all(is_seen) {
                        held.known.push(one.lock);
                    } else {
                        held.perhaps.push(one.lock);
                    }
                }
                State::Perhaps { is_shared } if counts(one.lock, is_shared) => held.perhaps.push(one.lock),
                State::Free | State::Perhaps { .. } | State::Held { .. } => {}
            }
        }
        held
    }

    /// Returns the mask of the locks in use at an access; `None` if it is not known.
    fn mask(&self, log: usize, record: &Record<'_>) -> Option<u64> {
        let masks = self
            .masks
            .get(&thread_of(log, record))
            .filter(|_| record.helper != u16::MAX)?;
        masks.range(..record.position).next_back().map(|(_, mask)| *mask)
    }

    /// Returns whether the memory of a lock said at that moment that nobody holds it.
    fn is_free(&self, lock: usize, moment: Moment, mask: Option<u64>) -> bool {
        let (Some(places), Some(mask)) = (self.places.get(&lock), mask) else {
            return false;
        };
        places.iter().all(|(place, since)| {
            since.log == moment.log
                && since.is_before(moment)
                && mask.checked_shr(*place).is_some_and(|mask| mask & 1 == 0)
        })
    }
}

fn thread_of(log: usize, record: &Record<'_>) -> ThreadKey {
    (log, record.pid, record.test, record.helper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::test_log::LogBuilder;
    use proptest::prelude::*;

    const LOCK: u64 = 0x5000;
    /// The sites of attempts and releases.
    const SITES: [u64; 2] = [1, 2];
    const TEST: u32 = 1;

    /// Adds a record of the test.
    fn add(log: &mut LogBuilder, at: u64, kind: Kind, value: u64, number: u64) {
        log.record(at, TEST, kind, value, "shop::LOCK", &number.to_ne_bytes());
    }

    fn takes(log: &mut LogBuilder, at: u64, shared: u64) {
        add(log, at, Kind::TakesLock, shared, SITES[0] << 32 | LOCK);
    }

    fn releases(log: &mut LogBuilder, at: u64, shared: u64) {
        add(log, at, Kind::ReleasesLock, shared, SITES[1] << 32 | LOCK);
    }

    fn looks(log: &mut LogBuilder, at: u64) {
        add(log, at, Kind::Look, 0, 0);
    }

    /// Returns for each access `h` where the lock is known to be held, `?` where it perhaps is, and `-` where it is not.
    fn states(log: &LogBuilder, access: Access, helper: Option<u16>) -> String {
        let log = log.log();
        let (mut locks, mut file_locks) = (StaticLocks::default(), FileLocks::default());
        for record in log.records().filter(|record| !record.kind.is_access()) {
            locks.add(0, Some(0), &record, &mut file_locks);
        }
        locks.find_unseen(&mut file_locks);
        let accesses = log.records().filter(|record| record.kind.is_access());
        let states = accesses.map(|mut record| {
            record.helper = helper.unwrap_or_default();
            let held = locks.held(0, 0, &record, access);
            match (held.known.is_empty(), held.perhaps.is_empty()) {
                (false, _) => 'h',
                (true, false) => '?',
                (true, true) => '-',
            }
        });
        states.collect()
    }

    #[test]
    fn a_lock_is_held_from_the_last_attempt_before_a_release_to_that_release() {
        let mut log = LogBuilder::new(7, 1, true);
        looks(&mut log, 1);
        takes(&mut log, 1, 0);
        looks(&mut log, 1);
        takes(&mut log, 1, 0);
        looks(&mut log, 1);
        releases(&mut log, 1, 0);
        looks(&mut log, 1);
        releases(&mut log, 1, 0);
        looks(&mut log, 1);
        assert_eq!(states(&log, Access::Write, None), "-?h?-");
        assert_eq!(states(&log, Access::Write, Some(1)), "-?h?-", "its threads");
    }

    #[test]
    fn a_lock_that_was_taken_for_reading_guards_no_write_and_perhaps_nothing_if_it_was_downgraded() {
        let mut log = LogBuilder::new(7, 1, true);
        takes(&mut log, 1, SHARED);
        looks(&mut log, 2);
        releases(&mut log, 3, SHARED);
        takes(&mut log, 4, 0);
        looks(&mut log, 5);
        releases(&mut log, 6, SHARED);
        assert_eq!(states(&log, Access::Read, None), "h?");
        assert_eq!(states(&log, Access::Write, None), "-?");
    }

    #[test]
    fn a_program_is_guarded_by_the_time_and_where_that_is_the_same_only_perhaps() {
        let (mut log, mut child) = (LogBuilder::new(7, 1, true), LogBuilder::new(8, 7, false));
        takes(&mut log, 2, 0);
        releases(&mut log, 4, 0);
        (1..=5).for_each(|at| looks(&mut child, at));
        let (mut locks, mut file_locks) = (StaticLocks::default(), FileLocks::default());
        for record in log.log().records() {
            locks.add(0, Some(0), &record, &mut file_locks);
        }
        locks.find_unseen(&mut file_locks);
        let held = |record: Record<'_>| {
            let held = locks.held(1, 0, &record, Access::Write);
            [held.known.len(), held.perhaps.len()]
        };
        let states: Vec<_> = child.log().records().map(held).collect();
        assert_eq!(states, [[0, 0], [0, 1], [1, 0], [0, 1], [0, 0]]);
    }

    #[test]
    fn a_test_that_began_after_a_site_was_lost_is_seen_again() {
        let mut log = LogBuilder::new(7, 1, true);
        takes(&mut log, 1, 0);
        releases(&mut log, 2, 0);
        add(&mut log, 3, Kind::LocksUnseen, 0, SITES[0] << 32);
        add(&mut log, 4, Kind::Test, TEST.into(), 0);
        looks(&mut log, 5);
        assert_eq!(states(&log, Access::Write, None), "-");
        add(&mut log, 6, Kind::LocksUnseen, 0, 77 << 32);
        looks(&mut log, 7);
        assert_eq!(
            states(&log, Access::Write, None),
            "--",
            "the site of another lock"
        );
        add(&mut log, 8, Kind::LocksUnseen, SHARED, SITES[1] << 32);
        looks(&mut log, 9);
        assert_eq!(states(&log, Access::Write, None), "---");
        assert_eq!(states(&log, Access::Read, None), "--?");
        add(&mut log, 10, Kind::LocksUnseen, 0, SITES[1] << 32);
        looks(&mut log, 11);
        assert_eq!(states(&log, Access::Write, None), "---?");
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Take,
        Fail,
        Release { is_inlined: bool },
        Forget,
        Access,
        Lose { site: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Take),
            1 => Just(Step::Fail),
            4 => (0..6_u8).prop_map(|one| Step::Release { is_inlined: one == 0 }),
            1 => Just(Step::Forget),
            6 => Just(Step::Access),
            1 => (0..2_usize).prop_map(|site| Step::Lose { site }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]
        /// A thread takes and releases one lock, of which not all is seen.
        #[test]
        fn what_is_known_of_a_lock_is_true(
            steps in proptest::collection::vec(step(), 0..30),
            shows_memory in any::<bool>(),
        ) {
            let mut log = LogBuilder::new(7, 1, true);
            add(&mut log, 0, Kind::UsesLock, 0, 0);
            let (mut is_held, mut is_leaked, mut is_all_seen) = (false, false, true);
            let mut is_lost = [false; 2];
            let mut truth = Vec::new();
            for step in &steps {
                match *step {
                    Step::Take if is_held => {}
                    Step::Take | Step::Fail => {
                        if !is_lost[0] {
                            takes(&mut log, 1, 0);
                        }
                        is_all_seen &= matches!(step, Step::Take);
                        is_held |= matches!(step, Step::Take);
                    }
                    Step::Release { is_inlined } if is_held && !is_leaked => {
                        if !is_inlined && !is_lost[1] {
                            releases(&mut log, 1, 0);
                        }
                        is_all_seen &= !is_inlined;
                        is_held = false;
                    }
                    Step::Release { .. } => {}
                    Step::Forget => {
                        is_leaked |= is_held;
                        is_all_seen &= !is_held;
                    }
                    Step::Access => {
                        if shows_memory {
                            add(&mut log, 1, Kind::LocksInUse, 0, is_held.into());
                        }
                        looks(&mut log, 1);
                        truth.push(is_held);
                    }
                    Step::Lose { site } => {
                        add(&mut log, 1, Kind::LocksUnseen, 0, SITES[site] << 32);
                        is_lost[site] = true;
                        is_all_seen = false;
                    }
                }
            }
            if is_held && !is_leaked {
                releases(&mut log, 1, 0);
            }
            for (state, is_held) in states(&log, Access::Write, None).chars().zip(truth) {
                let is_certain = is_all_seen && state == '?';
                prop_assert!(!is_certain && state != if is_held { '-' } else { 'h' }, "{state} {is_held}");
            }
        }
    }
}
