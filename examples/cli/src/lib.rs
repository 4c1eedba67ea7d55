//! Notes in a file, and a server that shows them.

use std::env::{self, VarError};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

/// The notes that the environment selects.
#[derive(Debug)]
pub struct Notes {
    file: PathBuf,
    port: u16,
}

impl Notes {
    /// Reads `NOTES_DIR`, the working directory by default, and `NOTES_PORT`, 7878 by default.
    ///
    /// # Errors
    /// If `NOTES_PORT` is no port, or the working directory does not exist.
    pub fn from_env() -> io::Result<Self> {
        let dir = env::var_os("NOTES_DIR").map_or_else(PathBuf::new, PathBuf::from);
        let port = match env::var("NOTES_PORT") {
            Ok(port) => port.parse().map_err(|_| format!("NOTES_PORT is {port:?}")),
            Err(VarError::NotPresent) => Ok(7878),
            Err(error) => Err(format!("NOTES_PORT: {error}")),
        };
        Ok(Self {
            file: std::path::absolute(dir.join("notes.txt"))?,
            port: port.map_err(io::Error::other)?,
        })
    }

    /// Returns the path of the file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Appends a note.
    ///
    /// # Errors
    /// If the note is empty or the file cannot be written.
    pub fn add(&self, note: &str) -> io::Result<()> {
        if note.is_empty() {
            return Err(io::Error::other("a note needs a text"));
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file)?;
        file.write_all(format!("{note}\n").as_bytes())
    }

    /// Returns all notes, one per line.
    ///
    /// # Errors
    /// If the file cannot be read; a missing one is empty.
    pub fn list(&self) -> io::Result<String> {
        match fs::read_to_string(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read,
        }
    }

    /// Sends the notes to each client, until the process is killed. `ready` is called when clients can connect.
    ///
    /// # Errors
    /// If the port is in use, or the file cannot be read.
    pub fn serve(&self, ready: impl FnOnce(u16)) -> io::Result<()> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => io::Error::other(format!("port {} is in use", self.port)),
                _ => error,
            })?;
        ready(self.port);
        for client in listener.incoming() {
            client?.write_all(self.list()?.as_bytes())?;
        }
        Ok(())
    }

    /// Returns the notes of the server on the port.
    ///
    /// # Errors
    /// If no server answers.
    pub fn fetch(&self) -> io::Result<String> {
        io::read_to_string(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?)
    }
}
