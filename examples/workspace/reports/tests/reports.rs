//! Tests of this crate on the server that all crates share.

use reports::short;
use test_support::{item, starts, stock};

#[test]
fn goods_that_are_nearly_gone_are_reported() {
    let (stock, tea, lamp) = (stock(), item("tea"), item("lamp"));
    stock.add(&tea, 9).unwrap();
    stock.add(&lamp, 1).unwrap();
    assert_eq!(short(&stock, &[&tea, &lamp], 2).unwrap(), [&*lamp]);
}

#[test]
fn goods_that_were_never_there_are_short() {
    let (stock, rope) = (stock(), item("rope"));
    assert_eq!(short(&stock, &[&rope], 1).unwrap(), [&*rope]);
}

#[test]
fn the_server_is_the_only_one_of_the_run() {
    let server = stock().server().unwrap();
    assert_eq!(starts(), [server]);
}
