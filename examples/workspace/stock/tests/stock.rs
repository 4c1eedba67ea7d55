//! Tests of this crate on the server that all crates share.

use test_support::{item, starts, stock};

#[test]
fn goods_that_are_added_can_be_taken() {
    let (stock, tea) = (stock(), item("tea"));
    stock.add(&tea, 3).unwrap();
    assert!(stock.take(&tea, 2).unwrap());
    assert_eq!(stock.count(&tea).unwrap(), 1);
}

#[test]
fn no_more_is_taken_than_is_there() {
    let (stock, tea) = (stock(), item("tea"));
    stock.add(&tea, 1).unwrap();
    assert!(!stock.take(&tea, 2).unwrap());
    assert_eq!(stock.count(&tea).unwrap(), 1);
}

#[test]
fn the_server_is_the_only_one_of_the_run() {
    let server = stock().server().unwrap();
    assert_eq!(starts(), [server]);
}
