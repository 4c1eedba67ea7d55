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
    use std::env;
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

    // Mistake 7, a static: all tests of the process take their numbers from it.
    static LAST: AtomicU64 = AtomicU64::new(0);

    fn next_order() -> Order {
        Order {
            number: LAST.fetch_add(1, Relaxed) + 1,
            ..order()
        }
    }

    #[test]
    fn a_shop_abroad_bills_in_its_own_currency() {
        // Mistake 5, a variable: all tests of the process have the same ones.
        // SAFETY: all code here reads and changes variables through std, which has a lock for them.
        unsafe { env::set_var("SHOP_CURRENCY", "CHF") };
        let text = Invoice::of(order()).text();
        // SAFETY: as above.
        unsafe { env::remove_var("SHOP_CURRENCY") };
        assert_eq!(text, "tent 239.00 CHF");
    }

    #[test]
    fn an_invoice_names_the_item_and_its_price() {
        // Without the currency, which another test may have changed.
        let text = Invoice::of(next_order()).text();
        assert!(text.starts_with("tent 239.00 "));
    }

    #[test]
    fn an_invoice_is_written_where_the_shop_is_run() {
        let folder = env::temp_dir().join(format!("order-desk-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let home = env::current_dir().unwrap();
        // Mistake 6, the working directory: it is the same for all tests of the process.
        env::set_current_dir(&folder).unwrap();
        let written = Invoice::of(order()).write(Path::new(""));
        env::set_current_dir(home).unwrap();
        assert_eq!(std::fs::read_to_string(written.unwrap()).unwrap().len(), 15);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_invoice_has_its_number_in_its_name() {
        // Another test hardly ever takes a number at this moment.
        let next = LAST.load(Relaxed) + 1;
        let place = Invoice::of(next_order()).place(Path::new("invoices")).unwrap();
        // Without the directory, which another test may have changed.
        assert!(place.ends_with(format!("invoices/invoice-{next}.txt")));
    }
}
