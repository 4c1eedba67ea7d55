//! The ticket office of a museum.

use std::sync::OnceLock;
use std::{env, fs, io};

static TILL: OnceLock<u32> = OnceLock::new();

/// Returns the price of a day pass in the currency of `TICKETS_CURRENCY`, euros by default.
pub fn day_pass() -> String {
    match env::var("TICKETS_CURRENCY").as_deref() {
        Ok("USD") => "11 USD".to_owned(),
        _ => "10 EUR".to_owned(),
    }
}

/// Opens the till with this amount of change.
pub fn open_till(change: u32) {
    TILL.get_or_init(|| change);
}

/// Returns the change in the till, once it is open.
pub fn change() -> Option<u32> {
    TILL.get().copied()
}

/// Writes the sales of a day to the report and reads the report back, as the printer does.
pub fn print_sales(day: &str, sold: u32) -> io::Result<String> {
    let report = env::temp_dir().join("ticket-office-sales.csv");
    fs::write(&report, format!("{day},{sold}\n"))?;
    // The printer takes a moment.
    std::thread::sleep(std::time::Duration::from_millis(30));
    fs::read_to_string(&report)
}
