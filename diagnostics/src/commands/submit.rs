//! `submit`: submits a job to the active session.

use super::{Refused, here};
use crate::cli::SubmitArgs;
use cofferdam::namespace::Namespace;
use cofferdam_batch::executor::job::JobId;
use cofferdam_batch::jobs::spec::{self, JobSpec};
use cofferdam_batch::ledger::{JobNumber, Ledger, NewJob, Reader, SessionId, SubmitError};
use std::error::Error;
use std::path::Path;

/// A submitted job.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) session: SessionId,
    pub(crate) namespace: String,
    pub(crate) job: JobNumber,
    pub(crate) name: String,
}

pub(crate) fn submit(args: &SubmitArgs) -> Result<Submitted, Box<dyn Error>> {
    let dir = here::working_dir();
    let mut job = spec::from_words(JobId(1), args.command.clone()).map_err(|what| Refused::new(&what))?;
    if let Some(name) = &args.name {
        job.name = spec::checked_name(name.clone()).map_err(|what| Refused::new(&what))?;
    }
    job.group.clone_from(&args.group);
    job.timeout = args.timeout.map(|timeout| timeout.0);
    job.retries = args.retries;
    job.cwd = Some(dir.clone());
    let text = JobSpec::to_json(&job).map_err(|what| Refused::new(&what))?;
    let base = cofferdam::diagnostics::base_dir(Some(&dir))?;
    let namespace = namespace(args, &base)?;
    let command = spec::summary(&job.command);
    let new = NewJob {
        name: &job.name,
        command: &command,
        group: job.group.as_deref(),
    };
    match Ledger::open(&base, here::create_dir)?.submit(&namespace, &new, text.as_bytes()) {
        Ok((session, number)) => Ok(Submitted {
            session,
            namespace,
            job: number,
            name: job.name,
        }),
        Err(SubmitError::NoSession) => {
            let message = format!(
                "no session takes jobs in namespace {namespace:?}; a single command and a session that is about to end take \
                 none; `cargo cofferdam status` shows the active sessions"
            );
            Err(message.into())
        }
        Err(SubmitError::Ledger(error)) => Err(error.into()),
    }
}

/// Returns the given namespace, else the only one with an active session.
fn namespace(args: &SubmitArgs, base: &Path) -> Result<String, Box<dyn Error>> {
    if let Some(name) = &args.run_namespace {
        return Ok(name.clone());
    }
    if let Some(found) = Namespace::from_environment()? {
        return Ok(found.as_str().to_owned());
    }
    let active = match Reader::open(base)? {
        Some(reader) => reader.active()?,
        None => Vec::new(),
    };
    let mut namespaces: Vec<String> = active.into_iter().map(|session| session.namespace).collect();
    namespaces.dedup();
    match namespaces.len() {
        1 => Ok(namespaces.remove(0)),
        0 => Err(format!("no session is active in {}", base.display()).into()),
        _ => Err(Refused::new(&format!(
            "several sessions are active: select one with `--run-namespace`: {}",
            namespaces.join(", ")
        ))
        .into()),
    }
}
