//! The orders, in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a customer wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub number: u64,
    pub item: String,
    pub cents: u64,
}

/// All orders of one shop.
#[derive(Debug, Default)]
pub struct Orders {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// A number is given once, also when its order is cancelled.
    last: u64,
    orders: BTreeMap<u64, Order>,
}

impl Orders {
    /// Adds an order under the next number.
    pub fn add(&self, item: &str, cents: u64) -> Order {
        let mut book = self.book();
        book.last += 1;
        let order = Order {
            number: book.last,
            item: item.to_owned(),
            cents,
        };
        book.orders.insert(order.number, order.clone());
        order
    }

    pub fn find(&self, number: u64) -> Option<Order> {
        self.book().orders.get(&number).cloned()
    }

    /// Whether there was such an order.
    pub fn cancel(&self, number: u64) -> bool {
        self.book().orders.remove(&number).is_some()
    }

    pub fn count(&self) -> usize {
        self.book().orders.len()
    }

    /// What all of them cost together.
    pub fn cents(&self) -> u64 {
        self.book().orders.values().map(|order| order.cents).sum()
    }

    /// Begins a new book.
    pub fn clear(&self) {
        *self.book() = Book::default();
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::shop::shop;

    #[test]
    fn a_cancelled_order_is_gone() {
        let shop = shop();
        let order = shop.place("lamp").unwrap();
        assert!(shop.cancel(order.number).unwrap());
        assert_eq!(shop.orders.find(order.number), None);
        assert!(!shop.cancel(order.number).unwrap());
        assert_eq!(shop.orders.count(), 0);
    }

    #[test]
    fn an_order_is_found_by_its_number() {
        let shop = shop();
        let order = shop.place("boots").unwrap();
        assert_eq!(shop.orders.find(order.number), Some(order));
        assert_eq!(shop.orders.count(), 1);
    }

    #[test]
    fn numbers_begin_at_one_and_are_given_once() {
        let shop = shop();
        assert_eq!(shop.place("rope").unwrap().number, 1);
        assert!(shop.cancel(1).unwrap());
        assert_eq!(shop.place("rope").unwrap().number, 2);
    }

    #[test]
    fn what_is_cancelled_is_not_counted() {
        let shop = shop();
        let (tent, rope) = (shop.place("tent").unwrap(), shop.place("rope").unwrap());
        assert_eq!(shop.orders.cents(), tent.cents + rope.cents);
        shop.cancel(tent.number).unwrap();
        assert_eq!(shop.orders.cents(), rope.cents);
    }
}
