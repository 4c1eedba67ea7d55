//! Invoices, in the currency of the customer's country.

use crate::Order;
use std::io;
use std::path::{Path, PathBuf};

/// The invoice for one order.
#[derive(Debug)]
pub struct Invoice {
    order: Order,
    currency: String,
}

impl Invoice {
    /// Creates an invoice in the currency of the environment, or in euros.
    pub fn of(order: Order) -> Self {
        let currency = std::env::var("SHOP_CURRENCY");
        Self::in_currency(order, currency.as_deref().unwrap_or("EUR"))
    }

    pub fn in_currency(order: Order, currency: &str) -> Self {
        Self {
            order,
            currency: currency.to_owned(),
        }
    }

    pub fn text(&self) -> String {
        let Self { order, currency } = self;
        format!(
            "{} {}.{:02} {currency}",
            order.item,
            order.cents / 100,
            order.cents % 100
        )
    }

    /// Returns its path; a relative directory is below the working directory.
    ///
    /// # Errors
    /// If the working directory does not exist.
    pub fn place(&self, folder: &Path) -> io::Result<PathBuf> {
        std::path::absolute(folder.join(format!("invoice-{}.txt", self.order.number)))
    }

    /// Writes it to a directory, and returns its path.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        let place = self.place(folder)?;
        std::fs::write(&place, self.text())?;
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::Invoice;
    use crate::Order;
    use cofferdam::{Worker, WorkerLocal};
    use std::path::Path;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;

    fn order() -> Order {
        Order {
            number: 7,
            item: "tent".to_owned(),
            cents: 23_900,
        }
    }

    static LAST: WorkerLocal<AtomicU64> = WorkerLocal::new(|_| Ok(AtomicU64::new(0))).per_test();

    fn next_order() -> Order {
        Order {
            number: LAST.get().fetch_add(1, Relaxed) + 1,
            ..order()
        }
    }

    #[test]
    fn a_shop_abroad_bills_in_its_own_currency() {
        let text = Invoice::in_currency(order(), "CHF").text();
        assert_eq!(text, "tent 239.00 CHF");
    }

    #[test]
    fn an_invoice_names_the_item_and_its_price() {
        assert_eq!(Invoice::of(next_order()).text(), "tent 239.00 EUR");
    }

    #[test]
    fn an_invoice_is_written_where_it_is_wanted() {
        let folder = Worker::current().dir().unwrap();
        let written = Invoice::of(order()).write(&folder).unwrap();
        assert_eq!(std::fs::read_to_string(written).unwrap(), "tent 239.00 EUR");
    }

    #[test]
    fn an_invoice_has_its_number_in_its_name() {
        let place = Invoice::of(next_order()).place(Path::new("invoices")).unwrap();
        assert_eq!(place, std::path::absolute("invoices/invoice-1.txt").unwrap());
    }
}
