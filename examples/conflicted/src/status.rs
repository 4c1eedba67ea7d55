//! The status of the desk over TCP: each connection receives one line.

use crate::Orders;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A server on a port, or the address of an existing one.
#[derive(Debug)]
pub struct StatusServer {
    port: u16,
    orders: Arc<Orders>,
    own: Mutex<Option<Listening>>,
    uses_another: bool,
}

impl StatusServer {
    /// Starts a server on this port, or on any free one for 0.
    ///
    /// # Errors
    /// If the port is in use.
    pub fn start(port: u16, orders: Arc<Orders>) -> io::Result<Self> {
        let (own, port) = Listening::start(port, &orders)?;
        Ok(Self {
            port,
            orders,
            own: Mutex::new(Some(own)),
            uses_another: false,
        })
    }

    /// Starts a server on this port unless one is running: one per machine is enough.
    pub fn start_or_use(port: u16, orders: Arc<Orders>) -> Self {
        let own = Listening::start(port, &orders).ok();
        Self {
            port,
            orders,
            own: Mutex::new(own.map(|(own, _)| own)),
            uses_another: true,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Requests the status as a monitor would. Replaces another server that has ended.
    ///
    /// # Errors
    /// If no server answers.
    pub fn ask(&self) -> io::Result<String> {
        for _ in 0..TRIES {
            match ask(self.port) {
                Ok(line) if line.ends_with('\n') => return Ok(line.trim_end().to_owned()),
                Err(error) if !self.uses_another => return Err(error),
                // The other server is ending or has ended.
                Ok(_) | Err(_) => {}
            }
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            if own.is_none() {
                // If the port is in use again, its new server is asked.
                *own = Listening::start(self.port, &self.orders).ok().map(|(own, _)| own);
            }
        }
        ask(self.port)
    }
}

/// The number of times that another server may end during a request.
const TRIES: usize = 1_000;

fn ask(port: u16) -> io::Result<String> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    // A foreign server may never answer.
    server.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut line = String::new();
    server.read_to_string(&mut line)?;
    Ok(line)
}

/// A thread that answers until it is dropped.
#[derive(Debug)]
struct Listening {
    port: u16,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    fn start(port: u16, orders: &Arc<Orders>) -> io::Result<(Self, u16)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = {
            let (is_over, orders) = (Arc::clone(&is_over), Arc::clone(orders));
            std::thread::spawn(move || {
                for caller in listener.incoming() {
                    if is_over.load(Ordering::Acquire) {
                        break;
                    }
                    // A client that disconnected early does not stop the server.
                    let _ = caller.and_then(|mut caller| writeln!(caller, "open, {} orders", orders.count()));
                }
            })
        };
        let thread = Some(thread);
        let own = Self {
            port,
            is_over,
            thread,
        };
        Ok((own, port))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // The thread waits for a connection, so make one.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::shop::shop;

    #[test]
    fn a_monitor_is_told_that_the_desk_is_open() {
        let shop = shop();
        shop.place("rope").unwrap();
        let line = shop.status.ask().unwrap();
        // Without the number of orders, which other tests change.
        assert!(line.starts_with("open, "), "{line}");
    }
}
