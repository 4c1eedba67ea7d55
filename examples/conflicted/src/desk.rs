//! The desk itself: what happens when a customer orders.

use crate::{Audit, Order, Orders, PriceList, Queue, Report, StatusServer};
use std::io;
use std::sync::Arc;

/// Takes orders, and has everything it needs to do so.
#[derive(Debug)]
pub struct OrderDesk {
    pub prices: Arc<PriceList>,
    pub orders: Arc<Orders>,
    pub report: Arc<Report>,
    pub queue: Arc<Queue>,
    pub status: Arc<StatusServer>,
    pub audit: Arc<Audit>,
}

impl OrderDesk {
    /// Takes an order: it is kept, listed, queued for packing, and noted.
    ///
    /// # Errors
    /// When the shop does not sell it, or a file cannot be written.
    pub fn place(&self, item: &str) -> io::Result<Order> {
        let cents = self.prices.cents(item).ok_or(io::ErrorKind::NotFound)?;
        let order = self.orders.add(item, cents);
        self.report.add(&order)?;
        self.queue.push(order.number);
        self.audit.note(&format!("placed {}", order.number))?;
        Ok(order)
    }

    /// Packs an order; whether it was waiting for that.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn pack(&self, number: u64) -> io::Result<bool> {
        let was_waiting = self.queue.take(number);
        if was_waiting {
            self.audit.note(&format!("packed {number}"))?;
        }
        Ok(was_waiting)
    }

    /// Cancels an order; whether there was one.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn cancel(&self, number: u64) -> io::Result<bool> {
        let was_there = self.orders.cancel(number);
        if was_there {
            self.queue.take(number);
            self.audit.note(&format!("cancelled {number}"))?;
        }
        Ok(was_there)
    }
}
