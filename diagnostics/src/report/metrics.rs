//! Measures, in the text format that Prometheus and its tools read.

use crate::commands::metrics::Measures;
use crate::ledger::{Job, JobState, Session};
use prometheus::{CounterVec, GaugeVec, Opts, Registry, TextEncoder};
use std::io;

/// The text: what each measure is, then its values, always in the same order.
pub(super) fn text(measures: &Measures) -> io::Result<String> {
    let mut all = All(Registry::new());
    let told = all
        .fill(measures)
        .and_then(|()| TextEncoder::new().encode_to_string(&all.0.gather()));
    told.map_err(io::Error::other)
}

struct All(Registry);

impl All {
    fn fill(&mut self, measures: &Measures) -> prometheus::Result<()> {
        self.caches(measures)?;
        self.watched(measures)?;
        if let Some((session, jobs)) = &measures.session {
            self.session(session, measures.now)?;
            self.jobs(jobs)?;
        }
        let rates = self.gauge(
            "job_success_ratio",
            "Of a job's ends in all sessions kept, how many it completed.",
            &["job"],
        )?;
        for job in &measures.success {
            let all = job.completed + job.failed;
            rates
                .with_label_values(&[&job.name])
                .set(ratio(job.completed, all));
        }
        Ok(())
    }

    fn caches(&mut self, measures: &Measures) -> prometheus::Result<()> {
        let of_cache = ["worker", "locator"];
        let hits = self.counter(
            "cache_hits_total",
            "Calls answered with an instance that was there.",
            &of_cache,
        )?;
        let misses = self.counter("cache_misses_total", "Calls that found no instance.", &of_cache)?;
        let builds = self.counter("cache_builds_total", "Instances built for a cache.", &of_cache)?;
        let evictions = self.counter(
            "cache_evictions_total",
            "Instances let go of because a cache was full.",
            &of_cache,
        )?;
        let rate = self.gauge("cache_hit_ratio", "Hits among all calls.", &of_cache)?;
        // One lane of several jobs is told as one: what is counted adds up, and a ratio is that of the sums.
        for cache in &measures.caches {
            let labels = [cache.worker.as_str(), cache.locator.as_str()];
            hits.with_label_values(&labels).inc_by(float(cache.hits));
            misses.with_label_values(&labels).inc_by(float(cache.misses));
            builds.with_label_values(&labels).inc_by(float(cache.builds));
            evictions
                .with_label_values(&labels)
                .inc_by(float(cache.evictions));
            let (hit, missed) = (hits.with_label_values(&labels), misses.with_label_values(&labels));
            rate.with_label_values(&labels).set(part(hit.get(), missed.get()));
        }
        let of_service = ["worker", "locator", "service"];
        let hits = self.counter(
            "service_hits_total",
            "Calls answered with an instance of a service that was there.",
            &of_service,
        )?;
        let rate = self.gauge(
            "service_hit_ratio",
            "Hits of a service among those and its builds.",
            &of_service,
        )?;
        let builds = self.counter(
            "service_builds_total",
            "Instances of a service that were built.",
            &of_service,
        )?;
        let seconds = self.counter(
            "service_build_seconds_total",
            "Time that a service's factory took.",
            &of_service,
        )?;
        let evictions = self.counter(
            "service_evictions_total",
            "Instances of a service let go of because a cache was full.",
            &of_service,
        )?;
        for service in &measures.services {
            let labels = [
                service.worker.as_str(),
                service.locator.as_str(),
                service.service.as_str(),
            ];
            hits.with_label_values(&labels).inc_by(float(service.hits));
            builds.with_label_values(&labels).inc_by(float(service.builds));
            let (hit, built) = (hits.with_label_values(&labels), builds.with_label_values(&labels));
            rate.with_label_values(&labels).set(part(hit.get(), built.get()));
            seconds
                .with_label_values(&labels)
                .inc_by(seconds_of(service.build_micros));
            evictions
                .with_label_values(&labels)
                .inc_by(float(service.evictions));
        }
        Ok(())
    }

