//! Orders, which take goods from the stock.

use std::io;
use stock::Stock;

/// Takes the goods of an order, item by item. Returns the items that are missing.
///
/// # Errors
/// If the stock server does not answer.
pub fn fulfill<'a>(stock: &Stock, order: &[(&'a str, u32)]) -> io::Result<Vec<&'a str>> {
    let mut missing = Vec::new();
    for &(item, count) in order {
        if !stock.take(item, count)? {
            missing.push(item);
        }
    }
    Ok(missing)
}
