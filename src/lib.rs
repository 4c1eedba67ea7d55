//! Each test worker its own services, and the name of whoever still touches another's.
//!
//! A *service* is what tests share because it is expensive or because it is a static: a client, a pool, a store in memory.
//! cofferdam builds one for each *worker*, a lane of tests that never overlap, where a static is one for all. **How long
//! it lives depends on the runner.** Under `cargo nextest run` every test is a process, so a service lives for one test.
//! Under `cargo test` it lives for the tests of its lane, one after the other, until the test binary ends. What has to
//! outlive a process (a server, a filled database) is a [`Fixture`]: started once per run, shared by all processes, torn
//! down when the runner is gone. Outside, each worker has a [name](Worker::id) and a [folder](Worker::dir) of its own.
//!
//! ```
//! use cofferdam::WorkerLocal;
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! // was: static STOCK: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Default::default);
//! static STOCK: WorkerLocal<Mutex<HashMap<String, u32>>> = WorkerLocal::new(|_| Ok(Mutex::default()));
//!
//! let stock = STOCK.get();        // this worker's own
//! stock.lock().unwrap().insert("tea".to_owned(), 3);
//! assert_eq!(STOCK.get().lock().unwrap()["tea"], 3);
//! ```
//!
//! Where tests still meet on a file, a port or a name, they say so with a [`claim`], and `cargo cofferdam run -- cargo test`
//! names both tests, the resource, and what would end it. The binary is the package `cargo-cofferdam`; a suite works without
//! it, and without it nothing is recorded. The guide, the formats and the answers to symptoms are in the repository's
//! `docs/`.
//!
//! # What to use
//!
//! | you have | use |
//! |---|---|
//! | a static that all tests share | [`WorkerLocal`] |
//! | code that asks a locator for what it needs, by type or trait | [`ServiceLocator`] |
//! | two services of one type | [`named`](LocatorBuilder::named) and [`get_named`](ServiceLocator::get_named) |
//! | what may not be needed at all; factories that need each other | [`lazy`](Context::lazy), a [`LazyProxy`] |
//! | what must be new in every test | [`per_test`](LocatorBuilder::per_test) |
//! | what is slow to build and quick to clean | [`reset`](LocatorBuilder::reset) |
//! | what is read only, or made for many threads | [`register_shared`](LocatorBuilder::register_shared) |
//! | a fake for one test | [`override_with`](ServiceLocator::override_with) |
//! | a test that must start from nothing | [`clear_worker`](ServiceLocator::clear_worker) |
//! | threads that a test starts | [`Worker::spawn`], or [`Worker::wrap`] for pools and scopes |
//! | a callback, a rayon closure | [`Worker::enter`] in it |
//! | futures on a multi-threaded runtime | `Worker::instrument`, with the feature `tokio` |
//! | a folder of one's own | [`lease_dir`] for a test, [`Worker::dir`] for a lane, [`Context::dir`] for a service |
//! | a folder for Unix sockets, whose paths are short | [`socket_dir`] |
//! | a port of one's own | [`lease_port`], [`lease_listener`] |
//! | a database, a bucket, a queue of one's own | [`Names`] |
//! | output that two runs must not mix | [`output_dir`], a [`Namespace`] |
//! | a file that others read or write meanwhile | [`write_atomic`], [`AtomicFile`]; [`Appender`] for lines |
//! | a server or database, started once for all processes | [`Fixture`] |
//! | a file, port or name that stays shared | [`claim`], or [`Context::claim`] for a service |
//! | what one test at a time may use | [`lock`], [`lock_shared`], [`try_lock`], [`LockOptions`] |
//! | a test that must run alone | `#[serial]`, `#[parallel]`, with the feature `serial` |
//! | a lock of another kind around it | [`guarded_by`] |
//! | a look at all caches, or at what was recorded, from a program | [`diagnostics`] |
//!
//! In short:
//!
//! ```text
//! static S: WorkerLocal<T> = WorkerLocal::new(fn(&Context) -> Result<T, BoxError>)
//! S.get() -> ServiceHandle<T>                        S.override_with(Arc<T>) -> OverrideGuard
//!
//! ServiceLocator::builder()
//!     .name("shop").capacity(50).build_timeout(60 s)
//!     .register::<T>(Fn(&Context) -> Result<Arc<T>, BoxError>)     T may be `dyn Trait`
//!         .named("replica")  .per_test()  .reset(Fn(&T) -> Result<(), BoxError>)
//!     .register_shared::<T>(…)
//!     .build() -> ServiceLocator
//! locator.get::<T>() -> ServiceHandle<T>             locator.lazy::<T>() -> LazyProxy<T>: Deref<Target = T>
//! locator.override_with::<T>(Arc<T>) -> OverrideGuard        .clear_worker()         .clear_all()
//!
//! static F: Fixture<H> = Fixture::per_run("name", fn(&Setup) -> Result<H, BoxError>)         per_worker  start_within
//! ServiceHandle<T>:  Deref<Target = T>  Clone  into_arc() -> Arc<T>
//!
//! F.get() -> Arc<H>                                  H: Serialize + Deserialize
//! Setup:    spawn  run  wait_for_port  wait_for  on_teardown  dir  log  lease_port  stop_signal  grace
//!
//! Context:  get  lazy  worker  dir  claim                                    what a factory may ask
//! Worker:   current  id  index  run  test  dir  spawn  wrap  enter  instrument
//! claim(Resource::port(8080), Access::Write) -> Claim        guarded_by("report") -> Guarded
//! lease_port() -> PortLease    lease_listener() -> (TcpListener, PortLease)    lease_dir() -> DirLease    socket_dir() -> DirLease
//! Names:    current  of_run  postgres_database  mysql_database  s3_bucket  redis_prefix  queue  …
//! write_atomic(path, bytes)    Appender::new(path).line("…")    output_dir(base) -> base/run_<namespace>/
//! lock("report") -> LockGuard                        try_lock("report") -> Result<Option<LockGuard>, Error>
//! ```
//!
//! `get` panics with the whole story, which suits tests; `try_get` returns it as an [`Error`].
//!
//! # Who is a worker
//!
//! A thread asks; the first of these that holds is its worker:
//!
//! 1. the scope that was entered on it: [`enter`](Worker::enter), [`wrap`](Worker::wrap), [`spawn`](Worker::spawn);
//! 2. `COFFERDAM_WORKER`, which pins a whole process, for programs that are no test suite;
//! 3. nextest's slot, for every thread of the process;
//! 4. a leased lane, for a test's own thread and for `main`: the smallest number that no running test has. Doctests and
//!    other processes of one run lease from each other by locks on files, so theirs differ too;
//! 5. none: an error that says how to hand one over. A guess would hand out another worker's database.
//!
//! So IDs are small, and unique among the tests of one run that run at one time. Two runs at once both have a `w0`: what
//! must differ between them too takes [`Worker::run`] as well.
//!
//! # Hazards
//!
//! **A service keeps its state from test to test, under one runner.** Under `cargo test` the next test in the lane finds
//! what the last one left; under nextest it finds nothing. A test that needs either passes under one runner only. Say
//! which is meant: `per_test` or `reset`. A service whose handle or proxy a test holds when it panics is not handed to the next
//! test: a lock in it may be poisoned. One that the test held earlier stays, and so does one that it holds as an `Arc`.
//!
//! ```
//! use cofferdam::ServiceLocator;
//! use std::sync::{Arc, Mutex};
//! #[derive(Default)]
//! struct Orders(Mutex<Vec<u32>>);
//! #[derive(Default)]
//! struct Basket(Mutex<Vec<u32>>);
//!
//! let locator = ServiceLocator::builder()
//!     .register::<Orders>(|_| Ok(Arc::default()))
//!         .reset(|orders| Ok(orders.0.lock().map_err(|error| error.to_string())?.clear()))
//!     .register::<Basket>(|_| Ok(Arc::default()))
//!         .per_test()
//!     .build();
//! # let locator2 = locator.clone();
//! # let test = move |name: &str| {
//! #     let locator = locator2.clone();
//! #     let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
//! #         assert!(locator.get::<Orders>().0.lock().unwrap().is_empty());
//! #         assert!(locator.get::<Basket>().0.lock().unwrap().is_empty());
//! #         locator.get::<Orders>().0.lock().unwrap().push(7);
//! #         locator.get::<Basket>().0.lock().unwrap().push(7);
//! #     });
//! #     thread.unwrap().join().unwrap()
//! # };
//! # test("a_test");
//! # test("the_next_test");
//! ```
//!
//! **What a factory takes from outside is everybody's.** Build inside of it.
//!
//! ```
//! # use cofferdam::ServiceLocator;
//! # use std::sync::Arc;
//! # struct Pool;
//! let pool = Arc::new(Pool);
//! let locator = ServiceLocator::builder()
//!     .register::<Pool>(move |_| Ok(Arc::clone(&pool)))       // one pool for all workers: reported as a conflict
//!     .register::<Pool>(|_| Ok(Arc::new(Pool))).named("own")  // one for each
//!     .build();
//! # let (own, others) = (locator.get_named::<Pool>("own"), locator.clone());
//! # let another_test = std::thread::Builder::new().name("another_test".to_owned());
//! # let others = another_test.spawn(move || others.get_named::<Pool>("own")).unwrap().join().unwrap();
//! # assert!(!std::ptr::eq(&*own, &*others));
//! ```
//!
//! **A handle, an `Arc` or a used proxy that a static keeps** carries one worker's service to every other. Ask in each test instead:
//! asking again is cheap.
//!
//! **Threads of a test have no worker of their own** under `cargo test`, and all have one under nextest, so a forgotten
//! `spawn` shows under `cargo test` only.
//!
//! ```
//! use cofferdam::{ServiceLocator, Worker};
//! use std::sync::Arc;
//! struct Clock;
//! let locator = ServiceLocator::builder().register::<Clock>(|_| Ok(Arc::new(Clock))).build();
//! let (here, there) = (locator.clone(), locator.clone());
//! Worker::current().spawn(move || here.get::<Clock>()).join().unwrap();
//!
//! let error = std::thread::spawn(move || there.try_get::<Clock>()).join().unwrap().err();
//! # if std::env::var_os("COFFERDAM_WORKER").is_none() {
//! assert!(error.unwrap().to_string().starts_with("no worker is known on a thread without a name"));
//! # }
//! ```
//!
//! **A guard in `_` is dropped at once.** `let _ = locator.override_with(fake)` ends where it begins, and so do a claim
//! and a scope; `let _fake = …` lives to the end of the block.
//!
//! **An override does not reach what is already held.** A handle that was got before, and a proxy that was used before,
//! are the old service, and so is a shared service that was built from the real one.
//!
//! **Factories that need each other are an error**, not a deadlock, also across threads and locators. `lazy` breaks the
//! circle, if the proxy is used only after building.
//!
//! ```
//! use cofferdam::{LazyProxy, ServiceLocator};
//! use std::sync::{Arc, Weak};
//! struct Orders(LazyProxy<Customers>);
//! struct Customers(Weak<Orders>);         // an `Arc` would hold them both for ever
//! let locator = ServiceLocator::builder()
//!     .register::<Orders>(|cx| Ok(Arc::new(Orders(cx.lazy()?))))
//!     .register::<Customers>(|cx| Ok(Arc::new(Customers(Arc::downgrade(&cx.get()?)))))
//!     .build();
//! let orders = locator.get::<Orders>().into_arc();
//! assert!(Weak::ptr_eq(&orders.0.0, &Arc::downgrade(&orders)));
//! ```
//!
//! **A lock keeps tests apart, not the threads of one test.** Another thread or task of the test that holds it gets an
//! error, because waiting could never end.
//!
//! **A claim locks nothing**, and neither does `guarded_by`: they say what is so.
//!
//! **A `Drop` must not ask for services.** At the end of a test or of the process it gets an error; keep in the value what
//! its `Drop` needs.
//!
//! # Compared with
//!
//! | | one for each | dropped | seen by a test's other threads | keeps tests apart in time |
//! |---|---|---|---|---|
//! | [`WorkerLocal`], [`ServiceLocator`] | worker: under nextest a test, under `cargo test` a lane | when cleared, evicted or at exit, newest first | yes, handed over | no need: each has its own |
//! | [`LazyLock`](std::sync::LazyLock) in a static | process | never | yes | no |
//! | [`thread_local!`](std::thread_local) | thread, and libtest starts one for each test | with its thread | no, each has its own | no |
//! | rstest `#[fixture]` | test | with its test | as any value | no |
//! | rstest `#[once]` | process | never | yes | no |
//! | serial_test | it holds no values | – | – | yes: threads, and processes with `file_serial` |
//! | pytest-xdist, session fixtures | worker process | when the worker ends | – | no |
//!
//! They go together: a static that cannot become a `WorkerLocal` stays under `#[serial]`, and [`guarded_by`] tells the
//! report so.
//!
//! # Questions
//!
//! **Does it make tests faster?** By itself no. It lets tests run side by side that had to wait for each other.
//!
//! **Why is everything built anew for each test under nextest?** Because each test is a process. Of a service that is
//! built often and slowly the report says how often and how long.
//!
//! **Why a handle and not a reference?** Because services are cleared, overridden, evicted and dropped at exit, while
//! somebody may hold them.
//!
//! **What if I hold on to a service?** It stays yours. It is not evicted while you hold it; after `clear_worker` it goes
//! on beside its successor, and the report says so.
//!
//! **May production code use it?** It is made for tests: outside them only `main` and threads that were handed a worker
//! have services. Let production code take what it needs as arguments, and the tests get that from a locator.
//!
//! **Does it work with `#[tokio::test]`, rstest, proptest, criterion?** Yes: they run a test's body on the test's own
//! thread, or a benchmark on `main`. What is spawned on a multi-threaded runtime needs `instrument`.
//!
//! **What does it write?** To disk, below `target/cofferdam`: a run's folder with lock files, folders that were asked for,
//! and journals if `COFFERDAM_RECORD` is set. Later runs remove the folders of unrecorded runs that are over, a few each;
//! `cargo cofferdam clean` removes them all. A small file for each lock's name stays, and the folder of a failed test
//! until the test runs again. The locks of leased ports, and of the
//! whole machine, are in the user's temporary folder. To standard error: warnings. To standard output: nothing. It does
//! not change the environment or the working directory, installs
//! no signal handler and no panic hook, and never leaves the process. A run with fixtures has a process of its own for
//! them, which ends with it.
//!
//! **What does recording change?** Each event is one `write`, and each use of a proxy is looked at. Nothing else: recording
//! never fails a test.
//!
//! # Limitations
//!
//! **Exit.** At the end of a process services are dropped newest first on a thread of its own, for 5 seconds at most; what
//! is left is named. That happens after `main` returns and on `process::exit`. It does not happen on a signal, `abort`,
//! `_exit`, or when nextest ends a test that takes too long, nor on Windows at all.
//!
//! **Who asks.**
//! - A thread without a name is nobody's; one that is named like a Rust path (`worker`, `a::b`) counts as a test of its
//!   own, and a second one of that name as nobody's. Name pool threads with a `-` in it, as tokio does.
//! - A harness of your own under `cargo test`: tests on `main` are all one test, tests on nameless threads have no worker.
//! - With `COFFERDAM_WORKER` a process is one worker and one test: what is `per_test` ends with it.
//! - A forked child keeps its parent's worker, and cleans nothing up.
//! - A nested run (a test that starts `cargo test`) is told from its parent by `/proc`, and so is the run that the test
//!   binaries of one `cargo test` share. Where there is no `/proc`, each process is a run of its own and says so once,
//!   unless `COFFERDAM_RUN_ID` names the run; and old folders are not removed.
//!
//! **Instances.**
//! - A worker is handed at most one instance of a service at a time, and a rebuild waits until the `Drop` of the one that
//!   the cache let go of has returned. If the last handle is yours, nobody sees when its `Drop` returns: two may overlap
//!   for that moment.
//! - `reset` runs where a lane passes from test to test: not under nextest, and not for shared services.
//! - `per_test` ends with the test's thread. Work that outlives its test by more than 50 ms keeps the lane, and what it
//!   builds then ends when the lane's next test begins.
//!
//! **Leases.** Ports are held against whoever leases them, as the same user and with the same temporary folder. While
//! nobody listens, a program that does not lease may take one.
//!
//! **Fixtures.** They are torn down by a process of their own, on Linux. Elsewhere each test process starts its own and
//! stops them at its normal end: after a signal they stay, and on Windows always. What leaves its process group is not
//! found again. If that process is killed together with the runner, commands for the teardown are lost.
//!
//! **What is seen.** Claims, and services that came from here. Other statics, files, ports and memory are not: a report
//! without conflicts says nothing about them, and its last line says what was watched. Which locks a test holds is seen
//! when it is first handed a service, not at its later uses: `get` under a lock, used again without it, counts as guarded.
//!
//! **Systems.** Linux on x86_64 is where all of it was run. macOS and Windows are built, and tested as far as the README's
//! table says.
//!
//! # Features
//!
//! - `serial`: the attributes `#[serial]` and `#[parallel]`. It brings `cofferdam-macros`, which has no dependencies.
//! - `tokio`: `Worker::instrument` and `lock_async`. It names no crate: any runtime's futures will do.

