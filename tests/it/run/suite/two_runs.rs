//! Tests that report their leases, and keep them until they are released.

use cofferdam::{Names, Worker, lock, lease};
use cofferdam::namespace::output_dir;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn held(words: &[String]) {
    let mut stream = TcpStream::connect(std::env::var("MEET").unwrap()).unwrap();
    writeln!(stream, "{}", words.join(" ")).unwrap();
    let _ = stream.read(&mut [0]);
}

fn leases() {
    let (port, folder) = (lease::port().unwrap(), lease::dir().unwrap());
    let _listens = TcpListener::bind(port.addr()).unwrap();
    let output = output_dir(env!("CARGO_TARGET_TMPDIR")).unwrap();
    held(&[
        port.number().to_string(),
        folder.path().display().to_string(),
        Worker::current().dir().unwrap().display().to_string(),
        Names::current().postgres_database("shop"),
        Names::current().s3_prefix("shop"),
        format!("{}/{}", output.display(), Worker::current().id()),
    ]);
}

fn alone() {
    let _alone = lock("report");
    let inside = concat!(env!("CARGO_MANIFEST_DIR"), "/inside");
    std::fs::File::create_new(inside).expect("nobody else of this checkout is inside");
    held(&[inside.to_owned()]);
    std::fs::remove_file(inside).unwrap();
}

#[test]
fn leases_1() {
    leases();
}

#[test]
fn leases_2() {
    leases();
}

#[test]
fn leases_3() {
    leases();
}

#[test]
fn leases_4() {
    leases();
}

#[test]
fn alone_1() {
    alone();
}

#[test]
fn alone_2() {
    alone();
}

#[test]
fn alone_3() {
    alone();
}

#[test]
fn alone_4() {
    alone();
}
