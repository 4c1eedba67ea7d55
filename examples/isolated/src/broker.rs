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
        assert_eq!(shop.queue.len(), 1);
        assert!(shop.pack(order.number).unwrap());
        assert!(!shop.pack(order.number).unwrap());
        assert!(shop.queue.is_empty());
    }

    #[test]
    fn orders_come_out_in_turn() {
        let shop = shop();
        let (first, second) = (shop.place("lamp").unwrap(), shop.place("rope").unwrap());
        assert_eq!(shop.queue.pop(), Some(first.number));
        assert_eq!(shop.queue.pop(), Some(second.number));
        assert_eq!(shop.queue.pop(), None);
    }

    #[test]
    fn one_taken_out_of_turn_leaves_the_others_in_theirs() {
        let shop = shop();
        for number in [1, 2, 3] {
            shop.queue.push(number);
        }
        assert!(shop.queue.take(2));
        assert_eq!((shop.queue.pop(), shop.queue.pop()), (Some(1), Some(3)));
    }
}
