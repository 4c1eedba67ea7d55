//! The cost of async tests that share a pool of connections by worker, beside one pool for all and one for each test.
//!
//! The server is not a database: it waits as long as a connection to PostgreSQL takes on this machine's loopback, and then
//! answers at once. So a query costs a round trip, which is where the overhead of a test shows most.

mod harness;
#[path = "harness/scratch.rs"]
mod scratch;

use harness::{Series, Table};
use scratch::{Scratch, cofferdam};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const ROUNDS: usize = 15;
/// The duration of a handshake with a password, the start of a server process included.
const HANDSHAKE: Duration = Duration::from_millis(5);
const COMMON: &str = include_str!("programs/async_pool.rs");

/// The suites: a name, and the definition of the tests.
const SUITES: [(&str, &str); 3] = [
    (
        "per_worker",
        "static POOL: cofferdam::WorkerLocal<Pool> =
             cofferdam::WorkerLocal::new_async(&|_| async { Ok(Pool::connect().await?) });
         macro_rules! tests { ($($name:ident)*) => {$(
             #[cofferdam::test]
             async fn $name() {
                 let _measured = super::Measured::begin();
                 assert_eq!(super::POOL.get_async().await.select_one().await.unwrap(), 1);
             }
         )*} }",
    ),
    (
        "one_for_all",
        "static RUNTIME: std::sync::LazyLock<tokio::runtime::Runtime> =
             std::sync::LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());
         static POOL: tokio::sync::OnceCell<Pool> = tokio::sync::OnceCell::const_new();
         macro_rules! tests { ($($name:ident)*) => {$(
             #[test]
             fn $name() {
                 let _measured = super::Measured::begin();
                 super::RUNTIME.block_on(async {
                     let pool = super::POOL.get_or_try_init(super::Pool::connect).await.unwrap();
                     assert_eq!(pool.select_one().await.unwrap(), 1);
                 });
             }
         )*} }",
    ),
    (
        "per_test",
        "macro_rules! tests { ($($name:ident)*) => {$(
             #[tokio::test]
             async fn $name() {
                 let _measured = super::Measured::begin();
                 let pool = super::Pool::connect().await.unwrap();
                 assert_eq!(pool.select_one().await.unwrap(), 1);
             }
         )*} }",
    ),
];

/// Answers the queries of one connection.
#[expect(
    clippy::disallowed_methods,
    reason = "a server that is not a database takes as long as one"
)]
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    thread::sleep(HANDSHAKE);
    stream.write_all(b"R")?;
    let mut query = [0; 8];
    loop {
        stream.read_exact(&mut query)?;
        stream.write_all(&[1])?;
    }
}

fn suites() -> Result<Scratch, String> {
    let message = |error: std::io::Error| error.to_string();
    let ours = cofferdam(&["macros", "tokio"]);
    let tokio = "tokio = { version = \"1\", features = [\"io-util\", \"macros\", \"net\", \"rt-multi-thread\", \"sync\"] }";
    let scratch = Scratch::new(&format!("[dependencies]\n{ours}\n{tokio}"), ("src/lib.rs", ""));
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    fs::copy(lock, scratch.path().join("Cargo.lock")).map_err(message)?;
    fs::create_dir(scratch.path().join("tests")).map_err(message)?;
    for (name, tests) in SUITES {
        let imports = COMMON.find("use std").unwrap_or_default();
        let (header, common) = COMMON.split_at(imports);
        let (common, calls) = common.split_at(common.find("macro_rules! ten").unwrap_or_default());
        // The tests' modules see the macro only below it.
        let text = format!("{header}{common}{tests}\n\n{calls}");
        fs::write(scratch.path().join(format!("tests/{name}.rs")), text).map_err(message)?;
    }
    let server = TcpListener::bind("127.0.0.1:0").map_err(message)?;
    let port = server.local_addr().map_err(message)?.port().to_string();
    fs::write(scratch.path().join("queries"), port).map_err(message)?;
    thread::spawn(move || {
        for stream in server.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    scratch.cargo(&["test", "--release", "--no-run", "--offline"], "")?;
    Ok(scratch)
}

/// Runs a suite. Returns the milliseconds from its first test to its last.
fn run(scratch: &Scratch, suite: &str) -> Result<f64, String> {
    let elapsed = scratch.path().join("elapsed");
    let _ = fs::remove_file(&elapsed);
    let arguments = [
        "test",
        "--release",
        "--offline",
        "--test",
        suite,
        "--",
        "--test-threads",
        "2",
    ];
    scratch.cargo(&arguments, "")?;
    let micros = fs::read_to_string(elapsed).map_err(|error| error.to_string())?;
    Ok(micros.parse::<f64>().map_err(|error| error.to_string())? / 1000.0)
}

fn measure(scratch: &Scratch) -> Result<Table, String> {
    let mut times = SUITES.map(|_| Series(Vec::new()));
    for _ in 0..ROUNDS {
        for ((suite, _), times) in SUITES.iter().zip(&mut times) {
            times.0.push(run(scratch, suite)?);
        }
    }
    let [per_worker, one, per_test] = times;
    let mut table = Table::new("200 async tests with one query each, cargo test, 2 at once, release");
    table.row("a pool per worker, `#[cofferdam::test]`", " ms", &per_worker, ..);
    table.row("one static pool on one static runtime", " ms", &one, ..);
    table.row("a pool per test, `#[tokio::test]`", " ms", &per_test, ..);
    table.row("per worker ÷ one for all", "×", &per_worker.over(&one), ..=1.1);
    table.row("per test ÷ per worker", "×", &per_test.over(&per_worker), 5.0..);
    Ok(table)
}

#[expect(
    clippy::print_stdout,
    reason = "who reads the table has to know that it is not there"
)]
fn main() {
    if !harness::is_wanted() {
        return;
    }
    match suites().as_ref().map_err(String::clone).and_then(measure) {
        Ok(table) => table.print(),
        Err(reason) => println!("skipped: {reason}"),
    }
}
