//! Resolution of a service: the lane to search, the thread that builds, the threads that wait, and the recorded events.

use super::ServiceLocator;
use super::context::{Context, Factory};
use super::instance::Instance;
use super::lane::cache::{InstanceInfo, InstanceRef};
use super::lane::retired::name_of;
use super::lane::{BuildFlight, Lane, Lookup, all, thread_cache};
use super::service::{Key, Lifetime, Service, ServiceClaim};
use super::wait_graph::{ProxyHolder, graph};
use crate::error::{BoxError, Error};
use crate::event::Event;
use crate::exit;
use crate::journal;
use crate::resource::Access;
use crate::sys::clock::{self, Deadline};
#[cfg(feature = "tokio")]
use crate::worker::runtime;
use crate::worker::{Entered, Worker, current};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A request for a service.
pub(crate) struct ServiceRequest<'a> {
    pub(crate) service: &'a Arc<Service>,
    pub(crate) factory: &'a Factory,
    /// `None` for a `WorkerLocal`, which belongs to no locator.
    pub(crate) locator: Option<&'a ServiceLocator>,
    pub(crate) capacity: Option<usize>,
    pub(crate) build_timeout: Duration,
    /// The build that created the requesting proxy, if a factory did.
    pub(crate) holder: Option<&'a ProxyHolder>,
}

/// The result of a request.
pub(crate) struct Resolved {
    pub(crate) instance: InstanceRef,
    pub(crate) lane: Arc<Lane>,
    /// For an instance in a shared lane, the worker's own lane and its epoch: an override there invalidates the result.
    own: Option<(Arc<Lane>, u64)>,
}

impl Resolved {
    #[cfg(feature = "tokio")]
    pub(super) fn new(instance: InstanceRef, lane: Arc<Lane>) -> Self {
        Self {
            instance,
            lane,
            own: None,
        }
    }

    /// Returns the instance as its type and caches it for this thread's next call.
    pub(crate) fn downcast<T: ?Sized + Send + Sync + 'static>(
        self,
        service: &Service,
        worker: &Worker,
    ) -> Result<Arc<T>, Error> {
        let Self { instance, lane, own } = self;
        let key = &service.key;
        let found = instance.instance.downcast::<T>().cloned();
        // The key contains the type's ID, so this cannot fail; an error is still better than a panic.
        let found = found.ok_or_else(|| Error::unknown(service.label(), lane.name.clone(), Vec::new()))?;
        // A proxy may request on behalf of another worker than this thread's.
        if let Some(counter) = instance
            .counter
            .filter(|_| current::execution() == worker.execution())
        {
            thread_cache::put(key.locator, &key.name, lane, instance.epoch, own, counter, &found);
        }
        Ok(found)
    }
}

/// Finds or builds a service for a worker.
pub(crate) fn resolve(request: &ServiceRequest<'_>, worker: &Worker) -> Result<Resolved, Error> {
    let (service, key) = (request.service, &request.service.key);
    let by = current::builds().last().copied();
    let user = check_user(service, by)?;
    let lane = all::of(service.lifetime, worker);
    // An override belongs to one worker, so no shared service is built from it.
    let is_for_shared = user == Some(Lifetime::Shared)
        || request
            .holder
            .is_some_and(|holder| holder.lifetime == Lifetime::Shared);
    let own = (service.lifetime == Lifetime::Shared && !is_for_shared).then(|| {
        let own = all::of(Lifetime::Worker, worker);
        let epoch = own.epoch();
        (own, epoch)
    });
    let fake = own
        .as_ref()
        .and_then(|(own, _)| Some((own.fake(key, worker.execution())?, own)));
    let resolved = match fake {
        Some((instance, own)) => Resolved {
            instance,
            lane: Arc::clone(own),
            own: None,
        },
        None => Resolved {
            instance: from_lane(request, worker, &lane, by)?,
            lane,
            own,
        },
    };
    record_use(service, worker, request.holder, by, &resolved.instance);
    Ok(resolved)
}

