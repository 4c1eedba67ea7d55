//! The desk from the staff's view.

mod shop;

use shop::shop;

#[test]
fn the_auditor_is_told_of_what_was_packed() {
    let shop = shop();
    let order = shop.place("boots").unwrap();
    shop.pack(order.number).unwrap();
    assert_eq!(shop.audit.last().unwrap(), Some("packed 1".to_owned()));
}

#[test]
fn the_auditor_is_told_of_what_was_cancelled() {
    let shop = shop();
    let order = shop.place("boots").unwrap();
    shop.cancel(order.number).unwrap();
    assert_eq!(shop.audit.last().unwrap(), Some("cancelled 1".to_owned()));
}

#[test]
fn the_bookkeeper_finds_every_order_in_the_report() {
    let shop = shop();
    shop.place("lamp").unwrap();
    shop.place("rope").unwrap();
    assert_eq!(
        shop.report.lines().unwrap(),
        ["1,\"lamp\",24.50", "2,\"rope\",12.00"]
    );
}

#[test]
fn the_monitor_counts_what_is_not_cancelled() {
    let shop = shop();
    shop.place("lamp").unwrap();
    let rope = shop.place("rope").unwrap();
    shop.cancel(rope.number).unwrap();
    assert_eq!(shop.status.ask().unwrap(), "open, 1 orders");
}

#[test]
fn the_packers_find_nothing_waiting_in_the_morning() {
    assert!(shop().queue.is_empty());
}
