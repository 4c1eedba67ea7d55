//! Tests of this crate on the server that all crates share.

use orders::fulfill;
use test_support::{item, starts, stock};

#[test]
fn an_order_takes_its_goods_from_the_stock() {
    let (stock, tea, lamp) = (stock(), item("tea"), item("lamp"));
    stock.add(&tea, 3).unwrap();
    stock.add(&lamp, 1).unwrap();
    assert!(fulfill(&stock, &[(&tea, 2), (&lamp, 1)]).unwrap().is_empty());
    assert_eq!((stock.count(&tea).unwrap(), stock.count(&lamp).unwrap()), (1, 0));
}

#[test]
fn missing_goods_are_named() {
    let (stock, tea, lamp) = (stock(), item("tea"), item("lamp"));
    stock.add(&tea, 1).unwrap();
    assert_eq!(fulfill(&stock, &[(&tea, 1), (&lamp, 1)]).unwrap(), [&*lamp]);
}

#[test]
fn the_server_is_the_only_one_of_the_run() {
    let server = stock().server().unwrap();
    assert_eq!(starts(), [server]);
}