/// Returns the lifetime of the build that requests the service, if one does and may.
pub(super) fn check_user(service: &Service, by: Option<u64>) -> Result<Option<Lifetime>, Error> {
    let user = by.and_then(|by| graph().get(by).map(|build| (build.label.clone(), build.lifetime)));
    let Some((label, lifetime)) = user else {
        return Ok(None);
    };
    service.check_user(&label, lifetime)?;
    Ok(Some(lifetime))
}

/// Records that a test, a build or the holder of a proxy received the instance.
pub(super) fn record_use(
    service: &Service,
    worker: &Worker,
    holder: Option<&ProxyHolder>,
    by: Option<u64>,
    instance: &InstanceRef,
) {
    let key = &service.key;
    if let Some(by) = by {
        graph().add_part(by, service.label(), key.clone(), instance.number, &instance.from);
    }
    if let Some(holder) = holder
        && let Some(lane) = all::named(&holder.lane)
    {
        lane.add_part(holder.build, key, instance);
    }
    if !instance.is_known {
        worker.record(|| Event::Used {
            execution: worker.execution(),
            instance: instance.number,
            guards: current::guards(Access::Write),
        });
    }
}

/// Returns the service from its lane, building it if necessary.
fn from_lane(
    request: &ServiceRequest<'_>,
    worker: &Worker,
    lane: &Lane,
    by: Option<u64>,
) -> Result<InstanceRef, Error> {
    let deadline = Deadline::after(request.build_timeout);
    let (capacity, timeout) = (request.capacity, request.build_timeout);
    match lane.look_up(request.service, capacity, worker.execution(), timeout)? {
        Lookup::Found(instance) => Ok(instance),
        Lookup::Wait(flight) => wait_for(request, lane, by, &flight, deadline),
        Lookup::Build(flight, epoch) => build(request, worker, lane, &flight, epoch, by),
    }
}

/// Waits for another thread's build, unless that build waits for the requesting one.
fn wait_for(
    request: &ServiceRequest<'_>,
    lane: &Lane,
    by: Option<u64>,
    flight: &BuildFlight,
    deadline: Deadline,
) -> Result<InstanceRef, Error> {
    if let Some(by) = by {
        graph().wait(by, flight.build).map_err(Error::cycle)?;
    }
    let outcome = flight.outcome(deadline);
    let mut graph = graph();
    if let Some(by) = by {
        graph.stop_waiting(by, flight.build);
    }
    outcome.unwrap_or_else(|| {
        let thread = graph.get(flight.build).map(|build| name_of(&build.thread));
        let busy = format!(
            "{} is still building it",
            thread.as_deref().unwrap_or("another thread")
        );
        Err(Error::blocked(
            request.service.label(),
            lane.name.clone(),
            busy,
            request.build_timeout,
        ))
    })
}

/// Builds the service and publishes the outcome.
fn build(
    request: &ServiceRequest<'_>,
    worker: &Worker,
    lane: &Lane,
    flight: &Arc<BuildFlight>,
    epoch: u64,
    by: Option<u64>,
) -> Result<InstanceRef, Error> {
    let built = call_factory(request, worker, lane, flight.build, epoch, by);
    publish(&request.service.key, lane, flight, built)
}

/// Publishes the outcome of a build to all waiters, and evicts what exceeds the capacity.
pub(super) fn publish(
    key: &Key,
    lane: &Lane,
    flight: &Arc<BuildFlight>,
    built: Result<(Instance, InstanceInfo), Error>,
) -> Result<InstanceRef, Error> {
    let outcome = built.map(|(instance, info)| lane.admit(flight, key, instance, info));
    lane.end_flight(key, flight);
    flight.land(outcome.clone().map(|instance| InstanceRef {
        counter: None,
        is_known: false,
        ..instance
    }));
    if outcome.is_ok() {
        lane.make_room(key);
    }
    outcome
}

