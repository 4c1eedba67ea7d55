//! The till of a shop.

use std::fmt::Write as _;

/// The prices in cents.
const PRICES: [(&str, u32); 3] = [("cake", 450), ("lamp", 2_990), ("tea", 300)];

/// A till with the sale in progress.
#[derive(Debug, Default)]
pub struct Till {
    sale: Vec<(&'static str, u32, u32)>,
}

impl Till {
    /// Adds pieces of an item to the sale.
    ///
    /// # Errors
    /// If the shop does not sell the item.
    pub fn scan(&mut self, item: &str, count: u32) -> Result<(), String> {
        let found = PRICES.iter().find(|(name, _)| *name == item);
        let (name, cents) = found.ok_or_else(|| format!("no price for {item:?}"))?;
        self.sale.push((name, count, count * cents));
        Ok(())
    }

    /// Returns the receipt for the sale in progress.
    pub fn receipt(&self) -> String {
        let mut receipt = String::new();
        let mut line = |text: &str, cents: u32| {
            let _ = writeln!(receipt, "{text} {}.{:02}", cents / 100, cents % 100);
        };
        for (item, count, cents) in &self.sale {
            line(&format!("{count} {item}"), *cents);
        }
        line("total", self.sale.iter().map(|(.., cents)| cents).sum());
        receipt
    }

    /// Begins the next sale.
    pub fn clear(&mut self) {
        self.sale.clear();
    }
}
