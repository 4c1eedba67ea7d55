//! Per-worker services for Rust tests, and a report of the tests that still share state.
//!
//! A *service* is a value that tests share because it is expensive or because it is a static: a client, a pool, an
//! in-memory store. cofferdam builds one per *worker*, a sequence of tests that never overlap, where a static is one for
//! the whole process. **The lifetime of a service depends on the runner.** Under `cargo nextest run` every test is a
//! process, so a service serves one test. Under `cargo test` it serves its worker's tests one after the other, until the
//! test binary ends. A server or a filled database, which has to outlive a process, is a [`Fixture`] (feature `fixtures`):
//! started once per run, shared by all processes, and torn down after the runner has ended. For external resources, each
//! worker has a unique [name](Worker::id) and [directory](Worker::dir).
//!
//! ```
//! use cofferdam::WorkerLocal;
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! // was: static STOCK: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Default::default);
//! static STOCK: WorkerLocal<Mutex<HashMap<String, u32>>> = WorkerLocal::new(|_| Ok(Mutex::default()));
//!
//! let stock = STOCK.get();        // this worker's value
//! stock.lock().unwrap().insert("tea".to_owned(), 3);
//! assert_eq!(STOCK.get().lock().unwrap()["tea"], 3);
//! ```
//!
//! Where tests still share a file, a port or a name, they declare it with a [`claim`], and `cargo cofferdam run -- cargo test`
//! reports both tests, the resource, and a change that prevents the conflict. The binary is in the package
//! `cargo-cofferdam`. A suite works without it; then nothing is recorded. The guide, the formats and the troubleshooting
//! page are in the repository's `docs/`.
//!
//! # What to use
//!
//! | situation | use |
//! |---|---|
//! | a static that all tests share | [`WorkerLocal`] |
//! | code that gets its dependencies from a locator, by type or trait | [`ServiceLocator`] |
//! | two services of one type | [`named`](locator::LocatorBuilder::named) and [`get_named`](ServiceLocator::get_named) |
//! | a service that may not be needed; factories that need each other | [`lazy`](Context::lazy), a [`LazyProxy`](locator::LazyProxy) |
//! | a static in production code | [`WorkerLocal`] in tests, the plain static in releases: the guide's page on statics |
//! | a service or static that must be new in every test | [`per_test`](locator::LocatorBuilder::per_test), [`WorkerLocal::per_test`] |
//! | one that is slow to build and quick to clean | [`reset`](locator::LocatorBuilder::reset), [`WorkerLocal::reset`] |
//! | read-only data, or a type made for many threads | [`register_shared`](locator::LocatorBuilder::register_shared) |
//! | a fake for one test | [`override_with`](ServiceLocator::override_with) |
//! | a test that needs fresh services | [`clear_worker`](ServiceLocator::clear_worker) |
//! | threads that a test starts | [`Worker::spawn`], or [`Worker::wrap`] for pools and scopes |
//! | a harness that is not libtest | [`Worker::begin`] |
//! | a callback, a rayon closure | [`Worker::enter`] in the closure |
//! | an async test; a pool of connections for all tests of a worker | `#[cofferdam::test]` and [`WorkerLocal`]'s `new_async`, with the features `macros` and `tokio` |
//! | futures on a runtime of your own | [`Worker::instrument`] |
//! | a temporary directory | [`Worker::test_dir`] for a test, [`lease::dir`] for a part of one, [`Worker::dir`] for a worker, [`Context::dir`] for a service |
//! | a directory for Unix sockets, whose paths must be short | [`lease::socket_dir`] |
//! | an environment variable, the working directory | [`environment::set_env`], [`environment::set_current_dir`] |
//! | a free port | [`lease::port`], [`lease::listener`]; [`lease::ports`] for consecutive ones |
//! | a database, a bucket, a queue with a unique name | [`Names`] |
//! | output that two runs must not mix | [`namespace::output_dir`], a [`Namespace`](namespace::Namespace) |
//! | a file that other processes read or write at the same time | [`file::write_atomic`], [`file::AtomicFile`]; [`file::Appender`] for lines |
//! | a server or database, started once for all processes | [`Fixture`]; [`Setup::container`](fixture::Setup::container), with the feature `fixtures` |
//! | a file, port or name that tests share | [`claim`], or [`Context::claim`] for a service |
//! | a resource for one test at a time | [`lock()`], [`lock::lock_shared`], [`lock::try_lock`], [`lock::LockOptions`] |
//! | a test that must not run beside others | `#[serial]`, `#[parallel]`, with the feature `macros` |
//! | a test that changes variables, the working directory, a static of another crate | `#[isolated]`, with the feature `macros` |
//! | a lock of another kind that protects a resource | [`lock::guarded_by`] |
//! | the state of all caches, or recorded data, in a program | [`diagnostics`], [`mod@format`] |
//!
//! In short:
//!
//! ```text
//! static S: WorkerLocal<T> = WorkerLocal::new(fn(&Context) -> Result<T, BoxError>)   .per_test()  .reset(fn(&T) -> Result<(), BoxError>)
//! static A: WorkerLocal<T> = WorkerLocal::new_async(&|AsyncContext| async { Result<T, BoxError> })       A.get_async().await
//! S.get() -> ServiceHandle<T>                        S.override_with(Arc<T>) -> OverrideGuard
//!
//! ServiceLocator::builder()
//!     .name("shop").capacity(50).build_timeout(60 s)
//!     .register::<T>(Fn(&Context) -> Result<Arc<T>, BoxError>)     T may be `dyn Trait`
//!         .named("replica")  .per_test()  .reset(Fn(&T) -> Result<(), BoxError>)
//!     .register_shared::<T>(…)    .register_async::<T, _>(…)
//!     .build() -> ServiceLocator
//! locator.get::<T>() -> ServiceHandle<T>             locator.lazy::<T>() -> LazyProxy<T>: Deref<Target = T>
//! locator.override_with::<T>(Arc<T>) -> OverrideGuard        .clear_worker()         .clear_all()
//!
//! static F: Fixture<H> = Fixture::per_run("name", fn(&Setup) -> Result<H, BoxError>)         per_worker  reset  start_within
//! ServiceHandle<T>:  Deref<Target = T>  Clone  into_arc() -> Arc<T>
//!
//! F.get() -> Arc<H>                                  H: Serialize + Deserialize
//! Setup:    spawn  run  container  wait_for_port  wait_for_http  wait_for_log  wait_for  on_teardown  dir  log  name
//!           lease_port  lease_ports  claim  stop_signal  grace
//!
//! Context:  get  lazy  worker  dir  claim                                    for factories
//! Worker:   current  begin  id  index  run  test  dir  test_dir  spawn  wrap  enter  instrument
//! environment::set_current_dir(path) -> EnvGuard     unsafe set_env(name, value) -> EnvGuard     unsafe remove_env(name) -> EnvGuard
//! claim(Resource::port(8080), Access::Write) -> Claim        lock::guarded_by("report") -> Guarded
//! lease::port() -> PortLease    listener() -> (TcpListener, PortLease)    dir() -> DirLease    socket_dir() -> DirLease
//! Names:    current  of_test  of_run  postgres_database  mysql_database  s3_bucket  redis_prefix  queue  …
//! file::write_atomic(path, bytes)    Appender::new(path).line("…")    namespace::output_dir(base) -> base/run_<namespace>/
//! lock("report") -> LockGuard                        lock::try_lock("report") -> Result<Option<LockGuard>, Error>
//! ```
//!
//! `get` panics with the full error message, which suits tests; `try_get` returns an [`Error`].
//!
//! # The worker of a thread
//!
//! The worker of a thread is the first of these that applies:
//!
//! 1. the scope that was entered on the thread: [`enter`](Worker::enter), [`wrap`](Worker::wrap), [`spawn`](Worker::spawn);
//! 2. `COFFERDAM_WORKER`, which sets the worker of a whole process, for programs that are not test suites;
//! 3. nextest's slot, for every thread of the process;
//! 4. a lease, for a test's own thread and for `main`: the smallest number that no running test has. Doctests and other
//!    processes of one run lease from each other by file locks, so theirs differ too;
//! 5. none: an error that says how to pass a worker on. Guessing could hand the thread another worker's database.
//!
//! So IDs are small, and unique among the tests of one run that run at the same time. Two concurrent runs both have a `w0`:
//! names that must differ between runs include [`Worker::run`] too.
//!
//! # Hazards
//!
//! **A service keeps its state from test to test, under one runner.** Under `cargo test` the worker's next test finds the
//! state that the last one left; under nextest it finds none. A test that relies on either passes under one runner only.
//! State the intent: `per_test` or `reset`. A service whose handle or proxy a test holds when it panics is not passed to the
//! next test, because a lock in it may be poisoned. A service that the test held earlier stays, and so does one that it
//! holds as an `Arc`.
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
//! **A value that a factory captures is shared by all workers.** Build it inside the factory.
//!
//! ```
//! # use cofferdam::ServiceLocator;
//! # use std::sync::Arc;
//! # struct Pool;
//! let pool = Arc::new(Pool);
//! let locator = ServiceLocator::builder()
//!     .register::<Pool>(move |_| Ok(Arc::clone(&pool)))       // one pool for all workers: reported as a conflict
//!     .register::<Pool>(|_| Ok(Arc::new(Pool))).named("own")  // one pool per worker
//!     .build();
//! # let (own, others) = (locator.get_named::<Pool>("own"), locator.clone());
//! # let another_test = std::thread::Builder::new().name("another_test".to_owned());
//! # let others = another_test.spawn(move || others.get_named::<Pool>("own")).unwrap().join().unwrap();
//! # assert!(!std::ptr::eq(&*own, &*others));
//! ```
//!
//! **A handle, an `Arc` or a used proxy in a static** carries one worker's service to all others. Call `get` in each test
//! instead: a repeated call is cheap.
//!
//! **Threads that a test starts have no worker** under `cargo test`, and all have one under nextest, so a missing
//! [`Worker::spawn`] is noticed under `cargo test` only.
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
//! **A guard in `_` is dropped at once.** `let _ = locator.override_with(fake)` ends immediately, and so do a claim and a
//! scope; `let _fake = …` lasts to the end of the block.
//!
//! **An override does not affect references that exist.** A handle obtained before, and a proxy used before, remain the old
//! service, and so does a shared service that was built from the real one.
//!
//! **Factories that need each other are an error**, not a deadlock, also across threads and locators. `lazy` breaks the
//! cycle, if the proxy is used only after building.
//!
//! ```
//! use cofferdam::ServiceLocator;
//! use cofferdam::locator::LazyProxy;
//! use std::sync::{Arc, Weak};
//! struct Orders(LazyProxy<Customers>);
//! struct Customers(Weak<Orders>);         // an `Arc` would keep both alive forever
//! let locator = ServiceLocator::builder()
//!     .register::<Orders>(|cx| Ok(Arc::new(Orders(cx.lazy()?))))
//!     .register::<Customers>(|cx| Ok(Arc::new(Customers(Arc::downgrade(&cx.get()?)))))
//!     .build();
//! let orders = locator.get::<Orders>().into_arc();
//! assert!(Weak::ptr_eq(&orders.0.0, &Arc::downgrade(&orders)));
//! ```
//!
//! **A lock excludes tests from each other, not the threads of one test.** Another thread or task of the test that holds it
//! gets an error, because the wait could never end.
//!
//! **A claim locks nothing**, and neither does `guarded_by`: both are declarations.
//!
//! **A `Drop` must not request services.** At the end of a test or of the process the request fails; keep the values that a
//! `Drop` needs in the value itself.
//!
//! # Compared with
//!
//! | | one per | dropped | available on a test's other threads | excludes tests in time |
//! |---|---|---|---|---|
//! | [`WorkerLocal`], [`ServiceLocator`] | worker: under nextest a test, under `cargo test` a sequence of tests | when cleared, evicted or at exit, newest first | yes, if the worker is passed on | not needed: each has its own |
//! | [`LazyLock`](std::sync::LazyLock) in a static | process | never | yes | no |
//! | [`thread_local!`](std::thread_local) | thread, and libtest starts one for each test | with its thread | no, each has its own | no |
//! | rstest `#[fixture]` | test | with its test | like any value | no |
//! | rstest `#[once]` | process | never | yes | no |
//! | serial_test | it holds no values | – | – | yes: threads, and processes with `file_serial` |
//! | pytest-xdist, session fixtures | worker process | when the worker ends | – | no |
//!
//! They combine: a static that cannot become a `WorkerLocal` stays under `#[serial]`, and [`lock::guarded_by`] declares that
//! to the report.
//!
//! # Questions
//!
//! **Does it make tests faster?** Not by itself. It lets tests run in parallel that had to wait for each other.
//!
//! **Why is everything rebuilt for each test under nextest?** Because each test is a process. For a service that is built
//! often and slowly, the report gives the count and the time.
//!
//! **Why a handle and not a reference?** Because services are cleared, overridden, evicted and dropped at exit while other
//! references may exist.
//!
//! **What happens to a service that I keep?** Your reference stays valid. A service in use is not evicted; after
//! `clear_worker` it exists beside its successor, and the report says so.
//!
//! **May production code use it?** It is made for tests: outside them, only `main` and threads that a worker was passed to
//! have services. Let production code take its dependencies as arguments, and let the tests get them from a locator. A static
//! can be a `WorkerLocal` in tests only, by a feature; releases then do not depend on cofferdam.
//!
//! **Does it work with `#[tokio::test]`, rstest, proptest, criterion?** Yes: they run a test's body on the test's own
//! thread, or a benchmark on `main`. Other threads of a runtime have the worker under `#[cofferdam::test]`.
//!
//! **What does it write?** On disk, below `target/cofferdam`: one directory per run with lock files, requested directories, and
//! journals if `COFFERDAM_RECORD` is set. Each later run removes a few directories of unrecorded runs that have ended;
//! `cargo cofferdam clean` removes all of them. A small file for each lock's name stays, and the directory of a failed test
//! until the test runs again. The locks of leased ports and of the whole machine are in the user's temporary directory. On
//! standard error: warnings. On standard output: only what an `#[isolated]` test printed in its process. It installs no
//! signal handler and no panic hook (except in such a process), never exits the process, and changes the environment and the
//! working directory only by [`environment`]. A run with fixtures has an extra process for them, which ends with the run.
//!
//! **What does recording change?** Each event is one `write`, and each use of a proxy is checked. Recording never fails a
//! test.
//!
//! # Limitations
//!
//! **Exit.** At the end of a process, services are dropped newest first on a separate thread, for at most 5 seconds; those
//! that are left are reported by name. That happens after `main` returns and on `process::exit`. It does not happen on a
//! signal, `abort`, `_exit`, or when nextest ends a test that takes too long, nor on Windows.
//!
//! **Threads and workers.**
//! - A thread without a name belongs to no test. A thread whose name looks like a Rust path (`worker`, `a::b`) counts as a
//!   test of its own. A second one of that name belongs to the same test if the name has a `::`, otherwise to none. Name pool
//!   threads with a `-`, as tokio does.
//! - A custom harness under `cargo test`: without [`Worker::begin`], tests on `main` are all one test, and tests on unnamed
//!   threads have no worker.
//! - With `COFFERDAM_WORKER`, a process is one worker and one test: `per_test` services end with it.
//! - A forked child keeps its parent's worker and cleans nothing up.
//! - A nested run (a test that starts `cargo test`) is distinguished from its parent by `/proc`, and so is the run that the
//!   test binaries of one `cargo test` share. Without `/proc`, each process is a run of its own and warns once, unless
//!   `COFFERDAM_RUN_ID` names the run; and old directories are not removed.
//!
//! **Instances.**
//! - A worker has at most one instance of a service at a time, and a rebuild waits until the `Drop` of the one that the
//!   cache gave up has returned. If the last handle is yours, the end of its `Drop` is not known: two may overlap briefly.
//! - `reset` runs between the tests of one worker in one process: not under nextest, and not for shared services.
//! - `per_test` services end with the test's thread. Work that outlives its test by more than 50 ms keeps the worker
//!   reserved, and services that it builds then end when the worker's next test begins.
//!
//! **Leases.** A port is reserved against other leases of the same user with the same temporary directory. While nothing
//! listens on it, a program that does not lease may take it.
//!
//! **Fixtures.** On Linux they are torn down by a separate process. Elsewhere each test process starts its own and stops them
//! at its normal end: after a signal they stay, and on Windows always. Processes that leave their process group are not
//! found there. If that separate process is killed together with the runner, commands for the teardown run at the next run
//! or `clean`.
//!
//! **Coverage of the report.** It knows claims and the services of this crate. Other statics, files, ports and memory are
//! not recorded: a report without conflicts says nothing about them, and its last line states what was watched. The locks
//! of a test are recorded when it first gets a service, not at later uses: a service obtained under a lock and used again
//! without it counts as guarded.
//!
//! **Systems.** Linux on x86_64 runs all tests. The README's table says what others have run.
//!
//! # Features
//!
//! - `fixtures`: [`Fixture`] and the module [`fixture`]. It adds `serde_core` and `serde_json`, and 70% to the time of the first
//!   build: `docs/design/performance.md` has the cost of each feature.
//! - `macros`: the attributes `#[serial]`, `#[parallel]` and `#[isolated]`. It adds `cofferdam-macros`, which has no
//!   dependencies.
//! - `tokio`: a tokio runtime for each worker, async factories and `lock_async`; with `macros` also `#[cofferdam::test]`. It adds
//!   tokio 1.49 or later with its features `rt` and `time`.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod diagnostics;
pub mod environment;
mod error;
mod event;
mod exit;
pub mod file;
#[cfg(feature = "fixtures")]
pub mod fixture;
pub mod format;
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod isolated;
mod journal;
mod json_value;
pub mod lease;
pub mod locator;
pub mod lock;
mod names;
pub mod namespace;
mod resource;
mod run;
mod sys;
pub mod worker;

