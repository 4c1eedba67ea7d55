//! One active session in a namespace.

use super::lock_holders::Holder;
use super::resume::{self, Resumed};
use super::session::{NewSession, Owner, SessionId};
use super::session_lease::{self, Lease, Remains};
use super::{JobNumber, Ledger, LedgerError, clock, jobs_file, lease_file};
use rusqlite::{Connection, Row, Transaction, params};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// What to do while another session works in the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Be refused at once.
    No,
    /// Be refused after so long.
    AtMost(Duration),
    /// Wait until it is over.
    Forever,
}

/// A session that was admitted. Until it is dropped, or its process and the processes of its jobs have ended, no other
/// session is active in its namespace.
///
/// Dropped without [`finish`](Self::finish), the session counts as abandoned.
#[derive(Debug)]
pub struct Admitted {
    pub(super) ledger: Ledger,
    pub(super) id: SessionId,
    pub(super) lease: Lease,
    /// The ledger failed: nothing is recorded any more, and that was told.
    pub(super) failed: bool,
    /// The highest number that was given to a job here.
    pub(super) last_job: JobNumber,
    /// The highest number of a submitted job that was taken.
    pub(super) last_taken: JobNumber,
    /// As `PRAGMA data_version` said when submitted jobs were looked for.
    pub(super) seen: Option<i64>,
    /// Of submitted jobs that have not ended: the files that say what to run.
    pub(super) specs: HashMap<JobNumber, String>,
    resumed: Option<Resumed>,
}

/// Why a session was not admitted.
#[derive(Debug)]
pub enum NotAdmitted {
    /// Another one works in its namespace.
    Refused(Box<Refused>),
    /// The ledger cannot be used; the session may go on without it, after a warning.
    Ledger(LedgerError),
}

impl From<LedgerError> for NotAdmitted {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// Who is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub namespace: String,
    pub id: SessionId,
    pub name: String,
    pub scope: String,
    pub owner: Owner,
    /// Microseconds since 1970.
    pub since: u64,
    /// Microseconds since 1970, when it was refused.
    pub now: u64,
    /// Jobs that have ended, and all.
    pub jobs: (u64, u64),
    /// What of the session keeps the namespace taken.
    pub remains: Remains,
}

impl Refused {
    /// Says what is waited for, while it is.
    pub fn waiting(&self) -> String {
        let Self {
            id, namespace, owner, ..
        } = self;
        match &self.remains {
            Remains::Nothing | Remains::Owner => format!(
                "waiting until session {id}, process {}, is over: it works in the namespace {namespace:?}",
                owner.pid
            ),
            Remains::Guard(left) | Remains::Processes(left) => format!(
                "waiting until the processes of session {id} are gone: it worked in the namespace {namespace:?} and was \
                 killed{}",
                after(": ", left)
            ),
        }
    }
}

/// The processes, at most as many as a person reads, behind `before`; nothing if there are none.
fn after(before: &str, left: &[Holder]) -> String {
    const LISTED: usize = 5;
    if left.is_empty() {
        return String::new();
    }
    let more = left.len().saturating_sub(LISTED);
    let listed = Holder::list(&left[..left.len() - more]);
    match more {
        0 => format!("{before}{listed}"),
        more => format!("{before}{listed} and {more} more"),
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            namespace,
            owner,
            jobs,
            ..
        } = self;
        match &self.remains {
            Remains::Nothing | Remains::Owner => {}
            Remains::Guard(left) => {
                return write!(
                    f,
                    "session {id} of the namespace {namespace:?} was killed (process {}), and its jobs are still being \
                     stopped{}. Wait for that by `--wait`, or work beside it by `--run-namespace NAME`",
                    owner.pid,
                    after(": ", left)
                );
            }
            Remains::Processes(left) => {
                return write!(
                    f,
                    "session {id} of the namespace {namespace:?} was killed (process {}), and left processes \
                     running{}. End them, go on with that session by `--resume`, which ends them, wait by `--wait`, or \
                     work beside it by `--run-namespace NAME`",
                    owner.pid,
                    after(": ", left)
                );
            }
        }
        let seconds = Duration::from_secs(self.now.saturating_sub(self.since) / 1_000_000);
        let since = std::time::UNIX_EPOCH + Duration::from_micros(self.since);
        write!(
            f,
            "session {} works in the namespace {:?}: {}, process {}",
            self.id, self.namespace, self.scope, owner.pid
        )?;
        if !owner.host.is_empty() {
            write!(f, " on {}", owner.host)?;
        }
        write!(
            f,
            ", since {} ({}), {} of {} jobs ended. Wait for it by `--wait`, or work beside it by `--run-namespace \
             NAME`; `cargo cofferdam status --watch` shows how far it is",
            humantime::format_rfc3339_seconds(since),
            humantime::format_duration(seconds),
            jobs.0,
            jobs.1
        )
    }
}

