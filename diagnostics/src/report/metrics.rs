//! Metrics in the text format of Prometheus.

use crate::commands::metrics::SessionMetrics;
use cofferdam_batch::ledger::{JobState, RecordedJob, RecordedSession};
use prometheus::{CounterVec, GaugeVec, Opts, Registry, TextEncoder};
use std::io;

/// Returns the metrics with their descriptions, always in the same order.
pub(super) fn text(metrics: &SessionMetrics) -> io::Result<String> {
    let mut exporter = Exporter(Registry::new());
    let text = exporter
        .fill(metrics)
        .and_then(|()| TextEncoder::new().encode_to_string(&exporter.0.gather()));
    text.map_err(io::Error::other)
}

struct Exporter(Registry);

impl Exporter {
    fn fill(&mut self, metrics: &SessionMetrics) -> prometheus::Result<()> {
        self.caches(metrics)?;
        self.watched(metrics)?;
        if let Some((session, jobs)) = &metrics.session {
            self.session(session, metrics.now)?;
            self.jobs(jobs)?;
        }
        let rates = self.gauge(
            "job_success_ratio",
            "Share of a job's ends in all recorded sessions in which it completed.",
            &["job"],
        )?;
        for job in &metrics.pass_rates {
            let all = job.completed + job.failed;
            rates
                .with_label_values(&[&job.name])
                .set(ratio(job.completed, all));
        }
        Ok(())
    }

    fn caches(&mut self, metrics: &SessionMetrics) -> prometheus::Result<()> {
        let of_cache = ["worker", "locator"];
        let hits = self.counter("cache_hits_total", "Calls that found an instance.", &of_cache)?;
        let misses = self.counter("cache_misses_total", "Calls that found no instance.", &of_cache)?;
        let builds = self.counter("cache_builds_total", "Instances built for a cache.", &of_cache)?;
        let evictions = self.counter(
            "cache_evictions_total",
            "Instances evicted because a cache was full.",
            &of_cache,
        )?;
        let rate = self.gauge(
            "cache_hit_ratio",
            "Share of calls that found an instance.",
            &of_cache,
        )?;
        // A worker of several jobs is exported once: counts add up, and a ratio is that of the sums.
        for cache in &metrics.caches {
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
            "Calls that found an instance of a service.",
            &of_service,
        )?;
        let rate = self.gauge(
            "service_hit_ratio",
            "Share of hits among the hits and builds of a service.",
            &of_service,
        )?;
        let builds = self.counter(
            "service_builds_total",
            "Instances built of a service.",
            &of_service,
        )?;
        let seconds = self.counter(
            "service_build_seconds_total",
            "Time spent in a service's factory.",
            &of_service,
        )?;
        let evictions = self.counter(
            "service_evictions_total",
            "Instances of a service evicted because a cache was full.",
            &of_service,
        )?;
        for service in &metrics.services {
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

    fn watched(&mut self, metrics: &SessionMetrics) -> prometheus::Result<()> {
        let watched = self.gauge("watched", "Extent of the session's recording.", &["what"])?;
        for (what, number) in [
            ("runs", metrics.watched.runs),
            ("processes", metrics.watched.processes),
            ("workers", metrics.watched.workers),
            ("tests", metrics.watched.tests),
            ("instances", metrics.watched.instances),
            ("claims", metrics.watched.claims),
        ] {
            watched.with_label_values(&[what]).set(float(number));
        }
        Ok(())
    }

    fn session(&mut self, session: &RecordedSession, now: u64) -> prometheus::Result<()> {
        let info = self.gauge(
            "session_info",
            "The session that these metrics describe.",
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
            "Start of the session in seconds since 1970.",
            &none,
        )?;
        started.with_label_values(&none).set(seconds_of(session.started));
        let until = session.ended.or(session.status.is_active().then_some(now));
        if let Some(until) = until {
            let took = self.gauge(
                "session_duration_seconds",
                "Duration of the session so far.",
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

    fn jobs(&mut self, jobs: &[RecordedJob]) -> prometheus::Result<()> {
        let attempts = self.counter(
            "job_attempts_total",
            "Ended attempts at a job.",
            &["job", "state"],
        )?;
        let seconds = self.counter(
            "job_seconds_total",
            "Total duration of ended attempts at a job.",
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

/// Converts a count to the only number type of Prometheus.
fn float(number: u64) -> f64 {
    number as f64
}

fn seconds_of(micros: u64) -> f64 {
    float(micros) / 1e6
}

/// Returns the share of `one` in the sum of both; 0 if the sum is 0.
fn part(one: f64, other: f64) -> f64 {
    one / (one + other).max(1.0)
}

fn ratio(part: u64, all: u64) -> f64 {
    float(part) / float(all.max(1))
}
