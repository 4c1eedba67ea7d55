//! What every test sets up first: a shop that nobody else is in.

use cofferdam::locator::ServiceHandle;
use cofferdam::worker::Claim;
use cofferdam::{Access, Resource, ServiceLocator, Worker, WorkerLocal, claim};
use order_desk::{Audit, Broker, OrderDesk, Orders, PriceList, Report, StatusServer};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

/// The broker is everybody's, the queue is not. The run is in its name too, for the day the broker is a server.
static QUEUE: WorkerLocal<String> = WorkerLocal::new(|cx| {
    let worker = cx.worker();
    Ok(format!("orders-{}-{}", worker.run(), worker.id()))
});

/// The worker that a shop was set up for.
struct Owner(String);

pub(crate) static SERVICES: LazyLock<ServiceLocator> = LazyLock::new(|| {
    ServiceLocator::builder()
        .name("shop")
        // Read only, and made for many threads: declared as shared.
        .register_shared::<PriceList>(|_| Ok(Arc::new(PriceList::of_this_season())))
        .register_shared::<Broker>(|_| Ok(Arc::default()))
        .register::<Owner>(|cx| Ok(Arc::new(Owner(cx.worker().id().to_owned()))))
        // Each worker its own, and each test finds it as good as new.
        .register::<Orders>(|_| Ok(Arc::new(Orders::open())))
        .reset(|orders| {
            orders.clear();
            Ok(())
        })
        .register::<Report>(|cx| {
            // In the worker's own folder.
            let path = cx.dir()?.join("report.csv");
            cx.claim(Resource::file(&path), Access::Write);
            let report = Report::open(&path)?;
            // Under nextest the lane's last test was another process: what it wrote is still there.
            report.clear()?;
            Ok(Arc::new(report))
        })
        .reset(|report| Ok(report.clear()?))
        .register::<StatusServer>(|cx| {
            // Whichever port is free. The system gives it to nobody else while it is held: nothing to declare.
            Ok(Arc::new(StatusServer::start(0, cx.get::<Orders>()?)?))
        })
        .register::<Audit>(|cx| {
            let path = cx.dir()?.join("audit.log");
            cx.claim(Resource::file(&path), Access::Write);
            Ok(Arc::new(Audit::open(&path)?))
        })
        .register::<OrderDesk>(|cx| {
            Ok(Arc::new(OrderDesk {
                prices: cx.get()?,
                orders: cx.get()?,
                report: cx.get()?,
                queue: cx.get::<Broker>()?.queue(&QUEUE.try_get()?),
                status: cx.get()?,
                audit: cx.get()?,
            }))
        })
        .reset(|desk| {
            desk.queue.clear();
            Ok(())
        })
        .build()
});

/// A shop that is open, for one test.
pub(crate) struct Shop {
    desk: ServiceHandle<OrderDesk>,
    _queue: Claim,
}

impl Deref for Shop {
    type Target = OrderDesk;

    fn deref(&self) -> &OrderDesk {
        &self.desk
    }
}

pub(crate) fn shop() -> Shop {
    let owner = SERVICES.get::<Owner>();
    assert_eq!(
        owner.0,
        Worker::current().id(),
        "a worker was handed another's services"
    );
    Shop {
        desk: SERVICES.get(),
        _queue: claim(Resource::name(format!("queue {}", QUEUE.get())), Access::Write),
    }
}
