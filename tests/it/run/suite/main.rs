//! A server that reports its process ID to the test and runs until it is stopped.

use std::io::{Read, Write};
use std::net::TcpStream;

fn main() {
    let mut args = std::env::args().skip(1);
    let (address, folder) = (args.next().unwrap(), args.next().unwrap());
    let mut stream = TcpStream::connect(address).unwrap();
    let keeper = std::os::unix::process::parent_id();
    writeln!(stream, "server {} {keeper} {folder}", std::process::id()).unwrap();
    println!("listening");
    // The other end notices when this process is gone.
    let _ = stream.read(&mut [0]);
    std::thread::park();
}
