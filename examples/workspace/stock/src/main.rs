//! The stock server: `stock-server PORT`.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args()
        .nth(1)
        .ok_or("usage: stock-server PORT")?
        .parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening on port {port}");
    let mut pieces = HashMap::new();
    for connection in listener.incoming() {
        if let Err(error) = answer(connection?, &mut pieces) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

fn answer(mut connection: TcpStream, pieces: &mut HashMap<String, u32>) -> io::Result<()> {
    let request = io::read_to_string(&connection)?;
    if request.is_empty() {
        // Only a look whether the port is open.
        return Ok(());
    }
    let reply = reply(&request, pieces).unwrap_or_else(|| "invalid request".to_owned());
    connection.write_all(reply.as_bytes())?;
    connection.shutdown(Shutdown::Write)
}

/// Returns the number that answers a request, `None` if the request is invalid.
fn reply(request: &str, pieces: &mut HashMap<String, u32>) -> Option<String> {
    let words: Vec<&str> = request.split(' ').collect();
    let [command, item, count] = words[..] else {
        return None;
    };
    let count: u32 = count.parse().ok()?;
    let pieces = pieces.entry(item.to_owned()).or_default();
    let number = match command {
        "add" => {
            *pieces += count;
            *pieces
        }
        "take" => match pieces.checked_sub(count) {
            Some(left) => {
                *pieces = left;
                1
            }
            None => 0,
        },
        "count" => *pieces,
        "server" => std::process::id(),
        _ => return None,
    };
    Some(number.to_string())
}
