//! The tokio runtime of a worker: kept from test to test, with the worker on each of its threads.
//!
//! Its public functions are for the attribute `#[cofferdam::test]` alone.

use super::execution::{AtEnd, at_test_end, lock};
use super::member::Member;
use super::runtime_threads::CurrentTest;
pub(crate) use super::runtime_threads::is_inside;
use super::{Worker, current};
use crate::error::{self, Error};
use crate::exit::{self, Cleanup};
use crate::sys::clock::{self, Deadline};
use crate::sys::stderr;
use once_cell::sync::OnceCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;
pub use tokio::runtime::Builder;
use tokio::runtime::{EnterGuard, Handle, Runtime};

/// The time that the end of a test waits for the tasks that it left on its runtime.
const PATIENCE: Duration = Duration::from_millis(50);

/// The time that the end of a test waits for threads of `spawn_blocking`. They are hardly ever busy then, and an idle one
/// needs a processor to end: on a busy machine 50 ms were too short.
const PATIENCE_WITH_THREADS: Duration = Duration::from_secs(1);

/// The time after which an idle thread of `spawn_blocking` ends. Short, because those that are left at the end of a test
/// count as busy: tokio does not say which are.
const KEEP_ALIVE: Duration = Duration::from_millis(1);

/// The kind of runtime that a test asks for.
#[derive(Clone, Copy, Debug)]
pub struct Flavor {
    builder: fn() -> Builder,
    is_multi_thread: bool,
    worker_threads: Option<usize>,
}

impl Flavor {
    /// A runtime that runs on the test's own thread.
    pub const fn current_thread() -> Self {
        Self {
            builder: Builder::new_current_thread,
            is_multi_thread: false,
            worker_threads: None,
        }
    }

    /// A runtime with threads of its own. `builder` is `Builder::new_multi_thread`, which exists only where the suite's tokio
    /// has the feature `rt-multi-thread`.
    pub const fn multi_thread(builder: fn() -> Builder, worker_threads: Option<usize>) -> Self {
        Self {
            builder,
            is_multi_thread: true,
            worker_threads,
        }
    }

    fn is(self, other: Self) -> bool {
        (self.is_multi_thread, self.worker_threads) == (other.is_multi_thread, other.worker_threads)
    }
}

/// A type that a test may return.
pub trait Outcome {
    /// Returns whether the test has failed.
    fn is_failure(&self) -> bool;
}

impl Outcome for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<T, E> Outcome for Result<T, E> {
    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

impl Outcome for ExitCode {
    fn is_failure(&self) -> bool {
        *self != Self::SUCCESS
    }
}

/// Runs the body of an async test on its worker's runtime, and ends the test.
#[track_caller]
pub fn block_on<R: Outcome>(flavor: Flavor, body: impl Future<Output = R>) -> R {
    let worker = Worker::current();
    let runtime = error::or_panic(WorkerRuntime::of(&worker, Some(flavor)));
    // The runtime's last owner may have to shut it down, so this one goes before the test ends.
    run_and_end(move || runtime.block_on(body))
}

/// Runs the body of a test that is not async, and ends the test.
#[track_caller]
pub fn run<R: Outcome>(body: impl FnOnce() -> R) -> R {
    // The test begins here, if nothing of it has begun before.
    let _worker = Worker::current();
    run_and_end(body)
}

fn run_and_end<R: Outcome>(body: impl FnOnce() -> R) -> R {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    match &outcome {
        Err(_) => current::mark_panicked(),
        Ok(result) if result.is_failure() => current::mark_failed(),
        Ok(_) => current::mark_passed(),
    }
    current::end_own_test();
    // The panic hook has run.
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// The runtimes of this process, by the ID of their worker.
static RUNTIMES: Mutex<Option<HashMap<String, Arc<WorkerRuntime>>>> = Mutex::new(None);

/// Returns the worker's runtime, if it has one.
fn known(worker: &Worker) -> Option<Arc<WorkerRuntime>> {
    lock(&RUNTIMES).as_ref()?.get(worker.id()).cloned()
}

/// The services that were built on a runtime, for which this module asks the locators.
pub(crate) struct ServicesOfRuntime {
    /// Returns whether the worker's lane has any.
    pub(crate) exist: fn(worker: &str, runtime: u64) -> bool,
    /// Returns whether the execution used any that start tasks after their factories.
    pub(crate) start_tasks: fn(worker: &str, runtime: u64, execution: u64) -> bool,
    /// Drops them, because their runtime has ended, and returns their names.
    pub(crate) end: fn(worker: &str, runtime: u64) -> Vec<String>,
}

static SERVICES: OnceCell<ServicesOfRuntime> = OnceCell::new();

/// The tasks on a runtime that are not the test's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServiceTasks {
    /// There are no services.
    None,
    /// Those that factories have started.
    OfFactories,
    /// Any task: tokio does not report the origin of one.
    Any,
}

/// Sets the functions that know the services.
pub(crate) fn of_services(services: ServicesOfRuntime) {
    let _ = SERVICES.set(services);
}

/// A worker's runtime.
pub(crate) struct WorkerRuntime {
    number: u64,
    flavor: Flavor,
    /// `None` once it is being shut down.
    runtime: Option<Runtime>,
    handle: Handle,
    test: Arc<CurrentTest>,
}

/// A reference to a worker's runtime that does not keep it running.
#[derive(Clone)]
pub(crate) struct RuntimeRef {
    /// Unique in this process.
    pub(crate) number: u64,
    handle: Handle,
    test: Arc<CurrentTest>,
}

impl WorkerRuntime {
    /// Returns the worker's runtime. It is created at first use, and anew for a test that asks for another flavor.
    pub(crate) fn of(worker: &Worker, flavor: Option<Flavor>) -> Result<Arc<Self>, Error> {
        let mut all = lock(&RUNTIMES);
        let all_here = all.get_or_insert_default();
        if let Some(known) = all_here.get(worker.id()) {
            let is_its_own = known.test.execution() == worker.execution();
            if is_its_own || flavor.is_none_or(|flavor| flavor.is(known.flavor)) {
                if !is_its_own {
                    known.test.begin(worker, known.alive_tasks());
                }
                return Ok(Arc::clone(known));
            }
        }
        let new = Arc::new(Self::new(worker, flavor.unwrap_or(Flavor::current_thread()))?);
        new.test.begin(worker, 0);
        let replaced = all_here.insert(worker.id().to_owned(), Arc::clone(&new));
        drop(all);
        if let Some(replaced) = replaced {
            replaced.retire(worker);
        }
        Ok(new)
    }

