//! How a service is found: where to look, who builds, who waits, and what is told about it.

use super::ServiceLocator;
use super::cache::About;
use super::context::{Context, ServiceClaim};
use super::instance::Instance;
use super::lane::{Given, Lane, Look};
use super::leaving::Leaving;
use super::passing::hand_over;
use super::registry::{Scope, Service};
use super::wait_graph::WaitGraph;
use crate::error::{BoxError, Error};
use crate::event::{Event, Why};
use crate::exit;
use crate::journal;
use crate::sys::clock::{self, Deadline};
use crate::sys::stderr;
use crate::worker::{Worker, seat};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// One question for a service.
pub(crate) struct Ask<'a> {
    pub(crate) service: &'a Arc<Service>,
    /// `None` for a `WorkerLocal`, which belongs to no locator.
    pub(crate) locator: Option<&'a ServiceLocator>,
    pub(crate) capacity: Option<usize>,
    pub(crate) build_timeout: Duration,
}

fn graph() -> MutexGuard<'static, WaitGraph> {
    static GRAPH: OnceLock<Mutex<WaitGraph>> = OnceLock::new();
    GRAPH
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Finds or builds the service for a worker; returns its lane too.
pub(crate) fn resolve(ask: &Ask<'_>, worker: &Worker) -> Result<(Given, Arc<Lane>), Error> {
    let by = seat::builds().last().copied();
    let asker = by.and_then(|by| graph().get(by).map(|build| (build.label.clone(), build.scope)));
    if let Some((label, scope)) = &asker
        && *scope > ask.service.scope
    {
        let (asked, that_lives) = (ask.service.label(), ask.service.scope.words());
        return Err(Error::outlives(label.clone(), scope.words(), asked, that_lives));
    }
    // A fake is one worker's: nothing that is shared is built from it.
    let for_shared = asker.is_some_and(|(_, scope)| scope == Scope::Shared);
    let mut lane = super::lanes::of(ask.service.scope, worker);
    if ask.service.scope == Scope::Shared && !for_shared {
        let own = super::lanes::of(Scope::Worker, worker);
        if own.has_override(&ask.service.key) {
            lane = own;
        }
    }
    let deadline = Deadline::after(ask.build_timeout);
    let given = loop {
        match lane.look(ask.service, ask.capacity, worker.life(), ask.build_timeout)? {
            Look::Found(given) => break given,
            Look::Pass(pass) => hand_over(&lane, pass),
            Look::Wait(flight) => break wait_for(ask, &lane, by, || flight.outcome(deadline), flight.build)?,
            Look::Build(flight, epoch) => {
                let built = build(ask, worker, &lane, flight.build, epoch, by);
                lane.end_flight(&ask.service.key, &flight);
                let (outcome, evicted) = match built {
                    Ok((given, evicted)) => (Ok(given), evicted),
                    Err(error) => (Err(error), Vec::new()),
                };
                flight.land(outcome.clone().map(|given| Given {
                    uses: None,
                    is_known: false,
                    ..given
                }));
                let_go(&lane, evicted);
                break outcome?;
            }
        }
    };
    if let Some(by) = by {
        graph().given(
            by,
            ask.service.label(),
            ask.service.key.clone(),
            given.number,
            &given.from,
        );
    }
    if !given.is_known {
        worker.record(|| Event::Used {
            execution: worker.life(),
            instance: given.number,
            guards: seat::guards(),
        });
    }
    Ok((given, lane))
}

/// Waits for another thread's build, unless that one waits for this.
fn wait_for(
    ask: &Ask<'_>,
    lane: &Lane,
    by: Option<u64>,
    outcome: impl FnOnce() -> Option<Result<Given, Error>>,
    build: u64,
) -> Result<Given, Error> {
    if let Some(by) = by {
        graph().wait(by, build).map_err(Error::cycle)?;
    }
    let outcome = outcome();
    if let Some(by) = by {
        graph().go_on(by, build);
    }
    outcome.unwrap_or_else(|| {
        let busy = "another thread builds it and is not done".to_owned();
        Err(Error::blocked(
            ask.service.label(),
            lane.name.clone(),
            busy,
            ask.build_timeout,
        ))
    })
}