pub mod diagnostics;
mod error;
mod event;
mod exit;
mod file;
mod fixture;
pub mod format;
mod journal;
mod lease;
mod locator;
mod lock;
mod names;
mod namespace;
mod resource;
mod run;
mod sys;
mod worker;
/// Runs the test beside others that are `parallel` with the same key, and apart from those that are [`serial`](macro@serial).
///
/// `#[parallel]` is [`lock_shared("serial")`](lock_shared), `#[parallel(db)]` is `lock_shared("db")`; all else is as there.
#[cfg(feature = "serial")]
pub use cofferdam_macros::parallel;
/// Keeps the test apart from all others with the same key: threads, processes and concurrent runs of the workspace.
///
/// `#[serial]` is [`lock("serial")`](lock) for as long as the test's body runs, `#[serial(db)]` is `lock("db")`, and
/// `#[serial(db, cache)]` both, always taken in one order. The spelling is serial_test's, so a suite moves over by its
/// `use`; there `#[serial]` keeps apart the threads of one process only. On a module it counts for each of its tests
/// that has none of its own. `crate = path` says where cofferdam is, `inner_attrs` and `path` are refused.
///
/// ```
/// use cofferdam::{parallel, serial};
/// #[serial(db)]           // beside `#[test]`, above it or below
/// fn migrates() {}
///
/// #[parallel(db)]
/// fn reads() -> Result<(), std::fmt::Error> { Ok(()) }
/// # migrates();
/// # reads().unwrap();
/// ```
///
/// It works on `async` tests and on those that return a `Result`. Below `#[rstest]` the fixtures are made under the lock
/// too; above it is an error. A lock that cannot be had within 300 seconds makes a test fail, also one that is
/// `#[should_panic]`: that one ends without a panic and says why on standard error.
///
/// The wait counts as the test's time: under nextest pair it with a test group of one thread, as the guide shows.
#[cfg(feature = "serial")]
pub use cofferdam_macros::serial;
pub use error::{BoxError, Error};
pub use file::{Appender, AtomicFile, write_atomic};
pub use fixture::{Fixture, Setup, StopSignal};
pub use lease::{DirLease, PortLease, lease_dir, lease_listener, lease_port, socket_dir};
pub use locator::{
    Context, LazyProxy, LocatorBuilder, Nothing, OverrideGuard, ServiceHandle, ServiceLocator, WorkerLocal,
};
#[cfg(feature = "tokio")]
pub use lock::lock_async;
#[cfg(feature = "serial")]
#[doc(hidden)]
pub use lock::serial as __serial;
pub use lock::{LockGuard, LockOptions, lock, lock_shared, try_lock, try_lock_shared};
pub use names::Names;
pub use namespace::{Namespace, NamespaceHold, output_dir};
pub use resource::{Access, Resource, ResourceKind, Scope};
pub use run::base_dir;
#[doc(hidden)]
pub use run::private_dir as __private_dir;
#[cfg(feature = "tokio")]
pub use worker::Instrumented;
pub use worker::{Claim, Entered, Guarded, Worker, claim, guarded_by};

#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
mod guide {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