    fn new(worker: &Worker, flavor: Flavor) -> Result<Self, Error> {
        exit::register(shut_down_all);
        at_test_end(AtEnd::Runtime, end_test);
        let test = Arc::<CurrentTest>::default();
        let [starting, waking, stopping] = [(); 3].map(|()| Arc::clone(&test));
        let mut builder = (flavor.builder)();
        if let Some(threads) = flavor.worker_threads {
            builder.worker_threads(threads);
        }
        let runtime = builder
            .enable_all()
            // The `-` keeps it from being taken for a test.
            .thread_name(format!("cofferdam-{}", worker.id()))
            .thread_keep_alive(KEEP_ALIVE)
            .on_thread_start(move || {
                starting.start_thread();
                starting.attribute();
                current::work_for(Some(Arc::clone(&starting)));
            })
            // A thread that was started during one test also works for the next one.
            .on_thread_unpark(move || {
                if current::is_of_runtime() {
                    waking.attribute();
                }
            })
            .on_thread_stop(move || {
                current::work_for(None);
                stopping.stop_thread();
            })
            .build()
            .map_err(|source| Error::message(format!("could not start a tokio runtime: {source}")))?;
        let new = Self {
            number: clock::unique(),
            flavor,
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            test,
        };
        // Otherwise a thread that starts late would be taken for one that a test has left.
        let own_threads = new.own_threads();
        new.test
            .wait_for_threads(PATIENCE, |threads| threads >= own_threads);
        Ok(new)
    }

    fn own_threads(&self) -> usize {
        match self.flavor.is_multi_thread {
            true => self.handle.metrics().num_workers(),
            false => 0,
        }
    }

    pub(crate) fn block_on<R>(&self, future: impl Future<Output = R>) -> R {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("it is being dropped"),
        }
    }

    fn alive_tasks(&self) -> usize {
        self.handle.metrics().num_alive_tasks()
    }

    /// Returns the number of tasks and of closures on other threads that the test has left.
    fn left(&self, services: ServiceTasks) -> (usize, usize) {
        let known = match services {
            ServiceTasks::None => 0,
            ServiceTasks::OfFactories => self.test.tasks_of_services(),
            ServiceTasks::Any => usize::MAX,
        };
        (
            self.alive_tasks().saturating_sub(known),
            self.test.threads().saturating_sub(self.own_threads()),
        )
    }

    /// Gives tasks time to end, such as the task in which a pool takes back a connection.
    fn wait_for_tasks(&self, services: ServiceTasks) {
        let [for_tasks, for_threads] = [PATIENCE, PATIENCE_WITH_THREADS].map(Deadline::after);
        let is_done = || match self.left(services) {
            (0, 0) => true,
            (0, _) => for_threads.left().is_none(),
            _ => for_tasks.left().is_none(),
        };
        self.block_on(async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            while !is_done() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    /// Returns whether a test has paused or advanced tokio's clock, which has no way to say so.
    fn is_clock_changed(&self) -> bool {
        let _entered = self.handle.enter();
        let (before, now, after) = (clock::now(), tokio::time::Instant::now(), clock::now());
        !(before..=after).contains(&now.into_std())
    }

    /// Shuts the runtime down, which aborts its tasks, and drops the services that were built on it. Returns their names.
    fn retire(self: Arc<Self>, worker: &Worker) -> Vec<String> {
        let (number, test) = (self.number, Arc::clone(&self.test));
        test.end(Member::new(worker));
        drop(self);
        test.wait_for_threads(PATIENCE, |threads| threads == 0);
        SERVICES
            .get()
            .map(|services| (services.end)(worker.id(), number))
            .unwrap_or_default()
    }

    fn reference(&self) -> RuntimeRef {
        RuntimeRef {
            number: self.number,
            handle: self.handle.clone(),
            test: Arc::clone(&self.test),
        }
    }
}

impl Drop for WorkerRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed here: the last owner may be a task of another runtime.
            runtime.shutdown_background();
        }
    }
}