/// Runs the test in a process of its own, with its own environment variables, working directory, umask and statics.
///
/// Under `cargo test`, the test process runs its program again for this test, repeats its output, and fails as it fails. Under
/// nextest, each test has a process: without arguments, the test just runs. Arguments change the new process before it
/// starts, so that constructors and lazy statics see them; with them, the test has a new process under nextest too:
///
/// - `env(NAME = value, …)` and `env_remove(NAME, …)`: variables. A value is anything that is `AsRef<OsStr>`.
/// - `dir = path`, `umask = 0o077`.
/// - `limits(open_files = n, file_size = bytes, memory = bytes)`.
/// - `timeout = "30s"` (or `"500ms"`, `"2m"`, a number of seconds): then the test fails, and its process group is killed.
/// - `crate = path`: the path of cofferdam.
///
/// Values are expressions, evaluated in the test process, and their temporaries live until the test has ended. `tmp` is the path
/// of a new directory, which is removed after the test unless the test fails.
///
/// ```
/// # #[cfg(unix)] {
/// use cofferdam::isolated;
/// #[isolated(env(HOME = tmp, CONFIG = tmp.join("config"), LANG = "C"), dir = tmp)]
/// fn reads_its_configuration() {      // and `#[test]`, above it or below
///     assert_eq!(std::env::var("LANG").unwrap(), "C");
///     std::fs::write("config", "").unwrap();
///     assert!(std::path::PathBuf::from(std::env::var("CONFIG").unwrap()).exists());
/// }
/// # reads_its_configuration();
/// # }
/// ```
///
/// It works on tests that return a `Result` or are `#[should_panic]`, above and below `#[tokio::test]`, `#[rstest]` (below its cases)
/// and `#[serial]`. The process is the same [`Worker`] and execution as the test process, and has its locks; services are built
/// anew. It ends with the test process, however that ends. A process that ends before the test returns fails the test, and so
/// does one that does not reach the test within 10 seconds, because it waits for a lock that the test process holds.
///
/// Costs a process: less than half of what nextest takes for a test. Needs Unix and the harness of `#[test]`.
#[cfg(feature = "macros")]
pub use cofferdam_macros::isolated;
/// Runs the test in parallel with others that are `parallel` with the same key, but not with those that are
/// [`serial`](macro@serial).
///
/// `#[parallel]` is [`lock_shared("serial")`](lock::lock_shared), `#[parallel(db)]` is `lock_shared("db")`; otherwise it is
/// like [`serial`](macro@serial).
#[cfg(feature = "macros")]
#[doc(alias = "file_parallel")]
pub use cofferdam_macros::parallel;
/// Excludes all other tests with the same key: in other threads, processes and concurrent runs of the workspace.
///
/// `#[serial]` is [`lock("serial")`](lock()) for the duration of the test's body, `#[serial(db)]` is `lock("db")`, and
/// `#[serial(db, cache)]` takes both, always in one order. The syntax is that of serial_test, so a suite only has to change
/// its `use`; there, `#[serial]` excludes only threads of one process, and `#[file_serial]` corresponds to this attribute.
/// On a module it applies to each of its tests without an attribute of its own. `crate = path` sets the path of cofferdam;
/// `inner_attrs` and `path` are not supported.
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
/// It works on `async` tests and on tests that return a `Result`. Below `#[rstest]`, the fixtures are created under the lock
/// too; above it is an error. A lock that is not free within 300 seconds fails the test, also one that is
/// `#[should_panic]`: that one ends without a panic and writes the reason to standard error.
///
/// The wait counts as the test's time: under nextest, combine it with a test group of one thread, as the guide shows.
#[cfg(feature = "macros")]
#[doc(alias = "file_serial")]
pub use cofferdam_macros::serial;
/// Runs a test on the runtime of its worker, and ends the test when its body returns.
///
/// The runtime lives as long as the worker: under `cargo test` it serves the worker's tests one after the other, and so do
/// the services that are built on it, such as a pool of connections. Each of its threads and each task on it has the
/// worker. Under nextest every test is a process and has its own.
///
/// ```
/// use cofferdam::{Worker, WorkerLocal};
/// # struct Pool;
/// # impl Pool {
/// #     async fn connect() -> Result<Self, std::io::Error> { Ok(Self) }
/// #     async fn select(&self) -> Result<u32, std::io::Error> { Ok(1) }
/// # }
///
/// static POOL: WorkerLocal<Pool> = WorkerLocal::new_async(&|_| async { Ok(Pool::connect().await?) });
///
/// #[cofferdam::test]
/// async fn one_is_one() -> Result<(), std::io::Error> {
///     let pool = POOL.get_async().await;
///     tokio::spawn(async { Worker::current() }).await.unwrap();
///     assert_eq!(pool.select().await?, 1);
///     Ok(())
/// }
/// ```
///
/// The arguments are `flavor = "multi_thread"` and `worker_threads = 2`, spelled as in `#[tokio::test]`, and `crate = path`.
/// A test that asks for another flavor than the worker's last one gets a new runtime. `start_paused` is not supported.
///
/// When the body has returned, tasks of the test have 50 ms to end if services were built on the runtime. If tasks, or
/// closures of `spawn_blocking`, are left then, or the clock was paused, the runtime is shut down, which aborts the tasks;
/// the services are built anew, and a line on standard error says so. Keep the tasks of a test in a `tokio::task::JoinSet`,
/// which aborts them when it is dropped. A task that cannot be aborted keeps the worker reserved, as a thread does.
///
/// It works on functions that are not async too; they have no runtime. Results, `#[should_panic]`, `#[ignore]` and
/// [`serial`](macro@serial) mean what they do on other tests. It belongs below `#[rstest]`.
#[cfg(all(feature = "macros", feature = "tokio"))]
pub use cofferdam_macros::test;
pub use error::{BoxError, Error};
#[cfg(feature = "fixtures")]
pub use fixture::Fixture;
pub use locator::{Context, ServiceLocator, WorkerLocal};
pub use lock::lock;
pub use names::Names;
pub use resource::{Access, Resource};
pub use worker::{Worker, claim};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/start.md")]
#[doc = include_str!("../docs/guide/async.md")]
#[doc = include_str!("../docs/guide/best-practices.md")]
#[doc = include_str!("../docs/guide/claims.md")]
#[cfg_attr(feature = "fixtures", doc = include_str!("../docs/guide/databases.md"))]
#[doc = include_str!("../docs/guide/environment.md")]
#[doc = include_str!("../docs/guide/fakes.md")]
#[cfg_attr(feature = "fixtures", doc = include_str!("../docs/guide/fixtures.md"))]
#[doc = include_str!("../docs/guide/directories-and-names.md")]
#[doc = include_str!("../docs/guide/lifetimes.md")]
#[doc = include_str!("../docs/guide/isolated.md")]
#[doc = include_str!("../docs/guide/locator.md")]
#[doc = include_str!("../docs/guide/locks.md")]
#[doc = include_str!("../docs/guide/namespaces.md")]
#[doc = include_str!("../docs/guide/ports.md")]
#[doc = include_str!("../docs/guide/serial.md")]
#[doc = include_str!("../docs/guide/shared-files.md")]
#[doc = include_str!("../docs/guide/statics.md")]
#[doc = include_str!("../docs/guide/threads.md")]
mod pages {}
