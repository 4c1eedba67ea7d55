//! `metrics`: measures of the newest session.

use super::session;
use crate::cli::MetricsArgs;
use crate::ledger::{Filter, Job, Reader, Session, Success, now};
use cofferdam_conflicts::{CacheCount, Evidence, ServiceCount, Watched};
use std::error::Error;

/// What was measured in one session.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    /// Microseconds since 1970.
    pub(crate) now: u64,
    /// The session and its jobs, if the ledger knows one.
    pub(crate) session: Option<(Session, Vec<Job>)>,
    /// Over all sessions that are kept.
    pub(crate) success: Vec<Success>,
    pub(crate) watched: Watched,
    pub(crate) caches: Vec<CacheCount>,
    pub(crate) services: Vec<ServiceCount>,
}

pub(crate) fn metrics(args: &MetricsArgs) -> Result<Measures, Box<dyn Error>> {
    let base = cofferdam::base_dir(Some(&super::here::working_dir()))?;
    let mut measures = Measures {
        now: now(),
        ..Measures::default()
    };
    let namespace = args.run_namespace.clone();
    if let Some(reader) = Reader::open(&base)? {
        let filter = |limit| Filter {
            namespace: namespace.clone(),
            limit,
        };
        if let Some(session) = reader.sessions(&filter(1))?.pop() {
            let jobs = reader.jobs(session.id, None)?;
            measures.session = Some((session, jobs));
        }
        measures.success = reader.success(&filter(u32::MAX))?;
    }
    // Recordings know no namespaces: that is the ledger's.
    let recorded = match &measures.session {
        Some((session, _)) => Some(session.name.clone()),
        None if namespace.is_none() => session::newest(&base)?,
        None => None,
    };
    let evidence = match recorded {
        Some(name) => session::evidence(&base, &name)?,
        None => Evidence::new(),
    };
    measures.watched = evidence.watched();
    measures.caches = evidence.cache_counts();
    measures.services = evidence.service_counts();
    for cache in &mut measures.caches {
        cache.worker = lane(&cache.worker).to_owned();
    }
    for service in &mut measures.services {
        service.worker = lane(&service.worker).to_owned();
    }
    Ok(measures)
}

/// A worker's ID without the jobs it is in: `w3` of `j41.w3`. With them a session of many rounds would have so many
/// series that no database of measures is made for it.
fn lane(worker: &str) -> &str {
    let is_job = |part: &str| {
        part.strip_prefix('j')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
    };
    match worker.split_once('.') {
        Some((job, rest)) if is_job(job) => lane(rest),
        _ => worker,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_named_without_the_jobs_around_it_and_any_other_worker_as_it_is() {
        for (worker, wanted) in [
            ("w0", "w0"),
            ("j41.w3", "w3"),
            ("j1.j2.w0", "w0"),
            ("shared", "shared"),
            ("jobs.w0", "jobs.w0"),
            ("j.w0", "j.w0"),
        ] {
            assert_eq!(lane(worker), wanted);
        }
    }
}
