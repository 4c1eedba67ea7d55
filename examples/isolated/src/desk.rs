//! The order desk: accepts, packs and cancels orders.

use crate::{Audit, Order, Orders, PriceList, Queue, Report, StatusServer};
use std::io;
use std::sync::Arc;

/// Accepts orders, with all services that this needs.
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
    /// Accepts an order: stores, lists, queues and logs it.
    ///
    /// # Errors
    /// If the shop does not sell the item, or a file cannot be written.
    pub fn place(&self, item: &str) -> io::Result<Order> {
        let cents = self.prices.cents(item).ok_or(io::ErrorKind::NotFound)?;
        let order = self.orders.add(item, cents);
        self.report.add(&order)?;
        self.queue.push(order.number);
        self.audit.note(&format!("placed {}", order.number))?;
        Ok(order)
    }

    /// Packs an order. Returns whether it was waiting.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn pack(&self, number: u64) -> io::Result<bool> {
        let was_waiting = self.queue.take(number);
        if was_waiting {
            self.audit.note(&format!("packed {number}"))?;
        }
        Ok(was_waiting)
    }

    /// Cancels an order. Returns whether it existed.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn cancel(&self, number: u64) -> io::Result<bool> {
        let was_there = self.orders.cancel(number);
        if was_there {
            self.queue.take(number);
            self.audit.note(&format!("cancelled {number}"))?;
        }
        Ok(was_there)
    }
}
