//! What a thread is doing right now: whose worker it is, and which builds it stands in.

use super::Worker;
use super::execution::{Life, begin, end};
use crate::error::Error;
use crate::resource::Access;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

thread_local! {
    /// The life this thread works for, 0 when that has to be looked up: first touch, or a build is going on.
    /// Apart from the seat because it has no destructor: reading it is one load.
    static STAMP: Cell<u64> = const { Cell::new(0) };
    static SEAT: RefCell<Seat> = const { RefCell::new(Seat { scopes: Vec::new(), entered: 0, own: None }) };
    static GUARDS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Seat {
    /// Innermost last, each with the number its guard knows it by.
    scopes: Vec<(u64, Scope)>,
    entered: u64,
    /// What the thread is without any scope.
    own: Option<Own>,
}

#[derive(Clone)]
struct Scope {
    worker: Worker,
    builds: Vec<u64>,
}

struct Own {
    scope: Scope,
    /// Whether the test ends when this thread does.
    owns_test: bool,
}

impl Drop for Own {
    fn drop(&mut self) {
        STAMP.set(0);
        if self.owns_test {
            // A panic in a thread-local destructor aborts the process.
            let _ = catch_unwind(AssertUnwindSafe(|| end(&self.scope.worker)));
        }
    }
}

impl Seat {
    fn top(&mut self) -> Option<&mut Scope> {
        match self.scopes.last_mut() {
            Some((_, scope)) => Some(scope),
            None => self.own.as_mut().map(|own| &mut own.scope),
        }
    }

    fn stamp(&mut self) {
        let stamp = self
            .top()
            .filter(|scope| scope.builds.is_empty())
            .map_or(0, |scope| scope.worker.0.life);
        STAMP.set(stamp);
    }
}

/// The life this thread works for, if it was asked for before and no build is going on; else 0.
#[inline]
pub(crate) fn stamp() -> u64 {
    STAMP.get()
}

/// The worker of this thread, found out at the first call.
pub(crate) fn current() -> Result<Worker, Error> {
    let known = SEAT.try_with(|seat| seat.borrow_mut().top().map(|scope| scope.worker.clone()));
    match known {
        Err(_) => Err(Error::test_over()),
        Ok(Some(worker)) => Ok(worker),
        Ok(None) => {
            let (worker, owns_test) = begin()?;
            let scope = Scope {
                worker: worker.clone(),
                builds: Vec::new(),
            };
            SEAT.with(|seat| {
                let mut seat = seat.borrow_mut();
                seat.own = Some(Own { scope, owns_test });
                seat.stamp();
            });
            Ok(worker)
        }
    }
}

/// The builds this thread stands in, outermost first.
pub(crate) fn builds() -> Vec<u64> {
    SEAT.try_with(|seat| seat.borrow_mut().top().map(|scope| scope.builds.clone()))
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// This thread builds; until the guard is dropped what it asks for is asked by that build.
pub(crate) fn build(id: u64) -> Building {
    let _ = SEAT.try_with(|seat| {
        let mut seat = seat.borrow_mut();
        if let Some(scope) = seat.top() {
            scope.builds.push(id);
        }
        seat.stamp();
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
        let _ = SEAT.try_with(|seat| {
            let mut seat = seat.borrow_mut();
            let seat = &mut *seat;
            let own = seat.own.iter_mut().map(|own| &mut own.scope);
            // A factory may have entered a scope and kept its guard: the build is over in every scope.
            for scope in seat.scopes.iter_mut().map(|(_, scope)| scope).chain(own) {
                scope.builds.retain(|build| *build != self.id);
            }
            seat.stamp();
        });
    }
}

/// While this guard lives, its thread works for the worker that was entered.
///
/// It stays on its thread: sent to another one it would end a scope there that began here.
#[must_use = "the scope ends when the guard is dropped"]
#[derive(Debug)]
pub struct Entered {
    /// Of the scope that this guard ends.
    number: u64,
    _member: Option<Member>,
    here: PhantomData<*const ()>,
}

impl Entered {
    /// Enters for what is built for the worker, wherever that is.
    pub(crate) fn to_build(worker: &Worker) -> Self {
        Self::new(worker, builds(), None)
    }

    /// Enters with the builds of whoever handed the work over; `member` keeps the lane.
    pub(super) fn new(worker: &Worker, builds: Vec<u64>, member: Option<Member>) -> Self {
        let number = SEAT.try_with(|seat| {
            let mut seat = seat.borrow_mut();
            seat.entered += 1;
            let number = seat.entered;
            let worker = worker.clone();
            seat.scopes.push((number, Scope { worker, builds }));
            seat.stamp();
            number
        });
        Self {
            number: number.unwrap_or_default(),
            _member: member,
            here: PhantomData,
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let scope = SEAT.try_with(|seat| {
            let mut seat = seat.borrow_mut();
            let ended = seat.scopes.iter().rposition(|(number, _)| *number == self.number);
            let scope = ended.map(|place| seat.scopes.remove(place));
            seat.stamp();
            scope
        });
        // The last clone of a worker is dropped with the seat free again.
        drop(scope);
    }
}

/// Work that belongs to a test and may outlive it: while it is there the lane stays the test's.
#[derive(Debug)]
pub(super) struct Member(Arc<Life>);

impl Member {
    pub(super) fn new(worker: &Worker) -> Option<Self> {
        worker.0.lease.join().then(|| Self(Arc::clone(&worker.0)))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.lease.leave();
    }
}

/// What keeps others away from what is now done to a resource: what this thread said it holds, and the locks of its
/// test, whichever of the test's threads took them. A lock that is shared guards who reads; it keeps no other reader
/// from writing.
pub(crate) fn guards(access: Access) -> Vec<String> {
    let mut names = GUARDS
        .try_with(|guards| guards.borrow().clone())
        .unwrap_or_default();
    let worker = SEAT.try_with(|seat| seat.borrow_mut().top().map(|scope| scope.worker.clone()));
    if let Ok(Some(worker)) = worker {
        names.extend(worker.locks(access));
    }
    names
}

/// Says that this thread holds a lock of that name: claims made while the guard lives are guarded by it.
#[must_use = "the lock counts as released when the guard is dropped"]
#[derive(Debug)]
pub struct Guarded {
    name: String,
    here: PhantomData<*const ()>,
}

impl Guarded {
    pub(super) fn new(name: &str) -> Self {
        let _ = GUARDS.try_with(|guards| guards.borrow_mut().push(name.to_owned()));
        Self {
            name: name.to_owned(),
            here: PhantomData,
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
    fn who_enters_in_a_factory_still_stands_in_its_build() {
        let worker = Worker::current();
        assert_ne!(stamp(), 0);
        let building = build(7);
        assert_eq!((builds(), stamp()), (vec![7], 0));
        {
            let _scope = worker.enter();
            let _inner = build(8);
            assert_eq!(builds(), [7, 8]);
        }
        assert_eq!(builds(), [7]);
        drop(building);
        assert!(builds().is_empty());
        assert_eq!(stamp(), worker.life());
    }

    #[test]
    fn a_build_goes_with_the_work_that_is_handed_over() {
        let worker = Worker::current();
        let _building = build(7);
        assert_eq!(worker.spawn(builds).join().unwrap(), [7]);
        let later = worker.wrap(builds);
        assert_eq!(std::thread::spawn(later).join().unwrap(), [7]);
    }

    #[test]
    fn a_build_is_over_also_in_a_scope_that_its_factory_left_behind() {
        let worker = Worker::current();
        let building = build(7);
        let left_behind = worker.enter();
        drop(building);
        assert!(builds().is_empty());
        drop(left_behind);
        assert!(builds().is_empty());
    }
}
