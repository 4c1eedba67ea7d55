//! The client of the stock server: one connection for each request.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};

/// The stock of one server.
#[derive(Debug)]
pub struct Stock {
    port: u16,
}

impl Stock {
    /// Returns the stock of the server on this port.
    pub fn on(port: u16) -> Self {
        Self { port }
    }

    /// Adds pieces of an item.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn add(&self, item: &str, count: u32) -> io::Result<()> {
        self.ask(&format!("add {item} {count}")).map(drop)
    }

    /// Takes pieces of an item. Returns whether there were enough.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn take(&self, item: &str, count: u32) -> io::Result<bool> {
        Ok(self.ask(&format!("take {item} {count}"))? == 1)
    }

    /// Returns the number of pieces of an item.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn count(&self, item: &str) -> io::Result<u32> {
        self.ask(&format!("count {item} 0"))
    }

    /// Returns the number of the server's process.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn server(&self) -> io::Result<u32> {
        self.ask("server - 0")
    }

    fn ask(&self, request: &str) -> io::Result<u32> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        connection.write_all(request.as_bytes())?;
        connection.shutdown(Shutdown::Write)?;
        let reply = io::read_to_string(connection)?;
        reply
            .parse()
            .map_err(|_| io::Error::other(format!("{request:?}: {reply:?}")))
    }
}
