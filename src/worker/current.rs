//! The state of a thread: its worker, and the builds that it is running.

use super::Worker;
use super::execution::{Part, begin, begin_named, end};
use super::member::Member;
#[cfg(feature = "tokio")]
use super::runtime_threads::CurrentTest;
use super::test_outcome::Outcome;
use crate::error::Error;
use crate::resource::Access;
use crate::sys::observer::{self, Attributed, ObservedTest};
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "tokio")]
use std::sync::Arc;

thread_local! {
    /// The execution that this thread works for, or 0 if it has to be looked up: at the first use and during a build.
    /// Separate from the state because it has no destructor, so reading it is one load.
    static EXECUTION: Cell<u64> = const { Cell::new(0) };
    static STATE: RefCell<ThreadState> =
        const { RefCell::new(ThreadState::new()) };
    static GUARDS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct ThreadState {
    /// Innermost last, each with the number that its guard refers to.
    scopes: Vec<(u64, WorkerScope)>,
    entered: u64,
    /// The test that the observer attributed the thread's accesses to before the first scope.
    observed: Option<ObservedTest>,
    /// The thread's worker outside all scopes.
    own: Option<OwnScope>,
    /// The test that the thread works for outside all scopes, on a thread of a worker's runtime.
    #[cfg(feature = "tokio")]
    of_runtime: Option<Arc<CurrentTest>>,
    /// Whether the thread's own test has ended before the thread.
    #[cfg(feature = "tokio")]
    is_over: bool,
}

#[derive(Clone)]
struct WorkerScope {
    worker: Worker,
    builds: Vec<u64>,
    /// Whether its test is ending on this thread.
    is_ending: bool,
}

impl WorkerScope {
    fn new(worker: Worker, builds: Vec<u64>) -> Self {
        Self {
            worker,
            builds,
            is_ending: false,
        }
    }
}

struct OwnScope {
    scope: WorkerScope,
    /// Whether the test ends with this thread.
    owns_test: bool,
    /// Keeps the lane for the test while this thread runs.
    _member: Option<Member>,
}

impl Drop for OwnScope {
    fn drop(&mut self) {
        EXECUTION.set(0);
        if self.owns_test {
            // A panic in a thread-local destructor aborts the process.
            let _ = catch_unwind(AssertUnwindSafe(|| end(&self.scope.worker)));
        }
    }
}

impl ThreadState {
    const fn new() -> Self {
        Self {
            scopes: Vec::new(),
            entered: 0,
            observed: None,
            own: None,
            #[cfg(feature = "tokio")]
            of_runtime: None,
            #[cfg(feature = "tokio")]
            is_over: false,
        }
    }

    /// Returns the worker if it is known; otherwise it has to be looked up.
    fn worker(&mut self) -> Result<Option<Worker>, Error> {
        if let Some(scope) = self.top() {
            return match scope.is_ending {
                true => Err(Error::test_over()),
                false => Ok(Some(scope.worker.clone())),
            };
        }
        #[cfg(feature = "tokio")]
        if self.is_over {
            return Err(Error::test_over());
        }
        #[cfg(feature = "tokio")]
        if let Some(test) = &self.of_runtime {
            return test.worker().ok_or_else(Error::test_over).map(Some);
        }
        Ok(None)
    }

    fn top(&mut self) -> Option<&mut WorkerScope> {
        match self.scopes.last_mut() {
            Some((_, scope)) => Some(scope),
            None => self.own.as_mut().map(|own| &mut own.scope),
        }
    }

    fn update_execution(&mut self) {
        let execution = self
            .top()
            .filter(|scope| scope.builds.is_empty() && !scope.is_ending)
            .map_or(0, |scope| scope.worker.0.number);
        EXECUTION.set(execution);
    }

    /// Makes the observer attribute the thread's accesses to the test of the innermost scope.
    fn attribute(&mut self) {
        let Some((_, scope)) = self.scopes.last() else {
            self.observed.take().and_then(ObservedTest::attribute);
            return;
        };
        let before = scope.worker.0.observed.and_then(ObservedTest::attribute);
        self.observed = self.observed.or(before);
    }
}

/// Returns the execution that this thread works for, or 0 if it has not been looked up or a build is running.
#[inline]
pub(crate) fn execution() -> u64 {
    match EXECUTION.get() {
        #[cfg(feature = "tokio")]
        0 => execution_of_runtime(),
        known => known,
    }
}

/// Returns the execution that the threads of a worker's runtime work for. It changes from test to test.
#[cfg(feature = "tokio")]
#[cold]
fn execution_of_runtime() -> u64 {
    let execution = STATE.try_with(|state| {
        let state = state.try_borrow().ok()?;
        let test = state.of_runtime.as_ref()?;
        state.scopes.is_empty().then(|| test.execution())
    });
    execution.ok().flatten().unwrap_or_default()
}

/// Makes this thread, one of a worker's runtime, work for the runtime's current test, or for none.
#[cfg(feature = "tokio")]
pub(super) fn work_for(test: Option<Arc<CurrentTest>>) {
    let before = STATE.try_with(|state| std::mem::replace(&mut state.borrow_mut().of_runtime, test));
    drop(before);
}

/// Returns whether this thread belongs to a worker's runtime.
#[cfg(feature = "tokio")]
pub(super) fn is_of_runtime() -> bool {
    let known = STATE.try_with(|state| state.try_borrow().is_ok_and(|state| state.of_runtime.is_some()));
    known.unwrap_or(false)
}

/// Ends the test of this thread before the thread ends. Does nothing on a thread that may have a further test.
#[cfg(feature = "tokio")]
pub(super) fn end_own_test() {
    if std::thread::current().name() == Some("main") {
        return;
    }
    let own = STATE.try_with(|state| {
        let mut state = state.borrow_mut();
        let own = state.own.take_if(|own| own.owns_test);
        state.is_over |= own.is_some();
        own
    });
    // The end calls user code, so the state must no longer be borrowed.
    drop(own);
}

/// Returns the worker of this thread, which the first call determines.
pub(crate) fn current() -> Result<Worker, Error> {
    let known = STATE.try_with(|state| state.borrow_mut().worker());
    match known.unwrap_or_else(|_| Err(Error::test_over()))? {
        Some(worker) => Ok(worker),
        None => {
            let (worker, part) = begin()?;
            let member = match part {
                Part::Child => Some(Member::new(&worker).ok_or_else(Error::test_over)?),
                Part::Owner | Part::None => None,
            };
            let scope = WorkerScope::new(worker.clone(), Vec::new());
            STATE.with(|state| {
                let mut state = state.borrow_mut();
                state.own = Some(OwnScope {
                    scope,
                    owns_test: part == Part::Owner,
                    _member: member,
                });
                state.update_execution();
            });
            Ok(worker)
        }
    }
}

/// Notes the outcome of the test that this thread works for, if it has used the library.
#[cold]
fn mark(outcome: Outcome) {
    // The last clone of a worker must be dropped after the state is no longer borrowed.
    let worker = STATE.try_with(|state| state.borrow_mut().worker());
    if let Ok(Ok(Some(worker))) = worker {
        worker.0.outcome.set(outcome);
    }
}

/// A part of a handle or guard, which notes a panic that drops it as the outcome of this thread's test.
///
/// Nothing else sees a panic: a thread-local's destructor runs after the runner has caught it, and a panic hook would be one
/// more thing that tests share.
#[derive(Debug)]
pub(crate) struct PanicWitness;

impl Drop for PanicWitness {
    #[inline]
    fn drop(&mut self) {
        if std::thread::panicking() {
            mark(Outcome::Panicked);
        }
    }
}

/// Notes that the body of this thread's test panicked. Only attributes call it, on the test's thread.
#[doc(hidden)]
pub fn mark_panicked() {
    mark(Outcome::Panicked);
}

/// Notes that the body of this thread's test returned an error. Only attributes call it, on the test's thread.
#[doc(hidden)]
pub fn mark_failed() {
    mark(Outcome::Failed);
}

/// Notes that the body of this thread's test returned and no error. Only attributes call it, on the test's thread.
#[doc(hidden)]
pub fn mark_passed() {
    mark(Outcome::Passed);
}

/// Returns the builds that this thread is running, outermost first.
pub(crate) fn builds() -> Vec<u64> {
    STATE
        .try_with(|state| state.borrow_mut().top().map(|scope| scope.builds.clone()))
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Marks this thread as running a build. Until the guard is dropped, its requests are that build's.
pub(crate) fn build(id: u64) -> Building {
    let _ = STATE.try_with(|state| {
        let mut state = state.borrow_mut();
        if let Some(scope) = state.top() {
            scope.builds.push(id);
        }
        state.update_execution();
    });
    Building {
        id,
        here: PhantomData,
    }
}

/// See [`build`].
pub(crate) struct Building {
    id: u64,
    here: PhantomData<*const ()>,
}

impl Drop for Building {
    fn drop(&mut self) {
        let _ = STATE.try_with(|state| {
            let mut state = state.borrow_mut();
            let state = &mut *state;
            let own = state.own.iter_mut().map(|own| &mut own.scope);
            // A factory may have entered a scope and kept its guard, so the build ends in every scope.
            for scope in state.scopes.iter_mut().map(|(_, scope)| scope).chain(own) {
                scope.builds.retain(|build| *build != self.id);
            }
            state.update_execution();
        });
    }
}

/// A scope in which its thread works for a worker, until this guard is dropped.
///
/// It is not `Send`, because a scope ends on the thread on which it began.
#[must_use = "the scope ends when the guard is dropped"]
#[derive(Debug)]
pub struct Entered {
    /// The number of the scope that this guard ends.
    number: u64,
    _member: Option<Member>,
    here: PhantomData<*const ()>,
}

impl Entered {
    /// Enters the worker to build for it, on any thread.
    pub(crate) fn to_build(worker: &Worker) -> Self {
        Self::new(worker, builds(), None)
    }

    /// Enters with the builds of the thread that handed the work over; `member` keeps the lane.
    pub(super) fn new(worker: &Worker, builds: Vec<u64>, member: Option<Member>) -> Self {
        let number = STATE.try_with(|state| {
            let mut state = state.borrow_mut();
            state.entered += 1;
            let number = state.entered;
            state
                .scopes
                .push((number, WorkerScope::new(worker.clone(), builds)));
            state.update_execution();
            state.attribute();
            number
        });
        Self {
            number: number.unwrap_or_default(),
            _member: member,
            here: PhantomData,
        }
    }
}

/// A test that [`Worker::begin`] began, until this guard is dropped.
///
/// It is not `Send`, because the test ends on the thread on which it began. Other threads and futures of the test get its
/// [worker](Self::worker).
#[must_use = "the test ends when the guard is dropped"]
#[derive(Debug)]
pub struct BegunTest {
    worker: Worker,
    /// Whether the test ends before the process.
    ends: bool,
    entered: Entered,
    /// Dropped when the test has ended.
    _observed: Attributed,
}

impl BegunTest {
    pub(super) fn new(name: &str) -> Result<Self, Error> {
        let observed = observer::for_test(name);
        let (worker, ends) = begin_named(name)?;
        let entered = Entered::new(&worker, Vec::new(), None);
        Ok(Self {
            worker,
            ends,
            entered,
            _observed: observed,
        })
    }

    /// Returns the worker of the test.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Ends the test with its outcome, which decides whether its [directory](Worker::test_dir) is kept.
    pub fn end(self, has_passed: bool) {
        let outcome = if has_passed {
            Outcome::Passed
        } else {
            Outcome::Failed
        };
        self.worker.0.outcome.set(outcome);
    }
}

impl Drop for BegunTest {
    fn drop(&mut self) {
        drop(PanicWitness);
        if !self.ends {
            return;
        }
        // Services that end must not request others.
        let _ = STATE.try_with(|state| {
            let mut state = state.borrow_mut();
            let mut scopes = state.scopes.iter_mut();
            if let Some((_, scope)) = scopes.find(|(number, _)| *number == self.entered.number) {
                scope.is_ending = true;
            }
            state.update_execution();
        });
        end(&self.worker);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // While the scope is that of its worker.
        drop(PanicWitness);
        let scope = STATE.try_with(|state| {
            let mut state = state.borrow_mut();
            let ended = state
                .scopes
                .iter()
                .rposition(|(number, _)| *number == self.number);
            let scope = ended.map(|index| state.scopes.remove(index));
            state.update_execution();
            state.attribute();
            scope
        });
        // The last clone of a worker must be dropped after the state is no longer borrowed.
        drop(scope);
    }
}

/// Returns the locks that protect an access by this thread: those that it declared, and those of its test, taken on any of
/// the test's threads. A shared lock protects reads only, because it does not exclude the writes of other holders.
pub(crate) fn guards(access: Access) -> Vec<String> {
    let mut names = GUARDS
        .try_with(|guards| guards.borrow().clone())
        .unwrap_or_default();
    let worker = STATE.try_with(|state| state.borrow_mut().worker());
    if let Ok(Ok(Some(worker))) = worker {
        names.extend(worker.locks(access));
    }
    names
}

/// A declared lock: until this guard is dropped, claims of its thread are guarded by that name.
#[must_use = "the lock counts as released when the guard is dropped"]
#[derive(Debug)]
pub struct Guarded {
    name: String,
    here: PhantomData<*const ()>,
    _witness: PanicWitness,
}

impl Guarded {
    pub(super) fn new(name: &str) -> Self {
        let _ = GUARDS.try_with(|guards| guards.borrow_mut().push(name.to_owned()));
        Self {
            name: name.to_owned(),
            here: PhantomData,
            _witness: PanicWitness,
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = GUARDS.try_with(|guards| {
            let mut guards = guards.borrow_mut();
            if let Some(index) = guards.iter().rposition(|name| *name == self.name) {
                guards.remove(index);
            }
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_scope_entered_in_a_factory_belongs_to_its_build() {
        let worker = Worker::current();
        assert_ne!(execution(), 0);
        let building = build(7);
        assert_eq!((builds(), execution()), (vec![7], 0));
        {
            let _scope = worker.enter();
            let _inner = build(8);
            assert_eq!(builds(), [7, 8]);
        }
        assert_eq!(builds(), [7]);
        drop(building);
        assert!(builds().is_empty());
        assert_eq!(execution(), worker.execution());
    }

    #[test]
    fn a_build_is_passed_on_with_the_work() {
        let worker = Worker::current();
        let _building = build(7);
        assert_eq!(worker.spawn(builds).join().unwrap(), [7]);
        let later = worker.wrap(builds);
        assert_eq!(std::thread::spawn(later).join().unwrap(), [7]);
    }

    #[test]
    fn a_build_ends_also_in_a_scope_that_its_factory_left_behind() {
        let worker = Worker::current();
        let building = build(7);
        let left_behind = worker.enter();
        drop(building);
        assert!(builds().is_empty());
        drop(left_behind);
        assert!(builds().is_empty());
    }
}