/// Runs the factory, with no lock held, and takes the instance in.
fn build(
    ask: &Ask<'_>,
    worker: &Worker,
    lane: &Lane,
    id: u64,
    epoch: u64,
    by: Option<u64>,
) -> Result<(Given, Vec<Leaving>), Error> {
    let service = ask.service;
    graph().begin(
        id,
        format!("{} ({})", service.label(), lane.name),
        service.scope,
        by,
    );
    let context = Context::new(ask.locator, worker, service);
    let building = seat::build(id);
    let start = clock::now();
    let made = catch_unwind(AssertUnwindSafe(|| (service.factory)(&context)));
    let micros = start.elapsed().as_micros() as u64;
    drop(building);
    let asked = graph().end(id, by);
    let instance = match made {
        Ok(Ok(instance)) => instance,
        Ok(Err(source)) => return Err(failed(service, worker, source)),
        Err(panic) => {
            let message = exit::message(&*panic);
            return Err(Error::panic(
                service.label(),
                worker.id().to_owned(),
                service.place,
                message,
            ));
        }
    };
    let mut about = About::new(service, &instance, epoch, worker);
    about.build_micros = micros;
    about.claims = context.into_claims();
    if let Some(asked) = asked {
        (about.asked, about.from) = (asked.asked, Arc::new(asked.from));
        about.parts = asked.parts.into_iter().collect();
    }
    tell_built(worker, &about);
    Ok(lane.admit(&service.key, instance, about))
}

/// A cycle is told as what it is, not as the failure of each factory on its path.
fn failed(service: &Service, worker: &Worker, source: BoxError) -> Error {
    match source.downcast::<Error>() {
        Ok(error) if error.is_cycle() => *error,
        Ok(error) => Error::factory(service.label(), worker.id().to_owned(), service.place, error),
        Err(source) => Error::factory(service.label(), worker.id().to_owned(), service.place, source),
    }
}

fn tell_built(worker: &Worker, about: &About) {
    if !journal::is_on() {
        return;
    }
    let (execution, service) = (worker.life(), &about.service);
    worker.record(|| Event::Built {
        execution,
        locator: service.locator.to_string(),
        service: service.label(),
        instance: about.number.get(),
        epoch: about.epoch,
        micros: about.build_micros,
        shared: service.scope == Scope::Shared,
        asked: about.asked.clone(),
        parts: about.parts.clone(),
        place: service.place.to_string(),
    });
    for ServiceClaim {
        resource,
        access,
        guards,
        place,
    } in &about.claims
    {
        worker.record(|| Event::Claimed {
            execution,
            claim: clock::unique(),
            instance: about.number.get(),
            resource: resource.clone(),
            access: *access,
            guards: guards.clone(),
            place: place.to_string(),
        });
    }
}

/// Drops what a lane gave up and tells of it.
pub(crate) fn let_go(lane: &Lane, leaving: Vec<Leaving>) {
    lane.let_go(leaving, |about, why, holders, panic| {
        told(about, why, holders, panic.as_deref())
    });
}

pub(crate) fn told(about: &About, why: Why, holders: usize, panic: Option<&str>) {
    if let Some(message) = panic {
        stderr::line(&format!(
            "{} of {} panicked in its drop: {message}",
            about.service.label(),
            about.worker
        ));
    }
    journal::write(&about.worker, || Event::Dropped {
        locator: about.service.locator.to_string(),
        service: about.service.label(),
        instance: about.number.get(),
        why,
        holders: holders as u64,
    });
}

/// Puts a fake in the place of a service in one lane and returns the override's number.
pub(crate) fn set_override(lane: &Arc<Lane>, service: &Arc<Service>, fake: Instance, worker: &Worker) -> u64 {
    let mut about = About::new(service, &fake, lane.epoch(), worker);
    about.from = Arc::new(BTreeSet::from([service.key.clone()]));
    tell_built(worker, &about);
    let (id, settled) = lane.add_layer(service.key.clone(), worker.life(), fake, about);
    let_go(lane, settled);
    id
}
