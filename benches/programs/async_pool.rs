//! Two hundred async tests with one query each. The file `queries` has the port of the server, and `elapsed` gets the time from
//! the beginning of the first test to the end of the last in microseconds.

use std::io;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TESTS: usize = 200;

/// The least that a pool does: it hands out a connection that is not in use, or opens one.
struct Pool {
    port: u16,
    idle: Mutex<Vec<TcpStream>>,
}

impl Pool {
    async fn connect() -> io::Result<Self> {
        let port = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/queries"))?;
        let pool = Self { port: port.parse().unwrap(), idle: Mutex::default() };
        let first = pool.open().await?;
        pool.idle.lock().unwrap().push(first);
        Ok(pool)
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        // The server's greeting ends its handshake.
        stream.read_u8().await?;
        Ok(stream)
    }

    async fn select_one(&self) -> io::Result<u8> {
        let idle = self.idle.lock().unwrap().pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => self.open().await?,
        };
        stream.write_all(b"SELECT 1").await?;
        let one = stream.read_u8().await?;
        self.idle.lock().unwrap().push(stream);
        Ok(one)
    }
}

/// Measures the time from the first test to the last one.
struct Measured;

static FIRST: OnceLock<Instant> = OnceLock::new();
static ENDED: AtomicUsize = AtomicUsize::new(0);

impl Measured {
    fn begin() -> Self {
        FIRST.get_or_init(Instant::now);
        Self
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if ENDED.fetch_add(1, Ordering::SeqCst) + 1 == TESTS {
            let elapsed = FIRST.get().unwrap().elapsed().as_micros();
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/elapsed"), elapsed.to_string()).unwrap();
        }
    }
}

macro_rules! ten {
    ($($name:ident)*) => {$(mod $name {
        tests! { t0 t1 t2 t3 t4 t5 t6 t7 t8 t9 }
    })*};
}

ten! { a b c d e f g h i j k l m n o p q r s t }
