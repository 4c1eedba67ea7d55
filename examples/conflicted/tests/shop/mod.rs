//! What most tests set up first: a shop. Four mistakes are made here, and no test fails of them.

mod rush;

use cofferdam::locator::ServiceHandle;
use cofferdam::worker::Claim;
use cofferdam::{Access, Resource, ServiceLocator, claim};
use order_desk::{Audit, Broker, OrderDesk, Orders, PriceList, Report, StatusServer};
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// Where a monitor looks for the shop. Below what the system gives out by itself.
const STATUS_PORT: u16 = 27_481;

static SERVICES: LazyLock<ServiceLocator> = LazyLock::new(|| {
    ServiceLocator::builder()
        .name("shop")
        // Read only, and made for many threads: declared as shared, no mistake.
        .register_shared::<PriceList>(|_| Ok(Arc::new(PriceList::of_this_season())))
        .register_shared::<Broker>(|_| Ok(Arc::default()))
        .register::<Orders>(|_| {
            // Mistake 1, an instance: to open the book takes a moment, so it is kept, and every worker is handed it.
            static ORDERS: LazyLock<Arc<Orders>> = LazyLock::new(|| Arc::new(Orders::open()));
            Ok(Arc::clone(&ORDERS))
        })
        .register::<Report>(|cx| {
            // Mistake 2, a file: one path for all.
            let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
            std::fs::create_dir_all(&target)?;
            let path = target.join("report.csv");
            cx.claim(Resource::file(&path), Access::Write);
            Ok(Arc::new(Report::open(&path)?))
        })
        .register::<StatusServer>(|cx| {
            // Mistake 3, a port: whoever comes second finds it taken, and asks somebody else's server.
            cx.claim(Resource::port(STATUS_PORT), Access::Write);
            let orders = cx.get::<Orders>()?;
            Ok(Arc::new(StatusServer::start_or_use(STATUS_PORT, orders)))
        })
        .register::<Audit>(|cx| {
            // In the worker's own folder: no mistake.
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
    rush::begin();
    Shop {
        desk: SERVICES.get(),
        // Mistake 4, a name: one queue for all.
        _queue: claim(Resource::name("queue orders"), Access::Write),
    }
}
