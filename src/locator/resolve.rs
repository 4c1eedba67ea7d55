//! How a service is found: where to look, who builds, who waits, and what is told about it.

use super::ServiceLocator;
use super::context::{Context, ServiceClaim};
use super::instance::Instance;
use super::lane::all;
use super::lane::cache::About;
use super::lane::handover::hand_over;
use super::lane::retired::{Leaving, name_of};
use super::lane::{BuildFlight, Given, Lane, Look};
use super::registry::{Scope, Service};
use super::wait_graph::WaitGraph;
use crate::error::{BoxError, Error};
use crate::event::Event;
use crate::exit;
use crate::journal;
use crate::resource::Access;
use crate::sys::clock::{self, Deadline};
use crate::worker::{Entered, Worker, current};
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
    /// What holds the proxy that asks, if one does.
    pub(crate) holder: Option<&'a Holder>,
}

/// A build whose factory asked for a proxy: what it makes is built from whatever the proxy comes to.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    build: u64,
    scope: Scope,
    lane: String,
}

impl Holder {
    /// The build this thread stands in, if it does.
    pub(crate) fn current() -> Option<Self> {
        let build = current::builds().last().copied()?;
        graph().get(build).map(|known| Self {
            build,
            scope: known.scope,
            lane: known.lane.clone(),
        })
    }
}

/// What a question came to.
pub(crate) struct Found {
    pub(crate) given: Given,
    pub(crate) lane: Arc<Lane>,
    /// What lies in another lane is the worker's only while nothing changes in its own: that, and its epoch.
    pub(crate) own: Option<(Arc<Lane>, u64)>,
}

fn graph() -> MutexGuard<'static, WaitGraph> {
    static GRAPH: OnceLock<Mutex<WaitGraph>> = OnceLock::new();
    GRAPH
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Finds or builds the service for a worker.
pub(crate) fn resolve(ask: &Ask<'_>, worker: &Worker) -> Result<Found, Error> {
    let (service, key) = (ask.service, &ask.service.key);
    let by = current::builds().last().copied();
    let asker = by.and_then(|by| graph().get(by).map(|build| (build.label.clone(), build.scope)));
    if let Some((label, scope)) = &asker {
        service.may_serve(label, *scope)?;
    }
    let lane = all::of(service.scope, worker);
    // A fake is one worker's: nothing that is shared is built from it.
    let is_for_shared = asker.is_some_and(|(_, scope)| scope == Scope::Shared)
        || ask.holder.is_some_and(|holder| holder.scope == Scope::Shared);
    let own = (service.scope == Scope::Shared && !is_for_shared).then(|| {
        let own = all::of(Scope::Worker, worker);
        let epoch = own.epoch();
        (own, epoch)
    });
    let fake = own
        .as_ref()
        .and_then(|(own, _)| Some((own.fake(key, worker.life())?, own)));
    let found = match fake {
        Some((given, own)) => Found {
            given,
            lane: Arc::clone(own),
            own: None,
        },
        None => Found {
            given: from_lane(ask, worker, &lane, by)?,
            lane,
            own,
        },
    };
    let given = &found.given;
    if let Some(by) = by {
        graph().given(by, service.label(), key.clone(), given.number, &given.from);
    }
    if let Some(holder) = ask.holder
        && let Some(lane) = all::named(&holder.lane)
    {
        let_go(&lane, lane.also_from(holder.build, key, given));
    }
    if !given.is_known {
        worker.record(|| Event::Used {
            execution: worker.life(),
            instance: given.number,
            guards: current::guards(Access::Write),
        });
    }
    Ok(found)
}

/// The service as it lies in a lane, built if need be.
fn from_lane(ask: &Ask<'_>, worker: &Worker, lane: &Lane, by: Option<u64>) -> Result<Given, Error> {
    let deadline = Deadline::after(ask.build_timeout);
    loop {
        match lane.look(ask.service, ask.capacity, worker.life(), ask.build_timeout)? {
            Look::Found(given) => return Ok(given),
            Look::Pass(pass) => hand_over(lane, pass),
            Look::Wait(flight) => return wait_for(ask, lane, by, &flight, deadline),
            Look::Build(flight, epoch) => return build(ask, worker, lane, &flight, epoch, by),
        }
    }
}

