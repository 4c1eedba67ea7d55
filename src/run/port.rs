//! Ports for servers that a fixture starts.

use std::io;
use std::net::TcpListener;

/// A port of this machine that nobody listens on at this moment.
pub(super) fn lease() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
