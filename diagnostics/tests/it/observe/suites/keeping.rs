//! A suite with a server that is started once per run, and with leased ports. Its only conflict is the file `own`.

use cofferdam::{Fixture, lease};
use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name)
}

/// The server is this program: the test below.
static SERVER: Fixture<u16> = Fixture::per_run("server", |setup| {
    let port = setup.lease_port()?;
    fs::write(place("of-the-factory"), "1")?;
    assert!(Command::new("sh").arg("-c").arg(format!("echo 1 > {}", place("of-its-child").display())).status()?.success());
    let mut server = Command::new(std::env::current_exe()?);
    setup.spawn(server.args(["serves", "--exact", "--ignored"]).env("KEEPING_PORT", port.to_string()))?;
    setup.wait_for_port(port)?;
    Ok(port)
});

#[test]
#[ignore = "the server"]
fn serves() {
    let port: u16 = std::env::var("KEEPING_PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        fs::write(place("of-the-server"), "1").unwrap();
        drop(stream.unwrap());
    }
}

fn asks() {
    let mut stream = TcpStream::connect(("127.0.0.1", *SERVER.get())).unwrap();
    // The end of the stream: the server has written by then.
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    for made in ["of-the-factory", "of-its-child", "of-the-server"] {
        assert!(place(made).exists(), "{made}");
    }
}
#[test]
fn asks_a() {
    asks();
}
#[test]
fn asks_b() {
    asks();
}

fn leases() {
    let port = lease::port().unwrap();
    let server = TcpListener::bind(port.addr()).unwrap();
    TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (_listener, port) = lease::listener().unwrap();
    TcpStream::connect(port.addr()).unwrap();
}
#[test]
fn leases_a() {
    leases();
}
#[test]
fn leases_b() {
    leases();
}

#[test]
fn writes_a() {
    fs::write(place("own"), "1").unwrap();
}
#[test]
fn writes_b() {
    fs::write(place("own"), "1").unwrap();
}
