//! The orders, in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An order of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub number: u64,
    pub item: String,
    pub cents: u64,
}

/// All orders of one shop.
#[derive(Debug)]
pub struct Orders {
    book: Mutex<Book>,
    last_season: BTreeMap<u64, Order>,
}

#[derive(Debug, Default)]
struct Book {
    /// Unique, even if the order is cancelled.
    last: u64,
    orders: BTreeMap<u64, Order>,
}

/// The first number of last season.
const LAST_SEASON: u64 = 25_000_000;

impl Orders {
    /// Opens a new book and last season's, which takes a moment.
    pub fn open() -> Self {
        let sold = (LAST_SEASON..LAST_SEASON + 40_000).map(|number| {
            let order = Order {
                number,
                item: format!("item {}", number % 977),
                cents: number % 10_007,
            };
            (number, order)
        });
        Self {
            book: Mutex::default(),
            last_season: sold.collect(),
        }
    }

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

    /// Returns an order of this season or the last one.
    pub fn find(&self, number: u64) -> Option<Order> {
        let of_this = self.book().orders.get(&number).cloned();
        of_this.or_else(|| self.last_season.get(&number).cloned())
    }

    /// Removes an order. Returns whether it existed.
    pub fn cancel(&self, number: u64) -> bool {
        self.book().orders.remove(&number).is_some()
    }

    /// Returns the number of orders of this season.
    pub fn count(&self) -> usize {
        self.book().orders.len()
    }

    /// Returns the total of this season.
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
    }

    #[test]
    fn an_order_is_found_by_its_number() {
        let shop = shop();
        let order = shop.place("boots").unwrap();
        assert_eq!(shop.orders.find(order.number), Some(order));
        // At least: other tests may have added more.
        assert!(shop.orders.count() >= 1);
    }
}
