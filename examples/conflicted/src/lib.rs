//! The order desk of a small web shop: accepts orders, lists them in a report, queues them for packing, and reports
//! its status over TCP.

// The tests in `src/` and those in `tests/` set the shop up with the same file, which calls this crate by its name.
#[cfg(test)]
extern crate self as order_desk;

mod audit;
mod broker;
mod desk;
mod invoice;
mod orders;
mod prices;
mod report;
mod status;

pub use audit::Audit;
pub use broker::{Broker, Queue};
pub use desk::OrderDesk;
pub use invoice::Invoice;
pub use orders::{Order, Orders};
pub use prices::PriceList;
pub use report::Report;
pub use status::StatusServer;

#[cfg(test)]
#[path = "../tests/shop/mod.rs"]
mod shop;
