//! The fixture that the tests of all crates share: one stock server for the run.

use cofferdam::file::Appender;
use cofferdam::{Fixture, Names, Worker};
use std::path::PathBuf;
use std::process::Command;
use stock::Stock;

/// The server's port. It is one static in one crate, so every test binary means the same fixture.
static SERVER: Fixture<u16> = Fixture::per_run("stock", |setup| {
    let starts = starts_file();
    setup.on_teardown(Command::new("rm").arg("-f").arg(&starts))?;
    let port = setup.lease_port()?;
    // Builds it where that is necessary (`cargo test -p orders`), and becomes the server.
    let pid = setup.spawn(
        Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--package", "stock", "--", &port.to_string()])
            .current_dir(env!("CARGO_MANIFEST_DIR")),
    )?;
    setup.wait_for_port(port)?;
    Appender::new(starts).line(pid.to_string())?;
    Ok(port)
});

/// Returns the path of a list of the servers that this run has started.
fn starts_file() -> PathBuf {
    std::env::temp_dir().join(Names::of_run().queue("stock-starts"))
}

/// Returns the stock of the run's server, which the first test starts.
pub fn stock() -> Stock {
    Stock::on(*SERVER.get())
}

/// Returns a name for an item that no other test uses: all share the server's memory.
pub fn item(name: &str) -> String {
    Names::of_test(&Worker::current()).queue(name)
}

/// Returns the process numbers of the servers that this run has started.
pub fn starts() -> Vec<u32> {
    let starts = std::fs::read_to_string(starts_file()).unwrap();
    starts.lines().map(|pid| pid.parse().unwrap()).collect()
}