/// Waits for another thread's build, unless that one waits for this.
fn wait_for(
    ask: &Ask<'_>,
    lane: &Lane,
    by: Option<u64>,
    flight: &BuildFlight,
    deadline: Deadline,
) -> Result<Given, Error> {
    if let Some(by) = by {
        graph().wait(by, flight.build).map_err(Error::cycle)?;
    }
    let outcome = flight.outcome(deadline);
    let mut graph = graph();
    if let Some(by) = by {
        graph.go_on(by, flight.build);
    }
    outcome.unwrap_or_else(|| {
        let who = graph.get(flight.build).map(|build| name_of(&build.thread));
        let busy = format!(
            "{} builds it and is not done",
            who.as_deref().unwrap_or("another thread")
        );
        Err(Error::blocked(
            ask.service.label(),
            lane.name.clone(),
            busy,
            ask.build_timeout,
        ))
    })
}

/// Builds the service and tells everyone who waits for it what came of that; then the cache has to make room.
fn build(
    ask: &Ask<'_>,
    worker: &Worker,
    lane: &Lane,
    flight: &Arc<BuildFlight>,
    epoch: u64,
    by: Option<u64>,
) -> Result<Given, Error> {
    let key = &ask.service.key;
    let made = make(ask, worker, lane, flight.build, epoch, by);
    let outcome = made.map(|(instance, about)| lane.admit(flight, key, instance, about));
    lane.end_flight(key, flight);
    flight.land(outcome.clone().map(|given| Given {
        uses: None,
        is_known: false,
        ..given
    }));
    if outcome.is_ok() {
        // One after the other: whoever is asked for by a `Drop` that runs is still there.
        for (surplus, last_use) in lane.surplus(key) {
            let_go(lane, lane.evict(&surplus, last_use));
        }
    }
    outcome
}

/// Runs the factory, with no lock held.
fn make(
    ask: &Ask<'_>,
    worker: &Worker,
    lane: &Lane,
    id: u64,
    epoch: u64,
    by: Option<u64>,
) -> Result<(Instance, About), Error> {
    let service = ask.service;
    graph().begin(id, service.label(), &lane.name, service.scope, by);
    let context = Context::new(ask.locator, worker, service);
    // A proxy is used by whatever thread; what the factory asks for is its owner's all the same.
    let _scope = Entered::to_build(worker);
    let building = current::build(id);
    let start = clock::now();
    let made = catch_unwind(AssertUnwindSafe(|| (service.factory)(&context)));
    let micros = start.elapsed().as_micros() as u64;
    drop(building);
    let asked = graph().end(id, by, micros);
    let instance = match made {
        Ok(Ok(instance)) => instance,
        Ok(Err(source)) => return Err(failed(service, worker, source)),
        Err(panic) => {
            // The factory was handed plain `Arc`s, which do not notice it.
            lane.spoil(&asked.map(|asked| asked.parts).unwrap_or_default());
            return Err(Error::panic(
                service.label(),
                worker.id().to_owned(),
                service.place,
                exit::last_words(panic),
            ));
        }
    };
    let mut about = About::new(service, &instance, epoch, worker);
    about.build = id;
    about.claims = context.into_claims();
    if let Some(asked) = asked {
        (about.asked, about.from) = (asked.asked, Arc::new(asked.from));
        about.parts = asked.parts.into_iter().collect();
        about.build_micros = micros.saturating_sub(asked.nested);
    }
    tell_built(worker, &about);
    Ok((instance, about))
}

/// A cycle is told as what it is, not as the failure of each factory on its path.
fn failed(service: &Service, worker: &Worker, source: BoxError) -> Error {
    match source.downcast::<Error>() {
        Ok(error) if error.is_cycle() => *error,
        Ok(error) => Error::factory(service.label(), worker.id().to_owned(), service.place, error),
        Err(source) => Error::factory(service.label(), worker.id().to_owned(), service.place, source),
    }
}

pub(super) fn tell_built(worker: &Worker, about: &About) {
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
    lane.tell(lane.let_go(leaving));
}
