//! Journals for tests, event by event.

use cofferdam::format::{Event, JOURNAL_VERSION, Record, Why};
use cofferdam::{Access, Resource};
use std::fmt::Write as _;

/// The journal of one process in one lane, as it would be on disk.
pub(super) struct Lane {
    pid: u32,
    pub(super) text: String,
}

impl Lane {
    pub(super) fn new(run: &str, worker: &str, pid: u32) -> Self {
        Self::on(run, worker, pid, "machine")
    }

    pub(super) fn on(run: &str, worker: &str, pid: u32, boot: &str) -> Self {
        let mut lane = Self {
            pid,
            text: String::new(),
        };
        let event = Event::Process {
            version: JOURNAL_VERSION,
            run: run.to_owned(),
            session: "s".to_owned(),
            runner: "cargo".to_owned(),
            binary: "shop".to_owned(),
            worker: worker.to_owned(),
            started: 1,
            boot: boot.to_owned(),
        };
        lane.at(0, event);
        lane
    }

    pub(super) fn at(&mut self, at: u64, event: Event) -> &mut Self {
        let record = Record {
            at,
            pid: self.pid,
            event,
        };
        writeln!(self.text, "{}", record.to_line()).unwrap();
        self
    }

    pub(super) fn test(&mut self, at: u64, execution: u64, test: &str) -> &mut Self {
        self.attempt(at, execution, test, 1)
    }

    pub(super) fn attempt(&mut self, at: u64, execution: u64, test: &str, attempt: u64) -> &mut Self {
        let test = test.to_owned();
        self.at(
            at,
            Event::Test {
                execution,
                test,
                attempt,
            },
        )
    }

    pub(super) fn end(&mut self, at: u64, execution: u64) -> &mut Self {
        self.at(at, Event::End { execution })
    }

    pub(super) fn claim(
        &mut self,
        at: u64,
        execution: u64,
        instance: u64,
        resource: Resource,
        access: Access,
    ) -> &mut Self {
        self.guarded(at, execution, instance, resource, access, &[])
    }

    pub(super) fn guarded(
        &mut self,
        at: u64,
        execution: u64,
        instance: u64,
        resource: Resource,
        access: Access,
        guards: &[&str],
    ) -> &mut Self {
        let event = Event::Claimed {
            execution,
            claim: at * 100 + execution,
            instance,
            resource,
            access,
            guards: guards.iter().map(|guard| (*guard).to_owned()).collect(),
            place: format!("src/shop.rs:{at}"),
        };
        self.at(at, event)
    }

    pub(super) fn built(&mut self, at: u64, execution: u64, service: &str, instance: u64) -> &mut Self {
        self.built_in(at, execution, service, instance, 0, false)
    }

    pub(super) fn built_in(
        &mut self,
        at: u64,
        execution: u64,
        service: &str,
        instance: u64,
        epoch: u64,
        shared: bool,
    ) -> &mut Self {
        self.at(at, built(execution, service, instance, epoch, shared, &[]))
    }

    /// A shared service made of others.
    pub(super) fn built_of(
        &mut self,
        at: u64,
        execution: u64,
        service: &str,
        instance: u64,
        parts: &[u64],
    ) -> &mut Self {
        self.at(at, built(execution, service, instance, 0, true, parts))
    }

    pub(super) fn dropped(
        &mut self,
        at: u64,
        service: &str,
        instance: u64,
        why: Why,
        holders: u64,
    ) -> &mut Self {
        let event = Event::Dropped {
            locator: "services".to_owned(),
            service: service.to_owned(),
            instance,
            why,
            holders,
            hits: 0,
        };
        self.at(at, event)
    }
}

fn built(execution: u64, service: &str, instance: u64, epoch: u64, shared: bool, parts: &[u64]) -> Event {
    Event::Built {
        execution,
        locator: "services".to_owned(),
        service: service.to_owned(),
        instance,
        epoch,
        micros: 40_000,
        shared,
        asked: Vec::new(),
        parts: parts.to_vec(),
        place: "src/services.rs:9".to_owned(),
    }
}

pub(super) fn used(execution: u64, instance: u64) -> Event {
    Event::Used {
        execution,
        instance,
        guards: Vec::new(),
    }
}
