//! What is started once per run, or once per worker, although every test is a process.

use super::fault::{Fault, tail};
use super::handle::{self, Declared, Told};
use super::keeper::{self, Connection, Definition, LIMIT_OF_A_REPLY, Reply, Request};
use super::setup::Setup;
use crate::error::{self, BoxError, Error};
use crate::event::Event;
use crate::place::{self, Runner, sweep};
use crate::sys::clock::{self, Deadline};
use crate::sys::{observer, stderr};
use crate::worker::Worker;
use crate::{exit, journal};
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use std::any::type_name;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// Something outside the process that tests share: a server, a filled database, a container.
///
/// The first test that asks starts it; all others of the run, in whatever process, get the same handle; and when the
/// runner is gone, however it ended, it is torn down. A small process keeps it meanwhile, the *keeper*: the test binary,
/// run again.
///
/// The handle is what tests need to know, a URL say. It goes through JSON in a file that only you can read.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use cofferdam::Fixture;
/// use std::process::Command;
///
/// static MAIL: Fixture<String> = Fixture::per_run("mail", |setup| {
///     let outbox = setup.dir().join("outbox");
///     setup.spawn(Command::new("sh").arg("-c").arg("mkdir \"$0\"; exec sleep 600").arg(&outbox))?;
///     setup.wait_for("the outbox", std::time::Duration::from_secs(5), || outbox.exists())?;
///     Ok(outbox.display().to_string())
/// });
///
/// assert!(std::path::Path::new(MAIL.get().as_str()).exists());
/// # }
/// ```
///
/// A fixture may ask for others in its factory; they are stopped after it. In async code `get` blocks the thread while
/// the fixture starts, and for a fraction of a millisecond later.
pub struct Fixture<H> {
    name: &'static str,
    factory: fn(&Setup) -> Result<H, BoxError>,
    place: &'static Location<'static>,
    per_worker: bool,
    limit: Duration,
    attached: Mutex<BTreeMap<String, Attached<H>>>,
}

struct Attached<H> {
    handle: Arc<H>,
    /// Its end is the keeper's.
    connection: Connection,
    claims: Vec<Declared>,
    /// The executions that are known to use it; only while something is recorded.
    users: BTreeSet<u64>,
}

impl<H> Attached<H> {
    /// Says that the worker's test uses it, once.
    fn is_used_by(&mut self, worker: &Worker, key: &str, micros: u64) {
        if journal::is_on() && self.users.insert(worker.life()) {
            worker.record(|| Event::Attached {
                execution: worker.life(),
                fixture: key.to_owned(),
                micros,
            });
            self.claims.iter().for_each(|claim| claim.record(worker));
        }
    }
}

thread_local! {
    /// The fixtures that are being started on this thread's behalf, the outermost first.
    static STARTING: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl<H: Serialize + DeserializeOwned + Send + Sync + 'static> Fixture<H> {
    /// One for the whole run. `name` is its own among all test binaries of the run.
    #[track_caller]
    pub const fn per_run(name: &'static str, factory: fn(&Setup) -> Result<H, BoxError>) -> Self {
        Self::new(name, factory, false, Location::caller())
    }

    /// One for each worker of the run, kept while the run lasts: a lane's tests use it one after the other.
    #[track_caller]
    pub const fn per_worker(name: &'static str, factory: fn(&Setup) -> Result<H, BoxError>) -> Self {
        Self::new(name, factory, true, Location::caller())
    }

    const fn new(
        name: &'static str,
        factory: fn(&Setup) -> Result<H, BoxError>,
        per_worker: bool,
        place: &'static Location<'static>,
    ) -> Self {
        Self {
            name,
            factory,
            place,
            per_worker,
            limit: Duration::from_secs(60),
            attached: Mutex::new(BTreeMap::new()),
        }
    }

    /// How long a start may take; 60 s otherwise. A factory that takes longer is given up and what it did undone.
    #[must_use]
    pub const fn start_within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Its handle, after starting it if this is the first call in the run.
    ///
    /// # Panics
    /// On what [`try_get`](Self::try_get) returns as an error, with the whole story.
    #[track_caller]
    pub fn get(&self) -> Arc<H> {
        error::or_panic(self.try_get())
    }

    /// Its handle, after starting it if this is the first call in the run. A process's first call attaches, which takes
    /// a fraction of a millisecond; later ones cost a lock, a look-up and one system call.
    ///
    /// # Errors
    /// When it cannot be started, now or by whoever tried before in this attempt; when it stands no more; when another
    /// definition has its name; per worker also when there is no worker on this thread.
    pub fn try_get(&self) -> Result<Arc<H>, Error> {
        let worker = Worker::try_current();
        let key = match (self.per_worker, &worker) {
            (false, _) => self.name.to_owned(),
            (true, Ok(worker)) => format!("{}@{worker}", self.name),
            (true, Err(error)) => return Err(error.clone()),
        };
        if let Some(found) = self.attached().get_mut(&key)
            && found.connection.is_open()
        {
            if let Ok(worker) = &worker {
                found.is_used_by(worker, &key, 0);
            }
            return Ok(Arc::clone(&found.handle));
        }
        let starting = STARTING.with(|starting| starting.borrow().clone());
        if let Some(begin) = starting.iter().position(|known| *known == key) {
            let path = [&starting[begin..], std::slice::from_ref(&key)]
                .concat()
                .join(" -> ");
            return Err(self.failed(&key, format!("it needs itself: {path}")));
        }
        let begun = clock::now();
        let mut asking = Asking {
            fixture: self,
            run: place::run_dir()?,
            key,
            worker: worker.ok(),
        };
        let (mut attached, was_started) = asking.attach(starting)?;
        let handle = Arc::clone(&attached.handle);
        if let Some(worker) = &asking.worker {
            let micros = begun.elapsed().as_micros() as u64;
            if was_started {
                // What it claims was recorded when it was said.
                attached.users.insert(worker.life());
                worker.record(|| Event::Started {
                    execution: worker.life(),
                    fixture: asking.key.clone(),
                    micros,
                    place: self.place.to_string(),
                });
            }
            attached.is_used_by(worker, &asking.key, micros);
        }
        self.attached().insert(asking.key, attached);
        Ok(handle)
    }

    fn attached(&self) -> MutexGuard<'_, BTreeMap<String, Attached<H>>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, key: &str, reason: String) -> Error {
        Fault::Failed {
            fixture: key.to_owned(),
            reason,
        }
        .into()
    }
}

