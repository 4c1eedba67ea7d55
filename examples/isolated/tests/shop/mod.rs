//! The shop that every test sets up, without any shared state.

use cofferdam::locator::ServiceHandle;
use cofferdam::worker::Claim;
use cofferdam::{Access, Resource, ServiceLocator, Worker, WorkerLocal, claim};
use order_desk::{Audit, Broker, OrderDesk, Orders, PriceList, Report, StatusServer};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

/// The broker is shared, the queue is not. Its name includes the run too, in case the broker becomes a server.
static QUEUE: WorkerLocal<String> = WorkerLocal::new(|cx| {
    let worker = cx.worker();
    Ok(format!("orders-{}-{}", worker.run(), worker.id()))
});

/// The worker of a shop.
struct Owner(String);

pub(crate) static SERVICES: LazyLock<ServiceLocator> = LazyLock::new(|| {
    ServiceLocator::builder()
        .name("shop")
        // Read-only and thread-safe: declared as shared.
        .register_shared::<PriceList>(|_| Ok(Arc::new(PriceList::of_this_season())))
        .register_shared::<Broker>(|_| Ok(Arc::default()))
        .register::<Owner>(|cx| Ok(Arc::new(Owner(cx.worker().id().to_owned()))))
        // One per worker, reset for each test.
        .register::<Orders>(|_| Ok(Arc::new(Orders::open())))
        .reset(|orders| {
            orders.clear();
            Ok(())
        })
        .register::<Report>(|cx| {
            // In the worker's own directory.
            let path = cx.dir()?.join("report.csv");
            cx.claim(Resource::file(&path), Access::Write);
            let report = Report::open(&path)?;
            // Under nextest the worker's last test was another process, whose file is still there.
            report.clear()?;
            Ok(Arc::new(report))
        })
        .reset(|report| Ok(report.clear()?))
        .register::<StatusServer>(|cx| {
            // Any free port, which the system gives to no other program while it is open: nothing to declare.
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

/// An open shop for one test.
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
