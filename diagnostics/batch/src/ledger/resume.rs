//! Continues a session whose owner died.
//!
//! All its jobs are copied to the new session, with the states of those that had ended. After a second crash, a third
//! session therefore finds everything in the second.

use super::session::{JobNumber, JobState, NewSession, SessionId, Status};
use rusqlite::{OptionalExtension as _, Transaction, params};
use std::path::Path;

/// The session that is continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumedSession {
    pub id: SessionId,
    pub name: String,
    /// All its jobs, in order. In the new session, those that had ended keep their states; the others are pending.
    pub jobs: Vec<ResumedJob>,
}

/// A job of a continued session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumedJob {
    /// Its number, the same in both sessions.
    pub number: JobNumber,
    pub name: String,
    pub group: Option<String>,
    /// The state in which it had ended, or `Pending` if it has to run (again).
    pub state: JobState,
    pub spec: ResumedSpec,
}

/// The place where a resumed job is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResumedSpec {
    /// The arguments or the job file of the command, as the first time: the ledger does not know the job's command.
    Elsewhere,
    /// The job was submitted with this description.
    Submitted { file: String, spec: Vec<u8> },
    /// The job was submitted, and the file with its description is gone.
    Lost,
}

/// Copies the jobs of the namespace's last session into a new one, if that session was abandoned.
pub(super) fn carry_over(
    change: &Transaction<'_>,
    id: SessionId,
    new: &NewSession,
) -> rusqlite::Result<Option<ResumedSession>> {
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
    Ok(Some(ResumedSession {
        id: old,
        name,
        jobs: jobs.collect::<rusqlite::Result<_>>()?,
    }))
}

impl ResumedSession {
    /// Reads the descriptions of the submitted jobs that have to run.
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

    /// Returns the descriptions to remove when their jobs have ended.
    pub(super) fn specs(&self) -> impl Iterator<Item = (JobNumber, String)> {
        self.jobs.iter().filter_map(|job| match &job.spec {
            ResumedSpec::Submitted { file, .. } if job.state == JobState::Pending => {
                Some((job.number, file.clone()))
            }
            _ => None,
        })
    }
}
