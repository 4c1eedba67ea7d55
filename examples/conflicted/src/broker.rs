//! An in-memory message broker with named queues.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The queues of all threads.
#[derive(Debug, Default)]
pub struct Broker {
    queues: Mutex<HashMap<String, Arc<Queue>>>,
}

impl Broker {
    /// Returns the queue with this name, creating it at the first request.
    pub fn queue(&self, name: &str) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(queues.entry(name.to_owned()).or_default())
    }
}

/// The numbers of the orders to pack.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<VecDeque<u64>>,
}

impl Queue {
    pub fn push(&self, number: u64) {
        self.waiting().push_back(number);
    }

    /// Takes the order that has waited longest.
    pub fn pop(&self) -> Option<u64> {
        self.waiting().pop_front()
    }

    /// Removes an order out of turn. Returns whether it was waiting.
    pub fn take(&self, number: u64) -> bool {
        let mut waiting = self.waiting();
        let place = waiting.iter().position(|waits| *waits == number);
        place.and_then(|place| waiting.remove(place)).is_some()
    }

    pub fn len(&self) -> usize {
        self.waiting().len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    pub fn clear(&self) {
        self.waiting().clear();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::shop::shop;

    #[test]
    fn an_order_waits_until_it_is_packed() {
        let shop = shop();
        let order = shop.place("boots").unwrap();
        // Out of turn: the first one in the queue may belong to another test.
        assert!(shop.pack(order.number).unwrap());
        assert!(!shop.pack(order.number).unwrap());
    }
}
