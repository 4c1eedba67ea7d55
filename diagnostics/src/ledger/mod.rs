//! What sessions did, in one SQLite file that every process may use at once.
//!
//! The only room that names rusqlite. Plain data goes in and comes out: it knows neither commands nor the terminal, and
//! nothing of how jobs are executed. Its words:
//!
//! - A *session* is one `cargo cofferdam run`: a namespace, an owner, jobs. One at a time is active in a namespace,
//!   which the database itself holds to (a partial unique index).
//! - The *lease* is a kernel lock on the owner's file. It is gone with its process, so whoever can have it knows that
//!   the owner is dead: there is no heartbeat.
//! - A *job* is one command of a session, known by its number in it and by the name that the user gave it. What it
//!   runs is not written down: arguments may hold secrets.
//! - *Unrecorded*: a session whose ledger failed in mid-run goes on, after one warning.
//!
//! Who writes: [`Ledger::open`], [`Ledger::start_session`], then [`Admitted`]. Who reads: [`Reader`], which never waits
//! for a session and never keeps one waiting. docs/ledger.md tells it to people.

mod admit;
mod backup;
mod clock;
mod error;
mod finish;
mod history;
mod holders;
mod job;
mod lease;
mod reader;
mod retain;
mod schema;
mod session;
mod submit;

pub(crate) use admit::{Admitted, NotAdmitted, Refused, Resumed, ResumedJob, Wait};
pub(crate) use backup::{Backup, BackupError};
pub(crate) use error::LedgerError;
pub(crate) use finish::{Finished, NewConflict};
pub(crate) use history::{Attempt, Conflict, Counts, Filter, Job, Session, Success};
pub(crate) use holders::Holder;
pub(crate) use job::{JobEnd, JobNumber, JobState, NewJob};
pub(crate) use reader::{Log, Reader};
pub(crate) use retain::Removed;
pub(crate) use session::{NewSession, Owner, SessionId, Status, Trigger};
pub(crate) use submit::{NotSubmitted, Submission};

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::Duration;
