//! `metrics`: collects the metrics of the newest session.

use super::recordings;
use crate::cli::MetricsArgs;
use cofferdam_batch::ledger::{PassRate, Reader, RecordedJob, RecordedSession, SessionFilter, now};
use cofferdam_conflicts::{CacheCount, Evidence, ServiceCount, Watched};
use std::error::Error;

/// The metrics of a session.
#[derive(Debug, Default)]
pub(crate) struct SessionMetrics {
    /// The time of the query, in microseconds since 1970.
    pub(crate) now: u64,
    /// The session and its jobs, if there is a recorded one.
    pub(crate) session: Option<(RecordedSession, Vec<RecordedJob>)>,
    /// The pass rates in all recorded sessions.
    pub(crate) pass_rates: Vec<PassRate>,
    pub(crate) watched: Watched,
    pub(crate) caches: Vec<CacheCount>,
    pub(crate) services: Vec<ServiceCount>,
}

pub(crate) fn metrics(args: &MetricsArgs) -> Result<SessionMetrics, Box<dyn Error>> {
    let base = cofferdam::diagnostics::base_dir(Some(&super::here::working_dir()))?;
    let mut metrics = SessionMetrics {
        now: now(),
        ..SessionMetrics::default()
    };
    let namespace = args.run_namespace.clone();
    if let Some(reader) = Reader::open(&base)? {
        let filter = |limit| SessionFilter {
            namespace: namespace.clone(),
            limit,
        };
        if let Some(session) = reader.sessions(&filter(1))?.pop() {
            let jobs = reader.jobs(session.id, None)?;
            metrics.session = Some((session, jobs));
        }
        metrics.pass_rates = reader.pass_rates(&filter(u32::MAX))?;
    }
    // Only the ledger knows namespaces; recordings do not.
    let recorded = match &metrics.session {
        Some((session, _)) => Some(session.name.clone()),
        None if namespace.is_none() => recordings::newest(&base)?,
        None => None,
    };
    let evidence = match recorded {
        Some(name) => recordings::evidence(&base, &name)?,
        None => Evidence::new(),
    };
    metrics.watched = evidence.watched();
    metrics.caches = evidence.cache_counts();
    metrics.services = evidence.service_counts();
    for cache in &mut metrics.caches {
        cache.worker = without_jobs(&cache.worker).to_owned();
    }
    for service in &mut metrics.services {
        service.worker = without_jobs(&service.worker).to_owned();
    }
    Ok(metrics)
}

/// Removes the job names from a worker's ID: `w3` of `j41.w3`. With them, a session of many rounds would have more series
/// than databases of metrics can handle.
fn without_jobs(worker: &str) -> &str {
    let is_job = |part: &str| {
        part.strip_prefix('j')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
    };
    match worker.split_once('.') {
        Some((job, rest)) if is_job(job) => without_jobs(rest),
        _ => worker,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_named_without_the_jobs_that_contain_it() {
        for (worker, expected) in [
            ("w0", "w0"),
            ("j41.w3", "w3"),
            ("j1.j2.w0", "w0"),
            ("shared", "shared"),
            ("jobs.w0", "jobs.w0"),
            ("j.w0", "j.w0"),
        ] {
            assert_eq!(without_jobs(worker), expected);
        }
    }
}