/// One call for a fixture that this process has no handle of.
struct Asking<'a, H> {
    fixture: &'a Fixture<H>,
    run: &'static Path,
    key: String,
    worker: Option<Worker>,
}

impl<H: Serialize + DeserializeOwned + Send + Sync + 'static> Asking<'_, H> {
    fn definition(&self) -> Definition {
        Definition {
            key: self.key.clone(),
            place: self.fixture.place.to_string(),
            handle: type_name::<H>().to_owned(),
        }
    }

    /// The handle, and whether it was started here.
    fn attach(&mut self, starting: Vec<String>) -> Result<(Attached<H>, bool), Error> {
        let fixture = || self.key.clone();
        let definition = self.definition();
        let facts = place::facts();
        let attempt = (facts.env)("NEXTEST_ATTEMPT")
            .and_then(|attempt| attempt.parse().ok())
            .unwrap_or(1);
        let request = Request::Want {
            definition: definition.clone(),
            attempt,
            pid: facts.pid,
        };
        let (mut connection, mut reply);
        let mut tries = 0;
        loop {
            connection = Connection::open(self.run).map_err(|reason| Fault::NoKeeper {
                fixture: fixture(),
                reason,
            })?;
            // The keeper is there, so what it kept stands: it need not find the time to say so.
            if let Ok(told) = Told::read(&keeper::folder(self.run, &self.key))
                && told.stands(&definition)
            {
                return Ok((self.attached(told, connection)?, false));
            }
            reply = connection.ask(&request, Deadline::after(LIMIT_OF_A_REPLY));
            if let Some(Reply::Starting { pid }) = reply {
                // Its starter gives up at the limit; undoing may take a moment longer.
                let waited = self.fixture.limit + LIMIT_OF_A_REPLY;
                reply = connection.hear(Deadline::after(waited));
                if reply.is_none() && connection.is_open() {
                    return Err(Fault::Busy {
                        fixture: fixture(),
                        pid,
                        waited,
                    }
                    .into());
                }
            }
            tries += 1;
            // A keeper that was killed meanwhile has a successor.
            if reply.is_some() || tries == 3 {
                break;
            }
        }
        match reply {
            Some(Reply::Ready) => Ok((self.read(connection)?, false)),
            Some(Reply::Yours) => {
                let connection = self.start(connection, starting)?;
                Ok((self.read(connection)?, true))
            }
            Some(Reply::Failed { reason }) => Err(self.fixture.failed(&self.key, reason)),
            Some(Reply::Ended { how }) => {
                let log = keeper::folder(self.run, &self.key).join("log");
                let tail = tail(&std::fs::read(log).unwrap_or_default());
                Err(Fault::Ended {
                    fixture: fixture(),
                    how,
                    tail,
                }
                .into())
            }
            Some(Reply::Other { place, handle }) => Err(Fault::Other {
                fixture: fixture(),
                here: format!("{} at {}", type_name::<H>(), self.fixture.place),
                there: format!("{handle} at {place}"),
            }
            .into()),
            _ => Err(Fault::Lost { fixture: fixture() }.into()),
        }
    }