/// Calls the factory, with no lock held.
fn call_factory(
    request: &ServiceRequest<'_>,
    worker: &Worker,
    lane: &Lane,
    build: u64,
    epoch: u64,
    by: Option<u64>,
) -> Result<(Instance, InstanceInfo), Error> {
    let service = request.service;
    graph().begin(build, service.label(), &lane.name, service.lifetime, by);
    let context = Context::new(request.locator, worker, service);
    // A proxy may be used on any thread; the factory's own requests are for the proxy's worker nonetheless.
    let _scope = Entered::to_build(worker);
    let building = current::build(build);
    // Such a value may belong to the runtime too: a pool that connects later, a client that starts tasks.
    #[cfg(feature = "tokio")]
    let runtime = runtime::here(worker).ok().map(|runtime| {
        let tasks = runtime.alive_tasks();
        (runtime, tasks)
    });
    let start = clock::now();
    let result = catch_unwind(AssertUnwindSafe(|| (request.factory)(&context)));
    let micros = start.elapsed().as_micros() as u64;
    drop(building);
    let finished = FinishedBuild {
        build,
        epoch,
        by,
        micros,
        claims: context.into_claims(),
        result,
    };
    let built = finish(service, worker, lane, finished);
    #[cfg(feature = "tokio")]
    let built = built.map(|(instance, mut info)| {
        info.runtime = runtime.map(|(runtime, tasks)| {
            runtime.count_tasks_since(tasks);
            runtime
        });
        (instance, info)
    });
    built
}

/// A build whose factory has returned.
pub(super) struct FinishedBuild {
    pub(super) build: u64,
    pub(super) epoch: u64,
    /// The build that requested it.
    pub(super) by: Option<u64>,
    pub(super) micros: u64,
    pub(super) claims: Vec<ServiceClaim>,
    pub(super) result: thread::Result<Result<Instance, BoxError>>,
}

/// Ends a build in the graph of waits, and returns the instance with its data.
pub(super) fn finish(
    service: &Arc<Service>,
    worker: &Worker,
    lane: &Lane,
    finished: FinishedBuild,
) -> Result<(Instance, InstanceInfo), Error> {
    let FinishedBuild {
        build,
        epoch,
        by,
        micros,
        claims,
        result,
    } = finished;
    let ended = graph().end(build, by, micros);
    let instance = match result {
        Ok(Ok(instance)) => instance,
        Ok(Err(source)) => return Err(failed(service, worker, source)),
        Err(panic) => {
            // The factory had plain `Arc`s, which do not notice a panic.
            lane.spoil(&ended.map(|build| build.parts).unwrap_or_default());
            return Err(Error::panic(
                service.label(),
                worker.id().to_owned(),
                service.place,
                exit::into_message(panic),
            ));
        }
    };
    let mut info = InstanceInfo::new(service, &instance, epoch, worker);
    info.build = build;
    info.claims = claims;
    if let Some(ended) = ended {
        (info.asked, info.from) = (ended.asked, Arc::new(ended.from));
        info.parts = ended.parts;
        info.build_micros = micros.saturating_sub(ended.nested);
    }
    record_built(worker, &info);
    Ok((instance, info))
}

/// Returns the error of a failed factory. A cycle is reported as itself, not as the failure of each factory on its path.
fn failed(service: &Service, worker: &Worker, source: BoxError) -> Error {
    match source.downcast::<Error>() {
        Ok(error) if error.is_cycle() => *error,
        Ok(error) => Error::factory(service.label(), worker.id().to_owned(), service.place, error),
        Err(source) => Error::factory(service.label(), worker.id().to_owned(), service.place, source),
    }
}

pub(super) fn record_built(worker: &Worker, info: &InstanceInfo) {
    if !journal::is_on() {
        return;
    }
    let (execution, service) = (worker.execution(), &info.service);
    worker.record(|| Event::Built {
        execution,
        locator: service.locator.to_string(),
        service: service.label(),
        instance: info.number.get(),
        epoch: info.epoch,
        micros: info.build_micros,
        shared: service.lifetime == Lifetime::Shared,
        asked: info.asked.clone(),
        parts: info.parts.clone(),
        place: service.place.to_string(),
    });
    for claim in &info.claims {
        let ServiceClaim {
            resource,
            access,
            guards,
            place,
        } = claim;
        worker.record(|| Event::Claimed {
            execution,
            claim: clock::unique(),
            instance: info.number.get(),
            resource: resource.clone(),
            access: *access,
            guards: guards.clone(),
            place: place.to_string(),
        });
    }
}