/// How often a lease is looked at that is waited for with a bound: kernel locks have none of their own.
const LOOK: Duration = Duration::from_millis(20);

/// How often processes are looked for that no lock tells of.
const LOOK_FOR_PROCESSES: Duration = Duration::from_millis(200);

impl Ledger {
    /// Begins a session, unless another one is active in its namespace; `waiting` is told once for whom it waits.
    ///
    /// A session whose owner is dead is marked `abandoned` on the way. Costs 0.1 ms.
    ///
    /// # Errors
    /// When another session is active and `wait` is over, and when the ledger cannot be used.
    pub fn start_session(
        self,
        new: &NewSession,
        wait: Wait,
        mut waiting: impl FnMut(&Refused),
    ) -> Result<Admitted, NotAdmitted> {
        let mut begun = None;
        loop {
            let refused = match self.try_start(new) {
                Ok((id, lease, resumed)) => return Ok(Admitted::new(self, id, lease, resumed)),
                Err(NotAdmitted::Refused(refused)) => refused,
                Err(error) => return Err(error),
            };
            let first = begun.is_none();
            let begun = *begun.get_or_insert(refused.now);
            if first && wait != Wait::No {
                waiting(&refused);
            }
            let has_time = match wait {
                Wait::No => false,
                Wait::AtMost(most) => Duration::from_micros(refused.now.saturating_sub(begun)) < most,
                Wait::Forever => true,
            };
            if !has_time {
                return Err(NotAdmitted::Refused(refused));
            }
            let lock = match refused.remains {
                Remains::Nothing | Remains::Owner => Some(lease_file(&self.base, &refused.name)),
                Remains::Guard(_) => Some(jobs_file(&self.base, &refused.name)),
                Remains::Processes(_) => None,
            };
            match (lock, wait) {
                (Some(lock), Wait::Forever) => {
                    session_lease::wait(&lock).map_err(|source| LedgerError::io("lock", &lock, source))?;
                }
                (lock, _) => {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "a kernel lock is not waited for with a bound, and other users' processes not at all"
                    )]
                    std::thread::sleep(if lock.is_some() { LOOK } else { LOOK_FOR_PROCESSES });
                }
            }
        }
    }

    /// The same, once.
    fn try_start(&self, new: &NewSession) -> Result<(SessionId, Lease, Option<Resumed>), NotAdmitted> {
        let wrong = |source| self.wrong(source);
        // Who is refused most often is so without a transaction, which would keep others waiting.
        for mut other in active(&self.conn, &new.namespace).map_err(wrong)? {
            other.refused.remains = self.remains_of(&other.refused.name)?;
            if other.excludes(new) {
                return Err(NotAdmitted::Refused(other.refused));
            }
        }
        let change = self.begin()?;
        for mut other in active(&change, &new.namespace).map_err(wrong)? {
            other.refused.remains = self.remains_of(&other.refused.name)?;
            if other.excludes(new) {
                return Err(NotAdmitted::Refused(other.refused));
            }
            if other.is_over_for(new) {
                abandon(&change, other.refused.id).map_err(wrong)?;
            }
        }
        // Nobody knows of the session before the commit, and from then on its locks are held.
        let lease = Lease::take(&self.base, self.create_dir, &new.name)
            .map_err(|(path, source)| LedgerError::io("lock", &path, source))?;
        let started = insert(&change, new).and_then(|id| {
            let resumed = new.resume.then(|| resume::carry_over(&change, id, new));
            let resumed = resumed.transpose()?.flatten();
            change.commit().map(|()| (id, resumed))
        });
        match started {
            Ok((id, resumed)) => Ok((id, lease, resumed.map(|found| found.with_specs(&self.base)))),
            Err(source) => {
                lease.end();
                Err(wrong(source).into())
            }
        }
    }

    fn remains_of(&self, name: &str) -> Result<Remains, LedgerError> {
        Remains::of(&self.base, name)
            .map_err(|source| LedgerError::io("look at", &lease_file(&self.base, name), source))
    }

    /// Marks every session as abandoned of which nothing is left, in whatever namespace.
    pub(super) fn abandon_the_dead(&self, change: &Transaction<'_>) -> Result<(), LedgerError> {
        let wrong = |source| self.wrong(source);
        let mut found = change
            .prepare_cached("SELECT id, name FROM sessions WHERE status IN ('pending', 'running')")
            .map_err(wrong)?;
        let found = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let found: Result<Vec<(SessionId, String)>, _> = found.and_then(Iterator::collect);
        for (id, name) in found.map_err(wrong)? {
            if self.remains_of(&name)? == Remains::Nothing {
                abandon(change, id).map_err(wrong)?;
            }
        }
        Ok(())
    }
}