    fn watched(&mut self, measures: &Measures) -> prometheus::Result<()> {
        let watched = self.gauge(
            "watched",
            "What was recorded in the session: what is told holds for this.",
            &["what"],
        )?;
        for (what, number) in [
            ("runs", measures.watched.runs),
            ("processes", measures.watched.processes),
            ("workers", measures.watched.workers),
            ("tests", measures.watched.tests),
            ("instances", measures.watched.instances),
            ("claims", measures.watched.claims),
        ] {
            watched.with_label_values(&[what]).set(float(number));
        }
        Ok(())
    }

    fn session(&mut self, session: &Session, now: u64) -> prometheus::Result<()> {
        let info = self.gauge(
            "session_info",
            "The session that is told of.",
            &["session", "namespace", "scope", "status", "revision"],
        )?;
        let revision = session.revision.as_deref().unwrap_or_default();
        let labels = [
            &session.name,
            &session.namespace,
            &session.scope,
            session.status.as_str(),
            revision,
        ];
        info.with_label_values(&labels).set(1.0);
        let none: [&str; 0] = [];
        let started = self.gauge(
            "session_start_seconds",
            "When the session began, in seconds since 1970.",
            &none,
        )?;
        started.with_label_values(&none).set(seconds_of(session.started));
        let until = session.ended.or(session.status.is_active().then_some(now));
        if let Some(until) = until {
            let took = self.gauge(
                "session_duration_seconds",
                "How long the session took, or takes so far.",
                &none,
            )?;
            took.with_label_values(&none)
                .set(seconds_of(until.saturating_sub(session.started)));
        }
        if let Some(found) = session.conflicts {
            let conflicts = self.gauge(
                "session_findings",
                "Conflicts, warnings and notes of the session.",
                &none,
            )?;
            conflicts.with_label_values(&none).set(float(found));
        }
        let jobs = self.gauge("session_jobs", "Jobs of the session.", &["state"])?;
        for (state, number) in [
            (JobState::Pending, session.jobs.pending),
            (JobState::Running, session.jobs.running),
            (JobState::Completed, session.jobs.completed),
            (JobState::Failed, session.jobs.failed),
            (JobState::Cancelled, session.jobs.cancelled),
            (JobState::Interrupted, session.jobs.interrupted),
        ] {
            jobs.with_label_values(&[state.as_str()]).set(float(number));
        }
        Ok(())
    }

    fn jobs(&mut self, jobs: &[Job]) -> prometheus::Result<()> {
        let attempts = self.counter(
            "job_attempts_total",
            "Attempts at a job that have ended.",
            &["job", "state"],
        )?;
        let seconds = self.counter(
            "job_seconds_total",
            "Time that those attempts took.",
            &["job", "state"],
        )?;
        for job in jobs {
            for attempt in &job.attempts {
                let Some(ended) = attempt.ended else { continue };
                let labels = [job.name.as_str(), attempt.state.as_str()];
                attempts.with_label_values(&labels).inc();
                let took = ended.saturating_sub(attempt.started);
                seconds.with_label_values(&labels).inc_by(seconds_of(took));
            }
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<CounterVec> {
        let counter = CounterVec::new(opts(name, help), labels)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn gauge(&mut self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        let gauge = GaugeVec::new(opts(name, help), labels)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("cofferdam")
}

/// Prometheus knows no other numbers.
fn float(number: u64) -> f64 {
    number as f64
}

fn seconds_of(micros: u64) -> f64 {
    float(micros) / 1e6
}

/// What `one` is of both; 0 of nothing.
fn part(one: f64, other: f64) -> f64 {
    one / (one + other).max(1.0)
}

fn ratio(part: u64, all: u64) -> f64 {
    float(part) / float(all.max(1))
}