    /// Runs the factory, for a while, and tells the keeper what came of it.
    fn start(&self, connection: Connection, mut starting: Vec<String>) -> Result<Connection, Error> {
        starting.push(self.key.clone());
        let (key, factory, limit) = (self.key.clone(), self.fixture.factory, self.fixture.limit);
        let (definition, worker) = (self.definition(), self.worker.clone());
        let folder = keeper::folder(self.run, &key);
        let cut = connection
            .to_cut()
            .map_err(|error| self.fixture.failed(&key, error.to_string()))?;
        let (done, finished) = mpsc::channel();
        let work = move || {
            // The test that comes first starts it for all.
            let _for_the_run = observer::for_the_run();
            STARTING.with(|here| here.replace(starting));
            let setup = Setup::new(&key, folder.clone(), connection, limit, worker);
            let built = catch_unwind(AssertUnwindSafe(|| factory(&setup)));
            let built = match built {
                Ok(Ok(built)) => serde_json::to_vec(&built)
                    .map_err(|error| format!("its handle cannot be written as JSON: {error}"))
                    .and_then(|text| {
                        let (processes, claims) = (setup.processes(), setup.claims());
                        handle::write(&folder, &definition, &processes, &claims, &text)
                    }),
                Ok(Err(error)) => Err(crate::error::chain(&*error)),
                Err(panic) => Err(format!("its factory panicked: {}", exit::last_words(panic))),
            };
            // Who gave up meanwhile is not there to hear it, and then nothing is kept.
            let _ = done.send((setup, built));
        };
        // A thread of its own, so that a factory that never returns can be given up.
        let no_thread = |error: std::io::Error| self.fixture.failed(&self.key, format!("no thread: {error}"));
        let thread = std::thread::Builder::new();
        let name = || format!("cofferdam-start-{}", self.fixture.name);
        match &self.worker {
            Some(worker) => thread.name(name()).spawn(worker.wrap(work)).map_err(no_thread)?,
            // Named it would pass for a test's.
            None => thread.spawn(work).map_err(no_thread)?,
        };
        let Ok((setup, built)) = finished.recv_timeout(limit) else {
            let log = std::fs::read(keeper::folder(self.run, &self.key).join("log")).unwrap_or_default();
            let reason = format!(
                "its factory did not return within {} s{}",
                limit.as_secs_f64(),
                tail(&log)
            );
            cut.with(&Request::Fail {
                reason: reason.clone(),
            });
            return Err(self.fixture.failed(&self.key, reason));
        };
        let failure = match built {
            Ok(()) => match setup.tell(&Request::Keep) {
                Some(Reply::Done { .. }) => {
                    if self.run.join(sweep::KEPT).exists() {
                        stderr::line(&format!(
                            "COFFERDAM_KEEP is set, so fixture `{}` stays after the run. To stop it: cargo cofferdam clean{}",
                            self.key,
                            if place::run().runner == Runner::Named || place::session().is_some() {
                                " --all"
                            } else {
                                ""
                            }
                        ));
                    }
                    return Ok(setup.into_connection());
                }
                Some(Reply::Ended { how }) => how,
                Some(Reply::Refused { reason }) => reason,
                _ => {
                    return Err(Fault::Lost {
                        fixture: self.key.clone(),
                    }
                    .into());
                }
            },
            Err(reason) => reason,
        };
        let reason = format!("{failure}{}", setup.tail());
        setup.tell(&Request::Fail {
            reason: reason.clone(),
        });
        Err(self.fixture.failed(&self.key, reason))
    }

    fn read(&self, connection: Connection) -> Result<Attached<H>, Error> {
        let folder = keeper::folder(self.run, &self.key);
        let told = Told::read(&folder);
        self.attached(
            told.map_err(|source| Error::io("read", &folder.join(keeper::HANDLE), source))?,
            connection,
        )
    }

    fn attached(&self, told: Told, mut connection: Connection) -> Result<Attached<H>, Error> {
        let handle = told.handle().map_err(|reason| Fault::Handle {
            fixture: self.key.clone(),
            path: told.path.clone(),
            handle: type_name::<H>(),
            reason,
        })?;
        connection.watch(&told.processes());
        Ok(Attached {
            handle: Arc::new(handle),
            connection,
            claims: told.claims(),
            users: BTreeSet::new(),
        })
    }
}

impl<H> fmt::Debug for Fixture<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