/// A session that is active as far as the ledger knows.
struct Active {
    beside: bool,
    refused: Box<Refused>,
}

impl Active {
    fn excludes(&self, new: &NewSession) -> bool {
        !self.is_over_for(new) && !self.beside && !new.beside
    }

    /// Whether the new session may mark it as abandoned. One that resumes it ends what it left.
    fn is_over_for(&self, new: &NewSession) -> bool {
        match self.refused.remains {
            Remains::Nothing => true,
            Remains::Processes(_) => new.resume && !self.beside,
            Remains::Owner | Remains::Guard(_) => false,
        }
    }
}

fn active(conn: &Connection, namespace: &str) -> rusqlite::Result<Vec<Active>> {
    let now = clock::now();
    let read = |row: &Row<'_>| {
        let refused = Box::new(Refused {
            namespace: namespace.to_owned(),
            id: row.get(1)?,
            name: row.get(2)?,
            scope: row.get(3)?,
            owner: Owner {
                pid: row.get(4)?,
                started: row.get(5)?,
                host: row.get(6)?,
            },
            since: row.get(7)?,
            now,
            jobs: (row.get(8)?, row.get(9)?),
            remains: Remains::Owner,
        });
        Ok(Active {
            beside: row.get(0)?,
            refused,
        })
    };
    let mut found = conn.prepare_cached(
        "SELECT beside, id, name, scope, pid, pid_started, host, started,
                completed + failed + cancelled + interrupted, jobs
         FROM sessions WHERE namespace = ? AND status IN ('pending', 'running') ORDER BY beside",
    )?;
    found.query_map([namespace], read)?.collect()
}

fn insert(change: &Transaction<'_>, new: &NewSession) -> rusqlite::Result<SessionId> {
    let owner = session_lease::owner();
    change
        .prepare_cached(
            "INSERT INTO sessions
                 (name, namespace, scope, takes_jobs, triggered_by, status, beside, pid, pid_started, host, revision,
                  started)
             VALUES (?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            new.name,
            new.namespace,
            new.scope,
            new.takes_jobs,
            new.trigger,
            new.beside,
            owner.pid,
            owner.started,
            owner.host,
            new.revision,
            clock::now(),
        ])?;
    Ok(change.last_insert_rowid())
}

/// Its owner is dead: what ran is interrupted, what waited was never begun.
fn abandon(change: &Transaction<'_>, id: SessionId) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "UPDATE attempts SET state = 'interrupted'
             WHERE state = 'running' AND (session, job) IN
                   (SELECT session, number FROM jobs WHERE session = ? AND state = 'running')",
        )?
        .execute([id])?;
    change
        .prepare_cached("UPDATE jobs SET state = 'interrupted' WHERE session = ? AND state = 'running'")?
        .execute([id])?;
    change
        .prepare_cached("UPDATE sessions SET status = 'abandoned', takes_jobs = 0 WHERE id = ?")?
        .execute([id])?;
    Ok(())
}

impl Admitted {
    fn new(ledger: Ledger, id: SessionId, lease: Lease, resumed: Option<Resumed>) -> Self {
        let carried = resumed.iter().flat_map(|found| &found.jobs).map(|job| job.number);
        let last_job = carried.max().unwrap_or(0);
        let specs = resumed.iter().flat_map(Resumed::specs).collect();
        Self {
            id,
            lease,
            ledger,
            failed: false,
            last_job,
            last_taken: last_job,
            seen: None,
            specs,
            resumed,
        }
    }

    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Returns the lock that keeps the namespace taken for as long as a process has it open.
    ///
    /// # Errors
    /// When no file can be opened any more.
    pub fn jobs_lock(&self) -> std::io::Result<std::fs::File> {
        self.lease.jobs()
    }

    /// What was taken over with [`NewSession::resume`], if there was something.
    pub fn resumed(&self) -> Option<&Resumed> {
        self.resumed.as_ref()
    }
}
