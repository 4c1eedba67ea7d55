//! What a session left whose owner died, taken over by the next one.
//!
//! All its jobs are copied, those that had ended as they ended: so a third session, after a second crash, finds
//! everything in the second.

use super::session::{NewSession, SessionId, Status};
use super::{JobNumber, JobState};
use rusqlite::{OptionalExtension as _, Transaction, params};
use std::path::Path;

/// The session whose owner died, and that is gone on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    pub id: SessionId,
    pub name: String,
    /// All its jobs, in order. Those that had ended are in the new session as they ended; the others are pending there.
    pub jobs: Vec<ResumedJob>,
}

/// A job that was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumedJob {
    /// Its number, in the new session as in the old one.
    pub number: JobNumber,
    pub name: String,
    pub group: Option<String>,
    /// How it ended, or `Pending` if it has to be run (again).
    pub state: JobState,
    pub spec: ResumedSpec,
}

/// Where it is said what a resumed job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResumedSpec {
    /// In the command's arguments or its job file, as the first time: the ledger does not know it.
    Elsewhere,
    /// It was submitted, with this.
    Submitted { file: String, spec: Vec<u8> },
    /// It was submitted, and the file with what it runs is gone.
    Lost,
}

/// Copies the jobs of the namespace's last session into a new one, if that session was abandoned.
pub(super) fn carry_over(
    change: &Transaction<'_>,
    id: SessionId,
    new: &NewSession,
) -> rusqlite::Result<Option<Resumed>> {
    let last: Option<(SessionId, String, Status)> = change
        .query_row(
            "SELECT id, name, status FROM sessions WHERE namespace = ? AND id < ? ORDER BY id DESC LIMIT 1",
            params![new.namespace, id],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let Some((old, name, Status::Abandoned)) = last else {
        return Ok(None);
    };
    change.execute(
        "INSERT INTO jobs (session, number, name, \"group\", state, submitted, carried, spec, command)
         SELECT ?2, number, name, \"group\",
                CASE WHEN state IN ('pending', 'interrupted') THEN 'pending' ELSE state END,
                submitted, state NOT IN ('pending', 'interrupted'), spec, command
         FROM jobs WHERE session = ?1",
        params![old, id],
    )?;
    change.execute("UPDATE sessions SET resumes = ? WHERE id = ?", params![old, id])?;
    let mut jobs = change
        .prepare("SELECT number, name, \"group\", state, spec FROM jobs WHERE session = ? ORDER BY number")?;
    let jobs = jobs.query_map([id], |row| {
        let spec: Option<String> = row.get(4)?;
        Ok(ResumedJob {
            number: row.get(0)?,
            name: row.get(1)?,
            group: row.get(2)?,
            state: row.get(3)?,
            spec: spec.map_or(ResumedSpec::Elsewhere, |file| ResumedSpec::Submitted {
                file,
                spec: Vec::new(),
            }),
        })
    })?;
    Ok(Some(Resumed {
        id: old,
        name,
        jobs: jobs.collect::<rusqlite::Result<_>>()?,
    }))
}

impl Resumed {
    /// Reads what the submitted jobs run that are to be run.
    pub(super) fn with_specs(mut self, base: &Path) -> Self {
        for job in &mut self.jobs {
            if let ResumedSpec::Submitted { file, spec } = &mut job.spec
                && job.state == JobState::Pending
            {
                match std::fs::read(base.join(&*file)) {
                    Ok(read) => *spec = read,
                    Err(_) => job.spec = ResumedSpec::Lost,
                }
            }
        }
        self
    }

    /// The files that can go when their job has ended.
    pub(super) fn specs(&self) -> impl Iterator<Item = (JobNumber, String)> {
        self.jobs.iter().filter_map(|job| match &job.spec {
            ResumedSpec::Submitted { file, .. } if job.state == JobState::Pending => {
                Some((job.number, file.clone()))
            }
            _ => None,
        })
    }
}
