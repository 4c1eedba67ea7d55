//! The shop that most tests set up. It contains four mistakes, and no test fails because of them.

mod rush;

use cofferdam::locator::ServiceHandle;
use cofferdam::worker::Claim;
use cofferdam::{Access, Resource, ServiceLocator, claim};
use order_desk::{Audit, Broker, OrderDesk, Orders, PriceList, Report, StatusServer};
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// The port of the status server, below the range of ephemeral ports.
const STATUS_PORT: u16 = 27_481;

static SERVICES: LazyLock<ServiceLocator> = LazyLock::new(|| {
    ServiceLocator::builder()
        .name("shop")
        // Read-only and thread-safe: declared as shared, no mistake.
        .register_shared::<PriceList>(|_| Ok(Arc::new(PriceList::of_this_season())))
        .register_shared::<Broker>(|_| Ok(Arc::default()))
        .register::<Orders>(|_| {
            // Mistake 1, an instance: opening the book takes a moment, so one is kept and returned to every worker.
            static ORDERS: LazyLock<Arc<Orders>> = LazyLock::new(|| Arc::new(Orders::open()));
            Ok(Arc::clone(&ORDERS))
        })
        .register::<Report>(|cx| {
            // Mistake 2, a file: one path for all tests.
            let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
            std::fs::create_dir_all(&target)?;
            let path = target.join("report.csv");
            cx.claim(Resource::file(&path), Access::Write);
            Ok(Arc::new(Report::open(&path)?))
        })
        .register::<StatusServer>(|cx| {
            // Mistake 3, a port: the second test finds it in use, and asks the server of another test.
            cx.claim(Resource::port(STATUS_PORT), Access::Write);
            let orders = cx.get::<Orders>()?;
            Ok(Arc::new(StatusServer::start_or_use(STATUS_PORT, orders)))
        })
        .register::<Audit>(|cx| {
            // In the worker's own directory: no mistake.
            let path = cx.dir()?.join("audit.log");
            cx.claim(Resource::file(&path), Access::Write);
            Ok(Arc::new(Audit::open(&path)?))
        })
        .register::<OrderDesk>(|cx| {
            Ok(Arc::new(OrderDesk {
                prices: cx.get()?,
                orders: cx.get()?,
                report: cx.get()?,
                queue: cx.get::<Broker>()?.queue("orders"),
                status: cx.get()?,
                audit: cx.get()?,
            }))
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
    rush::begin();
    Shop {
        desk: SERVICES.get(),
        // Mistake 4, a name: one queue for all tests.
        _queue: claim(Resource::name("queue orders"), Access::Write),
    }
}
