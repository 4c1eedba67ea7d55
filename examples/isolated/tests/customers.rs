//! The desk from the customers' view.

mod shop;

use cofferdam::Worker;
use order_desk::PriceList;
use shop::{SERVICES, shop};
use std::io;
use std::sync::Arc;
use std::thread;

#[test]
fn a_customer_may_cancel_what_is_not_packed_yet() {
    let shop = shop();
    let order = shop.place("tent").unwrap();
    assert!(shop.cancel(order.number).unwrap());
    assert!(!shop.pack(order.number).unwrap());
}

#[test]
fn a_customer_may_order_twice() {
    let shop = shop();
    let (first, second) = (shop.place("rope").unwrap(), shop.place("rope").unwrap());
    assert!(first.number < second.number);
    assert_eq!(shop.orders.cents(), first.cents + second.cents);
}

#[test]
fn what_the_shop_does_not_sell_is_refused_and_leaves_no_trace() {
    let shop = shop();
    let refused = shop.place("piano").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::NotFound);
    assert_eq!(shop.orders.count(), 0);
    assert!(shop.queue.is_empty());
}

#[test]
fn a_sale_is_on_for_this_test_only() {
    let sale = SERVICES.override_with(Arc::new(PriceList::new(&[("tent", 9_900)])));
    assert_eq!(shop().place("tent").unwrap().cents, 9_900);
    drop(sale);
    assert_eq!(shop().place("tent").unwrap().cents, 23_900);
}

#[test]
fn two_clerks_serve_customers_of_one_shop() {
    let worker = Worker::current();
    thread::scope(|scope| {
        for item in ["lamp", "rope"] {
            scope.spawn(worker.wrap(move || shop().place(item).unwrap()));
        }
    });
    assert_eq!(shop().orders.count(), 2);
}
