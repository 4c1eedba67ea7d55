//! A suite of eight tests and eight doctests that report their worker and wait for each other in groups of four.

use cofferdam::Worker;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Reports its worker, and returns when as many others have done so as run at once.
///
/// ```
/// suite::meet("doctest 0");
/// ```
/// ```
/// suite::meet("doctest 1");
/// ```
/// ```
/// suite::meet("doctest 2");
/// ```
/// ```
/// suite::meet("doctest 3");
/// ```
/// ```standalone_crate
/// suite::meet("doctest 4");
/// ```
/// ```standalone_crate
/// suite::meet("doctest 5");
/// ```
/// ```standalone_crate
/// suite::meet("doctest 6");
/// ```
/// ```standalone_crate
/// suite::meet("doctest 7");
/// ```
pub fn meet(what: &str) {
    let worker = Worker::current();
    let mut stream = TcpStream::connect(std::env::var("MEET").unwrap()).unwrap();
    let (id, run, test) = (worker.id(), worker.run(), worker.test().unwrap_or("-"));
    let index = worker.index().unwrap();
    // A test without partners should fail and not hang.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    writeln!(stream, "{id} {index} {run} {test} {what}").unwrap();
    BufReader::new(stream)
        .read_line(&mut String::new())
        .unwrap();
    assert_eq!(worker.id(), Worker::current().id());
}
