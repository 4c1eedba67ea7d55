//! Reports of the stock.

use std::io;
use stock::Stock;

/// Returns the items of which fewer than `least` pieces are left.
///
/// # Errors
/// If the stock server does not answer.
pub fn short<'a>(stock: &Stock, items: &[&'a str], least: u32) -> io::Result<Vec<&'a str>> {
    let mut short = Vec::new();
    for &item in items {
        if stock.count(item)? < least {
            short.push(item);
        }
    }
    Ok(short)
}
