//! The desk from the staff's view.

mod shop;

use shop::shop;

#[test]
fn the_auditor_is_told_of_what_was_packed() {
    let shop = shop();
    let order = shop.place("boots").unwrap();
    shop.pack(order.number).unwrap();
    // Exactly: the log belongs to this worker.
    assert_eq!(
        shop.audit.last().unwrap(),
        Some(format!("packed {}", order.number))
    );
}

#[test]
fn the_bookkeeper_finds_every_order_in_the_report() {
    let shop = shop();
    let before = shop.report.lines().unwrap().len();
    shop.place("lamp").unwrap();
    shop.place("rope").unwrap();
    // At least: other tests may have written lines too.
    assert!(shop.report.lines().unwrap().len() >= before + 2);
}

#[test]
fn the_monitor_is_answered_on_the_port_it_knows() {
    let shop = shop();
    assert_ne!(shop.status.port(), 0);
    assert!(shop.status.ask().unwrap().ends_with(" orders"));
}
