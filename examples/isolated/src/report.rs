//! The report for the bookkeeper: one line of CSV per order.

use crate::Order;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A CSV file with one line per order.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    file: File,
}

impl Report {
    /// Opens the file for appending, or creates it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Adds the order with one write, so that no line is torn.
    pub fn add(&self, order: &Order) -> io::Result<()> {
        (&self.file).write_all(format!("{}\n", line(order)).as_bytes())
    }

    pub fn lines(&self) -> io::Result<Vec<String>> {
        let text = std::fs::read_to_string(&self.path)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    pub fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

/// Formats an order as a line of CSV, in which quotes are doubled.
fn line(order: &Order) -> String {
    let item = order.item.replace('"', "\"\"");
    format!(
        "{},\"{item}\",{}.{:02}",
        order.number,
        order.cents / 100,
        order.cents % 100
    )
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::shop::shop;

    #[test]
    fn a_quote_in_a_name_is_doubled() {
        let shop = shop();
        let order = shop.orders.add("12\" pan", 3_150);
        shop.report.add(&order).unwrap();
        assert_eq!(shop.report.lines().unwrap(), ["1,\"12\"\" pan\",31.50"]);
    }

    #[test]
    fn an_order_is_a_line_of_the_report() {
        let shop = shop();
        let order = shop.place("tent").unwrap();
        assert_eq!(shop.report.lines().unwrap(), [line(&order)]);
    }

    #[test]
    fn a_shop_without_orders_has_an_empty_report() {
        assert!(shop().report.lines().unwrap().is_empty());
    }

    #[test]
    fn cents_have_two_digits() {
        let shop = shop();
        let order = shop.orders.add("nail", 5);
        assert_eq!(line(&order), "1,\"nail\",0.05");
    }
}