/// Ends a test on its worker's runtime, if it has one. The runtime is kept, unless the test has left anything on it.
fn end_test(worker: &Worker) {
    let Some(runtime) = known(worker) else { return };
    if runtime.test.execution() != worker.execution() {
        return;
    }
    let services = match SERVICES.get() {
        Some(of) if (of.start_tasks)(worker.id(), runtime.number, worker.execution()) => ServiceTasks::Any,
        Some(of) if (of.exist)(worker.id(), runtime.number) => ServiceTasks::OfFactories,
        _ => ServiceTasks::None,
    };
    // The test may end in a destructor of its thread, where tokio's own thread-locals are gone.
    let is_thread_over = Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed());
    let is_clock_changed = !is_thread_over && runtime.is_clock_changed();
    let may_wait = services != ServiceTasks::None && !is_thread_over && !is_clock_changed;
    if may_wait && runtime.left(services) != (0, 0) {
        runtime.wait_for_tasks(services);
    }
    let (tasks, closures) = runtime.left(services);
    if !is_clock_changed && (tasks, closures) == (0, 0) {
        runtime.test.end(None);
        return;
    }
    let has_failed = worker.is_known_to_fail();
    if let Some(all) = &mut *lock(&RUNTIMES) {
        all.remove(worker.id());
    }
    let services = runtime.retire(worker);
    // A test that failed had no chance to end its tasks, and the loss of services is what makes them worth a line.
    if !has_failed && !services.is_empty() {
        let test = worker.test().unwrap_or("an unnamed test");
        let cause = match (tasks, closures) {
            (0, 0) => "changed the clock of".to_owned(),
            (1, 0) => "left a task on".to_owned(),
            (0, _) => "left a closure of `spawn_blocking` on".to_owned(),
            (tasks, _) => format!("left {tasks} tasks on"),
        };
        let help = match tasks {
            0 => "",
            _ => {
                ". A `tokio::task::JoinSet` in the test aborts its tasks when it is dropped; if a service started them, \
                 declare that with `starts_tasks`"
            }
        };
        stderr::line(&format!(
            "{test} {cause} the runtime of worker {worker}, which is replaced; built on it and so built anew: {}{help}",
            services.join(", ")
        ));
    }
}

/// Returns the cleanups for the end of the process: each runtime ends after the services that were built on it.
fn shut_down_all() -> Vec<Cleanup> {
    let all = lock(&RUNTIMES).take().unwrap_or_default();
    let cleanup = |(worker, runtime): (String, Arc<WorkerRuntime>)| Cleanup {
        order: runtime.number,
        what: format!("the tokio runtime of worker {worker}"),
        run: Box::new(move || drop(runtime)),
    };
    all.into_iter().map(cleanup).collect()
}

/// Returns the worker's runtime if the calling thread is inside it; otherwise a description of where it is.
pub(crate) fn here(worker: &Worker) -> Result<RuntimeRef, String> {
    let Ok(here) = Handle::try_current() else {
        return Err("outside of a tokio runtime".to_owned());
    };
    match known(worker) {
        Some(runtime) if runtime.handle.id() == here.id() => Ok(runtime.reference()),
        _ => Err(format!("on tokio runtime {}", here.id())),
    }
}

impl RuntimeRef {
    /// Enters the runtime, for a `Drop` that needs one.
    pub(crate) fn enter(&self) -> Option<EnterGuard<'_>> {
        let is_possible = !Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed());
        is_possible.then(|| self.handle.enter())
    }

    /// Returns a description for messages.
    pub(crate) fn describe(&self) -> String {
        format!("tokio runtime {}", self.handle.id())
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(future);
    }

    pub(crate) fn alive_tasks(&self) -> usize {
        self.handle.metrics().num_alive_tasks()
    }

    /// Counts the tasks that a build has started as its service's: those since `before` were alive.
    ///
    /// Tasks that the test starts at the same time are counted too, because tokio says how many there are, and not whose.
    pub(crate) fn count_tasks_since(&self, before: usize) {
        let started = self.alive_tasks().saturating_sub(before);
        self.test.add_tasks_of_services(started);
    }
}
