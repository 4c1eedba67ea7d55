//! The desk from the customers' view.

mod shop;

use shop::shop;
use std::io;

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
    // At least: other tests may have added orders too.
    assert!(shop.orders.cents() >= first.cents + second.cents);
}

#[test]
fn what_the_shop_does_not_sell_is_refused() {
    let refused = shop().place("piano").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::NotFound);
}
