//! Resolution of a service with an async factory. It is built by a task of its own on the worker's runtime, so a request that is
//! cancelled cancels no build, and nothing blocks a thread of the runtime while it waits for one.

use super::ServiceLocator;
use super::async_context::{AsyncContext, AsyncFactory};
use super::instance::Instance;
use super::lane::cache::InstanceRef;
use super::lane::{BuildFlight, Lane, Lookup, all};
use super::resolve::{self, FinishedBuild, Resolved, check_user, record_use};
use super::service::{Service, ServiceClaim};
use super::wait_graph::{ProxyHolder, graph};
use crate::error::{BoxError, Error};
use crate::sys::clock;
use crate::worker::runtime::{self, RuntimeRef, WorkerRuntime};
use crate::worker::{Instrumented, Worker, current};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

/// A request for a service with an async factory.
pub(crate) struct AsyncRequest {
    pub(crate) service: Arc<Service>,
    pub(crate) factory: Arc<AsyncFactory>,
    /// `None` for a `WorkerLocal`, which belongs to no locator.
    pub(crate) locator: Option<ServiceLocator>,
    pub(crate) capacity: Option<usize>,
    pub(crate) build_timeout: Duration,
    /// The build that created the requesting proxy, if a factory did.
    pub(crate) holder: Option<ProxyHolder>,
}

/// Finds or builds a service for a worker, blocking the thread. Returns an error inside a runtime.
pub(crate) fn resolve_blocking(request: AsyncRequest, worker: &Worker) -> Result<Resolved, Error> {
    if runtime::is_inside() {
        return Err(Error::needs_await(request.service.label()));
    }
    WorkerRuntime::of(worker, None)?.block_on(resolve_async(request, worker))
}

/// Finds or builds a service for a worker.
pub(crate) async fn resolve_async(request: AsyncRequest, worker: &Worker) -> Result<Resolved, Error> {
    let service = Arc::clone(&request.service);
    let holder = request.holder.clone();
    let by = current::builds().last().copied();
    check_user(&service, by)?;
    let lane = all::of(service.lifetime, worker);
    let here = || runtime::here(worker).map_err(|here| foreign(&service, worker, None, here));
    let (capacity, timeout) = (request.capacity, request.build_timeout);
    let mut instance = match lane.look_up(&service, capacity, worker.execution(), timeout)? {
        Lookup::Found(instance) => instance,
        Lookup::Wait(flight) => {
            here()?;
            wait_for(&service, &lane, by, &flight, Some(timeout)).await?
        }
        Lookup::Build(flight, epoch) => {
            let runtime = here();
            let task = BuildTask {
                request,
                worker: worker.clone(),
                lane: Arc::clone(&lane),
                flight: Arc::clone(&flight),
                epoch,
                by,
                claims: Arc::default(),
                has_landed: false,
            };
            task.start(runtime?);
            wait_for(&service, &lane, by, &flight, None).await?
        }
    };
    if let Some(bound) = &instance.runtime {
        let here = runtime::here(worker);
        let here = here.and_then(|here| match here.number == bound.number {
            true => Ok(()),
            false => Err(format!("on {}", here.describe())),
        });
        here.map_err(|here| foreign(&service, worker, Some(bound), here))?;
    }
    // A thread's cache would answer a blocking `get` too, and on any runtime.
    instance.counter = None;
    record_use(&service, worker, holder.as_ref(), by, &instance);
    Ok(Resolved::new(instance, lane))
}

fn foreign(service: &Service, worker: &Worker, bound: Option<&RuntimeRef>, here: String) -> Error {
    let runtime = match bound {
        Some(bound) => format!("{} of worker {worker}", bound.describe()),
        None => format!("the runtime of worker {worker}"),
    };
    Error::foreign_runtime(service.label(), runtime, here)
}

/// A wait in the graph, which ends also when its future is dropped.
struct Waiting {
    by: u64,
    build: u64,
}

impl Waiting {
    fn begin(by: u64, build: u64) -> Result<Self, Error> {
        graph().wait(by, build).map_err(Error::cycle)?;
        Ok(Self { by, build })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        graph().stop_waiting(self.by, self.build);
    }
}

/// Waits for a build, unless that build waits for the requesting one.
async fn wait_for(
    service: &Service,
    lane: &Lane,
    by: Option<u64>,
    flight: &BuildFlight,
    limit: Option<Duration>,
) -> Result<InstanceRef, Error> {
    let _waiting = by.map(|by| Waiting::begin(by, flight.build)).transpose()?;
    let outcome = poll_fn(|context| flight.poll(context));
    let Some(limit) = limit else { return outcome.await };
    tokio::time::timeout(limit, outcome).await.unwrap_or_else(|_| {
        let busy = "another task is still building it".to_owned();
        Err(Error::blocked(service.label(), lane.name.clone(), busy, limit))
    })
}

/// A build in progress. However it ends, it publishes an outcome to all waiters.
struct BuildTask {
    request: AsyncRequest,
    worker: Worker,
    lane: Arc<Lane>,
    flight: Arc<BuildFlight>,
    epoch: u64,
    by: Option<u64>,
    claims: Arc<Mutex<Vec<ServiceClaim>>>,
    has_landed: bool,
}

impl BuildTask {
    fn start(mut self, runtime: RuntimeRef) {
        let service = &self.request.service;
        graph().begin(
            self.flight.build,
            service.label(),
            &self.lane.name,
            service.lifetime,
            None,
        );
        let context = AsyncContext {
            locator: self.request.locator.clone(),
            worker: self.worker.clone(),
            service: Arc::clone(service),
            claims: Arc::clone(&self.claims),
        };
        let factory = Arc::clone(&self.request.factory);
        // The factory's own code runs in the task too.
        let future = Box::pin(async move { factory(context).await });
        let mut future = Instrumented::to_build(&self.worker, self.flight.build, future);
        let here = runtime.clone();
        runtime.spawn(async move {
            let (start, tasks) = (clock::now(), here.alive_tasks());
            let result = poll_fn(|context| {
                let poll = || Pin::new(&mut future).poll(context);
                match catch_unwind(AssertUnwindSafe(poll)) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
                    Err(panic) => Poll::Ready(Err(panic)),
                }
            });
            let result = result.await;
            drop(future);
            here.count_tasks_since(tasks);
            self.land(result, start.elapsed(), here);
        });
    }

    fn land(
        &mut self,
        result: thread::Result<Result<Instance, BoxError>>,
        took: Duration,
        runtime: RuntimeRef,
    ) {
        self.has_landed = true;
        let claims = std::mem::take(&mut *self.claims.lock().unwrap_or_else(PoisonError::into_inner));
        let finished = FinishedBuild {
            build: self.flight.build,
            epoch: self.epoch,
            by: self.by,
            micros: took.as_micros() as u64,
            claims,
            result,
        };
        let service = &self.request.service;
        let built =
            resolve::finish(service, &self.worker, &self.lane, finished).map(|(instance, mut info)| {
                info.runtime = Some(runtime);
                (instance, info)
            });
        // All requests get it as waiters, so the outcome for the thread that builds is not needed.
        drop(resolve::publish(&service.key, &self.lane, &self.flight, built));
    }
}

impl Drop for BuildTask {
    fn drop(&mut self) {
        if !self.has_landed {
            let key = &self.request.service.key;
            graph().end(self.flight.build, self.by, 0);
            let service = self.request.service.label();
            let error = Error::build_ended(service, self.worker.id().to_owned());
            drop(resolve::publish(key, &self.lane, &self.flight, Err(error)));
        }
    }
}
